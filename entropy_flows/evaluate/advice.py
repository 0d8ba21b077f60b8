"""Advice on whether more labels of the same kind are worth their cost; it never stops anything.

    r = 1 − a_t/b_t                    fall of a MAE in the last iteration t, before b → after a on
                                       the same cells
    s = √((RMSE² − MAE²)/n) / MAE      relative standard error of a MAE over n cells: smaller
                                       changes are noise
    b_1 Π_u a_u/b_u ∝ N^−β             error against cells trained on, each step on the same cells,
                                       over the trainings that a model comes from; fitted from
                                       t = 3 on
    f = 1 − (1 + m/N_t)^−(β + σ_β)     fall that this law promises, at best, for as many cells m as
                                       iteration t added

The error is *flat* on three conditions. Neither energy nor forces fell by more than their noise
(r ≤ s). The law promises no more than that (f ≤ s). And the gain ΔH per label does not rise: cells
of a known kind gain less and less, so a gain that rises says that new ground is being found. A
noise above `MAX_NOISE` is no evidence of anything.

Errors are those of the test cells, which had no say in the training. In a MAE of force components n
counts cells, for the components of one cell err together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.evaluate.errors import MAE_NAMES

MAX_NOISE = 0.25
"""Relative noise of a MAE above which an unchanged error is not called flat: that of nine cells or
fewer.
"""
FLAT_ADVICE = (
    "no fall beyond the noise. More labels of this kind will buy little: explore elsewhere "
    "(higher k, other phases, T or P), raise θ_min, or stop"
)

Iteration = Mapping[str, Any]
"""A document of the collection `iterations`."""


@dataclass(frozen=True)
class Advice:
    """A suggestion from the errors of the iterations, for a person to decide."""

    verdict: Literal["early", "worse", "go on", "unclear", "flat"]
    """early: one iteration shows no trend. worse: the last training did harm. unclear: the held-out
    cells are too few to see a change."""
    text: str
    """One or two sentences with the numbers."""


@dataclass(frozen=True)
class Trend:
    """One error over the iterations."""

    name: str
    """Name of the error, with its unit."""
    before: float
    """b_t of the last iteration, in meV/atom or meV/Å."""
    after: float
    """a_t, in the same unit."""
    noise: float
    """s_t."""
    exponent: tuple[float, float] | None
    """β and σ_β; None before the third iteration."""
    promised: float | None
    """f."""

    @property
    def fell(self) -> bool:
        """True if the last iteration lowered the error by more than its noise."""
        return 1.0 - self.after / self.before > self.noise

    @property
    def may_fall(self) -> bool:
        """True if the law promises a fall of more than the noise."""
        return self.promised is not None and self.promised > self.noise

    def __str__(self) -> str:
        change = 100.0 * (self.after / self.before - 1.0)
        quantity, unit = self.name.split(", ")
        errors = f"{quantity} {self.before:.3g} → {self.after:.3g} {unit}"
        text = f"{errors} ({change:+.0f} %, noise ±{100 * self.noise:.0f} %"
        if self.exponent is None:
            return f"{text})"
        return f"{text}; falls as N^−({self.exponent[0]:.2f} ± {self.exponent[1]:.2f}))"


def advise(iterations: Sequence[Iteration]) -> Advice | None:
    """Advise on whether more labels of the same kind are worth their cost.

    Parameters
    ----------
    iterations
        Documents of the iterations, in order, with `select` (gains), `label`, `train` (cells) and
        `evaluate` (errors before and after on the test cells). Those without held-out cells do not
        count.

    Returns
    -------
    Advice or None
        None if no iteration was evaluated on held-out cells.
    """
    evaluated = [
        doc
        for doc in iterations
        if doc.get("evaluate", {}).get("after", {}).get("n") and doc.get("train")
    ]
    if not evaluated:
        return None
    spent = f"after {_label_count(evaluated)} labels"
    if len(evaluated) < 2:
        return Advice("early", f"{spent}: one iteration shows no trend yet; judge after the next")
    last = evaluated[-1]
    cells = last["evaluate"]["after"]["n"]
    trends = [trend for key in MAE_NAMES if (trend := _trend(evaluated, key)) is not None]
    gains = _gains(evaluated)
    texts = [text for text in (_gain_text(gains), *map(str, trends)) if text]
    sample = f"the last iteration's {_label_count(evaluated[-1:])}, {cells} held-out cells"
    numbers = f"{spent} ({sample}): {'; '.join(texts)}"
    has_worsened = last["evaluate"].get("continues", {}).get("worse")
    if has_worsened:
        reason = "the last training made the model worse; look at `train` before more labels"
        return Advice("worse", f"{numbers}: {reason}")
    return _judge(numbers, trends, cells, _gain_rises(gains))


def _judge(numbers: str, trends: Sequence[Trend], cells: int, gain_rises: bool) -> Advice:
    """Judge trends of errors on so many cells; `numbers` begins the text."""
    if any(trend.fell for trend in trends):
        return Advice("go on", f"{numbers}: the error still falls")
    if any(trend.noise > MAX_NOISE for trend in trends) or not trends:
        return Advice("unclear", f"{numbers}: {cells} held-out cells are too few to see a change")
    if any(trend.may_fall for trend in trends):
        reason = "no fall beyond the noise, but over all iterations the law still promises one"
        return Advice("go on", f"{numbers}: {reason}")
    if gain_rises:
        reason = "the error is flat, but a label's gain rises, so new ground is being found"
        return Advice("go on", f"{numbers}: {reason}")
    return Advice("flat", f"{numbers}: {FLAT_ADVICE}")


def _label_count(documents: Sequence[Iteration]) -> str:
    """Write the number of labels that were spent, and how many of them failed."""
    labels = [doc.get("label", {}) for doc in documents]
    failed = sum(label.get("failed", 0) or 0 for label in labels)
    total = failed + sum(label.get("labelled", 0) or 0 for label in labels)
    return f"{total}" + (f" ({failed} failed)" if failed else "")


def _gains(documents: Sequence[Iteration]) -> list[Array]:
    """Return ΔH of the accepted cells of each iteration that has any."""
    gains = [doc.get("select", {}).get("gains") for doc in documents]
    return [np.asarray(values, float) for values in gains if values]


def _gain_text(gains: Sequence[Array]) -> str:
    """Write the mean gain of each iteration; empty without any."""
    if not gains:
        return ""
    return "gain per label " + " → ".join(f"{values.mean():.2g}" for values in gains)


def _gain_rises(gains: Sequence[Array]) -> bool:
    """Return whether the mean gain rose beyond its standard error in the last iteration."""
    # A single gain has no spread beyond which another could rise.
    if len(gains) < 2 or min(map(len, gains[-2:])) < 2:
        return False
    before, after = gains[-2:]
    variances = [values.var(ddof=1) / len(values) for values in (before, after)]
    return bool(after.mean() - before.mean() > np.sqrt(sum(variances)))


def _trend(documents: Sequence[Iteration], key: str) -> Trend | None:
    """Return one error's trend; None if an iteration lacks the error, or it is zero."""
    errors_before = [doc["evaluate"]["before"].get(key) for doc in documents]
    errors_after = [doc["evaluate"]["after"].get(key) for doc in documents]
    if not all([*errors_before, *errors_after]):
        return None
    before = np.array(errors_before, float)
    after = np.array(errors_after, float)
    chained = _chained(documents, before, after)
    noise = np.array([mae_noise(doc["evaluate"]["after"], key) for doc in documents])
    cells = np.array([doc["train"]["cells"] for doc in documents], float)
    exponent = None
    promised = None
    if len(documents) >= 3 and len(set(cells)) > 1:
        exponent = _power_law(cells, chained, noise)
        promised = 1.0 - (2.0 - cells[-2] / cells[-1]) ** -sum(exponent)
    name, unit = MAE_NAMES[key]
    return Trend(
        f"{name}, {unit}", 1e3 * before[-1], 1e3 * after[-1], noise[-1], exponent, promised
    )


def _chained(documents: Sequence[Iteration], before: Array, after: Array) -> Array:
    """Chain the changes of the errors, each from the model that its training started from."""
    level = before[0]
    levels = []
    for document, change in zip(documents, after / before, strict=True):
        levels.append(level * change)
        if document["evaluate"].get("continues", {}).get("is_new", True):
            level = levels[-1]
    return np.array(levels)


def mae_noise(errors: Mapping[str, Any], key: str) -> float:
    """Return s, the relative noise of a MAE; it is never 0, by which a fit would divide."""
    mae = errors[key]
    rmse = errors[key.replace("mae", "rmse")]
    return max(float(np.sqrt(max(rmse**2 - mae**2, 0.0) / errors["n"]) / mae), 1e-6)


def _power_law(cells: Array, errors: Array, noise: Array) -> tuple[float, float]:
    """Fit β and σ_β of ln E = c − β ln N, each point weighted by its noise."""
    (slope, _), covariance = np.polyfit(
        np.log(cells), np.log(errors), 1, w=1.0 / noise, cov="unscaled"
    )
    return -float(slope), float(np.sqrt(covariance[0, 0]))
