"""Learning curves: one model trained on growing sets of several pools (Wang 2026, 4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from jobflow import Flow, Maker
from pymatgen.core import Structure

from entropy_flows.flows.active_learning import ActiveLearningMaker
from entropy_flows.flows.pools import short_digest
from entropy_flows.flows.queues import Queues
from entropy_flows.jobs import FinishCurveMaker, IterationContext, PointMaker
from entropy_flows.jobs.common import StageMaker, outputs
from entropy_flows.label import engine_of
from entropy_flows.schemas import Campaign


def curve_of(campaign: Campaign, pools: dict[str, str]) -> Campaign:
    """Name a learning curve as a campaign; with other pools, points or recipe it is another one."""
    section = campaign.curve
    recipe = section.train or campaign.iteration(1).train
    points = section.model_dump(mode="json")
    # a curve's points are single models: a committee makes it no other curve
    points["train"] = section.train and section.train.identity("committee")
    hash_input: list[Any] = [points, recipe.identity("committee"), pools]
    if campaign.student:
        hash_input.append(campaign.student)
    name = f"{campaign.name}.curve-{short_digest(*hash_input)}"
    return campaign.model_copy(update={"name": name})


@dataclass
class LearningCurveMaker(StageMaker):
    """A learning curve, one job a point: any number of workers shares them.

    Parameters
    ----------
    name
        Name of the flow.
    point
        Trains and tests one model.
    engine
        The static Maker that labelled the pools.
    pools
        "entropy", "random", "independent" → campaign.
    queues
        As of `ActiveLearningMaker`.
    """

    name: str = "learning curve"
    point: PointMaker = field(default_factory=PointMaker)
    engine: Maker = field(default_factory=Maker)
    pools: dict[str, str] = field(default_factory=dict)
    queues: Queues = field(default_factory=Queues)

    @classmethod
    def from_campaign(cls, campaign: Campaign, pools: dict[str, str]) -> Self:
        """Build the curve that a campaign file describes, over these pools."""
        loop = ActiveLearningMaker.from_campaign(campaign)
        recipe = campaign.curve.train or campaign.iteration(1).train
        return cls(
            point=PointMaker(params=campaign.curve, train=recipe),
            engine=loop.engine,
            pools=pools,
            queues=loop.queues,
        )

    def make(
        self, seeds: dict[str, Structure], campaign: str, model: str, student: str | None = None
    ) -> Flow:
        """Build the curve's flow.

        Parameters
        ----------
        seeds
            Not used: a curve explores nothing.
        campaign
            Name of the curve, registered in the database.
        model, student
            References of the base model and of the student, which is trained where there is one.
        """
        context = IterationContext(
            campaign, 1, model=student or model, engine_hash=engine_of(self.engine).hash
        )
        points = [
            self.point.make(context, batch=batch, point=point, pools=self.pools)
            for batch, point in enumerate(self.point.params.points())
        ]
        end = FinishCurveMaker().make(context, points=outputs(points))
        return self.queues.apply(Flow([*points, end], name=campaign))
