"""The jobs that count an iteration's labels when its label jobs have ended, well or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.jobs.common import StageMaker, documents, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.schemas import LabelDoc
from entropy_flows.schemas.stages import IMPORT
from entropy_flows.store import CampaignStore


@dataclass
class GatherMaker(StageMaker):
    """Count an iteration's labels when all its label jobs have ended."""

    name: str = "gather"

    @stage_job(LabelDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        batches: Sequence[LabelDoc | None],
        requested: int,
    ) -> LabelDoc:
        """Count.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Labels that were asked for before these: 0, or more after a top-up.
        batches
            Documents of the label jobs, for which this job waits.
        requested
            Labels of this iteration that were asked for in all.
        """
        store = CampaignStore.open(context.campaign)
        iteration = context.iteration
        # imported cells have cost no label, also where they are labelled again
        rows = store.labels(context.engine_hash, iteration=iteration, stage={"$ne": IMPORT})
        result = label_counts(rows, iteration, requested)
        fields = {f"label.{name}": value for name, value in result.model_dump().items()}
        store.record(iteration, **fields)
        return result


@dataclass
class SubtotalMaker(StageMaker):
    """Sum up a chunk of an iteration's label jobs.

    The gathering job waits for the chunks, not for each label.
    """

    name: str = "subtotal"

    @stage_job(LabelDoc)
    def make(
        self, context: IterationContext, *, batch: int, batches: Sequence[LabelDoc | None]
    ) -> LabelDoc:
        """Sum up the documents of one chunk's label jobs; None is that of a lost one."""
        docs = documents(LabelDoc, batches)
        reasons: Counter[str] = sum((Counter(doc.reasons) for doc in docs), Counter())
        names = ("requested", "labelled", "failed", "anchors")
        totals = {name: sum(getattr(doc, name) for doc in docs) for name in names}
        return LabelDoc(iteration=context.iteration, reasons=dict(reasons), **totals)


def label_counts(rows: Iterable[dict[str, Any]], iteration: int, requested: int) -> LabelDoc:
    """Count the labels that were requested, by what became of them."""
    labels = list(rows)
    failed = [label for label in labels if not label["converged"]]
    lost = requested - len(labels)
    reasons = Counter(label["reason"] for label in failed) + Counter({"lost": lost})
    return LabelDoc(
        iteration=iteration,
        requested=requested,
        labelled=len(labels) - len(failed),
        failed=len(failed) + lost,
        reasons=dict(reasons),
        anchors=sum(label["stage"] == "anchor" for label in labels),
    )
