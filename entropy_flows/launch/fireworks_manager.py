"""FireWorks as the workflow manager of campaigns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.activity import is_run_now, running_jobs
from entropy_flows.launch.deletion import delete_jobs
from entropy_flows.launch.findings import last_line
from entropy_flows.launch.holding import apply_hold
from entropy_flows.launch.indexes import prepare_launchpad
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.local import ended_workers, local_workers
from entropy_flows.launch.manager import JobRecord
from entropy_flows.launch.repair import repair, retry_stages
from entropy_flows.launch.repair_report import RepairReport
from entropy_flows.launch.verify_jobs import check_jobs
from entropy_flows.launch.waiting import let_go_on
from entropy_flows.schemas.status import RunningJob
from entropy_flows.store import CampaignStore
from entropy_flows.store.verify_context import VerifyResult

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from jobflow import Flow

STATES = {"RESERVED": "QUEUED", "FIZZLED": "FAILED", "DEFUSED": "CANCELLED"}
"""FireWorks' word for a state → that of `job_states`; the others are the same."""
ENDED = ("COMPLETED", "ARCHIVED")
"""FireWorks' states of jobs that will not run any more."""


@dataclass(frozen=True)
class FireWorksManager:
    """The jobs of campaigns on a launchpad.

    Attributes
    ----------
    pad
        FireWorks' launchpad.
    """

    pad: LaunchPad

    def prepare(self) -> None:
        """Give a new launchpad its counters and indexes."""
        is_new = self.pad.fireworks.find_one({}) is None
        if is_new and self.pad.fw_id_assigner.find_one({}) is None:
            prepare_launchpad(self.pad)

    def jobs(self, campaign: str, **metadata: str) -> list[JobRecord]:
        """Return a campaign's jobs, those with this metadata alone if there is any."""
        return self._jobs(campaign, {f"spec.{name}": value for name, value in metadata.items()})

    def _jobs(self, campaign: str, query: dict[str, Any]) -> list[JobRecord]:
        query = {"spec.campaign": campaign, **query}
        documents = self.pad.fireworks.find(query, {"spec.uuid": 1, "name": 1, "state": 1})
        # A document may have been damaged: `verify` names what it lacks.
        return [
            JobRecord(job["spec"]["uuid"], job.get("name", ""), _neutral(job.get("state", "")))
            for job in documents
            if "uuid" in job["spec"]
        ]

    def job_uuids(self, campaign: str) -> frozenset[str]:
        """Return the identifiers of a campaign's jobs."""
        return frozenset(job.uuid for job in self.jobs(campaign))

    def job_counts(self, campaign: str) -> dict[str, int]:
        """Return the number of a campaign's jobs by state.

        A job that gathers a wide fan-out, or whose cells are to be approved, is PAUSED by the
        workers until all is there. It is counted as WAITING.
        """
        waits = {"$or": [{"$isArray": "$spec.awaited_jobs"}, "$spec.awaits_approval"]}
        is_paused = {"$eq": ["$state", "PAUSED"]}
        state = {"$cond": [{"$and": [is_paused, waits]}, "WAITING", "$state"]}
        stages: list[dict[str, Any]] = [
            {"$match": {"spec.campaign": campaign}},
            {"$group": {"_id": state, "count": {"$sum": 1}}},
        ]
        rows = self.pad.fireworks.aggregate(stages)
        return {_neutral(row["_id"]): row["count"] for row in rows}

    def open_jobs(self, campaign: str) -> list[JobRecord]:
        """Return the jobs of a campaign that have not ended."""
        return self._jobs(campaign, {"state": {"$nin": list(ENDED)}})

    def running_jobs(self, campaign: str, criteria: LivenessCriteria) -> list[RunningJob]:
        """Return the jobs that somebody has taken, with what their workers say of them."""
        return running_jobs(self.pad, campaign, criteria)

    def has_flow(self, flow: Flow) -> bool:
        """Return True if the flow's jobs were added before."""
        from entropy_flows.launch.task import is_added, to_workflow

        return is_added(self.pad, to_workflow(flow))

    def add_flow(self, flow: Flow) -> bool:
        """Add a flow unless its jobs are there; return True if it was added."""
        from entropy_flows.launch.task import add_once, to_workflow

        return add_once(self.pad, to_workflow(flow))

    def delete(self, campaign: str, uuids: Collection[str] | None = None) -> int:
        """Delete a campaign's jobs, or the flows of these; return the number of jobs."""
        return delete_jobs(self.pad, campaign, uuids)

    def last_failure(self, campaign: str) -> str | None:
        """Describe the last job that failed, in one line; None if none did."""
        query = {"spec.campaign": campaign, "state": "FIZZLED"}
        job = self.pad.fireworks.find_one(query, sort=[("fw_id", -1)])
        if job is None:
            return None
        of_job = {"fw_id": job["fw_id"]}
        launch = self.pad.launches.find_one(of_job, sort=[("launch_id", -1)]) or {}
        stored = (launch.get("action") or {}).get("stored_data") or {}
        exception = stored.get("_exception") or {}
        traceback = str(exception.get("_stacktrace", "no traceback was stored"))
        return f"job {job['name']!r} failed: {last_line(traceback)}"

    def start_command(self, typed: str, is_embedded: bool) -> str:
        """Return the command that starts workers, for people."""
        command = f"entropy-flows run {typed}"
        return command if is_embedded else f"{command}, or by workers of your queue"

    def has_workers(self, store: CampaignStore) -> bool:
        """Return True if a `run` holds the campaign."""
        return is_run_now(store.database, store.name)

    def workers(self, campaign: str) -> Collection[str]:
        """Return the names of all local workers that ever took a job of a campaign."""
        return local_workers(self.pad, campaign)

    def ended_workers(self, campaign: str) -> Collection[str]:
        """Return the names of those local workers whose process has ended on this machine."""
        return ended_workers(self.pad, campaign)

    def apply_hold(self, store: CampaignStore) -> int:
        """Keep a held campaign's jobs from starting, or let them go on; see `launch.holding`."""
        return apply_hold(self.pad, store)

    def release_approved(self, store: CampaignStore) -> None:
        """Let the jobs go on whose cells have all been approved or rejected."""
        hold = store.hold()
        if hold is None or not hold.keeps_jobs:
            let_go_on(self.pad, {"spec.campaign": store.name, "spec.awaits_approval": True})

    def repair(
        self,
        campaign: str,
        criteria: LivenessCriteria | None = None,
        *,
        dry_run: bool = False,
        retry: bool = False,
    ) -> RepairReport:
        """Find and mend what dead workers left of a campaign's jobs; see `launch.repair`."""
        return repair(self.pad, campaign, criteria, dry_run=dry_run, retry=retry)

    def retry_stages(self, store: CampaignStore, dry_run: bool = False) -> RepairReport:
        """Run the failed stages of the last iteration again, and the jobs after them."""
        return retry_stages(self.pad, store, dry_run)

    def check_jobs(self, store: CampaignStore) -> VerifyResult:
        """Check that a campaign's jobs are whole and agree with one another."""
        return check_jobs(self.pad, store)


def _neutral(state: str) -> str:
    """Translate FireWorks' word for a state."""
    return STATES.get(state, state)
