"""The table of how well a committee's spread predicts its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_flows.report.page import Table
from entropy_flows.report.text import number

HEADER = ["committee", "quantity", "cells", "Spearman's ρ", "rms error / rms spread"]
NOTE = (
    "Held-out cells. Spearman's ρ of spread and error: 1 where the larger spread always has the "
    "larger error. Ratio: rms error / rms spread, 1 where the spread is as large as the error."
)

Calibrations = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Name of a committee → quantity ("energy", "forces") → a `Calibration` as a mapping."""


def calibration_tables(calibrations: Calibrations) -> list[Table]:
    """Build a table with a row for each committee and quantity; none without committees."""
    rows = [
        _row(committee, quantity, calibration)
        for committee, quantities in calibrations.items()
        for quantity, calibration in quantities.items()
    ]
    return [Table("Calibration of the committee", [HEADER, *rows], NOTE)] if rows else []


def _row(committee: str, quantity: str, calibration: Mapping[str, Any]) -> list[str]:
    spearman = number(calibration["spearman"], 2)
    ratio = number(calibration["ratio"], 2)
    return [committee, quantity, str(calibration["n"]), spearman, ratio]
