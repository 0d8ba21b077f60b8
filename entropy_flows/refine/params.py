"""Parameters of the refinement of near-threshold candidates."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from entropy_flows.params import Params


class RefineParams(Params):
    """Weight of the entropy, and length of a refinement."""

    renamed: ClassVar[dict[str, str]] = {"min_distance": "min_distance_fraction"}
    enabled: bool = True
    """False discards near-threshold candidates."""
    k: float = Field(10.0, gt=0)
    """Weight k_refine of log det Σ, or of the logarithm of the gain with a target (eV)."""
    max_steps: int = Field(20, ge=1)
    """L-BFGS steps per candidate."""
    max_step: float = Field(0.1, gt=0, le=1)
    """Longest move of an atom in one step (Å)."""
    fmax: float = Field(0.02, gt=0)
    """Stop when no force on the surface exceeds this (eV/Å)."""
    gradient: Literal["exact", "paper"] = "exact"
    """The surface's own gradient, or the paper's Eqs. 8 and 9, which leave out the candidate's
    effect on μ and N.
    """
    min_distance_fraction: float = Field(0.55, gt=0, lt=1)
    """Shortest distance allowed, as a fraction of the sum of covalent radii."""
    together: int = Field(1, ge=1)
    """Candidates that move together, in one call of the model a step: 32 suit a GPU. None of them
    is pushed away from the others; what passes enters the data set in turn, if it still does then.
    """
    max_candidates: int = Field(100, ge=0)
    """Most near-threshold candidates to refine in one iteration."""
