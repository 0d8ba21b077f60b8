"""Push near-threshold candidates over the threshold (Wang 2026, sections 2.3.3 and 2.4.3)."""

from entropy_flows.refine.lbfgs import Refined, RefineParams, refine

__all__ = ["RefineParams", "Refined", "refine"]
