"""A data set without physics: independent searches, then one job (Subramanyam 2025, 5.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Self

from jobflow import Flow, Job, Maker

from entropy_flows.entropy import DatasetParams, Mode
from entropy_flows.explore import Window
from entropy_flows.flows.queues import Queues
from entropy_flows.jobs import (
    AdmitMaker,
    AscendMaker,
    FinishDatasetMaker,
    IterationContext,
    LabelMaker,
    PlanMaker,
)
from entropy_flows.jobs.common import StageMaker, outputs
from entropy_flows.label import LabelParams, engine_of, labels_per_job, make_static_maker
from entropy_flows.schemas import AgnosticParams


@dataclass
class RevEMMaker(StageMaker):
    """Search each window in each mode, gather all cells in one ledger, label them if asked to.

    Parameters
    ----------
    name
        Name of the flow.
    ascend
        Searches one window in one mode.
    admit
        Gathers.
    plan
        Plans labels, without anchors; None leaves the cells without labels.
    dataset
        Fingerprint and regularisation of the covariance.
    searches
        Window, mode and repeat of each search, in the order in which their cells enter the ledger.
    seed
        Seed of everything random.
    queues
        As of `ActiveLearningMaker`.
    """

    name: str = "agnostic"
    ascend: AscendMaker = field(default_factory=AscendMaker)
    admit: AdmitMaker = field(default_factory=AdmitMaker)
    plan: PlanMaker | None = None
    dataset: DatasetParams = field(default_factory=DatasetParams)
    searches: list[tuple[Window, Mode, int]] = field(default_factory=list)
    seed: int = 42
    queues: Queues = field(default_factory=Queues)

    @classmethod
    def from_settings(cls, settings: AgnosticParams) -> Self:
        """Build the flow that a file describes."""
        return cls(
            name=settings.name,
            ascend=AscendMaker(params=settings.search),
            plan=None if settings.label is None else _plan(settings.label),
            dataset=settings.dataset,
            searches=settings.batches(),
            seed=settings.seed,
            queues=Queues.from_file(settings),
        )

    @property
    def engine(self) -> Maker | None:
        """The static Maker that labels."""
        return None if self.plan is None else self.plan.engine

    def make(self, campaign: str, element: str) -> Flow:
        """Build the data set's flow.

        Parameters
        ----------
        campaign
            Name of the data set, created in the database.
        element
            Chemical symbol.
        """
        context = IterationContext(
            campaign=campaign,
            iteration=1,
            seed=self.seed,
            dataset=self.dataset,
            engine_hash="" if self.engine is None else engine_of(self.engine).hash,
        )
        searches = [
            self.ascend.make(
                context.of_iteration(number + 1),
                batch=number,
                element=element,
                window=asdict(window),
                mode=mode,
                repeat=repeat,
            )
            for number, (window, mode, repeat) in enumerate(self.searches)
        ]
        admission = self.admit.make(context, element=element, searches=outputs(searches))
        plans = self._plans(context, admission)
        end = FinishDatasetMaker().make(context, admission=admission.output, plans=outputs(plans))
        return self.queues.apply(Flow([*searches, admission, *plans, end], name=campaign))

    def _plans(self, context: IterationContext, admission: Job) -> list[Job]:
        """Build a plan for each search's cells: it adds the jobs that label them."""
        if self.plan is None:
            return []
        return [
            self.plan.make(context.of_iteration(number), accepted=admission.output)
            for number in range(1, len(self.searches) + 1)
        ]


def _plan(engine: LabelParams) -> PlanMaker:
    """Build the Maker that plans labels by this engine."""
    static_maker = make_static_maker(engine)
    # R_min has seen to short distances, so a limit counts only where somebody has set it
    is_set = "min_distance_fraction" in engine.model_fields_set
    label = LabelMaker(
        static_maker=static_maker,
        min_distance_fraction=engine.min_distance_fraction if is_set else 0.0,
        scf_retries=engine.scf_retries,
        keep_documents=engine.keep_documents,
    )
    batch_size = labels_per_job(engine, static_maker)
    return PlanMaker(label=label, batch_size=batch_size, approve=engine.approve)
