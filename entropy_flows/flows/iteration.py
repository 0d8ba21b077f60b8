"""One iteration: explore, select, refine, label, train, evaluate."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, Job

from entropy_flows.flows.context import CampaignContext
from entropy_flows.jobs import (
    AnchorMaker,
    EvaluateMaker,
    ExploreMaker,
    MemberMaker,
    RefineMaker,
    SelectMaker,
    TopUpMaker,
    TrainMaker,
)
from entropy_flows.jobs.common import StageMaker
from entropy_flows.schemas.stages import top_up_stage


@dataclass
class IterationMaker(StageMaker):
    """The stages of an iteration in order (Wang 2026, Algorithm 1, lines 4 to 22).

    Each parameter is held by one stage: the threshold of the gain by `select`, what is explored by
    `explore`, the share of the anchors by `anchor`. What is one for the whole campaign comes with
    its context.

    Parameters
    ----------
    name
        Name of the flow.
    explore, anchor, select, refine, train, evaluate
        The stages. With `train.params.committee` above 1, its further members are trained beside
        the model.
    top_ups
        Times that failed labels are replaced.
    """

    name: str = "iteration"
    explore: ExploreMaker = field(default_factory=ExploreMaker)
    anchor: AnchorMaker = field(default_factory=AnchorMaker)
    select: SelectMaker = field(default_factory=SelectMaker)
    refine: RefineMaker = field(default_factory=RefineMaker)
    train: TrainMaker = field(default_factory=TrainMaker)
    evaluate: EvaluateMaker = field(default_factory=EvaluateMaker)
    top_ups: int = 0

    def make(
        self,
        context: CampaignContext,
        iteration: int,
        model: str,
        student: str | None = None,
        budget: int | None = None,
    ) -> Flow:
        """One iteration's flow.

        Parameters
        ----------
        context
            The campaign's constants.
        iteration
            Number of the iteration, from 1.
        model
            Reference of the model to explore with.
        student
            Reference of the model to fine-tune; None takes `model`.
        budget
            Most labels of this iteration; None for no limit.

        Returns
        -------
        Flow
            Its output has the references `trained` and `evaluated`.
        """
        parent = student or model
        explored = self._explorations(context, iteration, model)
        anchored = self._anchors(context, iteration, model)
        chosen = self._choice(context, iteration, [job.output for job in explored], model, budget)
        labelling = self._labels(context, iteration, chosen[-1], explored, anchored, model, budget)
        labelled = labelling[-1].output
        training = {
            "model": parent,
            "engine_hash": context.engine_hash,
            "outliers": context.outliers,
        }
        trained = self.train.make(context.name, iteration, labelled, **training)
        member = MemberMaker(params=self.train.params)
        members = [
            member.make(context.name, iteration, number, labelled, **training)
            for number in range(2, self.train.params.committee + 1)
        ]
        evaluated = self.evaluate.make(
            context.name,
            iteration,
            parent,
            trained.output,
            engine_hash=context.engine_hash,
            align_energies=self.train.params.align_energies,
            continue_from=self.train.params.continue_from,
            members=[job.output for job in members],
        )
        return Flow(
            [*explored, *anchored, *chosen, *labelling, trained, *members, evaluated],
            output={"trained": trained.output, "evaluated": evaluated.output},
            name=f"{self.name} {iteration}",
        )

    def _explorations(self, context: CampaignContext, iteration: int, model: str) -> list[Job]:
        """The dynamics on the entropy-biased surface, a job a batch."""
        return [
            self.explore.make(
                context.name,
                iteration,
                batch,
                context.seeds,
                dataset=context.dataset,
                model=model,
                seed=context.seed,
            )
            for batch in range(self.explore.batches(context.phases))
        ]

    def _anchors(self, context: CampaignContext, iteration: int, model: str) -> list[Job]:
        """The dynamics near equilibrium, in the exploration's own phases and for its own times."""
        explore = self.explore.params
        return [
            self.anchor.make(
                context.name,
                iteration,
                batch,
                context.seeds,
                explore=explore,
                model=model,
                seed=context.seed,
            )
            for batch in range(self.anchor.batches(explore, context.phases))
        ]

    def _choice(
        self,
        context: CampaignContext,
        iteration: int,
        explored: list,
        model: str,
        budget: int | None,
    ) -> list[Job]:
        """Selection, and refinement of what it nearly took, for the budget that the anchors leave."""
        share = 1 - self.anchor.params.fraction
        driven = None if budget is None else max(1, round(share * budget))
        same = {"dataset": context.dataset, "model": model, "budget": driven}
        selected = self.select.make(context.name, iteration, explored, seed=context.seed, **same)
        theta = self.select.params.least_gain
        refined = self.refine.make(
            context.name, iteration, selected.output, theta_min=theta, **same
        )
        return [selected, refined]

    def _labels(
        self,
        context: CampaignContext,
        iteration: int,
        refined: Job,
        explored: list[Job],
        anchored: list[Job],
        model: str,
        budget: int | None,
    ) -> list[Job]:
        """The job that plans the labels, and those that replace failed ones, in order."""
        same = {"dataset": context.dataset, "model": model, "engine_hash": context.engine_hash}
        planned = context.label.make(
            context.name,
            iteration,
            refined.output,
            anchored=[job.output for job in anchored],
            anchor_share=self.anchor.params.fraction,
            budget=budget,
            seed=context.seed,
            **same,
        )
        jobs = [planned]
        outputs = [job.output for job in explored]
        theta = self.select.params.least_gain
        for number in range(1, self.top_ups + 1):
            top_up = TopUpMaker(name=top_up_stage(number), label=context.label)
            jobs.append(
                top_up.make(
                    context.name, iteration, jobs[-1].output, outputs, theta_min=theta, **same
                )
            )
        return jobs
