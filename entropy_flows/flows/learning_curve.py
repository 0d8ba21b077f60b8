"""Learning curves: the same model trained on growing sets from several pools (Wang 2026, section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from jobflow import Flow, Maker
from pymatgen.core import Structure

from entropy_flows.flows.active_learning import ActiveLearningMaker
from entropy_flows.flows.pools import short_digest
from entropy_flows.flows.queues import configured
from entropy_flows.jobs.common import StageMaker, with_stable_uuid
from entropy_flows.jobs.curve import PointMaker
from entropy_flows.jobs.finish import FinishCurveMaker
from entropy_flows.label import hash_engine
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import CATEGORIES


def curve_of(campaign: Campaign, pools: dict[str, str]) -> Campaign:
    """A learning curve as a campaign; with other pools, points, recipe or student it is another one."""
    own, recipe = campaign.curve.train, campaign.curve.train or campaign.iteration(1).train
    told = [  # a curve's points are single models: a committee makes it no other curve
        {**campaign.curve.model_dump(mode="json"), "train": own and own.identity("committee")},
        recipe.identity("committee"),
        pools,
        *([campaign.student] if campaign.student else []),
    ]
    return campaign.model_copy(update={"name": f"{campaign.name}.curve-{short_digest(*told)}"})


@dataclass
class LearningCurveMaker(StageMaker):
    """One job a point: they need nothing of each other, so any number of workers shares them.

    Parameters
    ----------
    name
        Name of the flow.
    point
        Trains and tests one model.
    engine
        What labelled the pools.
    pools
        "entropy", "random", "independent" → campaign.
    categories, queue
        As of `ActiveLearningMaker`.
    """

    name: str = "learning curve"
    point: PointMaker = field(default_factory=PointMaker)
    engine: Maker = field(default_factory=Maker)
    pools: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    queue: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_campaign(cls, campaign: Campaign, pools: dict[str, str]) -> Self:
        """The curve that a campaign file describes, over these pools."""
        loop = ActiveLearningMaker.from_campaign(campaign)
        recipe = campaign.curve.train or campaign.iteration(1).train
        return cls(
            point=PointMaker(params=campaign.curve, train=recipe),
            engine=loop.engine,
            pools=pools,
            categories=loop.categories,
            queue=loop.queue,
        )

    def make(
        self, campaign: str, seeds: dict[str, Structure], model: str, student: str | None = None
    ) -> Flow:
        """The curve's flow; arguments as in `ActiveLearningMaker.make`, of which the seeds are not used."""
        engine_hash = hash_engine(self.engine)
        points = [
            self.point.make(campaign, 1, batch, point, self.pools, student or model, engine_hash)
            for batch, point in enumerate(self.point.params.points())
        ]
        end = with_stable_uuid(
            FinishCurveMaker().make(campaign, 1, [point.output for point in points]), campaign, 1
        )
        return configured(Flow([*points, end], name=campaign), self.categories, self.queue)
