"""The table that says what a committee's spread is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entropy_flows.report.page import Table

NOTE = (
    "Held-out cells. Spearman's ρ of spread and error: 1 where the larger spread always has the larger error. "
    "Ratio: rms error / rms spread, 1 where the spread is as large as the error."
)


def calibration_tables(found: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """A row for each committee and quantity; none without committees."""
    rows = [
        [name, quantity, str(part["n"]), *(_number(part[key]) for key in ("spearman", "ratio"))]
        for name, parts in found.items()
        for quantity, part in parts.items()
    ]
    header = ["committee", "quantity", "cells", "Spearman's ρ", "rms error / rms spread"]
    return [("Calibration of the committee", [header, *rows], NOTE)] if rows else []


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
