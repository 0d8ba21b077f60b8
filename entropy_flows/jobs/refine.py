"""The refinement job: push near-threshold candidates over the threshold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ase.calculators.calculator import Calculator

from entropy_flows import progress
from entropy_flows.entropy import Mode, SufficientStatistics, VarianceStatistics
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.jobs.context import IterationContext
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
        self,
        context: IterationContext,
        *,
        selection: SelectDoc | None,
        theta_min: float,
        budget: int | None,
    ) -> RefineDoc:
        """Refine.

        Parameters
        ----------
        context
            Constants of the iteration.
        selection
            Document of the selection.
        theta_min
            Gain that a refined candidate must exceed: selection's.
        budget
            Budget of the selection, of which it has used its share; None for no limit.

        Raises
        ------
        LostInputError
            If selection failed.
        """
        selected = document(SelectDoc, selection)
        if selected is None:
            raise LostInputError("selection failed, so there is nothing to refine")
        store = CampaignStore.open(context.campaign)
        ledger = store.ledger(context.dataset)
        statistics = ledger.statistics(context.iteration, self.name)
        near_misses = selected.trajectories
        remaining = len(near_misses) if budget is None else budget - selected.accepted
        candidates = near_misses[: self.params.max_candidates]
        if not self.params.enabled or remaining <= 0:
            candidates = []
        calculator = load_calculator(store.fetch_model(context.model), device=settings().device)
        variance = None
        if selected.variance_before is not None:
            variance = ledger.variance(context.iteration, self.name)
        search = _Refinement(self, calculator, ledger.fingerprint, statistics, theta_min, variance)
        started = time.perf_counter()
        for number, candidate in enumerate(candidates):
            if len(search.entries) >= remaining:
                break
            taken_in = f"{len(search.entries)} taken in"
            progress.report(number, len(candidates), "candidates", taken_in)
            search.refine(candidate)
        seconds = time.perf_counter() - started
        ledger.append_accepted(context.iteration, self.name, search.entries)
        result = RefineDoc(
            iteration=context.iteration,
            tried=len(search.gains),
            accepted=len(search.entries),
            steps=search.steps,
            wall_seconds=seconds,
            gains=search.gains,
            refused=dict(search.refusals),
            entropy_after={mode: stats.entropy() for mode, stats in statistics.items()},
            variance_after=None if variance is None else variance.value(),
        )
        store.record(context.iteration, refine=result.model_dump())
        return result


@dataclass
class _Refinement:
    """Refinement of one candidate after the other; what passes enters the statistics at once."""

    maker: RefineMaker
    calculator: Calculator
    fingerprint: Fingerprint
    statistics: Mapping[Mode, SufficientStatistics]
    theta_min: float
    variance: VarianceStatistics | None = None
    entries: list[Entry] = field(default_factory=list)
    gains: list[tuple[float, float]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    steps: int = 0

    def refine(self, candidate: dict[str, Any]) -> None:
        """Refine a near miss, and take it if its gain now exceeds the threshold.

        With a target the gain is that of the target, and any is worth the label that was left.
        """
        source = dict(candidate["origin"])
        log_det = self.statistics[source["mode"]]
        refined = refine(
            to_atoms(candidate["structure"]),
            self.calculator,
            self.fingerprint,
            log_det if self.variance is None else self.variance,
            self.maker.params,
        )
        self.steps += refined.steps
        self.gains.append((refined.gain_before, refined.gain_after))
        if refined.refused:
            self.refusals[refined.refused] += 1
        if refined.gain_after <= (self.theta_min if self.variance is None else 0.0):
            return
        q = self.fingerprint(refined.atoms)
        source |= {"refined_from": refined.gain_before, "refine_steps": refined.steps}
        key = candidate["key"].replace("explore", self.maker.name)
        structure = to_structure(refined.atoms)
        score = None if self.variance is None else self.variance.gain(q)
        gain = refined.gain_after if self.variance is None else log_det.gain(q)
        self.entries.append(Entry(key, structure, q, gain, source, score))
        if self.variance is not None:
            self.variance.add(q)
        for statistics in self.statistics.values():
            statistics.add(q)
