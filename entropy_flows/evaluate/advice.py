"""When more labels of the same kind will buy little: advice from the iterations' numbers, which never stops anything.

    r = 1 − a_t/b_t                    fall of a MAE in the last iteration t, before b → after a on the same cells
    s = √((RMSE² − MAE²)/n) / MAE      relative standard error of a MAE over n cells: smaller changes are noise
    b_1 Π_u a_u/b_u ∝ N^−β             error against cells trained on, each step on the same cells, over the trainings
                                       that a model comes from; fitted from t = 3 on
    f = 1 − (1 + m/N_t)^−(β + σ_β)     what that law promises, at best, for as many cells m as iteration t added

It is *flat* if neither energy nor forces fell by more than their noise (r ≤ s), the law promises no
more than that (f ≤ s), and the gain ΔH per label does not rise: cells of a known kind gain less and
less, and a gain that rises says that new ground is being found. A noise above `BLIND` is no
evidence of anything. Errors are those of the test cells, which had no say in the training; in a MAE
of force components n counts cells, for those of one cell err together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

BLIND = 0.25
"""Relative noise of a MAE above which an unchanged error is not called flat: nine cells or
fewer.
"""
QUANTITIES = {"energy_mae": ("energy MAE", "meV/atom"), "forces_mae": ("force MAE", "meV/Å")}


@dataclass(frozen=True)
class Advice:
    """What the numbers say, for a person to decide."""

    verdict: Literal["early", "worse", "go on", "unclear", "flat"]
    """early: one iteration shows no trend; worse: the last training did harm; unclear: the held-out cells are too few
    to tell."""
    text: str
    """With the numbers, in one or two sentences."""


@dataclass(frozen=True)
class Trend:
    """One error over the iterations."""

    name: str
    """With its unit."""
    before: float
    """b_t of the last iteration, in thousandths of eV/atom or eV/Å as `after`."""
    after: float
    """a_t."""
    noise: float
    """s_t."""
    exponent: tuple[float, float] | None
    """β and σ_β; None before the third iteration."""
    promised: float | None
    """f."""

    @property
    def fell(self) -> bool:
        """Whether the last iteration lowered it by more than its noise."""
        return 1.0 - self.after / self.before > self.noise

    @property
    def may_fall(self) -> bool:
        """Whether the law promises more than the noise."""
        return self.promised is not None and self.promised > self.noise

    def __str__(self) -> str:
        change = 100.0 * (self.after / self.before - 1.0)
        quantity, unit = self.name.split(", ")
        text = f"{quantity} {self.before:.3g} → {self.after:.3g} {unit} ({change:+.0f} %, noise ±{100 * self.noise:.0f} %"
        if self.exponent is None:
            return f"{text})"
        return f"{text}; falls as N^−({self.exponent[0]:.2f} ± {self.exponent[1]:.2f}))"


def advise(iterations: Sequence[Mapping[str, Any]]) -> Advice | None:
    """Say whether more labels of the same kind are worth their cost.

    Parameters
    ----------
    iterations
        Documents of the iterations, in order, with `select` (gains), `label`, `train` (cells) and
        `evaluate` (errors before and after on the test cells); those without held-out cells count
        for nothing.

    Returns
    -------
    Advice or None
        None if no iteration was evaluated on held-out cells.
    """
    known = [
        doc
        for doc in iterations
        if doc.get("evaluate", {}).get("after", {}).get("n") and doc.get("train")
    ]
    if not known:
        return None
    last = known[-1]
    spent = f"after {_labels(known)} labels"
    if len(known) < 2:
        return Advice("early", f"{spent}: one iteration shows no trend yet; judge after the next")
    trends = [trend for key in QUANTITIES if (trend := _trend(known, key)) is not None]
    cells, rising, gains = last["evaluate"]["after"]["n"], *_gains(known)
    numbers = "; ".join(filter(None, [gains, *map(str, trends)]))
    numbers = (
        f"{spent} (the last iteration's {_labels(known[-1:])}, {cells} held-out cells): {numbers}"
    )
    if last["evaluate"].get("continues", {}).get("worse"):
        return Advice(
            "worse",
            f"{numbers}: the last training made the model worse; look at `train` before more labels",
        )
    if any(trend.fell for trend in trends):
        return Advice("go on", f"{numbers}: the error still falls")
    if any(trend.noise > BLIND for trend in trends) or not trends:
        return Advice("unclear", f"{numbers}: {cells} held-out cells are too few to see a change")
    if any(trend.may_fall for trend in trends):
        return Advice(
            "go on",
            f"{numbers}: no fall beyond the noise, but over all iterations the law still promises one",
        )
    if rising:
        return Advice(
            "go on",
            f"{numbers}: the error is flat, but a label's gain rises, so new ground is being found",
        )
    return Advice(
        "flat",
        f"{numbers}: no fall beyond the noise. More labels of this kind will buy little: explore elsewhere (higher k, "
        "other phases, T or P), raise θ_min, or stop",
    )


def _labels(documents: Sequence[Mapping[str, Any]]) -> str:
    """Labels spent, failed ones told."""
    label = [doc.get("label", {}) for doc in documents]
    failed = sum(part.get("failed", 0) or 0 for part in label)
    total = failed + sum(part.get("labelled", 0) or 0 for part in label)
    return f"{total}" + (f" ({failed} failed)" if failed else "")


def _gains(documents: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether the mean gain of an accepted cell rose beyond its standard error, and the means in words."""
    lists = [
        np.asarray(gains, float)
        for doc in documents
        if (gains := doc.get("select", {}).get("gains"))
    ]
    if not lists:
        return False, ""
    words = "gain per label " + " → ".join(f"{gains.mean():.2g}" for gains in lists)
    if (
        min(map(len, lists[-2:])) < 2 or len(lists) < 2
    ):  # a single gain has no spread to rise beyond
        return False, words
    error = np.sqrt(sum(gains.var(ddof=1) / len(gains) for gains in lists[-2:]))
    return bool(lists[-1].mean() - lists[-2].mean() > error), words


def _trend(documents: Sequence[Mapping[str, Any]], key: str) -> Trend | None:
    """One error's numbers; None if an iteration lacks it, or it is zero."""
    pairs = [[doc["evaluate"][when].get(key) for when in ("before", "after")] for doc in documents]
    if not all(value for pair in pairs for value in pair):
        return None
    before, after = np.array(pairs, float).T
    chained = _chained(documents, before, after)
    noise = np.array([_noise(doc["evaluate"]["after"], key) for doc in documents])
    trained = np.array([doc["train"]["cells"] for doc in documents], float)
    exponent, promised = None, None
    if len(documents) >= 3 and len(set(trained)) > 1:
        exponent = _power_law(trained, chained, noise)
        promised = 1.0 - (2.0 - trained[-2] / trained[-1]) ** -sum(exponent)
    name, unit = QUANTITIES[key]
    return Trend(
        f"{name}, {unit}", 1e3 * before[-1], 1e3 * after[-1], noise[-1], exponent, promised
    )


def _chained(
    documents: Sequence[Mapping[str, Any]], before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Errors of the iterations' models, each by the change from the model that its training started from."""
    level = before[0]
    levels = []
    for document, change in zip(documents, after / before, strict=True):
        levels.append(level * change)
        if document["evaluate"].get("continues", {}).get("is_new", True):
            level = levels[-1]
    return np.array(levels)


def _noise(errors: Mapping[str, Any], key: str) -> float:
    """s, never 0."""
    mae, rmse = errors[key], errors[key.replace("mae", "rmse")]
    return max(float(np.sqrt(max(rmse**2 - mae**2, 0.0) / errors["n"]) / mae), 1e-6)


def _power_law(cells: np.ndarray, errors: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """β and σ_β of ln E = c − β ln N, each point weighted by its noise."""
    (slope, _), covariance = np.polyfit(
        np.log(cells), np.log(errors), 1, w=1.0 / noise, cov="unscaled"
    )
    return -float(slope), float(np.sqrt(covariance[0, 0]))
