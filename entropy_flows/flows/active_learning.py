"""The loop: an iteration, then a job that ends the campaign or adds the next iteration (Wang 2026, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobflow import Flow, Maker, Response, job
from pymatgen.core import Structure

from entropy_flows.entropy import DatasetParams
from entropy_flows.flows.context import CampaignContext
from entropy_flows.flows.iteration import IterationMaker
from entropy_flows.flows.queues import configured
from entropy_flows.flows.stopping import decide_to_stop
from entropy_flows.jobs import (
    AnchorMaker,
    ExploreMaker,
    PlanMaker,
    RefineMaker,
    SelectMaker,
    TrainMaker,
)
from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.jobs.common import StageMaker, document, with_stable_uuid
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.label import LabelMaker
from entropy_flows.label import OutlierParams, labels_per_job, make_static_maker
from entropy_flows.schemas import Campaign, EvaluateDoc, StopParams, TrainDoc
from entropy_flows.schemas.stages import CATEGORIES
from entropy_flows.store import CampaignStore


@dataclass
class ActiveLearningMaker(StageMaker):
    """The active-learning campaign.

    Parameters
    ----------
    name
        Name of the flow.
    iterations
        One IterationMaker per iteration; the last one serves those that follow. What holds for one
        iteration alone is held there, the budget of labels by its `select.params`.
    dataset
        Fingerprint and regularisation of the covariance, one for the whole campaign.
    label
        Plans the labels, with the engine in it: `label.batch.static_maker`.
    outliers
        When a label is flagged instead of trained on.
    last
        Number of iterations at most.
    stop
        Thresholds and the label budget.
    seed
        Everything random follows from it.
    categories, queue
        Stage → FireWorks category, and stage → changes of the queue adapter for its jobs.
    """

    name: str = "active learning"
    iterations: list[IterationMaker] = field(default_factory=lambda: [IterationMaker()])
    dataset: DatasetParams = field(default_factory=DatasetParams)
    label: PlanMaker = field(default_factory=PlanMaker)
    outliers: OutlierParams = field(default_factory=OutlierParams)
    last: int = 3
    stop: StopParams = field(default_factory=StopParams)
    seed: int = 42
    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    queue: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_campaign(cls, campaign: Campaign) -> ActiveLearningMaker:
        """The Makers a campaign file describes; change any of them before calling `make`."""
        engine = campaign.label
        static_maker = make_static_maker(engine)
        batch = LabelMaker(
            static_maker=static_maker,
            min_distance_fraction=engine.min_distance_fraction,
            scf_retries=engine.scf_retries,
        )
        numbers = range(1, max(1, len(campaign.iterations)) + 1)
        return cls(
            name=campaign.name,
            iterations=[cls._iteration_maker(campaign, number) for number in numbers],
            dataset=campaign.dataset,
            label=PlanMaker(batch=batch, batch_size=labels_per_job(engine, static_maker)),
            outliers=engine.outliers,
            last=campaign.n_iterations,
            stop=campaign.stop,
            seed=campaign.seed,
            categories={
                **CATEGORIES,
                **{str(stage): name for stage, name in campaign.categories.items()},
            },
            queue={str(stage): dict(changes) for stage, changes in campaign.queue.items()},
        )

    @staticmethod
    def _iteration_maker(campaign: Campaign, number: int) -> IterationMaker:
        """The Makers of one iteration that a campaign file describes."""
        stages = campaign.iteration(number)
        local = stages.local_fingerprint.model_copy(update={"elements": campaign.elements})
        return IterationMaker(
            explore=ExploreMaker(params=stages.explore, fingerprint=local),
            anchor=AnchorMaker(params=stages.anchors),
            select=SelectMaker(params=stages.select),
            refine=RefineMaker(params=stages.refine),
            train=TrainMaker(params=stages.train),
            top_ups=campaign.label.top_up,
        )

    def make(
        self,
        campaign: str,
        seeds: dict[str, Structure],
        model: str,
        student: str | None = None,
    ) -> Flow:
        """The flow of the first iteration, from which the others follow.

        Parameters
        ----------
        campaign
            Name of the campaign, created in the database.
        seeds
            Phase → seed cell.
        model
            Reference of the model to explore with.
        student
            Reference of the package to fine-tune where `model` is not one.
        """
        return configured(
            self._iteration(campaign, seeds, model, student, 1, 0), self.categories, self.queue
        )

    def _iteration(
        self,
        campaign: str,
        seeds: dict[str, Structure],
        model: str,
        student: str | None,
        iteration: int,
        spent: int,
    ) -> Flow:
        """One iteration and the job that decides on the next; `spent` labels were asked for before."""
        context = CampaignContext(
            name=campaign,
            seeds=seeds,
            seed=self.seed,
            dataset=self.dataset,
            label=self.label,
            outliers=self.outliers,
        )
        stages = self._sized(campaign, iteration)
        inner = stages.make(context, iteration, model, student, self.budget(iteration, spent))
        decided = self.advance(
            campaign, iteration, seeds, inner.output["trained"], inner.output["evaluated"]
        )
        decided.name = "advance"  # jobflow would name it after this Maker
        with_stable_uuid(decided, campaign, iteration)
        return Flow([inner, decided], name=f"{campaign}: iteration {iteration}")

    @job
    def advance(
        self,
        campaign: str,
        iteration: int,
        seeds: dict[str, Structure],
        trained: Any,
        evaluated: Any,
    ) -> Response:
        """End the campaign, or add the next iteration."""
        store, training = CampaignStore.open(campaign), document(TrainDoc, trained)
        ledger = store.ledger(self.dataset)
        spent = ledger.requested(0, iteration)
        new = ledger.requested(iteration, iteration)
        evaluation = None if training is None else document(EvaluateDoc, evaluated)
        validation = None if evaluation is None else evaluation.validation_in_use
        failure = next(iter(store.failures(iteration=iteration)), None)
        verdict = decide_to_stop(iteration, self.last, self.stop, spent, new, validation, failure)
        store.set_state(verdict.state, verdict.message)
        forget_iteration(campaign, iteration)
        response = Response(output={"state": verdict.state, "message": verdict.message})
        if verdict.state == "running" and evaluation is not None:
            same_engine(store, self.engine)
            model = evaluation.continues.model
            response.addition = self._iteration(campaign, seeds, model, None, iteration + 1, spent)
        return response

    @property
    def engine(self) -> Maker:
        """What labels: the static Maker, one for all iterations."""
        return self.label.engine

    def budget(self, iteration: int, spent: int) -> int | None:
        """Most labels of an iteration, given those asked for before."""
        limits = [self._of(self.iterations, iteration).select.params.max_labels]
        if self.stop.label_budget is not None:
            limits.append(self.stop.label_budget - spent)
        return min((limit for limit in limits if limit is not None), default=None)

    def _sized(self, campaign: str, iteration: int) -> IterationMaker:
        """The iteration's Maker, with as many runs per exploration job as fit its walltime at the last one's speed.

        Decided once: the job that adds an iteration adds the same jobs when it is run again.
        """
        maker = self._of(self.iterations, iteration)
        params = maker.explore.params
        if params.walltime is None or iteration == 1:
            return maker
        store = CampaignStore.open(campaign)
        before = self._of(self.iterations, iteration - 1).explore.params
        explored = [doc for doc in store.iterations() if doc["iteration"] == iteration - 1]
        seconds = [
            run["wall_seconds"] for doc in explored for run in doc["runs"] if run["reason"] is None
        ]
        fitting = (
            params.runs_within_walltime(sum(seconds) / len(seconds) / before.all_steps)
            if seconds
            else None
        )
        size = store.plan(iteration, "batch_size", fitting or params.batch_size)
        resized = params.model_copy(update={"batch_size": size})
        return replace(maker, explore=replace(maker.explore, params=resized))

    @staticmethod
    def _of(items: list, iteration: int) -> Any:
        return items[min(iteration, len(items)) - 1]
