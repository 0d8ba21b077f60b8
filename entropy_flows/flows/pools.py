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
from entropy_flows.flows.queues import Queues
from entropy_flows.jobs import (
    ExploreMaker,
    FinishPoolMaker,
    IndependentMaker,
    IterationContext,
    PlanMaker,
    SelectMaker,
)
from entropy_flows.jobs.common import StageMaker, outputs
from entropy_flows.label import OutlierParams, engine_of
from entropy_flows.params import Params
from entropy_flows.schemas import Campaign
from entropy_flows.select import RandomSelector

BASELINE_STREAM = 1_000_037
"""Separates the baseline's random streams from the exploration's."""


def random_pool(campaign: Campaign, size: int) -> Campaign:
    """Name the baseline of so many labels as a campaign, with the same settings."""
    return campaign.model_copy(update={"name": f"{campaign.name}.random-{size}"})


def independent_pool(campaign: Campaign) -> Campaign:
    """Name the independent test as a campaign; a changed section `independent` is another one."""
    name = f"{campaign.name}.independent-{short_digest(campaign.independent)}"
    return campaign.model_copy(update={"name": name})


def short_digest(*facts: Any) -> str:
    """Hash settings to eight characters."""
    plain = [fact.model_dump(mode="json") if isinstance(fact, Params) else fact for fact in facts]
    return digest(plain)[:8]


@dataclass
class PoolMaker(StageMaker, ABC):
    """A pool: cells that jobs find are labelled, without a filter and without training.

    Parameters
    ----------
    name
        Name of the flow.
    select
        Takes `size` cells at random, or all.
    plan
        Plans their labels, without anchors, with the engine in it.
    dataset
        Fingerprint and regularisation of the covariance.
    outliers
        Limits beyond which a label is flagged.
    finish
        Draws the splits and ends the pool.
    size
        Most cells; None for all.
    seed
        Seed of everything random.
    queues
        As of `ActiveLearningMaker`.
    """

    name: str = "pool"
    select: SelectMaker = field(default_factory=SelectMaker)
    plan: PlanMaker = field(default_factory=PlanMaker)
    dataset: DatasetParams = field(default_factory=DatasetParams)
    outliers: OutlierParams = field(default_factory=OutlierParams)
    finish: FinishPoolMaker = field(default_factory=FinishPoolMaker)
    size: int | None = None
    seed: int = 42
    queues: Queues = field(default_factory=Queues)

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """Build the pool that belongs to a campaign file's settings."""
        loop = ActiveLearningMaker.from_campaign(campaign)
        return cls(
            select=SelectMaker(params=RandomSelector()),
            plan=loop.plan,
            dataset=loop.dataset,
            outliers=loop.outliers,
            finish=FinishPoolMaker(params=campaign.iteration(1).train),
            seed=campaign.seed,
            queues=loop.queues,
            **fields,
        )

    @property
    def engine(self) -> Maker:
        """The static Maker that labels."""
        return self.plan.engine

    @abstractmethod
    def sources(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the jobs that find the cells."""

    def make(
        self, seeds: dict[str, Structure], campaign: str, model: str, student: str | None = None
    ) -> Flow:
        """Build the pool's flow.

        Parameters
        ----------
        seeds
            Phase → seed cell.
        campaign
            Name of the pool, registered in the database.
        model
            Reference of the model that explores.
        student
            Not used: a pool trains nothing.
        """
        context = IterationContext(
            campaign=campaign,
            iteration=1,
            model=model,
            seed=self.seed,
            dataset=self.dataset,
            engine_hash=engine_of(self.engine).hash,
            outliers=self.outliers,
        )
        sources = self.sources(context, seeds)
        selection = self.select.make(context, explored=outputs(sources), budget=self.size)
        labels = self.plan.make(context, accepted=selection.output)
        end = self.finish.make(context, labels=labels.output)
        return self.queues.apply(Flow([*sources, selection, labels, end], name=campaign))


@dataclass
class RandomMDMaker(PoolMaker):
    """The baseline: the campaign's own grids with k = 0, and no filter (Wang 2026, 4.2).

    Each condition has as many trajectories as it has entropy weights, so the pools come from
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
        """Build it with the grids of all the campaign's iterations."""
        makers = []
        for number in range(1, campaign.n_iterations + 1):
            params = unbiased(campaign.iteration(number).explore)
            makers.append(ExploreMaker(params=params, stream=BASELINE_STREAM))
        return super().from_campaign(campaign, explore=makers, **fields)

    def sources(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the explorations of all grids."""
        return [
            maker.make(context.of_iteration(number), batch=batch, seeds=seeds)
            for number, maker in enumerate(self.explore, 1)
            for batch in range(maker.batches(list(seeds)))
        ]


@dataclass
class IndependentTestMaker(PoolMaker):
    """The independent test: relaxed crystals and late snapshots (Wang 2026, 3.5).

    Parameters
    ----------
    cells
        Makes them.
    """

    name: str = "independent test"
    cells: IndependentMaker = field(default_factory=IndependentMaker)

    @classmethod
    def from_campaign(cls, campaign: Campaign, **fields: Any) -> Self:
        """Build it with the campaign's section `independent`."""
        cells = IndependentMaker(params=campaign.independent, explore=campaign.iteration(1).explore)
        return super().from_campaign(campaign, cells=cells, **fields)

    def sources(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the relaxations and the dynamics."""
        batches = self.cells.batches(list(seeds))
        return [self.cells.make(context, batch=batch, seeds=seeds) for batch in range(batches)]


def unbiased(explore: ExploreParams) -> ExploreParams:
    """Return the same grid with k = 0 in place of each entropy weight.

    The ramp stays: without it snapshots would be of earlier times than those of the campaign, and
    nearer to the crystals.
    """
    weights = tuple(0.0 for _ in explore.entropy_weights)
    plain = {"entropy_weights": weights, "source": (), "dynamics": True}
    return explore.model_copy(update=plain)
