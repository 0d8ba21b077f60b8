"""Models that were trained again, for status and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from entropy_flows.report.text import change


def version_lines(versions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write a line for each model that was trained again: its errors, and whether it is used.

    Errors are on the held-out cells, of the model that it replaces → of its own.
    """
    lines = []
    for row in versions:
        before = row["evaluate"]["before"]
        after = row["evaluate"]["after"]
        energy = change(before.get("energy_mae"), after.get("energy_mae"), 2, 1e3)
        forces = change(before.get("forces_mae"), after.get("forces_mae"), 1, 1e3)
        is_new = row["evaluate"]["continues"]["is_new"]
        decision = "is gone on from" if is_new else "is worse, and not gone on from"
        lines.append(
            f"iteration {row['iteration']} was trained again (version {row['version']}): energy "
            f"MAE {energy} meV/atom, force MAE {forces} meV/Å on {after['n']} held-out cells; "
            f"it {decision}"
        )
    return lines
