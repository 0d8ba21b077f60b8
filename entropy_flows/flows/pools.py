"""Pools of labels to compare with: random molecular dynamics, and the independent test.

A pool is a campaign of its own, named after the one it belongs to, in the same database: it is
queried, verified, repaired and exported like any other, and the label cache spans both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

from jobflow import Flow, Job, Maker
from pymatgen.core import Structure

from entropy_flows.digest import digest
from entropy_flows.entropy import DatasetParams
from entropy_flows.explore import ExploreParams
from entropy_flows.flows.active_learning import ActiveLearningMaker
from entropy_flows.flows.queues import configured
from entropy_flows.jobs import PlanMaker, SelectMaker
from entropy_flows.jobs.common import StageMaker, with_stable_uuid
from entropy_flows.jobs.explore import ExploreMaker
from entropy_flows.jobs.finish import FinishPoolMaker
from entropy_flows.jobs.independent import IndependentMaker
from entropy_flows.label import hash_engine
from entropy_flows.params import Params
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import CATEGORIES
from entropy_flows.select import SelectParams

BASELINE_STREAM = 1_000_037


def random_pool(campaign: Campaign, size: int) -> Campaign:
    """The baseline of so many labels as a campaign: the same settings under another name."""
    return campaign.model_copy(update={"name": f"{campaign.name}.random-{size}"})


def independent_pool(campaign: Campaign) -> Campaign:
    """The independent test as a campaign; a changed section `independent` is another one."""
    return campaign.model_copy(
        update={"name": f"{campaign.name}.independent-{short_digest(campaign.independent)}"}
    )


def short_digest(*facts: Any) -> str:
    """Return eight characters that tell sets of parameters apart."""
    return digest(
        [fact.model_dump(mode="json") if isinstance(fact, Params) else fact for fact in facts]
    )[:8]


@dataclass
class PoolMaker(StageMaker, ABC):
    """Label cells that jobs find, without a filter and without training.

    Parameters
    ----------
    name
        Name of the flow.
    select
        Takes `size` cells at random, or all.
    label
        Labels them, without anchors.
    dataset
        Fingerprint and regularisation of the covariance.
    close
        Draws the parts and ends the campaign.
    size
        Most cells; None for all.
    seed
        Everything random follows from it.
    categories, queue
        As of `ActiveLearningMaker`.
    """

    name: str = "pool"
    select: SelectMaker = field(default_factory=SelectMaker)
    label: PlanMaker = field(default_factory=PlanMaker)
    dataset: DatasetParams = field(default_factory=DatasetParams)
    close: FinishPoolMaker = field(default_factory=FinishPoolMaker)
    size: int | None = None
    seed: int = 42
    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    queue: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """The pool that belongs to a campaign file's settings."""
        loop = ActiveLearningMaker.from_campaign(campaign)
        return cls(
            select=SelectMaker(params=SelectParams(selector="random")),
            label=loop.label,
            dataset=loop.dataset,
            close=FinishPoolMaker(params=campaign.iteration(1).train, outliers=loop.outliers),
            seed=campaign.seed,
            categories=loop.categories,
            queue=loop.queue,
            **fields,
        )

    @property
    def engine(self) -> Maker:
        """What labels."""
        return self.label.engine

    @abstractmethod
    def sources(self, campaign: str, seeds: dict[str, Structure], model: str) -> list[Job]:
        """The jobs that find the cells."""

    def make(
        self, campaign: str, seeds: dict[str, Structure], model: str, student: str | None = None
    ) -> Flow:
        """The pool's flow; arguments as in `ActiveLearningMaker.make`. The student is not used."""
        engine_hash = hash_engine(self.engine)
        sources = self.sources(campaign, seeds, model)
        outputs = [source.output for source in sources]
        same = {"dataset": self.dataset, "model": model, "seed": self.seed}
        selected = self.select.make(campaign, 1, outputs, budget=self.size, **same)
        planned = self.label.make(campaign, 1, selected.output, engine_hash=engine_hash, **same)
        closed = with_stable_uuid(
            self.close.make(campaign, 1, planned.output, model, engine_hash), campaign, 1
        )
        return configured(
            Flow([*sources, selected, planned, closed], name=campaign), self.categories, self.queue
        )


@dataclass
class RandomMDMaker(PoolMaker):
    """The baseline: the campaign's own condition grids with k = 0, and no filter (Wang 2026, section 4.2).

    Each condition keeps as many trajectories as it has entropy weights, so the pools come from
    equally many. All of them run on the base model: nothing is trained in between.

    Parameters
    ----------
    explore
        One ExploreMaker per iteration of the campaign.
    """

    name: str = "random molecular dynamics"
    explore: list[ExploreMaker] = field(default_factory=lambda: [ExploreMaker()])

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """With the grids of all the campaign's iterations."""
        makers = []
        for number in range(1, campaign.n_iterations + 1):
            params = unbiased(campaign.iteration(number).explore)
            makers.append(ExploreMaker(params=params, stream=BASELINE_STREAM))
        return super().from_campaign(campaign, explore=makers, **fields)

    def sources(self, campaign: str, seeds: dict[str, Structure], model: str) -> list[Job]:
        """Explorations of all grids."""
        return [
            maker.make(
                campaign, number, batch, seeds, dataset=self.dataset, model=model, seed=self.seed
            )
            for number, maker in enumerate(self.explore, 1)
            for batch in range(maker.batches(list(seeds)))
        ]


@dataclass
class IndependentTestMaker(PoolMaker):
    """The independent test (Wang 2026, section 3.5): relaxed crystals and late snapshots of plain dynamics.

    Parameters
    ----------
    cells
        Makes them.
    """

    name: str = "independent test"
    cells: IndependentMaker = field(default_factory=IndependentMaker)

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """With the campaign's section `independent`."""
        cells = IndependentMaker(params=campaign.independent, explore=campaign.iteration(1).explore)
        return super().from_campaign(campaign, cells=cells, **fields)

    def sources(self, campaign: str, seeds: dict[str, Structure], model: str) -> list[Job]:
        """Relaxations and dynamics."""
        return [
            self.cells.make(campaign, 1, batch, seeds, model, self.seed)
            for batch in range(self.cells.batches(list(seeds)))
        ]


def unbiased(explore: ExploreParams) -> ExploreParams:
    """The same grid with k = 0 in place of each entropy weight."""
    return explore.model_copy(
        update={"entropy_weights": tuple(0.0 for _ in explore.entropy_weights), "ramp": 0}
    )
