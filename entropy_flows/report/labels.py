"""What became of the labels, by the condition they come from: the same rows for `status` and the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

HEADER = [
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


def label_rows(labels: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Labels, failures and flagged ones by phase, temperature, entropy weight and nominal pressure.

    Parameters
    ----------
    labels
        Label documents.

    Returns
    -------
    list
        A row for each condition, the largest share of failures first, and one for all; no rows
        without labels.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for label in labels:
        condition = label.get("condition", {})
        groups[
            tuple(condition.get(name) for name in ("phase", "temperature", "k", "pressure"))
        ].append(label)
    if not groups:
        return []
    rows = sorted(
        ((key, *_counts(group)) for key, group in groups.items()), key=lambda row: -row[2] / row[1]
    )
    everything = [label for group in groups.values() for label in group]
    return [_row(*row) for row in [*rows, (("all", None, None, None), *_counts(everything))]]


def _counts(labels: list[dict[str, Any]]) -> tuple[int, int, int, Counter[str]]:
    reasons = Counter(label["reason"] for label in labels if not label["converged"])
    return (
        len(labels),
        reasons.total(),
        sum(bool(label.get("flagged")) for label in labels),
        reasons,
    )


def _row(
    condition: tuple[Any, ...], n: int, failed: int, flagged: int, reasons: Counter[str]
) -> list[str]:
    place = [
        "–" if value is None else value if isinstance(value, str) else f"{value:g}"
        for value in condition
    ]
    said = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
    return [*place, str(n), str(failed), f"{100 * failed / n:.0f}", str(flagged), said]
