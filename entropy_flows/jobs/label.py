"""The job that labels structures: one of them where a label is a DFT run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobflow import Job, Maker
from pymatgen.core import Structure

from entropy_flows.jobs.common import StageMaker, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.gather import label_counts
from entropy_flows.jobs.task_documents import store_task_document
from entropy_flows.label import Label, engine_of, label_batch
from entropy_flows.schemas import LabelDoc
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
    def make(self, context: IterationContext, *, batch: int, structures: list[str]) -> LabelDoc:
        """Label structures that have no label yet, here or in another campaign.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Number of this job among those of the iteration.
        structures
            Identifiers of ledger entries.
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
        labels = self._labels(context, missing)
        for entry, label in zip(missing, labels, strict=True):
            split = splits.get(entry["key"]) if label.converged else None
            store.add_label(entry, engine_hash, label.as_dict() | split_fields(split))
        converged = sum(label.converged for label in labels)
        store.count_labels(context.iteration, len(copied) + converged)
        rows = store.labels_of(structures, engine_hash)
        return label_counts(rows, context.iteration, len(structures))

    def job_of(
        self, context: IterationContext, batch: int, entries: Sequence[dict[str, Any]]
    ) -> Job:
        """Build the job of ledger entries; that of a single one has its formula in its name."""
        job = self.make(context, batch=batch, structures=[entry["_id"] for entry in entries])
        if len(entries) == 1:
            job.name = f"{self.name} {entry_title(entries[0])}"
        return job

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
            for index, document in documents.items():
                store_task_document(context, entries[index], document)
        return labels


def entry_title(entry: dict[str, Any]) -> str:
    """Name a ledger entry for people: its formula and the first digits of its identifier."""
    formula = Structure.from_dict(entry["structure"]).composition.formula.replace(" ", "")
    return f"{formula} {entry['_id'][:6]}"
