"""One iteration: explore, select, refine, label, train, evaluate."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, Job, Maker
from pymatgen.core import Structure

from entropy_flows.jobs import (
    AnchorMaker,
    EvaluateMaker,
    ExploreMaker,
    LabelMaker,
    MemberMaker,
    RefineMaker,
    SelectMaker,
    TopUpMaker,
    TrainMaker,
)
from entropy_flows.jobs.common import identified
from entropy_flows.label import settings_hash


@dataclass
class IterationMaker(Maker):
    """The stages of an iteration in order (paper A, Algorithm 1, lines 4 to 22).

    Parameters
    ----------
    name
        Name of the flow.
    explore, anchor, select, refine, label, train, evaluate
        The stages. With `train.params.committee` above 1, its further members are trained beside the model.
    top_ups
        Times that failed labels are replaced.
    """

    name: str = "iteration"
    explore: ExploreMaker = field(default_factory=ExploreMaker)
    anchor: AnchorMaker = field(default_factory=AnchorMaker)
    select: SelectMaker = field(default_factory=SelectMaker)
    refine: RefineMaker = field(default_factory=RefineMaker)
    label: LabelMaker = field(default_factory=LabelMaker)
    train: TrainMaker = field(default_factory=TrainMaker)
    evaluate: EvaluateMaker = field(default_factory=EvaluateMaker)
    top_ups: int = 0

    def make(
        self,
        campaign: str,
        iteration: int,
        seeds: dict[str, Structure],
        model: str,
        seed: int,
        budget: int | None = None,
        student: str | None = None,
    ) -> Flow:
        """One iteration's flow.

        Parameters
        ----------
        campaign, iteration
            Place of the flow.
        seeds
            Phase → seed cell.
        model
            Reference of the model to explore with.
        seed
            The campaign's seed.
        budget
            Most labels of this iteration; None for no limit.
        student
            Reference of the package to fine-tune; None takes `model`.

        Returns
        -------
        Flow
            Its output has the references `trained` and `evaluated`.
        """
        share = 1 - self.label.anchors.fraction
        driven = None if budget is None else max(1, round(share * budget))
        settings, place = settings_hash(self.label.batch.engine), (campaign, iteration)
        explored = [
            identified(self.explore.make(*place, batch, seeds, model, seed), *place, batch)
            for batch in range(self.explore.batches(list(seeds)))
        ]
        anchored = [
            identified(self.anchor.make(*place, batch, seeds, model, seed), *place, batch)
            for batch in range(self.anchor.batches(list(seeds)))
        ]
        outputs, anchors = [made.output for made in explored], [made.output for made in anchored]
        selected = identified(self.select.make(*place, outputs, model, driven, seed), *place)
        refined = identified(self.refine.make(*place, selected.output, model, driven), *place)
        planned = identified(self.label.make(*place, refined.output, anchors, model, settings, budget, seed), *place)
        topped: list[Job] = []
        for number in range(1, self.top_ups + 1):
            maker = TopUpMaker(f"top_up_{number}", self.label, self.select.params.least_gain)
            after = [planned, *topped][-1].output
            topped.append(identified(maker.make(*place, after, outputs, model, settings), *place))
        labelled = [planned, *topped][-1]
        trained = identified(self.train.make(*place, labelled.output, student or model, settings), *place)
        further = MemberMaker(params=self.train.params, outliers=self.train.outliers)
        members = [
            identified(further.make(*place, number, labelled.output, student or model, settings), *place, number)
            for number in range(2, self.train.params.committee + 1)
        ]
        committee = {"members": [made.output for made in members]} if members else {}
        evaluated = identified(
            self.evaluate.make(*place, student or model, trained.output, settings, **committee), *place
        )
        return Flow(
            [*explored, *anchored, selected, refined, planned, *topped, trained, *members, evaluated],
            output={"trained": trained.output, "evaluated": evaluated.output},
            name=f"{self.name} {iteration}",
        )
