"""The selection job: judge an iteration's candidates and append the accepted to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from jobflow import Maker

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import LostInputError, document, stage_job
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.schemas import ExploreDoc, RunDoc, SelectDoc
from entropy_flows.select import Candidate, SelectParams, Verdict, make_selector
from entropy_flows.store import CampaignStore, Entry

CHUNK = 256
"""Cells whose fingerprints are computed in one call, and kept until they are judged."""


class Snapshot(NamedTuple):
    """A cell of the pool, before anyone knows its fingerprints."""

    key: str
    run: RunDoc
    step: int
    atoms: Atoms


@dataclass
class SelectMaker(Maker):
    """Select from what was explored.

    Parameters
    ----------
    name
        Job name.
    params
        Selector and threshold.
    dataset
        Fingerprint and regularisation of the covariance.
    """

    name: str = "select"
    params: SelectParams = field(default_factory=SelectParams)
    dataset: DatasetParams = field(default_factory=DatasetParams)

    @stage_job(SelectDoc)
    def make(
        self, campaign: str, iteration: int, explored: list[Any], model: str, budget: int | None, seed: int
    ) -> SelectDoc:
        """Judge every snapshot of the batches.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        explored
            The batches' documents; None for a lost one.
        model
            Reference of the model that explored.
        budget
            Most structures to accept; None for no limit.
        seed
            The campaign's seed.

        Raises
        ------
        LostInputError
            If no batch left a document.
        """
        store = CampaignStore.open(campaign)
        batches = [doc for doc in (document(ExploreDoc, value) for value in explored) if doc is not None]
        if not batches:
            raise LostInputError("every exploration batch failed; see the failed explore jobs")
        runs = [run.model_dump() for doc in batches for run in doc.runs]
        ledger = store.ledger(self.dataset)
        pool = snapshots_of(batches)
        statistics = ledger.statistics(iteration, self.name)
        before = {mode: stats.entropy() for mode, stats in statistics.items()}
        order = self.params.judging_order(len(pool), np.random.default_rng([seed, iteration, len(pool)]))
        verdicts: Counter[Verdict] = Counter()
        entries, gains, near = [], [], []
        for decision in make_selector(self.params)(fingerprinted(pool, order, ledger.fingerprint), statistics, budget):
            verdicts[decision.verdict] += 1
            key, run, step, atoms = pool[order[decision.index]]
            source = origin(run, step, model)
            if decision.verdict is Verdict.ACCEPTED:
                gains.append(decision.gain)
                entries.append(Entry(key, to_structure(atoms), decision.candidate.q, decision.gain, source))
            elif decision.verdict is Verdict.NEAR:
                near.append({"key": key, "origin": source, "structure": to_structure(atoms)})
        ledger.append(iteration, self.name, entries)
        result = SelectDoc(
            iteration=iteration,
            candidates=len(pool),
            accepted=len(entries),
            near=len(near),
            rejected=verdicts[Verdict.REJECTED],
            spent=len(pool) - verdicts.total(),
            entropy_before=before,
            entropy_after={mode: stats.entropy() for mode, stats in statistics.items()},
            gains=gains,
            trajectories=near,
        )
        store.record(iteration, select=result.model_dump(exclude={"trajectories"}), runs=runs)
        return result


def snapshots_of(batches: Iterable[ExploreDoc]) -> list[Snapshot]:
    """Everything that was explored, in the order of exploring."""
    return [
        Snapshot(f"{doc.iteration:03d}/explore/{run.index:05d}/{step:05d}", run, step, atoms)
        for doc in batches
        for run, step, atoms, _ in snapshots(doc)
    ]


def fingerprinted(pool: Sequence[Snapshot], order: Sequence[int], fingerprint: Fingerprint) -> Iterator[Candidate]:
    """The pool in the order of judging; fingerprints are computed when a chunk's first cell is asked for."""
    for start in range(0, len(order), CHUNK):
        chunk = [pool[place] for place in order[start : start + CHUNK]]
        prints = fingerprint([snapshot.atoms for snapshot in chunk])
        for snapshot, q in zip(chunk, prints, strict=True):
            yield Candidate(snapshot.key, q, snapshot.run.mode)
