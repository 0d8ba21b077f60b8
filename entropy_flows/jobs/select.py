"""The selection job: judge an iteration's candidates and append the accepted to the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jobflow import Maker

from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import LostInputError, document, stage_job
from entropy_flows.jobs.explore import origin, snapshots
from entropy_flows.schemas import ExploreDoc, SelectDoc
from entropy_flows.select import Candidate, SelectParams, Verdict, make_selector
from entropy_flows.store import CampaignStore, Entry


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
        pool = [(f"{iteration:03d}/explore/{run.index:05d}/{step:05d}", run, step, atoms)
                for doc in batches for run, step, atoms, _ in snapshots(doc)]  # fmt: skip
        prints = ledger.fingerprint([atoms for *_, atoms in pool]) if pool else []
        candidates = [Candidate(key, q, run.mode) for (key, run, _, _), q in zip(pool, prints, strict=True)]
        statistics = ledger.statistics(iteration, self.name)
        before = {mode: stats.entropy() for mode, stats in statistics.items()}
        decisions = make_selector(self.params)(
            candidates,
            statistics,
            len(candidates) if budget is None else budget,
            np.random.default_rng([seed, iteration, len(candidates)]),
        )
        entries, near = [], []
        for decision in decisions:
            key, run, step, atoms = pool[decision.index]
            source = origin(run, step, model)
            if decision.verdict is Verdict.ACCEPTED:
                entries.append(Entry(key, to_structure(atoms), candidates[decision.index].q, decision.gain, source))
            elif decision.verdict is Verdict.NEAR:
                near.append({"key": key, "origin": source, "structure": to_structure(atoms)})
        ledger.append(iteration, self.name, entries)
        verdicts = [decision.verdict for decision in decisions]
        result = SelectDoc(
            iteration=iteration,
            candidates=len(candidates),
            accepted=len(entries),
            near=len(near),
            rejected=verdicts.count(Verdict.REJECTED),
            spent=verdicts.count(Verdict.SPENT),
            entropy_before=before,
            entropy_after={mode: stats.entropy() for mode, stats in statistics.items()},
            gains=[decision.gain for decision in decisions if decision.verdict is Verdict.ACCEPTED],
            trajectories=near,
        )
        store.record(iteration, select=result.model_dump(exclude={"trajectories"}), runs=runs)
        return result
