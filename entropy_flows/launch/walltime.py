"""Walltimes as queues write them."""

from __future__ import annotations

import re


def seconds(walltime: str) -> int:
    """Return the seconds of a walltime HH:MM:SS or D-HH:MM:SS.

    Raises
    ------
    ValueError
        If it is neither.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", walltime)
    if not match:
        raise ValueError(
            f"walltime {walltime!r}: expected HH:MM:SS or D-HH:MM:SS, "
            f"such as 24:00:00 or 2-00:00:00"
        )
    days, hours, minutes, remaining_seconds = (int(digits or 0) for digits in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + remaining_seconds


def clock(total: int) -> str:
    """Write seconds as HH:MM:SS."""
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"
