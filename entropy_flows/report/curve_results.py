"""The results of a learning curve, as they are read from the campaigns that belong to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.conventions import Array
    from entropy_flows.evaluate import Errors
    from entropy_flows.flows import CurveCampaigns
    from entropy_flows.schemas import Campaign
    from entropy_flows.store import CampaignStore

Condition = tuple[str, float]
"""Phase and temperature (K) of a cell of the independent test."""


@dataclass(frozen=True)
class CurveResults:
    """A campaign's learning curve: its points, and the pools that they were drawn from."""

    store: CampaignStore
    """Store of the campaign itself, from which the others are opened."""
    campaign: Campaign
    campaigns: CurveCampaigns
    points: list[dict[str, Any]]
    """Documents of the trained models, each with its errors."""

    @classmethod
    def read(cls, store: CampaignStore, campaign: Campaign) -> Self:
        """Read what there is now."""
        from entropy_flows.flows import CurveCampaigns

        campaigns = CurveCampaigns.of(store, campaign)
        points = store.of(campaigns.curve.name).points()
        return cls(store, campaign, campaigns, points)

    @property
    def curve_store(self) -> CampaignStore:
        """Store of the trainings."""
        return self.store.of(self.campaigns.curve.name)

    @property
    def largest_size(self) -> int:
        """Largest number of training cells."""
        return max(point["size"] for point in self.points)

    def largest_points(self) -> list[dict[str, Any]]:
        """Return the points of the largest number of training cells."""
        return [point for point in self.points if point["size"] == self.largest_size]

    def starting_model(self) -> str:
        """Return the reference of the model that all trainings start from.

        It is the campaign's student, or else its base model.
        """
        document = self.curve_store.model(-1) or self.curve_store.model(0)
        assert document is not None, "a submitted curve has its base model"
        return str(document["reference"])

    def independent_frames(self) -> list[Atoms]:
        """Return the labelled cells of the independent test; none before it has run."""
        store = self.store.of(self.campaigns.independent.name)
        return store.frames() if store.exists() else []

    def fingerprints(self, campaign: str) -> dict[str, Array]:
        """Return the fingerprints of all of a campaign's cells, by key, in ledger order."""
        ledger = self.store.of(campaign).ledger(self.campaign.dataset)
        entries = list(ledger.entries())
        prints = ledger.fingerprints_between(0, len(entries))
        return {entry["key"]: q for entry, q in zip(entries, prints, strict=True)}

    def pool_fingerprints(self) -> dict[str, list[Array]]:
        """Return the fingerprints of each pool's good labels: converged, and no outliers."""
        from entropy_flows.jobs.curve import SELECTED

        pools = {}
        for name, campaign in self.campaigns.pools.items():
            store = self.store.of(campaign)
            excluded = store.excluded()
            labels = store.labels(converged=True, flagged={"$ne": True}, **SELECTED)
            positions = {label["position"] for label in labels if label["key"] not in excluded}
            if positions:
                prints = self.fingerprints(campaign).values()
                pools[name] = [q for position, q in enumerate(prints) if position in positions]
        return pools

    def near_equilibrium_fingerprints(self) -> list[Array]:
        """Return the fingerprints of the baseline's cells whose forces are small."""
        from entropy_flows.jobs.curve import near_equilibrium

        baseline = self.campaigns.pools["random"]
        max_force = self.campaign.curve.max_force
        frames = near_equilibrium(self.store.of(baseline).frames(), max_force)
        prints = self.fingerprints(baseline)
        return [prints[atoms.info["key"]] for atoms in frames]

    def training_fingerprints(self, point: dict[str, Any]) -> list[Array]:
        """Return the fingerprints of the cells that a point's model was trained on."""
        names = [name.split("/", 1) for name in point["keys"]]
        campaigns = {campaign for campaign, _ in names}
        prints = {campaign: self.fingerprints(campaign) for campaign in campaigns}
        return [prints[campaign][key] for campaign, key in names]

    def condition_errors(
        self, frames: dict[Condition, list[Atoms]]
    ) -> dict[str, dict[Condition, list[Errors]]]:
        """Test the starting model, and all largest models, on groups of labelled cells.

        Returns
        -------
        dict
            "before" or method → group → errors, one for each seed.
        """
        from entropy_flows.evaluate.errors import errors
        from entropy_flows.potentials import load_many

        models = [("before", self.starting_model())]
        models += [(point["method"], point["model"]) for point in self.largest_points()]
        results: dict[str, dict[Condition, list[Errors]]] = {}
        for method, model in models:
            calculator = load_many(self.curve_store.fetch_model(model))
            of_method = results.setdefault(method, {})
            for condition, cells in frames.items():
                of_method.setdefault(condition, []).append(errors(cells, calculator))
        return results


def mean_fingerprints(cells: Iterable[Array]) -> Array:
    """Average the fingerprints (n_atoms, dim) of each cell; (n_cells, dim)."""
    return np.array([q.mean(axis=0) for q in cells])
