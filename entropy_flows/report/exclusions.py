"""What was excluded from a data set, for status and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

EXCLUSION_HEADER = ["excluded", "by", "when, UTC", "why"]


def exclusion_rows(excluded: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Write a row for each cell that is excluded now: its key, by whom, when and why."""
    return [
        [row["key"], row["by"], f"{row['created']:%Y-%m-%d %H:%M}", row["why"]] for row in excluded
    ]
