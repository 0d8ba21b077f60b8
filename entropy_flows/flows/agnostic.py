"""A data set without physics: windows and modes are independent searches, which one job gathers (paper B, 5.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from jobflow import Flow, Job, Maker

from entropy_flows.entropy import MODES, Mode
from entropy_flows.explore import AnchorParams, Window
from entropy_flows.flows.queues import CATEGORIES, configured
from entropy_flows.jobs import LabelMaker
from entropy_flows.jobs.agnostic import AdmitMaker, AscendMaker, FinishMaker
from entropy_flows.jobs.common import identified
from entropy_flows.jobs.label import LabelBatchMaker
from entropy_flows.label import labels_per_job, make_static_maker, settings_hash
from entropy_flows.schemas import AgnosticParams


@dataclass
class RevEMMaker(Maker):
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
    label: LabelMaker | None = None
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
            given = chosen.min_distance if "min_distance" in chosen.model_fields_set else 0.0  # R_min has seen to it
            batch = LabelBatchMaker(static_maker=static, min_distance=given, ladder=chosen.ladder)
            none = AnchorParams(fraction=0.0)
            label = LabelMaker("plan", batch, labels_per_job(chosen, static), none, settings.dataset)
        return cls(
            name=settings.name,
            ascend=AscendMaker(params=settings.search, dataset=settings.dataset),
            admit=AdmitMaker(dataset=settings.dataset),
            label=label,
            batches=settings.batches(),
            seed=settings.seed,
            categories={**CATEGORIES, **{str(stage): name for stage, name in settings.categories.items()}},
            queue={str(stage): dict(changes) for stage, changes in settings.queue.items()},
        )

    @property
    def engine(self) -> Maker | None:
        """What labels."""
        return None if self.label is None else self.label.batch.engine

    def make(self, campaign: str, element: str) -> Flow:
        """The data set's flow.

        Parameters
        ----------
        campaign
            Name of the data set, created in the database.
        element
            Chemical symbol.
        """
        searches = []
        for number, (window, mode, part) in enumerate(self.batches):
            place = (campaign, number + 1)
            made = self.ascend.make(*place, number, element, asdict(window), mode, part, self.seed)
            searches.append(identified(made, *place, MODES.index(mode), part))
        admitted = identified(self.admit.make(campaign, 1, element, [made.output for made in searches]), campaign, 1)
        planned = self._labels(campaign, admitted)
        ended = FinishMaker().make(campaign, 1, admitted.output, [made.output for made in planned])
        end = identified(ended, campaign, 1)
        return configured(Flow([*searches, admitted, *planned, end], name=campaign), self.categories, self.queue)

    def _labels(self, campaign: str, admitted: Job) -> list[Job]:
        """One plan for each search's cells: it adds the jobs that label them."""
        if self.label is None:
            return []
        settings = settings_hash(self.label.batch.engine)
        return [
            identified(
                self.label.make(campaign, number, admitted.output, [], "", settings, None, self.seed), campaign, number
            )
            for number in range(1, len(self.batches) + 1)
        ]
