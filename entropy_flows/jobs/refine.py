"""The refinement job: push near-threshold candidates over the threshold."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.potentials import load_calculator
from entropy_flows.refine import RefineParams, refine
from entropy_flows.schemas import RefineDoc, SelectDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry


@dataclass
class RefineMaker(StageMaker):
    """Refine an iteration's near-threshold candidates, one after the other.

    Parameters
    ----------
    name
        Job name.
    params
        Weight, steps and limits.
    """

    name: str = "refine"
    params: RefineParams = field(default_factory=RefineParams)

    @stage_job(RefineDoc)
    def make(
        self, campaign: str, iteration: int, selected: Any, *, dataset: DatasetParams, theta_min: float, model: str,
        budget: int | None,
    ) -> RefineDoc:  # fmt: skip
        """Refine.

        Parameters
        ----------
        campaign, iteration
            Whose candidates they are.
        selected
            Selection's document.
        dataset
            Fingerprint and regularisation of the covariance.
        theta_min
            Gain that a refined candidate must exceed: selection's.
        model
            Reference of the model that explored.
        budget
            That of selection, of which `selected` has used its share; None for no limit.

        Raises
        ------
        LostInputError
            If selection failed.
        """
        store, chosen = CampaignStore.open(campaign), document(SelectDoc, selected)
        if chosen is None:
            raise LostInputError("selection failed, so there is nothing to refine")
        ledger = store.ledger(dataset)
        statistics = ledger.statistics(iteration, self.name)
        left = len(chosen.trajectories) if budget is None else budget - chosen.accepted
        near = (
            chosen.trajectories[: self.params.max_candidates]
            if self.params.enabled and left > 0
            else []
        )
        base = load_calculator(store.fetch_model(model), device=settings().device)
        entries: list[Entry] = []
        refused: Counter[str] = Counter()
        gains, steps, started = [], 0, time.perf_counter()
        for candidate in near:
            if len(entries) >= left:
                break
            source, atoms = dict(candidate["origin"]), to_atoms(candidate["structure"])
            refined = refine(
                atoms, base, ledger.fingerprint, statistics[source["mode"]], self.params
            )
            steps += refined.steps
            gains.append((refined.gain_before, refined.gain_after))
            refused.update([refined.refused] if refined.refused else [])
            if refined.gain_after > theta_min:
                q = ledger.fingerprint(refined.atoms)
                source |= {"refined_from": refined.gain_before, "refine_steps": refined.steps}
                key = candidate["key"].replace("explore", self.name)
                entries.append(
                    Entry(key, to_structure(refined.atoms), q, refined.gain_after, source)
                )
                for stats in statistics.values():
                    stats.add(q)
        seconds = time.perf_counter() - started
        ledger.append(iteration, self.name, entries)
        result = RefineDoc(
            iteration=iteration,
            tried=len(gains),
            accepted=len(entries),
            steps=steps,
            wall_seconds=seconds,
            gains=gains,
            refused=dict(refused),
            entropy_after={mode: stats.entropy() for mode, stats in statistics.items()},
        )
        store.record(iteration, refine=result.model_dump())
        return result
