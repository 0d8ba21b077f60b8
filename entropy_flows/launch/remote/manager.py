"""jobflow-remote as the workflow manager of campaigns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.findings import last_line
from entropy_flows.launch.holding import follow_hold
from entropy_flows.launch.job_states import ENDED_STATES
from entropy_flows.launch.liveness import LivenessCriteria, age
from entropy_flows.launch.manager import JobRecord
from entropy_flows.launch.remote.job import WORKERS, must_wait
from entropy_flows.launch.remote.project import RemoteProject, translate
from entropy_flows.launch.remote.repair import RemoteRepair, rerun_stages
from entropy_flows.launch.remote.states import FAILED, STATE_FIELDS, TAKEN, state_of
from entropy_flows.launch.remote.verify import check_jobs
from entropy_flows.launch.remote.waiting import make_ready, waiting_for_nothing
from entropy_flows.launch.repair_report import RepairReport
from entropy_flows.schemas.status import RunningJob
from entropy_flows.store import CampaignStore
from entropy_flows.store.remote_stores import AUXILIARY, FLOWS, JOBS
from entropy_flows.store.verify_context import VerifyResult

if TYPE_CHECKING:
    from jobflow import Flow
    from pymongo.database import Database

PROGRESS_FIELDS = ("title", "iteration", "done", "total", "unit", "note", "rate")
RUNNER_MARGIN = 1.5
"""A runner counts as there for so many of the intervals at which it says so."""


@dataclass(frozen=True)
class RemoteManager:
    """The jobs of campaigns in a project of jobflow-remote.

    Attributes
    ----------
    remote
        The project.
    database
        The database that has its jobs and the campaigns.
    """

    remote: RemoteProject
    database: Database

    @classmethod
    def of_project(cls, name: str | None) -> RemoteManager:
        """Open the manager of a project; None takes jobflow-remote's usual one.

        Raises
        ------
        StoreError
            If the project will not do; see `RemoteProject.open`.
        """
        from entropy_flows.store import connect

        return cls(RemoteProject.open(name), connect())

    def prepare(self) -> None:
        """Make what jobflow-remote needs in a new database, and its indexes."""
        auxiliary = self.database[AUXILIARY]
        empty: dict[str, Any] = {"next_id": 1, "running_runner": None, "runner_pings": []}
        is_new = auxiliary.find_one({"next_id": {"$exists": True}}) is None
        for name, value in empty.items():
            key = {name: {"$exists": True}}
            auxiliary.update_one(key, {"$setOnInsert": {name: value}}, upsert=True)
        if is_new:
            self.remote.controller.update_version_information()
            self.remote.controller.build_indexes()
        self.database[JOBS].create_index([("job.metadata.campaign", 1), ("state", 1)])
        self.database[FLOWS].create_index([("metadata.campaign", 1)])

    def _documents(
        self, campaign: str, fields: dict[str, int], query: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        chosen = {"job.metadata.campaign": campaign, **(query or {})}
        return iter(self.database[JOBS].find(chosen, fields))

    def jobs(self, campaign: str, **metadata: str) -> list[JobRecord]:
        """Return a campaign's jobs, those with this metadata alone if there is any."""
        query = {f"job.metadata.{name}": value for name, value in metadata.items()}
        documents = self._documents(campaign, STATE_FIELDS, query)
        return [JobRecord(row["uuid"], row["job"]["name"], state_of(row)) for row in documents]

    def job_uuids(self, campaign: str) -> frozenset[str]:
        """Return the identifiers of a campaign's jobs."""
        return frozenset(row["uuid"] for row in self._documents(campaign, {"uuid": 1}))

    def job_counts(self, campaign: str) -> dict[str, int]:
        """Return the number of a campaign's jobs by state."""
        return dict(Counter(job.state for job in self.jobs(campaign)))

    def open_jobs(self, campaign: str) -> list[JobRecord]:
        """Return the jobs of a campaign that have not ended."""
        return [job for job in self.jobs(campaign) if job.state not in ENDED_STATES]

    def running_jobs(self, campaign: str, criteria: LivenessCriteria) -> list[RunningJob]:
        """Return the jobs that somebody has taken, with what their workers say of them."""
        fields = {**STATE_FIELDS, "worker": 1, "updated_on": 1, "start_time": 1}
        documents = self._documents(campaign, fields, {"state": {"$in": list(TAKEN)}})
        taken = [_running_job(document, criteria) for document in documents]
        return sorted(taken, key=lambda job: (job.waits_in_queue, job.title))

    def has_flow(self, flow: Flow) -> bool:
        """Return True if the flow's jobs were added before."""
        uuids = list(flow.job_uuids)
        return self.database[JOBS].count_documents({"uuid": {"$in": uuids}}) == len(uuids)

    def add_flow(self, flow: Flow) -> bool:
        """Add a flow unless its jobs are there; return True if it was added.

        What an interrupted addition left of it is deleted before.

        Raises
        ------
        StoreError
            If the project has no worker for a job.
        ValueError
            If a worker's queue does not know what a job asks for.
        """
        if self.has_flow(flow):
            return False
        jobs = [job for job, _ in flow.iterflow()]
        configs: list[dict[str, Any]] = [job.config.manager_config for job in jobs]
        self.remote.check_workers(config["category"] for config in configs if "category" in config)
        facts = self.remote.worker_facts()
        table = {"$set": {WORKERS: facts}}
        self.database[AUXILIARY].update_one({WORKERS: {"$exists": True}}, table, upsert=True)
        for job in jobs:
            translate(job, facts)
        uuids = [job.uuid for job in jobs]
        self.database[FLOWS].delete_many({"jobs": {"$in": uuids}})
        self.database[JOBS].delete_many({"uuid": {"$in": uuids}})
        usual = next(iter(self.remote.project.workers))
        self.remote.controller.add_flow(flow, usual, allow_external_references=True)
        return True

    def delete(self, campaign: str, uuids: Collection[str] | None = None) -> int:
        """Delete a campaign's jobs, or the flows of these; return the number of jobs."""
        query: dict[str, Any] = {"metadata.campaign": campaign}
        if uuids is not None:
            query["jobs"] = {"$in": list(uuids)}
        flows: list[dict[str, Any]] = list(self.database[FLOWS].find(query, {"uuid": 1, "jobs": 1}))
        chosen = {uuid for flow in flows for uuid in flow["jobs"]} | set(uuids or ())
        of_jobs: dict[str, Any] = {"job.metadata.campaign": campaign}
        if uuids is not None:
            of_jobs["uuid"] = {"$in": sorted(chosen)}
        # no runner takes them any more; flows alone are found again by their campaign
        self.database[JOBS].update_many(
            {**of_jobs, "state": {"$in": ["READY", "WAITING"]}}, {"$set": {"state": "STOPPED"}}
        )
        number = self.database[JOBS].delete_many(of_jobs).deleted_count
        self.database[FLOWS].delete_many({"uuid": {"$in": [flow["uuid"] for flow in flows]}})
        return number

    def last_failure(self, campaign: str) -> str | None:
        """Describe the last job that failed, in one line; None if none did."""
        query = {"job.metadata.campaign": campaign, "state": {"$in": list(FAILED)}}
        job = self.database[JOBS].find_one(query, sort=[("updated_on", -1)])
        if job is None:
            return None
        error = job.get("error") or (job.get("remote") or {}).get("error") or "no error was stored"
        return f"job {job['job']['name']!r} failed: {last_line(error)}"

    def start_command(self, typed: str, is_embedded: bool) -> str:
        """Return the command that starts a runner, for people."""
        return f"jf -p {self.remote.project.name} runner start"

    def has_workers(self, store: CampaignStore) -> bool:
        """Return True if a runner has said lately that it is there."""
        pings = self.remote.controller.get_runner_pings()
        interval = self.remote.project.runner.delay_ping_db * RUNNER_MARGIN
        oldest = datetime.now(UTC) - timedelta(seconds=interval)
        return any(ping["time"].replace(tzinfo=UTC) > oldest for ping in pings)

    def workers(self, campaign: str) -> Collection[str]:
        """Return no name: no worker of jobflow-remote is a local one of `run`."""
        return ()

    def ended_workers(self, campaign: str) -> Collection[str]:
        """Return no name, as `workers`."""
        return ()

    def apply_hold(self, store: CampaignStore) -> int:
        """Keep a held campaign's jobs from starting, or let them go on; return how many changed.

        A job that the runner has taken already is PAUSED by its process (`remote.job`).
        """
        return follow_hold(store, lambda _: self._pause(store), lambda: self._resume(store.name))

    def _pause(self, store: CampaignStore) -> int:
        query = {"job.metadata.campaign": store.name, "state": "READY", "lock_id": None}
        paused = {"$set": {"state": "PAUSED", "updated_on": datetime.now(UTC)}}
        return self.database[JOBS].update_many(query, paused).modified_count

    def _resume(self, campaign: str, **metadata: Any) -> int:
        """Let the paused jobs of a campaign go on that need not wait; return their number."""
        query: dict[str, Any] = {f"job.metadata.{name}": value for name, value in metadata.items()}
        paused = self._documents(campaign, STATE_FIELDS, {**query, "state": "PAUSED"})
        released = [
            row["db_id"] for row in paused if not must_wait(row["job"]["metadata"], row["uuid"])
        ]
        change = {"$set": {"state": "WAITING", "updated_on": datetime.now(UTC)}}
        chosen = {"db_id": {"$in": released}, "state": "PAUSED"}
        number = self.database[JOBS].update_many(chosen, change).modified_count
        make_ready(self.database, waiting_for_nothing(self.database, campaign))
        return number

    def release_approved(self, store: CampaignStore) -> None:
        """Let the jobs go on whose cells have all been approved or rejected."""
        self._resume(store.name, awaits_approval=True)

    def repair(
        self,
        campaign: str,
        criteria: LivenessCriteria | None = None,
        *,
        dry_run: bool = False,
        retry: bool = False,
    ) -> RepairReport:
        """Find and mend what dead workers and runners left; see `remote.repair`."""
        store = CampaignStore(self.database, campaign)
        repair = RemoteRepair(self.remote, self.database, campaign, criteria or LivenessCriteria())
        report = repair.run(dry_run, retry)
        if not dry_run:
            self.apply_hold(store)
        return report

    def retry_stages(self, store: CampaignStore, dry_run: bool = False) -> RepairReport:
        """Run the failed stages of the last iteration again, and the jobs after them."""
        return rerun_stages(self.remote, store, dry_run)

    def check_jobs(self, store: CampaignStore) -> VerifyResult:
        """Check that a campaign's jobs are whole and agree with one another."""
        return check_jobs(store)


def _running_job(document: dict[str, Any], criteria: LivenessCriteria) -> RunningJob:
    """Describe one job by its document."""
    name = str(document["job"]["name"])
    launch = document.get("stored_data") or {}
    progress = launch.get("progress") or {}
    reported = {
        field: progress[field] for field in PROGRESS_FIELDS if progress.get(field) is not None
    }
    last_sign = launch.get("updated") or document["updated_on"]
    silence = max(0.0, age(last_sign))
    begun = launch.get("started") or document.get("start_time") or document["updated_on"]
    is_waiting = state_of(document) == "QUEUED"
    lost = None
    if launch.get("launch") and criteria.expiry is not None and silence > criteria.expiry:
        lost = f"no sign of life for {silence:.0f} s"
    return RunningJob(
        **{"title": name, **reported},
        stage=name.partition(" ")[0],
        worker=document.get("worker") or "",
        host=launch.get("host") or "",
        seconds=max(0.0, age(begun)),
        silence=silence,
        lost=lost,
        waits_in_queue=is_waiting,
    )
