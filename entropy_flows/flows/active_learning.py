"""The loop: an iteration, then a job that ends the campaign or adds the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker, Response
from pymatgen.core import Structure

from entropy_flows.compiled.cache import can_be_compiled
from entropy_flows.entropy import DatasetParams
from entropy_flows.flows.description import (
    Structures,
    describe_campaign,
    elements_of,
    named_seeds,
    with_elements,
)
from entropy_flows.flows.iteration import IterationMaker
from entropy_flows.flows.queues import Queues
from entropy_flows.flows.sizes import item_of, model_calls, sized_maker
from entropy_flows.flows.steering import changed_maker
from entropy_flows.flows.succession import added_iteration, decide_after
from entropy_flows.jobs import (
    AnchorMaker,
    CompileMaker,
    ExploreMaker,
    IterationContext,
    LabelMaker,
    PlanMaker,
    RefineMaker,
    RegisterMaker,
    SelectMaker,
    TrainMaker,
)
from entropy_flows.jobs.checkpoint import forget_iteration
from entropy_flows.jobs.common import StageMaker, campaign_job, document
from entropy_flows.label import OutlierParams, engine_of, labels_per_job, make_static_maker
from entropy_flows.schemas import Campaign, EvaluateDoc, StateDoc, StopParams, TrainDoc
from entropy_flows.store import CampaignStore


@dataclass
class ActiveLearningMaker(StageMaker):
    """The active-learning campaign (Wang 2026, Algorithm 1).

    The flow runs under any of jobflow's managers, with any JobStore, and with nothing set up beside
    it::

        from atomate2.forcefields.jobs import ForceFieldStaticMaker
        from jobflow import run_locally
        from pymatgen.core import Lattice, Structure

        silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
        label = LabelMaker(static_maker=ForceFieldStaticMaker(force_field_name="MATPES_R2SCAN"))
        loop = ActiveLearningMaker(
            name="silicon",
            base_model="shipped:si-small.nequip.zip",
            plan=PlanMaker(label=label),
            last=1,
        )
        run_locally(loop.make(silicon), store=store, create_folders=True)
        CampaignStore.of_job_store(store, "silicon").labels()

    The campaign's documents lie in the database of a JobStore on MongoDB. For one in memory or in
    files they lie in the configured database, or in an embedded one below the cache.

    Parameters
    ----------
    name
        Name of the flow.
    base_model
        Model to explore with first: a name, an import path or a file, as in a campaign file.
    student
        Model to fine-tune first, where no trainer takes the base model; None takes that.
    iterations
        One IterationMaker per iteration; the last one serves those that follow. Each holds what is
        of its iteration alone, `select.params` the budget of labels.
    dataset
        Fingerprint and regularisation of the covariance, one for the whole campaign.
    plan
        Plans the labels, with the engine in it: `plan.label.static_maker`.
    outliers
        Limits beyond which a label is flagged instead of trained on.
    last
        Number of iterations at most.
    stop
        Thresholds and the label budget.
    seed
        Seed of everything random.
    queues
        Worker categories and changes of the queue adapter, by stage.
    """

    name: str = "active learning"
    base_model: str = "SevenNet-0"
    student: str | None = None
    iterations: list[IterationMaker] = field(default_factory=lambda: [IterationMaker()])
    dataset: DatasetParams = field(default_factory=DatasetParams)
    plan: PlanMaker = field(default_factory=PlanMaker)
    outliers: OutlierParams = field(default_factory=OutlierParams)
    last: int = 3
    stop: StopParams = field(default_factory=StopParams)
    seed: int = 42
    queues: Queues = field(default_factory=Queues)

    @classmethod
    def from_campaign(cls, campaign: Campaign) -> ActiveLearningMaker:
        """Build the Makers that a campaign file describes; change any of them before `make`."""
        engine = campaign.label
        static_maker = make_static_maker(engine)
        label = LabelMaker(
            static_maker=static_maker,
            min_distance_fraction=engine.min_distance_fraction,
            scf_retries=engine.scf_retries,
            keep_documents=engine.keep_documents,
        )
        numbers = range(1, max(1, len(campaign.iterations)) + 1)
        return cls(
            name=campaign.name,
            base_model=campaign.base_model,
            student=campaign.student,
            iterations=[cls._iteration_maker(campaign, number) for number in numbers],
            dataset=campaign.dataset,
            plan=PlanMaker(
                label=label,
                batch_size=labels_per_job(engine, static_maker),
                approve=engine.approve,
            ),
            outliers=engine.outliers,
            last=campaign.n_iterations,
            stop=campaign.stop,
            seed=campaign.seed,
            queues=Queues.from_file(campaign),
        )

    @staticmethod
    def _iteration_maker(campaign: Campaign, number: int) -> IterationMaker:
        """Build the Makers of one iteration that a campaign file describes."""
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
        structures: Structures,
        campaign: str | None = None,
        model: str | None = None,
        student: str | None = None,
    ) -> Flow:
        """Build the flow of the first iteration, from which the others follow.

        Parameters
        ----------
        structures
            Seed cells: one, several, or phase → seed cell.
        campaign
            Name of the campaign; None takes the flow's, with hyphens for spaces.
        model
            Reference of the model to explore with, of a campaign that is registered in the
            database. With None the flow's first job registers the campaign, `base_model` and
            `student`.
        student
            Reference of the model to fine-tune, if it is another one.
        """
        seeds = named_seeds(structures)
        name = campaign or self.name.replace(" ", "-")
        maker = with_elements(self, elements_of(seeds))
        if model is not None:
            context = maker.context(name, model)
            first = maker.iteration(context, seeds, parent=student or model)
            return self.queues.apply(first)
        settings = describe_campaign(maker, name, seeds)
        registration = RegisterMaker().make(name, iteration=1, settings=settings)
        registered: Any = registration.output
        context = maker.context(name, registered.model)
        first = maker.iteration(context, seeds, parent=registered.parent)
        flow = Flow([registration, first], name=name)
        flow.update_metadata({"campaign": name}, dynamic=True)
        return self.queues.apply(flow)

    def context(self, campaign: str, model: str, iteration: int = 1) -> IterationContext:
        """Gather the constants of an iteration that `model` explores."""
        return IterationContext(
            campaign=campaign,
            iteration=iteration,
            model=model,
            seed=self.seed,
            dataset=self.dataset,
            engine_hash=engine_of(self.engine).hash,
            outliers=self.outliers,
        )

    def iteration(
        self,
        context: IterationContext,
        seeds: dict[str, Structure],
        *,
        parent: str,
        requested: int = 0,
    ) -> Flow:
        """Build one iteration and the job that decides on the next.

        Parameters
        ----------
        context
            Constants of the iteration.
        seeds
            Phase → seed cell.
        parent
            Reference of the model to fine-tune.
        requested
            Labels that were asked for in the iterations before.
        """
        iteration = sized_maker(self.iterations, context).make(
            context,
            seeds=seeds,
            plan=self.plan,
            parent=parent,
            budget=self.budget(context.iteration, requested),
            compiler=self.compiler(context.iteration, list(seeds)),
        )
        return self._decided(context, seeds, iteration)

    def relabelled(
        self, context: IterationContext, seeds: dict[str, Structure], *, parent: str
    ) -> Flow:
        """Build the flow that labels all cells of a fork again, trains on them and decides.

        Parameters are those of `iteration`, the context that of the last iteration with such cells.
        """
        stages = item_of(self.iterations, context.iteration)
        compiler = self.compiler(context.iteration, list(seeds))
        labelled = stages.relabel(
            context, seeds=seeds, plan=self.plan, parent=parent, compiler=compiler
        )
        return self._decided(context, seeds, labelled)

    def _decided(
        self, context: IterationContext, seeds: dict[str, Structure], learning: Flow
    ) -> Flow:
        """Add the job that decides after an iteration to its flow."""
        decision = self.advance(
            context,
            seeds=seeds,
            training=learning.output["training"],
            evaluation=learning.output["evaluation"],
        )
        name = f"{context.campaign}: iteration {context.iteration}"
        return Flow([learning, decision], name=name)

    @campaign_job(StateDoc, name="advance")
    def advance(
        self,
        context: IterationContext,
        *,
        seeds: dict[str, Structure],
        training: TrainDoc | None,
        evaluation: EvaluateDoc | None,
    ) -> Response[StateDoc]:
        """End the campaign, or add the next iteration.

        Parameters
        ----------
        context
            Constants of the iteration that ends.
        seeds
            Phase → seed cell.
        training, evaluation
            Documents of the iteration; None for a failed stage.
        """
        store = CampaignStore.open(context.campaign)
        iteration = context.iteration
        evaluated = None
        if document(TrainDoc, training) is not None:
            evaluated = document(EvaluateDoc, evaluation)
        decision = decide_after(changed_maker(self, store), store, iteration, evaluated)
        store.set_state(decision.state, decision.message)
        forget_iteration(context.campaign, iteration)
        response = Response(output=StateDoc(state=decision.state, message=decision.message))
        if decision.state == "running" and evaluated is not None:
            model = store.continues_with(iteration, evaluated.continues.model)
            response.addition = added_iteration(self, store, iteration + 1, model, seeds)
        return response

    def compiler(self, iteration: int, phases: list[str]) -> CompileMaker | None:
        """Build what compiles the model of an iteration for the dynamics of those after it.

        None if none follows, nobody wants it, or the family of the models has no compiled form.
        """
        if iteration >= self.last or not can_be_compiled(self.student or self.base_model):
            return None
        following = range(iteration + 1, self.last + 1)
        makers = [item_of(self.iterations, number) for number in following]
        choice = makers[0].explore.params.compile
        if choice == "never":
            return None
        return CompileMaker(always=choice == "always", calls=model_calls(makers, phases))

    @property
    def engine(self) -> Maker:
        """The static Maker that labels, one for all iterations."""
        return self.plan.engine

    def budget(self, iteration: int, requested: int) -> int | None:
        """Return the most labels of an iteration, given those asked for before."""
        limits = [item_of(self.iterations, iteration).select.params.max_labels]
        if self.stop.label_budget is not None:
            limits.append(self.stop.label_budget - requested)
        return min((limit for limit in limits if limit is not None), default=None)
