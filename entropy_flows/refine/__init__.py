"""Push near-threshold candidates over the threshold (Wang 2026, sections 2.3.3 and 2.4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.refine.lbfgs import Refined, refine
    from entropy_flows.refine.params import RefineParams
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = ["RefineParams", "Refined", "refine"]
