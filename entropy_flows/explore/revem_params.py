"""Parameters of the searches for a data set without physics ("Rev-EM")."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from entropy_flows.explore.cells import ShapeParams
from entropy_flows.params import Params

TrialOutcome = Literal["accepted", "close", "entropy"]


class AscentParams(Params):
    """Set how long and how fast cells move."""

    max_steps: int = Field(60, ge=1)
    """Most steps of a cell."""
    max_step: float = Field(0.2, gt=0, le=1)
    """Longest step (Å, over all atoms)."""
    slope: float = Field(0.05, gt=0)
    """A cell stays where no atom's gradient is longer than this (1/Å)."""


class StrengthParams(Params):
    """Set how K follows the outcomes of the trials."""

    start: float = Field(0.3, gt=0)
    """K at the beginning."""
    patience: int = Field(3, ge=1)
    """Candidates in a row that fail to raise the entropy, after which K rises once."""
    rise: float = Field(1.2, ge=1, le=10)
    """Factor by which K rises."""
    fall: float = Field(0.8, gt=0, le=1)
    """Factor by which K falls after each rejection for R_min."""
    lowest: float = Field(1e-2, gt=0)
    """K does not fall below this."""
    highest: float = Field(1e3, gt=0)
    """K does not rise above this."""

    def after(self, k: float, failures: int, outcome: TrialOutcome) -> tuple[float, int]:
        """Return K and the failures in a row after a trial.

        A cell with a close contact neither counts as a failure nor ends the row.
        """
        if outcome == "accepted":
            return k, 0
        if outcome == "close":
            return max(k * self.fall, self.lowest), failures
        if failures + 1 < self.patience:
            return k, failures + 1
        return min(k * self.rise, self.highest), 0


class RevEMParams(Params):
    """Set the search in one window and one mode."""

    iterations: int = Field(25_000, ge=1)
    """Candidates, beside the random cells at the beginning."""
    bootstrap: int = Field(10, ge=2)
    """Random cells at the beginning; they, too, have no pair closer than R_min."""
    lockstep: int = Field(16, ge=1)
    """Candidates moved at once; 1 is the paper's loop."""
    shape: ShapeParams = ShapeParams()
    strength: StrengthParams = StrengthParams()
    ascent: AscentParams = AscentParams()
