"""The job that calculates labels without a database: cells in, labels out.

A node that labels by DFT may have no route to the database. This job has all that it needs among
its arguments, and its output has all that is known of its labels. Another job, on a node with a
route, writes them to the database (`jobs.label`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bson import json_util
from jobflow import CURRENT_JOB, Job, Maker, job
from monty.json import jsanitize
from pymatgen.core import Structure

from entropy_flows import progress
from entropy_flows.jobs.common import JobKey, StageMaker, document
from entropy_flows.jobs.context import IterationContext
from entropy_flows.label import engine_of, label_batch
from entropy_flows.label.reasons import EngineError
from entropy_flows.schemas import CalculatedLabels
from entropy_flows.schemas.stages import Stage
from entropy_flows.store.outputs import output_in

STORE_FREE = "store_free"
"""Item of a job's metadata: the job asks for no database."""


@dataclass
class CalculateMaker(StageMaker):
    """Calculate the labels of some cells with one static Maker.

    Parameters
    ----------
    name
        Job name.
    static_maker
        Any atomate2 static Maker.
    min_distance_fraction, scf_retries, keep_documents
        As of `LabelMaker`.
    """

    name: str = Stage.LABEL.value
    static_maker: Maker | None = None
    min_distance_fraction: float = 0.5
    scf_retries: int = 2
    keep_documents: bool = True

    def make(self, context: IterationContext, *, batch: int, cells: dict[str, Structure]) -> Job:
        """Build the job.

        Parameters
        ----------
        context
            Constants of the iteration.
        batch
            Number of this job among those of the iteration.
        cells
            Identifier of a ledger entry → its cell.
        """
        key = JobKey(context.campaign, context.iteration, batch)
        new_job: Job = calculate(self, context, cells, key.label(self.name))
        new_job.name = self.name
        new_job.config.expose_store = True
        new_job.metadata[STORE_FREE] = True
        return key.name(new_job, self.name)


@job(data="documents", output_schema=CalculatedLabels)
def calculate(
    maker: CalculateMaker, context: IterationContext, cells: dict[str, Structure], title: str
) -> CalculatedLabels:
    """Calculate the labels of cells; a calculation that fails is a label too.

    Raises
    ------
    EngineError
        If there is no engine, or it has other settings here than where the labels were planned.
    """
    stored = _stored_labels()
    if stored is not None:
        return stored
    static_maker = maker.static_maker
    if static_maker is None:
        raise EngineError("CalculateMaker has no static_maker: give it any atomate2 static Maker")
    _check_engine(static_maker, context.engine_hash)
    progress.begin(context.iteration, title)
    documents: dict[int, Any] = {}
    labels = list(
        label_batch(
            static_maker,
            list(cells.values()),
            maker.min_distance_fraction,
            maker.scf_retries,
            on_document=documents.__setitem__,
        )
    )
    names = list(cells)
    stored_documents = documents if maker.keep_documents else {}
    return CalculatedLabels(
        labels={name: label.as_dict() for name, label in zip(names, labels, strict=True)},
        documents={
            names[index]: document_text(document) for index, document in stored_documents.items()
        },
    )


def document_text(document: Any) -> str:
    """Write a task document as a text, which no job between its own and the last one revives."""
    plain = jsanitize(document, strict=True, enum_values=True, allow_bson=True)
    return json_util.dumps(plain)


def document_of(text: str) -> dict[str, Any]:
    """Read what `document_text` has written."""
    document: dict[str, Any] = json_util.loads(text)
    return document


def _check_engine(maker: Maker, engine_hash: str) -> None:
    """Refuse an engine with other settings than the labels were planned with."""
    engine = engine_of(maker)
    if engine.hash != engine_hash:
        raise EngineError(
            f"{engine.name} has other settings on this worker than where the labels of this "
            f"campaign were planned ({engine.hash[:12]}, not {engine_hash[:12]}): the versions of "
            f"atomate2 and pymatgen, or ~/.atomate2.yaml, differ"
        )


def _stored_labels() -> CalculatedLabels | None:
    """Return what this job returned before, if the store that it was given has it."""
    store = CURRENT_JOB.store
    if store is None or CURRENT_JOB.job is None:
        return None
    stored = output_in(store, CURRENT_JOB.job.uuid)
    return None if stored is None else document(CalculatedLabels, stored)
