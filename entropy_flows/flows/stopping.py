"""The rule that ends a campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from entropy_flows.schemas import StopParams
from entropy_flows.schemas.documents import State


@dataclass(frozen=True)
class StopDecision:
    """The state of a campaign after an iteration, and in one line why it ends."""

    state: State
    message: str | None = None


def decide_to_stop(
    iteration: int,
    last: int,
    stop: StopParams,
    labels: int,
    new: int,
    validation: dict[str, Any] | None,
    failure: dict[str, str] | None,
    unknown: float | None = None,
) -> StopDecision:
    """Decide after an iteration whether the campaign goes on.

    Parameters
    ----------
    iteration, last
        Number of the one that ended, and of the last one there may be.
    stop
        The campaign's limits.
    labels, new
        Labels asked for so far, and in this iteration.
    validation
        Errors of the new model on the validation cells; None if it has none.
    failure
        Stage and message of what failed for good.
    unknown
        Share of the target that is not known; None without one.
    """
    if validation is None:
        failure = failure or {"stage": "evaluate", "message": "left no result"}
        return StopDecision(
            "failed", f"iteration {iteration}, {failure['stage']}: {failure['message']}"
        )
    energy = validation.get("energy_mae")
    forces = validation.get("forces_mae")
    if stop.energy_mae is not None and energy is not None and energy < stop.energy_mae:
        good = stop.forces_mae is None or (forces is not None and forces < stop.forces_mae)
        if good:
            return StopDecision(
                "done", f"validation energy MAE {1e3 * energy:.2f} meV/atom is below the threshold"
            )
    if stop.label_budget is not None and labels >= stop.label_budget:
        return StopDecision("done", f"the label budget of {stop.label_budget} is spent")
    if stop.unknown is not None and unknown is not None and unknown <= stop.unknown:
        message = f"{100 * unknown:.3g} % of the target is unknown, {100 * stop.unknown:g} % may be"
        return StopDecision("done", message)
    if new == 0:
        return StopDecision("done", "nothing new was found: no candidate passed the filter")
    if iteration >= last:
        return StopDecision("done", f"all {last} iterations are done")
    return StopDecision("running")
