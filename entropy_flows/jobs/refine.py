"""The refinement job: push near-threshold candidates over the threshold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from entropy_flows import progress
from entropy_flows.entropy import Mode, SufficientStatistics, VarianceStatistics
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.refine import Refined, RefineParams, refine
from entropy_flows.schemas import RefineDoc, SelectDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry


@dataclass
class RefineMaker(StageMaker):
    """Refine an iteration's near-threshold candidates, few at a time.

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
        model = load_batch_model(store.fetch_model(context.model), device=settings().device)
        variance = None
        if selected.variance_before is not None:
            variance = ledger.variance(context.iteration, self.name)
        search = _Refinement(
            self, model, ledger.fingerprint, statistics, theta_min, remaining, variance
        )
        started = time.perf_counter()
        for number in range(0, len(candidates), self.params.together):
            if search.is_full:
                break
            taken_in = f"{len(search.entries)} taken in"
            progress.report(number, len(candidates), "candidates", taken_in)
            search.refine(candidates[number : number + self.params.together])
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
    """Refinement of candidates; what passes enters the statistics, one after the other."""

    maker: RefineMaker
    model: BatchModel
    fingerprint: Fingerprint
    statistics: Mapping[Mode, SufficientStatistics]
    theta_min: float
    limit: int
    """Candidates to take in at most."""
    variance: VarianceStatistics | None = None
    entries: list[Entry] = field(default_factory=list)
    gains: list[tuple[float, float]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    steps: int = 0

    @property
    def is_full(self) -> bool:
        """Return whether the budget is used up."""
        return len(self.entries) >= self.limit

    def refine(self, candidates: Sequence[dict[str, Any]]) -> None:
        """Refine near misses together, and take in turn those that exceed the threshold."""
        results: dict[int, Refined] = {}
        modes = [candidate["origin"]["mode"] for candidate in candidates]
        for mode in dict.fromkeys(modes):
            chosen = [index for index, other in enumerate(modes) if other == mode]
            refined = refine(
                [to_atoms(candidates[index]["structure"]) for index in chosen],
                self.model,
                self.fingerprint,
                self.statistics[mode] if self.variance is None else self.variance,
                self.maker.params,
            )
            results |= dict(zip(chosen, refined, strict=True))
        for index, candidate in enumerate(candidates):
            self.steps += results[index].steps
            self.gains.append((results[index].gain_before, results[index].gain_after))
            refused = results[index].refused
            if refused:
                self.refusals[refused] += 1
            if not self.is_full:
                self._take(candidate, results[index])

    def _take(self, candidate: dict[str, Any], refined: Refined) -> None:
        """Take a refined candidate if its gain exceeds the threshold, with all before it taken in.

        With a target the gain is that of the target, and any is worth the label that was left.
        """
        source = dict(candidate["origin"])
        q = self.fingerprint(refined.atoms)
        gain = self.statistics[source["mode"]].gain(q)
        score = None if self.variance is None else self.variance.gain(q)
        if not (gain > self.theta_min if score is None else score > 0.0):
            return
        source |= {"refined_from": refined.gain_before, "refine_steps": refined.steps}
        key = candidate["key"].replace("explore", self.maker.name)
        self.entries.append(Entry(key, to_structure(refined.atoms), q, gain, source, score))
        if self.variance is not None:
            self.variance.add(q)
        for statistics in self.statistics.values():
            statistics.add(q)
