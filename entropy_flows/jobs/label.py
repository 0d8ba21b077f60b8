"""The label jobs: one plans, one labels a batch, one gathers.

How many labels there are follows from what selection accepted, so the planning job adds the others
as a detour: the jobs after it wait for them. Each label is one job (or a part of one): a label made
of two jobs, the first of which fails, would leave the gathering job waiting for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jobflow import Flow, Maker, Response
from pymatgen.core import Structure

from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import StageMaker, document, stage_job
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.label import label_batch
from entropy_flows.schemas import ExploreDoc, LabelDoc
from entropy_flows.schemas.stages import PLANNED_STAGES
from entropy_flows.store import CampaignStore, Entry

FAN_OUT = 100
"""Label jobs that one job waits for; more become chunks of so many."""


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
    """

    name: str = "label"
    static_maker: Maker | None = None
    min_distance_fraction: float = 0.5
    scf_retries: int = 2

    @property
    def engine(self) -> Maker:
        """The static Maker; an error if none was given."""
        if self.static_maker is None:
            raise ValueError(
                "LabelBatchMaker has no static_maker: give it any atomate2 static Maker"
            )
        return self.static_maker

    @stage_job(LabelDoc)
    def make(
        self, campaign: str, iteration: int, batch: int, structures: list[str], engine_hash: str
    ) -> LabelDoc:
        """Label the structures with these ids, unless they have their label already, or another campaign has it."""
        store = CampaignStore.open(campaign)
        same_engine(store, self.engine)  # as it is on this worker
        entries = [
            e
            for e in store.ledger_entries(structures)
            if not store.has_label(e["_id"], engine_hash)
        ]
        known = {
            e["_id"]: store.known_label(Structure.from_dict(e["structure"]), engine_hash)
            for e in entries
        }
        for entry in entries:
            if (label := known[entry["_id"]]) is not None:
                store.add_label(entry, engine_hash, label)
        entries = [entry for entry in entries if known[entry["_id"]] is None]
        labels = self._labels(entries)
        for entry, label in zip(entries, labels, strict=True):
            store.add_label(entry, engine_hash, label.as_dict())
        copied = sum(label is not None for label in known.values())
        store.count_labels(iteration, copied + sum(label.converged for label in labels))
        return count(store.labels_of(structures, engine_hash), iteration, len(structures))

    def _labels(self, entries: list[dict[str, Any]]) -> list[Any]:
        cells = [Structure.from_dict(entry["structure"]) for entry in entries]
        return label_batch(self.engine, cells, self.min_distance_fraction, self.scf_retries)


@dataclass
class GatherMaker(StageMaker):
    """Count an iteration's labels when all its batches have ended, well or not."""

    name: str = "gather"

    @stage_job(LabelDoc)
    def make(
        self,
        campaign: str,
        iteration: int,
        batch: int,
        batches: list[Any],
        engine_hash: str,
        requested: int,
    ) -> LabelDoc:
        """Count.

        Parameters
        ----------
        campaign, iteration
            What the labels belong to.
        batch
            Labels that were asked for before these: 0, or more after a top-up.
        batches
            The label jobs' documents; only makes this job wait for them.
        engine_hash
            Hash of the label engine's settings.
        requested
            Labels of this iteration that were asked for in all.
        """
        store = CampaignStore.open(campaign)
        result = count(store.labels(engine_hash, iteration=iteration), iteration, requested)
        store.record(
            iteration, **{f"label.{name}": value for name, value in result.model_dump().items()}
        )
        return result


@dataclass
class SubtotalMaker(StageMaker):
    """Sum up a chunk of an iteration's label jobs: the gathering job waits for the chunks, not for each label."""

    name: str = "subtotal"

    @stage_job(LabelDoc)
    def make(self, campaign: str, iteration: int, batch: int, batches: list[Any]) -> LabelDoc:
        """Sum up what the jobs of one chunk returned; None for a lost one."""
        docs = [doc for doc in (document(LabelDoc, value) for value in batches) if doc is not None]
        reasons: Counter[str] = sum((Counter(doc.reasons) for doc in docs), Counter())
        totals = {
            name: sum(getattr(doc, name) for doc in docs)
            for name in ("requested", "labelled", "failed", "anchors")
        }
        return LabelDoc(iteration=iteration, reasons=dict(reasons), **totals)


@dataclass
class PlanMaker(StageMaker):
    """Admit the anchors to the ledger and have everything of this iteration labelled.

    Parameters
    ----------
    name
        Job name.
    batch
        The Maker that labels a batch, with the static Maker in it.
    batch_size
        Structures per job: 1 for DFT, more where a job would cost more than a label.
    """

    name: str = "plan"
    batch: LabelMaker = field(default_factory=LabelMaker)
    batch_size: int = 1

    @property
    def engine(self) -> Maker:
        """The static Maker; an error if none was given."""
        return self.batch.engine

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self, campaign: str, iteration: int, refined: Any, *, dataset: DatasetParams, engine_hash: str,
        anchored: Sequence[Any] = (), anchor_share: float = 0.0, model: str = "", budget: int | None = None,
        seed: int = 0,
    ) -> Response:  # fmt: skip
        """Plan the labels.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        refined
            Refinement's document; only makes this job wait for it.
        dataset
            Fingerprint and regularisation of the covariance.
        engine_hash
            Hash of the label engine's settings.
        anchored
            The anchor jobs' documents; None for a lost one.
        anchor_share
            Share of the anchors among the labels.
        model
            Reference of the model that explored.
        budget
            Most labels of this iteration, anchors included; None for no limit.
        seed
            The campaign's seed.
        """
        store = CampaignStore.open(campaign)
        ledger = store.ledger(dataset)
        first = ledger.position(iteration, "select")
        chosen = ledger.position(iteration, "anchor") - first
        wanted = round(chosen * anchor_share / (1 - anchor_share))
        wanted = wanted if budget is None else min(wanted, budget - chosen)
        entries = self._pick(anchored, iteration, wanted, model, ledger.fingerprint, seed)
        ledger.append(iteration, "anchor", entries)
        ids = [
            entry["_id"]
            for entry in ledger.entries(iteration=iteration, stage={"$in": PLANNED_STAGES})
        ]
        store.record(iteration, **{"label.requested": len(ids), "label.anchors": len(entries)})
        planned = LabelDoc(
            iteration=iteration, requested=len(ids), labelled=0, failed=0, anchors=len(entries)
        )
        return Response(output=planned, detour=self.jobs(campaign, iteration, ids, engine_hash))

    def jobs(
        self, campaign: str, iteration: int, ids: list[str], engine_hash: str, before: int = 0
    ) -> Flow:
        """The jobs that label these structures, and the one that gathers.

        Parameters
        ----------
        campaign, iteration
            Their place.
        ids
            Structures.
        engine_hash
            Hash of the label engine's settings.
        before
            Labels of this iteration that were asked for before.
        """
        groups = [
            ids[start : start + self.batch_size] for start in range(0, len(ids), self.batch_size)
        ]
        jobs = [
            self.batch.make(campaign, iteration, number, structures, engine_hash)
            for number, structures in enumerate(groups, before)
        ]
        starts = range(0, len(jobs), FAN_OUT) if len(jobs) > FAN_OUT else ()
        chunks = [[label.output for label in jobs[start : start + FAN_OUT]] for start in starts]
        subtotals = [
            SubtotalMaker().make(campaign, iteration, n, chunk)
            for n, chunk in enumerate(chunks, before)
        ]
        waits_for = [job.output for job in subtotals or jobs]
        gather = GatherMaker().make(
            campaign, iteration, before, waits_for, engine_hash, requested=before + len(ids)
        )
        for subtotal in subtotals:
            subtotal.metadata["chunk"] = gather.uuid
        return Flow([*jobs, *subtotals, gather], name=f"labels {iteration}")

    def _pick(
        self,
        anchored: Sequence[Any],
        iteration: int,
        wanted: int,
        model: str,
        fingerprint: Any,
        seed: int,
    ) -> list[Entry]:
        """`wanted` anchors at random from what the dynamics left, in the order of drawing."""
        batches = [
            doc for doc in (document(ExploreDoc, value) for value in anchored) if doc is not None
        ]
        pool = [snapshot for doc in batches for snapshot in snapshots(doc)] if wanted > 0 else []
        order = np.random.default_rng([seed, iteration, 2]).permutation(len(pool))[: max(wanted, 0)]
        entries = []
        for index in map(int, order):
            run, step, atoms, force = pool[index]
            key = f"{iteration:03d}/anchor/{run.index:05d}/{step:05d}"
            source = origin(run, step, model, max_force=force)
            entries.append(Entry(key, to_structure(atoms), fingerprint(atoms), None, source))
        return entries


def count(found: Iterable[dict[str, Any]], iteration: int, requested: int) -> LabelDoc:
    """What became of the labels that were requested."""
    labels = list(found)
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
