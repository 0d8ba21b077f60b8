"""Random choice: the baseline, and Wang 2026's first generation, which had no global filter."""

from __future__ import annotations

from typing import ClassVar

from entropy_flows.select.base import Pool
from entropy_flows.select.ranking import InOrder
from entropy_flows.select.selector import DataSet, Scorer, Selector


class RandomSelector(Selector):
    """Accept the first candidates, whatever they gain; the statistics are still kept.

    What is random is the order in which they come: that of `judging_order`.
    """

    selector: str = "random"
    is_one_pass: ClassVar[bool] = True
    needs_centres: ClassVar[bool] = False

    def scorer(self, candidates: Pool, dataset: DataSet, budget: int | None) -> Scorer:
        """Return the candidates as they come; no more are read than the budget asks for."""
        return InOrder(enumerate(candidates))
