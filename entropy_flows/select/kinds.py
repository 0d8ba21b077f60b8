"""The selectors there are, and the `select` section of a campaign file, which names one of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from entropy_flows.plugins import ExtensionPoint
from entropy_flows.select.selector import Selector

SELECTORS = ExtensionPoint(
    noun="selector",
    group="entropy_flows.selectors",
    base=Selector,
    builtin={
        "logdet": "entropy_flows.select.logdet:LogDetSelector",
        "greedy": "entropy_flows.select.greedy:GreedySelector",
        "farthest": "entropy_flows.select.farthest:FarthestSelector",
        "kcentres": "entropy_flows.select.kcentres:KCentresSelector",
        "kmeans": "entropy_flows.select.kmeans:KMeansSelector",
        "committee": "entropy_flows.select.committee:CommitteeSelector",
        "hybrid": "entropy_flows.select.hybrid:HybridSelector",
        "variance": "entropy_flows.select.variance:VarianceSelector",
        "llpr": "entropy_flows.select.llpr:LastLayerSelector",
        "bait": "entropy_flows.select.bait:BaitSelector",
        "facility": "entropy_flows.select.facility:FacilitySelector",
        "herding": "entropy_flows.select.herding:HerdingSelector",
        "kdpp": "entropy_flows.select.kdpp:KDPPSelector",
        "direct": "entropy_flows.select.direct:DirectSelector",
        "random": "entropy_flows.select.random:RandomSelector",
    },
    key="selector",
)
"""Where packages add selectors; each is a subclass of `Selector`."""

SelectParams = Annotated[SerializeAsAny[Selector], BeforeValidator(SELECTORS.validate)]
"""Parameters of any selector; `selector` says which, and may be left out for logdet."""


def make_selector(selector: str, **params: Any) -> Selector:
    """Return the selector of a name with these parameters.

    Raises
    ------
    ValueError
        If there is no such selector, or it has no such parameters.
    """
    validated: Selector = SELECTORS.validate({"selector": selector, **params})
    return validated
