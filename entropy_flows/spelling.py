"""Messages about names that nothing has: the closest name there is, and all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" with the closest of the candidates, or "" if none is close."""
    close = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def close_names(name: str, candidates: Iterable[str], number: int = 3) -> str:
    """Return " (near: A, B)" with the closest of the candidates, or "" if none is close."""
    close = difflib.get_close_matches(name, list(candidates), n=number, cutoff=0.6)
    return f" (near: {', '.join(close)})" if close else ""


def unknown(noun: str, name: str, names: Iterable[str]) -> str:
    """Return the message that nothing has a name, with the closest of the names and all of them."""
    names = list(names)
    hint = did_you_mean(name, names)
    separator = ";" if hint else ","
    return f"unknown {noun} '{name}'{hint}{separator} expected one of: {', '.join(names)}"
