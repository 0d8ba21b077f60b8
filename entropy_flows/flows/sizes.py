"""The size of an exploration's jobs: as many runs as fit their walltime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from entropy_flows.explore import ExploreParams, condition_grid
from entropy_flows.flows.iteration import IterationMaker
from entropy_flows.jobs import IterationContext
from entropy_flows.store import CampaignStore
from entropy_flows.store.settings_changes import iteration_settings

T = TypeVar("T")


def sized_maker(iterations: Sequence[IterationMaker], context: IterationContext) -> IterationMaker:
    """Return an iteration's Maker, with as many runs per exploration job as fit its walltime.

    The last iteration's speed is taken. It is decided once: the job that adds an iteration adds
    the same jobs when it is run again.
    """
    maker = item_of(iterations, context.iteration)
    params = maker.explore.params
    if params.walltime is None or context.iteration == 1:
        return maker
    store = CampaignStore.open(context.campaign)
    last = context.iteration - 1
    steps = _explored(iterations, store, last).all_steps
    seconds = _run_seconds(store, last)
    size = params.batch_size
    if seconds:
        seconds_per_step = sum(seconds) / len(seconds) / steps
        size = params.runs_within_walltime(seconds_per_step) or size
    size = store.plan(context.iteration, "batch_size", size)
    resized = params.model_copy(update={"batch_size": size})
    return replace(maker, explore=replace(maker.explore, params=resized))


def model_calls(makers: Sequence[IterationMaker], phases: list[str]) -> list[tuple[int, int]]:
    """Count the calls of the model that the dynamics of iterations makes.

    Parameters
    ----------
    makers
        The iterations' Makers.
    phases
        Names of the seed phases.

    Returns
    -------
    list
        Cells of a call and number of such calls, the smallest calls first.
    """
    calls: Counter[int] = Counter()
    for maker in makers:
        explore = maker.explore.params
        for params in ([explore] if explore.dynamics else []) + [maker.anchor.plain(explore)]:
            full, rest = divmod(len(condition_grid(params, phases)), params.batch_size)
            calls[params.batch_size] += full * params.all_steps
            calls[rest] += params.all_steps
    return sorted((cells, n) for cells, n in calls.items() if cells and n)


def item_of(items: Sequence[T], iteration: int) -> T:
    """Return the item of an iteration, from 1; the last one serves those that follow."""
    return items[min(iteration, len(items)) - 1]


def _explored(
    iterations: Sequence[IterationMaker], store: CampaignStore, iteration: int
) -> ExploreParams:
    """Return the settings that an iteration explored with."""
    decided = iteration_settings(store, iteration)
    if decided is None:
        return item_of(iterations, iteration).explore.params
    return ExploreParams.model_validate(decided["sections"]["explore"])


def _run_seconds(store: CampaignStore, iteration: int) -> list[float]:
    """Collect the wall times (s) of an iteration's runs that went to their end."""
    rows = [row for row in store.iterations() if row["iteration"] == iteration]
    runs: list[dict[str, Any]] = [run for row in rows for run in row["runs"]]
    return [run["wall_seconds"] for run in runs if run["reason"] is None and not run.get("source")]
