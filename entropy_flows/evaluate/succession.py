"""Which model a campaign goes on from: the new one, unless it is worse on the validation cells.

    ln ρ = ½ ln(a_E/b_E) + ½ ln(a_F/b_F)        mean relative change of two MAEs by a training,
                                                before b → after a
    s    = ½ (s_E² + s_F²)^½                    its standard error

The new model is *worse* if ln ρ > s. One of the two may rise where the other falls by as large a
factor.

b, a      MAE of the energy per atom (E), and of force components (F), on the same validation cells.
          None counts as less than `FLOOR`, below which it is rounding
s_E, s_F  relative standard error of a, as in `advice`; not below that of normally distributed
          errors of n cells
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from entropy_flows.evaluate.errors import MAE_NAMES

FLOOR = {"energy_mae": 1e-4, "forces_mae": 1e-3}
"""Smallest MAE that counts, in eV/atom and eV/Å."""
NORMAL_ERROR = float(np.sqrt(np.pi / 2 - 1))
"""Relative standard deviation of |x| of a normal variable: √n times the relative standard error
of a MAE.
"""


@dataclass(frozen=True)
class Comparison:
    """A model before and after a training."""

    worse: bool
    """Whether the training made it worse, beyond what so few cells can tell."""
    text: str
    """The comparison in words, with the numbers."""


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare a new model with the one that its training started from.

    Parameters
    ----------
    before, after
        Errors on the same validation cells, as `Errors.as_dict` returns them (eV/atom, eV/Å);
        {"n": 0} without cells.

    Returns
    -------
    Comparison
        Never worse without validation cells; worse if an error is not finite.
    """
    cells = int(after.get("n", 0))
    if not cells:
        return Comparison(False, "no validation cell to compare the two models on")
    numbers = ", ".join(_change_text(key, before, after) for key in FLOOR)
    numbers += f" on {cells} validation cell{'s' if cells > 1 else ''}"
    if not _is_finite(after):
        return Comparison(True, f"worse: {numbers}")
    if not _is_finite(before):
        return Comparison(False, f"better: {numbers}")
    changes = [np.log(max(after[key], low) / max(before[key], low)) for key, low in FLOOR.items()]
    change = float(np.mean(changes))
    noise = 0.5 * float(np.linalg.norm([_relative_error(after, key) for key in FLOOR]))
    verdict = "worse" if change > noise else "better" if change < -noise else "no worse"
    return Comparison(verdict == "worse", f"{verdict}: {numbers}")


def _change_text(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    name, unit = MAE_NAMES[key]
    return f"{name} {1e3 * before[key]:.3g} → {1e3 * after[key]:.3g} {unit}"


def _is_finite(errors: Mapping[str, Any]) -> bool:
    return bool(np.isfinite([errors[key] for key in FLOOR]).all())


def _relative_error(errors: Mapping[str, Any], key: str) -> float:
    """Return s_E or s_F: the relative standard error of a MAE over n cells."""
    mae = errors[key]
    rmse = errors[key.replace("mae", "rmse")]
    n = errors["n"]
    measured = np.sqrt(max(rmse**2 - mae**2, 0.0) / n) / max(mae, FLOOR[key])
    return max(float(measured), NORMAL_ERROR / np.sqrt(n))


def decision_lines(iterations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write a line for each iteration whose model the campaign did not go on from."""
    lines = []
    for doc in iterations:
        decision = doc.get("evaluate", {}).get("continues", {})
        if decision.get("worse"):
            goes_on = f"the campaign goes on from {model_words(decision['iteration'])}"
            lines.append(
                f"iteration {doc['iteration']}: its model is {decision['reason']}; {goes_on}"
            )
    return lines


def model_words(iteration: int) -> str:
    """Name a model by the iteration that it is registered under."""
    named = {-1: "the student", 0: "the base model"}
    return named.get(iteration, f"the model of iteration {iteration}")
