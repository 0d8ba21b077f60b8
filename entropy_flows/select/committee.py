"""Committee: the candidates that a committee of models disagrees about most (query by committee).

    score(x) = u(x),    u the spread of the members' predictions, as `Candidate.uncertainty` has it

The candidates of one batch are taken by u alone, however alike they are: Khan 2026's "uncertainty".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from entropy_flows.conventions import Array
from entropy_flows.select.ranking import Ranking
from entropy_flows.select.selector import Selector

Quantity = Literal["forces", "energy"]
"""Prediction that a committee may disagree about."""


class UncertaintySelector(Selector):
    """Base of selectors that go by the uncertainty of a committee of models."""

    uncertainty: Quantity = "forces"
    """Prediction whose spread over a campaign's committee is a candidate's uncertainty; see
    `evaluate.committee`.
    """
    needs_committee: ClassVar[bool] = True


def uncertain_quantity(selector: Selector) -> Quantity:
    """Return the prediction whose spread is a candidate's uncertainty for a selector."""
    return selector.uncertainty if isinstance(selector, UncertaintySelector) else "forces"


class CommitteeSelector(UncertaintySelector):
    """Accept the most uncertain candidates, the most uncertain first."""

    selector: str = "committee"
    needs_centres: ClassVar[bool] = False

    def score(self, pool: Ranking) -> Array:
        """Return u (n,)."""
        assert pool.uncertainty is not None, "a ranking for a selector that needs it has it"
        return pool.uncertainty
