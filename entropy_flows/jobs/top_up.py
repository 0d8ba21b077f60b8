"""The job that replaces failed labels by the best candidates that were left over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Response

from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import StageMaker, document, stage_job
from entropy_flows.jobs.explore import origin
from entropy_flows.jobs.label import PlanMaker, count
from entropy_flows.jobs.select import LazyCandidates, snapshots_of
from entropy_flows.schemas import ExploreDoc, LabelDoc
from entropy_flows.schemas.stages import PLANNED_STAGES, top_up_stage
from entropy_flows.select import GreedySelector
from entropy_flows.store import CampaignStore, Entry


@dataclass
class TopUpMaker(StageMaker):
    """Ask for as many labels again as have failed.

    Parameters
    ----------
    name
        Job name, and the stage of the ledger: `top_up_1`, `top_up_2`, …
    label
        The Maker that plans labels, with the static Maker in it.
    """

    name: str = top_up_stage(1)
    label: PlanMaker = field(default_factory=PlanMaker)

    @stage_job(LabelDoc, adds_jobs=True)
    def make(
        self, campaign: str, iteration: int, labelled: Any, explored: list[Any], *, dataset: DatasetParams,
        theta_min: float, model: str, engine_hash: str,
    ) -> Response | LabelDoc:  # fmt: skip
        """Choose replacements and plan their labels.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        labelled
            The label stage's document; only makes this job wait for the labels.
        explored
            The batches' documents; None for a lost one.
        dataset
            Fingerprint and regularisation of the covariance.
        theta_min
            Gain that a replacement must exceed: selection's.
        model
            Reference of the model that explored.
        engine_hash
            Hash of the label engine's settings.
        """
        store = CampaignStore.open(campaign)
        ledger = store.ledger(dataset)
        first = ledger.position(iteration, PLANNED_STAGES[0])
        before, planned = (
            ledger.position(iteration, stage) - first for stage in (self.name, top_up_stage(1))
        )
        earlier = [entry["_id"] for entry in ledger.entries(iteration=iteration)][:before]
        done = count(store.labels_of(earlier, engine_hash), iteration, before)
        missing = planned - done.labelled  # what failed in an earlier round was replaced there
        entries = self._replacements(
            ledger, iteration, explored, GreedySelector(theta_min), missing, model
        )
        ledger.append(iteration, self.name, entries)
        store.record(
            iteration, **{f"top_up.{self.name}": {"missing": missing, "replaced": len(entries)}}
        )
        if not entries:
            return done
        ids = [entry["_id"] for entry in ledger.entries(iteration=iteration, stage=self.name)]
        store.record(iteration, **{"label.requested": before + len(ids)})
        return Response(
            output=done, detour=self.label.jobs(campaign, iteration, ids, engine_hash, before)
        )

    def _replacements(
        self,
        ledger: Any,
        iteration: int,
        explored: list[Any],
        selector: GreedySelector,
        wanted: int,
        model: str,
    ) -> list[Entry]:
        """The best of what was explored and is not in the data set, refined or not."""
        if wanted == 0:
            return []
        others = ledger.entries(iteration=iteration, stage={"$ne": self.name})
        taken = {entry["key"].replace("/refine/", "/explore/") for entry in others}
        batches = [
            doc for doc in (document(ExploreDoc, value) for value in explored) if doc is not None
        ]
        pool = [snapshot for snapshot in snapshots_of(batches) if snapshot.key not in taken]
        candidates = LazyCandidates(pool, range(len(pool)), ledger.fingerprint)
        entries = []
        for chosen in selector(candidates, ledger.statistics(iteration, self.name), wanted):
            key, run, step, atoms = pool[chosen.index]
            own = key.replace("explore", self.name)
            entries.append(
                Entry(
                    own,
                    to_structure(atoms),
                    chosen.candidate.q,
                    chosen.gain,
                    origin(run, step, model),
                )
            )
        return entries
