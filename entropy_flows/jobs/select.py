"""The selection job: judge an iteration's candidates and append the accepted to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.committee import Committee
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.schemas import ExploreDoc, RunDoc, SelectDoc
from entropy_flows.select import Candidate, DecisionStream, SelectParams, Verdict, make_selector
from entropy_flows.settings import settings
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
class SelectMaker(StageMaker):
    """Select from what was explored.

    Parameters
    ----------
    name
        Job name.
    params
        Selector, threshold, and the budget of an iteration.
    """

    name: str = "select"
    params: SelectParams = field(default_factory=SelectParams)

    @stage_job(SelectDoc)
    def make(
        self, campaign: str, iteration: int, explored: list[Any], *, dataset: DatasetParams, model: str,
        budget: int | None, seed: int,
    ) -> SelectDoc:  # fmt: skip
        """Judge every snapshot of the batches.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        explored
            The batches' documents; None for a lost one.
        dataset
            Fingerprint and regularisation of the covariance.
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
        batches = [
            doc for doc in (document(ExploreDoc, value) for value in explored) if doc is not None
        ]
        if not batches:
            raise LostInputError("every exploration batch failed; see the failed explore jobs")
        runs = [run.model_dump() for doc in batches for run in doc.runs]
        ledger = store.ledger(dataset)
        pool = snapshots_of(batches)
        statistics = ledger.statistics(iteration, self.name)
        before = {mode: stats.entropy() for mode, stats in statistics.items()}
        order = self.params.judging_order(
            len(pool), np.random.default_rng([seed, iteration, len(pool)])
        )
        verdicts: Counter[Verdict] = Counter()
        entries, gains, near = [], [], []
        params, spread = self._committee(store, model)
        candidates = LazyCandidates(pool, order, ledger.fingerprint, spread)
        centres = ledger.means(iteration, self.name) if params.needs_centres else None
        judged = DecisionStream(make_selector(params)(candidates, statistics, budget, centres))
        for decision in judged:
            verdicts[decision.verdict] += 1
            key, run, step, atoms = pool[order[decision.index]]
            source = origin(run, step, model)
            if decision.verdict is Verdict.ACCEPTED:
                gains.append(decision.gain)
                entries.append(
                    Entry(key, to_structure(atoms), decision.candidate.q, decision.gain, source)
                )
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
            reason=judged.reason,
            entropy_before=before,
            entropy_after={mode: stats.entropy() for mode, stats in statistics.items()},
            gains=gains,
            trajectories=near,
        )
        store.record(iteration, select=result.model_dump(exclude={"trajectories"}), runs=runs)
        return result

    def _committee(
        self, store: CampaignStore, model: str
    ) -> tuple[SelectParams, Callable[[Sequence[Atoms]], np.ndarray] | None]:
        """The selector, and what gives cells their uncertainty if it goes by that.

        The committee is that of the model that explored. A model that was not trained here (the
        base model, the student) has none, and the choice falls back on the paper's filter.
        """
        if not self.params.needs_committee:
            return self.params, None
        trained_in = store.model_iteration(model)
        if trained_in < 1:
            return self.params.model_copy(update={"selector": "logdet"}), None
        models = store.committee(trained_in)
        if len(models) < 2:
            raise ValueError(
                f"selector {self.params.selector!r} needs two models or more of iteration {trained_in}, there is "
                f"{len(models)}: is train.committee set, and did its members fail?"
            )
        committee = Committee([store.fetch_model(model) for model in models], settings().device)
        return self.params, partial(committee.spread, of=self.params.uncertainty)


def snapshots_of(batches: Iterable[ExploreDoc]) -> list[Snapshot]:
    """Everything that was explored, in the order of exploring."""
    return [
        Snapshot(f"{doc.iteration:03d}/explore/{run.index:05d}/{step:05d}", run, step, atoms)
        for doc in batches
        for run, step, atoms, _ in snapshots(doc)
    ]


@dataclass(frozen=True)
class LazyCandidates:
    """The pool in the order of judging; fingerprints are computed when they are asked for, and not kept.

    Attributes
    ----------
    pool, order
        Snapshots, and their places in the order of judging.
    fingerprint
        The data set's.
    committee
        Gives each of some cells its uncertainty (n,); None for no uncertainties.
    """

    pool: Sequence[Snapshot]
    order: Sequence[int]
    fingerprint: Fingerprint
    committee: Callable[[Sequence[Atoms]], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Candidate]:
        for start in range(0, len(self.order), CHUNK):
            yield from self._made(self.order[start : start + CHUNK], self.committee)

    def __getitem__(self, index: int) -> Candidate:
        """One candidate; its uncertainty has been told."""
        return next(self._made([self.order[index]], None))

    def _made(
        self, places: Sequence[int], committee: Callable[[Sequence[Atoms]], np.ndarray] | None
    ) -> Iterator[Candidate]:
        chunk = [self.pool[place] for place in places]
        cells = [snapshot.atoms for snapshot in chunk]
        spread = [None] * len(cells) if committee is None else committee(cells).tolist()
        for snapshot, q, uncertainty in zip(chunk, self.fingerprint(cells), spread, strict=True):
            yield Candidate(snapshot.key, q, snapshot.run.mode, uncertainty)
