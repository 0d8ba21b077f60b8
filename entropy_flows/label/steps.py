"""Which ionic steps of a run are taken: the last one, all, or every n-th."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class StepRule:
    """A rule for which ionic steps of a run are taken.

    Attributes
    ----------
    every
        Every how manieth, counted from 1: 3 takes the steps 3, 6, 9, …; None takes the last alone.
    """

    every: int | None = None

    @classmethod
    def parse(cls, text: str) -> StepRule:
        """Make the rule of "last", "all" or "every:N".

        Raises
        ------
        ValueError
            If it is none of these.
        """
        if text == "last":
            return cls()
        if text == "all":
            return cls(1)
        match = re.fullmatch(r"every:0*([1-9]\d{0,8})", text)
        if match is None:
            raise ValueError(f"steps {text!r}: expected last, all, or every:N with N of 1 or more")
        return cls(int(match[1]))

    def numbers(self, count: int) -> list[int]:
        """Return the numbers, from 1, of the steps taken of `count`."""
        if self.every is None:
            return [count] if count else []
        return list(range(self.every, count + 1, self.every))

    def takes(self, number: int) -> bool:
        """Return whether a step is taken whatever follows; never, if only the last one is."""
        return self.every is not None and number % self.every == 0


LAST = StepRule()
