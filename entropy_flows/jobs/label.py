"""The jobs that label structures.

A calculator in memory labels several in one job, which writes them to the database. Where a label
is a run of a program, it is two jobs. The first calculates, without a database (`jobs.calculate`),
on whichever node has the program. The second, `record`, writes to the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        engine_hash = context.engine_hash
        same_engine(store, self.engine)  # as it is on this worker
        entries = [
            entry
            for entry in store.ledger_entries(structures)
            if not store.has_label(entry["_id"], engine_hash)
        ]
        splits = store.relabelled_cells(context.iteration)
        copied = self._copy_labels(store, entries, engine_hash, splits)
        missing = [entry for entry in entries if entry["_id"] not in copied]
        if calculated is None:
            labels = self._labels(context, missing)
        else:
            ready = document(CalculatedLabels, calculated) or calculated
            missing = [entry for entry in missing if entry["_id"] in ready.labels]
            labels = self._calculated_labels(context, batch, missing, ready)
        for entry, label in zip(missing, labels, strict=True):
            split = splits.get(entry["key"]) if label.converged else None
            store.add_label(entry, engine_hash, label.as_dict() | split_fields(split))
        converged = sum(label.converged for label in labels)
        store.count_labels(context.iteration, len(copied) + converged)
        rows = store.labels_of(structures, engine_hash)
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
        cells = {entry["_id"]: Structure.from_dict(entry["structure"]) for entry in entries}
        return {
            name: cell
            for name, cell in cells.items()
            if not store.has_label(name, context.engine_hash)
            and store.copied_label(cell, context.engine_hash) is None
        }

    def _copy_labels(
        self,
        store: CampaignStore,
        entries: Sequence[dict[str, Any]],
        engine_hash: str,
        splits: Mapping[str, str | None],
    ) -> set[str]:
        """Copy the labels that other campaigns have; return the identifiers of their structures.

        A cell that brings a split has the one that is farthest from training.
        """
        copied = set()
        for entry in entries:
            structure = Structure.from_dict(entry["structure"])
            label = store.copied_label(structure, engine_hash)
            if label is not None:
                split = max(label.get("split"), splits.get(entry["key"]), key=held_out)
                store.add_label(entry, engine_hash, label | split_fields(split))
                copied.add(entry["_id"])
        return copied

    def _labels(self, context: IterationContext, entries: Sequence[dict[str, Any]]) -> list[Label]:
        """Calculate labels, and keep their task documents."""
        cells = [Structure.from_dict(entry["structure"]) for entry in entries]
        documents: dict[int, Any] = {}
        labels = label_batch(
            self.engine,
            cells,
            self.min_distance_fraction,
            self.scf_retries,
            on_document=documents.__setitem__,
        )
        # those of a calculator in memory say nothing that the label does not
        if self.keep_documents and not engine_of(self.engine).in_memory:
            for index, task_document in documents.items():
                store_task_document(context, entries[index], task_document)
        return labels

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
        store = CampaignStore.open(context.campaign)
        store.record(context.iteration, **{f"seconds.{title}": seconds})
        return labels


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
