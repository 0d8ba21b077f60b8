"""A data set without physics: windows and modes are independent searches, which one job gathers (Subramanyam 2025, 5.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from jobflow import Flow, Job, Maker

from entropy_flows.entropy import DatasetParams, Mode
from entropy_flows.explore import Window
from entropy_flows.flows.queues import configured
from entropy_flows.jobs import PlanMaker
from entropy_flows.jobs.agnostic import AdmitMaker, AscendMaker
from entropy_flows.jobs.common import StageMaker, with_stable_uuid
from entropy_flows.jobs.finish import FinishDatasetMaker
from entropy_flows.jobs.label import LabelMaker
from entropy_flows.label import hash_engine, labels_per_job, make_static_maker
from entropy_flows.schemas import AgnosticParams
from entropy_flows.schemas.stages import CATEGORIES


@dataclass
class RevEMMaker(StageMaker):
    """Search each window in each mode, put all cells into one ledger, label them if an engine is given.

    Parameters
    ----------
    name
        Name of the flow.
    ascend
        Searches one window in one mode.
    admit
        Gathers.
    label
        Labels, without anchors; None leaves the cells without labels.
    dataset
        Fingerprint and regularisation of the covariance.
    batches
        Window, mode and part of each search, in the order in which their cells enter the ledger.
    seed
        Everything random follows from it.
    categories, queue
        As of `ActiveLearningMaker`.
    """

    name: str = "agnostic"
    ascend: AscendMaker = field(default_factory=AscendMaker)
    admit: AdmitMaker = field(default_factory=AdmitMaker)
    label: PlanMaker | None = None
    dataset: DatasetParams = field(default_factory=DatasetParams)
    batches: list[tuple[Window, Mode, int]] = field(default_factory=list)
    seed: int = 42
    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    queue: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: AgnosticParams) -> Self:
        """The flow that a file describes."""
        label = None
        if (chosen := settings.label) is not None:
            static = make_static_maker(chosen)
            given = (
                chosen.min_distance_fraction
                if "min_distance_fraction" in chosen.model_fields_set
                else 0.0
            )  # R_min has seen to it
            batch = LabelMaker(
                static_maker=static, min_distance_fraction=given, scf_retries=chosen.scf_retries
            )
            label = PlanMaker(batch=batch, batch_size=labels_per_job(chosen, static))
        return cls(
            name=settings.name,
            ascend=AscendMaker(params=settings.search),
            label=label,
            dataset=settings.dataset,
            batches=settings.batches(),
            seed=settings.seed,
            categories={
                **CATEGORIES,
                **{str(stage): name for stage, name in settings.categories.items()},
            },
            queue={str(stage): dict(changes) for stage, changes in settings.queue.items()},
        )

    @property
    def engine(self) -> Maker | None:
        """What labels."""
        return None if self.label is None else self.label.engine

    def make(self, campaign: str, element: str) -> Flow:
        """The data set's flow.

        Parameters
        ----------
        campaign
            Name of the data set, created in the database.
        element
            Chemical symbol.
        """
        searches = [
            self.ascend.make(
                campaign,
                number + 1,
                number,
                element,
                asdict(window),
                mode,
                part,
                dataset=self.dataset,
                seed=self.seed,
            )
            for number, (window, mode, part) in enumerate(self.batches)
        ]
        outputs = [search.output for search in searches]
        admitted = self.admit.make(campaign, 1, element, outputs, dataset=self.dataset)
        planned = self._labels(campaign, admitted)
        end = FinishDatasetMaker().make(
            campaign, 1, admitted.output, [plan.output for plan in planned]
        )
        with_stable_uuid(end, campaign, 1)
        return configured(
            Flow([*searches, admitted, *planned, end], name=campaign), self.categories, self.queue
        )

    def _labels(self, campaign: str, admitted: Job) -> list[Job]:
        """One plan for each search's cells: it adds the jobs that label them."""
        if self.label is None:
            return []
        same = {
            "dataset": self.dataset,
            "engine_hash": hash_engine(self.label.engine),
            "seed": self.seed,
        }
        return [
            self.label.make(campaign, number, admitted.output, **same)
            for number in range(1, len(self.batches) + 1)
        ]
