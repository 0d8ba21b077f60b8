"""Which model a campaign goes on from: the new one, unless it is worse on the validation cells.

    ln ρ = ½ ln(a_E/b_E) + ½ ln(a_F/b_F)        mean relative change of two MAEs by a training, before b → after a
    s    = ½ (s_E² + s_F²)^½                    its standard error

The new model is *worse* if ln ρ > s. One of the two may rise where the other falls by as large a
factor.

b, a      MAE of the energy per atom (E), and of force components (F), on the same validation cells; none counts as less
          than `FLOOR`, below which it is rounding
s_E, s_F  relative standard error of a, as in `advice`; not below that of normally distributed
errors of n cells
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FLOOR = {"energy_mae": 1e-4, "forces_mae": 1e-3}
"""eV/atom, eV/Å."""
UNITS = {"energy_mae": ("energy MAE", "meV/atom"), "forces_mae": ("force MAE", "meV/Å")}
NORMAL = float(np.sqrt(np.pi / 2 - 1))
"""Relative standard deviation of |x| of a normal variable: √n times the relative standard error
of a MAE.
"""


@dataclass(frozen=True)
class Comparison:
    """A model before and after a training."""

    worse: bool
    """Whether the training made it worse, beyond what so few cells can tell."""
    text: str
    """In words, with the numbers."""


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare a new model with the one its training started from.

    Parameters
    ----------
    before, after
        Errors on the same validation cells, as `Errors.as_dict` gives them (eV/atom, eV/Å); {"n":
        0} without cells.

    Returns
    -------
    Comparison
        Never worse without validation cells; worse if an error is not finite.
    """
    cells = int(after.get("n", 0))
    if not cells:
        return Comparison(False, "no validation cell to compare the two models on")
    numbers = ", ".join(
        f"{UNITS[key][0]} {1e3 * before[key]:.3g} → {1e3 * after[key]:.3g} {UNITS[key][1]}"
        for key in FLOOR
    )
    where = f"{numbers} on {cells} validation cell{'s' if cells > 1 else ''}"
    if not _finite(after) or not _finite(before):
        return Comparison(not _finite(after), f"{'better' if _finite(after) else 'worse'}: {where}")
    change = float(
        np.mean(
            [np.log(max(after[key], low) / max(before[key], low)) for key, low in FLOOR.items()]
        )
    )
    noise = 0.5 * float(np.linalg.norm([_relative_error(after, key) for key in FLOOR]))
    verdict = "worse" if change > noise else "better" if change < -noise else "no worse"
    return Comparison(verdict == "worse", f"{verdict}: {where}")


def _finite(errors: Mapping[str, Any]) -> bool:
    return bool(np.isfinite([errors[key] for key in FLOOR]).all())


def _relative_error(errors: Mapping[str, Any], key: str) -> float:
    """s_q, of a MAE over n cells."""
    mae = errors[key]
    rmse = errors[key.replace("mae", "rmse")]
    n = errors["n"]
    measured = np.sqrt(max(rmse**2 - mae**2, 0.0) / n) / max(mae, FLOOR[key])
    return max(float(measured), NORMAL / np.sqrt(n))


def decision_lines(iterations: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each iteration whose model was left, for `status` and the report."""
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
    """A model by the iteration that it is registered under."""
    return {-1: "the student", 0: "the base model"}.get(
        iteration, f"the model of iteration {iteration}"
    )
