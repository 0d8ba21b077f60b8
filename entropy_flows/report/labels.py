"""Labels by the exploration's condition that their cells come from: how many failed, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.report.text import MISSING

LABEL_HEADER = [
    "phase",
    "T, K",
    "k, eV",
    "P, GPa (nominal)",
    "labels",
    "failed",
    "%",
    "flagged",
    "reasons",
]
FAILED_COLUMN = LABEL_HEADER.index("failed")
FLAGGED_COLUMN = LABEL_HEADER.index("flagged")
CONDITION_FIELDS = ("phase", "temperature", "k", "pressure")

Condition = tuple[Any, ...]
"""Values of `CONDITION_FIELDS`."""


def label_rows(labels: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Count labels, failures and flagged ones by phase, temperature, entropy weight and pressure.

    Parameters
    ----------
    labels
        Documents of the collection `labels`.

    Returns
    -------
    list
        A row for each condition, the largest share of failures first, then one for all labels; no
        rows without labels.
    """
    groups: dict[Condition, list[Mapping[str, Any]]] = defaultdict(list)
    for label in labels:
        condition = label.get("condition", {})
        groups[tuple(condition.get(name) for name in CONDITION_FIELDS)].append(label)
    if not groups:
        return []
    counts = {condition: _Counts.of(group) for condition, group in groups.items()}
    order = sorted(counts, key=lambda condition: -counts[condition].failed_share)
    total = _Counts.of([label for group in groups.values() for label in group])
    rows = [_row(condition, counts[condition]) for condition in order]
    return [*rows, _row(("all", None, None, None), total)]


def has_failures(row: Sequence[str]) -> bool:
    """Return whether a row of `label_rows` counts labels that failed or were flagged."""
    return row[FAILED_COLUMN] != "0" or row[FLAGGED_COLUMN] != "0"


@dataclass(frozen=True)
class _Counts:
    """Labels of one condition."""

    labels: int
    flagged: int
    reasons: Counter[str]
    """Reason of a failure → how many labels failed for it."""

    @classmethod
    def of(cls, labels: Sequence[Mapping[str, Any]]) -> _Counts:
        """Count them."""
        reasons = Counter(label["reason"] for label in labels if not label["converged"])
        flagged = sum(bool(label.get("flagged")) for label in labels)
        return cls(len(labels), flagged, reasons)

    @property
    def failed_share(self) -> float:
        """Failures per label."""
        return self.reasons.total() / self.labels


def _row(condition: Condition, counts: _Counts) -> list[str]:
    reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.reasons.most_common())
    failed = counts.reasons.total()
    return [
        *map(_condition_text, condition),
        str(counts.labels),
        str(failed),
        f"{100 * failed / counts.labels:.0f}",
        str(counts.flagged),
        reasons,
    ]


def _condition_text(value: str | float | None) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:g}"
