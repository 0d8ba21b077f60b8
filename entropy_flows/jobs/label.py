"""The jobs that label structures.

A calculator in memory labels several in one job, which writes them to the database. Where a label
is a run of a program, it is two jobs. The first calculates, without a database (`jobs.calculate`),
on whichever node has the program. The second, `record`, writes to the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobflow import Job, Maker
from pymatgen.core import Structure

from entropy_flows.jobs.calculate import CalculateMaker, document_of
from entropy_flows.jobs.common import JobKey, StageMaker, document, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.gather import label_counts
from entropy_flows.jobs.task_documents import store_task_document
from entropy_flows.label import Label, engine_of, label_batch
from entropy_flows.schemas import CalculatedLabels, LabelDoc
from entropy_flows.schemas.stages import Stage
from entropy_flows.store import CampaignStore
from entropy_flows.store.labels import held_out, split_fields

WRITE_SECONDS = 5.0
"""Time after which the labels that a job has are written, while it makes the others."""


@dataclass
class LabelMaker(StageMaker):
    """Label some structures with one static Maker.

    Parameters
    ----------
    name
        Job name.
    static_maker
        Any atomate2 static Maker: VASP, forcefields, ASE, CP2K, …
    min_distance_fraction
        Shortest distance, as a fraction of the sum of covalent radii, under which a cell is not
        calculated.
    scf_retries
        Times that a VASP run whose electronic steps ran out is done again by other means.
    keep_documents
        Whether the task documents of an engine that works through files are kept in the JobStore,
        see `jobs.task_documents`.
    """

    name: str = "label"
    static_maker: Maker | None = None
    min_distance_fraction: float = 0.5
    scf_retries: int = 2
    keep_documents: bool = True

    @property
    def engine(self) -> Maker:
        """The static Maker; an error if none was given."""
        if self.static_maker is None:
            raise ValueError("LabelMaker has no static_maker: give it any atomate2 static Maker")
        return self.static_maker

    @stage_job(LabelDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        structures: list[str],
        calculated: CalculatedLabels | None = None,
    ) -> LabelDoc:
        """Label structures that have no label yet, here or in another campaign.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Number of this job among those of the iteration.
        structures
            Identifiers of ledger entries.
        calculated
            Labels that another job has calculated; None calculates them here.
        """
        store = CampaignStore.open(context.campaign)
        same_engine(store, self.engine)  # as it is on this worker
        outcomes = store.outcomes(structures, context.engine_hash)
        entries = [
            entry for entry in store.ledger_entries(structures) if entry["_id"] not in outcomes
        ]
        cells = cells_of(entries)
        copied = store.copied_labels(cells, context.engine_hash)
        missing = [entry for entry in entries if entry["_id"] not in copied]
        writer = LabelWriter(store, context)
        for entry in entries:
            if entry["_id"] in copied:
                writer.copy(entry, copied[entry["_id"]])
        if calculated is None:
            labels: Iterable[Label] = self._labels(context, missing, cells)
        else:
            ready = document(CalculatedLabels, calculated) or calculated
            missing = [entry for entry in missing if entry["_id"] in ready.labels]
            labels = self._calculated_labels(context, batch, missing, ready)
        for entry, label in zip(missing, labels, strict=True):
            writer.add(entry, label)
        writer.flush()
        rows = (outcomes | writer.outcomes).values()
        return label_counts(rows, context.iteration, len(structures))

    def jobs_of(
        self, context: IterationContext, batch: int, entries: Sequence[dict[str, Any]]
    ) -> list[Job]:
        """Build the jobs of ledger entries, of which the last one returns the `LabelDoc`.

        Those of a single entry have its formula in their names.
        """
        structures = [entry["_id"] for entry in entries]
        if engine_of(self.engine).in_memory:
            return _titled([self.make(context, batch=batch, structures=structures)], entries)
        calculated: Any = CalculatedLabels(labels={})
        jobs = []
        to_calculate = self._without_label(context, entries)
        if to_calculate:
            maker = CalculateMaker(
                static_maker=self.engine,
                min_distance_fraction=self.min_distance_fraction,
                scf_retries=self.scf_retries,
                keep_documents=self.keep_documents,
            )
            calculation = maker.make(context, batch=batch, cells=to_calculate)
            calculated = calculation.output
            jobs.append(calculation)
        record = replace(self, name=Stage.RECORD.value)
        jobs.append(record.make(context, batch=batch, structures=structures, calculated=calculated))
        return _titled(jobs, entries)

    def _without_label(
        self, context: IterationContext, entries: Sequence[dict[str, Any]]
    ) -> dict[str, Structure]:
        """Return identifier → cell, of those that no campaign has labelled with this engine."""
        store = CampaignStore.open(context.campaign)
        outcomes = store.outcomes([entry["_id"] for entry in entries], context.engine_hash)
        cells = cells_of([entry for entry in entries if entry["_id"] not in outcomes])
        copied = store.copied_labels(cells, context.engine_hash)
        return {name: cell for name, cell in cells.items() if name not in copied}

    def _labels(
        self,
        context: IterationContext,
        entries: Sequence[dict[str, Any]],
        cells: Mapping[str, Structure],
    ) -> Iterator[Label]:
        """Calculate labels, one when the last is taken, and keep their task documents."""

        def keep(index: int, task_document: Any) -> None:
            store_task_document(context, entries[index], task_document)

        # those of a calculator in memory say nothing that the label does not
        is_kept = self.keep_documents and not engine_of(self.engine).in_memory
        return label_batch(
            self.engine,
            [cells[entry["_id"]] for entry in entries],
            self.min_distance_fraction,
            self.scf_retries,
            on_document=keep if is_kept else _forget,
        )

    def _calculated_labels(
        self,
        context: IterationContext,
        batch: int,
        entries: Sequence[dict[str, Any]],
        calculated: CalculatedLabels,
    ) -> list[Label]:
        """Return the labels that another job has calculated; keep documents and seconds."""
        labels = [Label.from_dict(calculated.labels[entry["_id"]]) for entry in entries]
        for entry in entries:
            text = calculated.documents.get(entry["_id"])
            if text is not None:
                store_task_document(context, entry, document_of(text))
        title = JobKey(context.campaign, context.iteration, batch).label(Stage.LABEL.value)
        seconds = sum(label.wall_seconds or 0.0 for label in labels)
        CampaignStore.open(context.campaign).record_seconds(context.iteration, title, seconds)
        return labels


class LabelWriter:
    """Writes an iteration's labels, many in one request, and counts them.

    A job that is killed has written all labels but those of the last seconds.

    Parameters
    ----------
    store
        The campaign.
    context
        Constants of the iteration.

    Attributes
    ----------
    outcomes
        Identifier of a cell → `converged`, `reason` and `stage` of its label.
    """

    def __init__(self, store: CampaignStore, context: IterationContext):
        self.store = store
        self.context = context
        self.outcomes: dict[str, dict[str, Any]] = {}
        self._splits = store.relabelled_cells(context.iteration)
        self._rows: list[tuple[dict[str, Any], str, dict[str, Any]]] = []
        self._written_at = time.monotonic()

    def copy(self, entry: dict[str, Any], label: dict[str, Any]) -> None:
        """Add a label that another campaign has.

        A cell that brings a split has the one that is farthest from training.
        """
        split = max(label.get("split"), self._splits.get(entry["key"]), key=held_out)
        self._add(entry, label | split_fields(split))

    def add(self, entry: dict[str, Any], label: Label) -> None:
        """Add a label that was calculated."""
        split = self._splits.get(entry["key"]) if label.converged else None
        self._add(entry, label.as_dict() | split_fields(split))

    def _add(self, entry: dict[str, Any], label: dict[str, Any]) -> None:
        outcome = {"converged": label["converged"], "reason": label["reason"]}
        self.outcomes[entry["_id"]] = {**outcome, "stage": entry["stage"]}
        self._rows.append((entry, self.context.engine_hash, label))
        if time.monotonic() - self._written_at > WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was not written yet."""
        if self._rows:
            self.store.add_labels(self._rows)
            converged = sum(label["converged"] for _, _, label in self._rows)
            self.store.count_labels(self.context.iteration, converged)
        self._rows = []
        self._written_at = time.monotonic()


def cells_of(entries: Iterable[dict[str, Any]]) -> dict[str, Structure]:
    """Return identifier → cell of ledger entries."""
    return {entry["_id"]: Structure.from_dict(entry["structure"]) for entry in entries}


def _forget(*_: Any) -> None:
    """Keep no task document."""


def _titled(jobs: list[Job], entries: Sequence[dict[str, Any]]) -> list[Job]:
    """Add the formula of a single entry to the names of its jobs."""
    if len(entries) == 1:
        for job in jobs:
            job.name = f"{job.name} {entry_title(entries[0])}"
    return jobs


def entry_title(entry: dict[str, Any]) -> str:
    """Name a ledger entry for people: its formula and the first digits of its identifier."""
    formula = Structure.from_dict(entry["structure"]).composition.formula.replace(" ", "")
    return f"{formula} {entry['_id'][:6]}"
