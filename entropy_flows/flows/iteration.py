"""One iteration: explore, select, refine, label, train, evaluate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job
from pymatgen.core import Structure

from entropy_flows.jobs import (
    AnchorMaker,
    CompileMaker,
    EvaluateMaker,
    ExploreMaker,
    IterationContext,
    MemberMaker,
    PlanMaker,
    RefineMaker,
    RelabelMaker,
    SelectMaker,
    TopUpMaker,
    TrainMaker,
)
from entropy_flows.jobs.common import StageMaker, outputs
from entropy_flows.schemas.stages import top_up_stage


@dataclass
class IterationMaker(StageMaker):
    """The stages of an iteration in order (Wang 2026, Algorithm 1, lines 4 to 22).

    Each parameter is held by one stage: the threshold of the gain by `select`, what is explored by
    `explore`, the share of the anchors by `anchor`. The facts of the whole campaign come with the
    context.

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
        context: IterationContext,
        *,
        seeds: dict[str, Structure],
        plan: PlanMaker,
        parent: str,
        budget: int | None = None,
        compiler: CompileMaker | None = None,
    ) -> Flow:
        """Build the flow of one iteration.

        Parameters
        ----------
        context
            Constants of the iteration; its `model` explores.
        seeds
            Phase → seed cell.
        plan
            Plans the labels, with the engine in it.
        parent
            Reference of the model to fine-tune.
        budget
            Most labels of this iteration; None for no limit.
        compiler
            Compiles the new model beside the evaluation; None if no iteration follows.

        Returns
        -------
        Flow
            Its output has the references `training` and `evaluation`.
        """
        explorations = self._explorations(context, seeds)
        anchors = self._anchors(context, seeds)
        driven = self._driven_budget(budget)
        selection = self.select.make(context, explored=outputs(explorations), budget=driven)
        refinement = self.refine.make(
            context, selection=selection.output, theta_min=self.theta_min, budget=driven
        )
        labels = plan.make(
            context,
            accepted=refinement.output,
            anchors=outputs(anchors),
            anchor_share=self.anchor.params.fraction,
            budget=budget,
        )
        top_ups = self._top_ups(context, plan, labels, explorations)
        selecting = [*explorations, *anchors, selection, refinement]
        learning, output = self._learning(context, seeds, [labels, *top_ups][-1], parent, compiler)
        return Flow(
            [*selecting, labels, *top_ups, *learning],
            output=output,
            name=f"{self.name} {context.iteration}",
        )

    def relabel(
        self,
        context: IterationContext,
        *,
        seeds: dict[str, Structure],
        plan: PlanMaker,
        parent: str,
        compiler: CompileMaker | None = None,
    ) -> Flow:
        """Build the jobs that label all cells up to an iteration again, and train on the labels.

        Parameters and the flow's output are those of `make`.
        """
        labels = RelabelMaker(plan=plan).make(context)
        learning, output = self._learning(context, seeds, labels, parent, compiler)
        return Flow([labels, *learning], output=output, name=f"relabel {context.iteration}")

    def _learning(
        self,
        context: IterationContext,
        seeds: dict[str, Structure],
        labels: Job,
        parent: str,
        compiler: CompileMaker | None,
    ) -> tuple[list[Job], dict[str, Any]]:
        """Build the jobs that train on the labels of a job and evaluate; return their outputs."""
        training = self.train.make(context, labels=labels.output, parent=parent, seeds=seeds)
        members = self._members(context, seeds, labels.output, parent)
        evaluation = self.evaluate.make(
            context,
            training=training.output,
            parent=parent,
            recipe=self.train.params,
            members=outputs(members),
        )
        output = {"training": training.output, "evaluation": evaluation.output}
        learning = [training, *members, evaluation]
        if compiler is not None:
            learning.append(compiler.make(context, training=training.output, seeds=seeds))
        return learning, output

    @property
    def theta_min(self) -> float:
        """Gain that a structure must exceed to be labelled, whichever stage finds it."""
        return self.select.params.theta_min or 0.0

    def _driven_budget(self, budget: int | None) -> int | None:
        """Return the labels that the anchors leave to selection and refinement."""
        if budget is None:
            return None
        return max(1, round((1 - self.anchor.params.fraction) * budget))

    def _explorations(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the dynamics on the entropy-biased surface, a job a batch."""
        batches = self.explore.batches(list(seeds))
        return [self.explore.make(context, batch=batch, seeds=seeds) for batch in range(batches)]

    def _anchors(self, context: IterationContext, seeds: dict[str, Structure]) -> list[Job]:
        """Build the dynamics near equilibrium, for the exploration's own times."""
        explore = self.explore.params
        batches = self.anchor.batches(explore, list(seeds))
        return [
            self.anchor.make(context, batch=batch, seeds=seeds, explore=explore)
            for batch in range(batches)
        ]

    def _top_ups(
        self, context: IterationContext, plan: PlanMaker, labels: Job, explorations: list[Job]
    ) -> list[Job]:
        """Build the jobs that replace failed labels, one after the other."""
        jobs = [labels]
        for number in range(1, self.top_ups + 1):
            maker = TopUpMaker(top_up_stage(number), self.select.params, plan)
            top_up = maker.make(context, labels=jobs[-1].output, explored=outputs(explorations))
            jobs.append(top_up)
        return jobs[1:]

    def _members(
        self,
        context: IterationContext,
        seeds: dict[str, Structure],
        labels: object,
        parent: str,
    ) -> list[Job]:
        """Build the trainings of a committee's further members; the first one is the model."""
        maker = MemberMaker(params=self.train.params)
        return [
            maker.make(context, batch=number, labels=labels, parent=parent, seeds=seeds)
            for number in range(2, self.train.params.committee + 1)
        ]
