"""What fine-tuning forgot, kind by kind of replay cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from entropy_flows.conventions import GPA
from entropy_flows.report.text import change

FORGETTING_HEADER = [
    "iteration",
    "replayed × weight",
    "kind of cell",
    "held out",
    "energy, meV/atom",
    "force, meV/Å",
    "stress, GPa",
]
FORGETTING_NOTE = (
    "Errors against the first model's own labels before → after the iteration's fine-tuning, on "
    "cells that no model was trained on. The zero of the energies is taken out."
)
QUANTITIES = (("energy_mae", 2, 1e3), ("forces_mae", 1, 1e3), ("stress_mae", 3, GPA))
"""Error, decimals, and the unit of the table in that of the error."""


def forgetting_rows(iterations: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Write a row for each iteration and kind of replay cell; none where nothing was measured."""
    rows = []
    for doc in iterations:
        forgotten = doc.get("evaluate", {}).get("forgotten", {})
        before = forgotten.get("before", {}).get("kinds", {})
        for kind, after in forgotten.get("after", {}).get("kinds", {}).items():
            changes = [
                change(before.get(kind, {}).get(name), after[name], digits, scale)
                for name, digits, scale in QUANTITIES
            ]
            trained = replay_words(doc.get("train", {}))
            rows.append([str(doc["iteration"]), trained, kind, str(after["n"]), *changes])
    return rows


def replay_words(train: Mapping[str, Any]) -> str:
    """Write how many replay cells a training had, and their weight."""
    replayed = train.get("replayed", 0)
    return f"{replayed} × {train['replay_weight']:g}" if replayed else "none"
