"""Mend what dead workers and runners of jobflow-remote left, while others work or not.

| killed | state left | kind |
| --- | --- | --- |
| a worker's process, its node | FAILED or REMOTE_ERROR, once the runner has looked | failed |
| a worker that is stopped, a disk that hangs | RUNNING without signs of life | lost |
| a runner, while it had a job or a flow | locked by nobody | lock |
| a runner, while it added the jobs of a job | some are there, the job has not ended | orphan |
| a runner, after it had written a job's end | WAITING for nothing | waiting |
| `submit`, while it added a flow | a flow without all its jobs | orphan |

jobflow-remote itself runs no failed job again, and the jobs after it wait. Everything that a job
writes is written by key, so a job that runs twice costs time and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.launch.findings import MAX_ATTEMPTS, last_line
from entropy_flows.launch.liveness import LivenessCriteria, age
from entropy_flows.launch.remote.job import OUTPUT_FILE
from entropy_flows.launch.remote.states import FAILED
from entropy_flows.launch.remote.waiting import make_ready, waiting_for_nothing
from entropy_flows.launch.repair_report import Finding, RepairReport
from entropy_flows.progress import duration
from entropy_flows.store import CampaignStore
from entropy_flows.store.remote_stores import FLOWS, JOBS

if TYPE_CHECKING:
    from pymongo.database import Database

    from entropy_flows.launch.remote.project import RemoteProject

Document = dict[str, Any]
FIELDS = {
    **dict.fromkeys(("uuid", "index", "db_id", "state", "stored_data", "updated_on", "worker"), 1),
    **dict.fromkeys(
        ("lock_time", "lock_id", "run_dir", "error", "remote", "reruns", "job.name"), 1
    ),
}
ENDING = ("RUN_FINISHED", "DOWNLOADED", "REMOTE_ERROR")
"""States in which the runner may have added some of the jobs that a job adds."""


@dataclass(frozen=True)
class RemoteRepair:
    """The repair of one campaign's jobs.

    Attributes
    ----------
    remote
        The project.
    database
        The database that has its jobs.
    campaign
        Name of the campaign. No other's jobs are touched.
    criteria
        What tells a dead worker from a living one.
    """

    remote: RemoteProject
    database: Database
    campaign: str
    criteria: LivenessCriteria

    def run(self, dry_run: bool = False, retry: bool = False) -> RepairReport:
        """Find what is wrong, and mend it.

        Parameters
        ----------
        dry_run
            Only find.
        retry
            Run jobs again that were given up.
        """
        findings = [*self._locks(dry_run), *self._added_in_part(dry_run)]
        findings += self._flows_in_part(dry_run)
        for job in self._jobs():
            finding = self._failed(job, retry) or self._lost(job)
            if finding is not None:
                findings.append(finding)
                if not dry_run and finding.kind != "given up":
                    self._rerun(job)
        findings += self._waiting(dry_run)
        return RepairReport(tuple(findings))

    def _jobs(self) -> list[Document]:
        query = {"job.metadata.campaign": self.campaign, "state": {"$ne": "COMPLETED"}}
        return list(self.database[JOBS].find(query, FIELDS).sort("created_on", 1))

    def _locks(self, dry_run: bool) -> Iterator[Finding]:
        """Find, and take away, locks that are old: the runner holds one for seconds.

        A runner that lives all the same finds its lock gone, and does the step again.
        """
        of_campaign = {JOBS: "job.metadata.campaign", FLOWS: "metadata.campaign"}
        for collection, field in of_campaign.items():
            query = {field: self.campaign, "lock_id": {"$ne": None}}
            for row in list(self.database[collection].find(query)):
                silence = age(row["lock_time"])
                if silence <= self.criteria.patience:
                    continue
                name = row["job"]["name"] if collection == JOBS else row["name"]
                problem = f"locked for {duration(silence)}"
                yield Finding("lock", row.get("db_id", row["uuid"]), name, problem, "unlocked")
                if not dry_run:
                    same = {"_id": row["_id"], "lock_id": row["lock_id"]}
                    free = {"$set": {"lock_id": None, "lock_time": None}}
                    self.database[collection].update_one(same, free)

    def _added_in_part(self, dry_run: bool) -> Iterator[Finding]:
        """Find, and take back, jobs that a runner has begun to add for a job that has not ended.

        The runner adds them again, and cannot while some are there.
        """
        for job in self._jobs():
            if job["state"] not in ENDING or self._is_busy(job):
                continue
            uuids = self._added_by(job)
            flow = self.database[FLOWS].find_one({"jobs": {"$in": uuids}}, {"uuid": 1})
            if flow is None:
                continue
            problem = "the runner was adding its jobs and died"
            yield Finding("orphan", job["db_id"], job["job"]["name"], problem, "taken back")
            if not dry_run:
                self._take_back(flow["uuid"], uuids)
                if job["state"] == "REMOTE_ERROR":
                    self.remote.controller.retry_job(db_id=job["db_id"])

    def _is_busy(self, job: Document) -> bool:
        """Return True if a runner may be writing a job now."""
        return job.get("lock_id") is not None

    def _added_by(self, job: Document) -> list[str]:
        """Return the identifiers of the jobs that a job has asked for, from what it returned."""
        from jobflow_remote.remote.data import get_local_data_path

        if job.get("run_dir") is None:
            return []
        folder = get_local_data_path(
            self.remote.project, job["worker"], job["uuid"], job["index"], job["run_dir"]
        )
        path = Path(folder) / OUTPUT_FILE
        if not path.is_file():
            return []
        response = json.loads(path.read_text()).get("response") or {}
        flows = (response.get(kind) for kind in ("detour", "addition", "replace"))
        return [uuid for flow in flows if flow for uuid in _uuids(flow)]

    def _take_back(self, flow: str, uuids: list[str]) -> None:
        """Delete jobs of a flow, and what it and others say of them."""
        jobs = self.database[JOBS]
        jobs.delete_many({"uuid": {"$in": uuids}, "state": {"$in": ["WAITING", "READY"]}})
        jobs.update_many({"parents": {"$in": uuids}}, {"$pull": {"parents": {"$in": uuids}}})
        document = self.database[FLOWS].find_one({"uuid": flow}) or {}
        kept_ids = [entry for entry in document["ids"] if entry[1] not in uuids]
        change = {
            "$set": {"ids": kept_ids},
            "$pull": {"jobs": {"$in": uuids}},
            "$unset": {f"parents.{uuid}": "" for uuid in uuids},
        }
        self.database[FLOWS].update_one({"uuid": flow}, change)

    def _flows_in_part(self, dry_run: bool) -> Iterator[Finding]:
        """Find, and delete, flows that were not added whole: `submit` adds them again."""
        for flow in list(self.database[FLOWS].find({"metadata.campaign": self.campaign})):
            uuids = flow["jobs"]
            present = self.database[JOBS].count_documents({"uuid": {"$in": uuids}})
            is_new = flow["state"] == "READY" and age(flow["created_on"]) > self.criteria.patience
            if present == len(set(uuids)) or not is_new:
                continue
            remedy = "deleted: then run `entropy-flows submit` again"
            yield Finding("orphan", flow["uuid"], flow["name"], "it lacks jobs", remedy)
            if not dry_run:
                self.database[JOBS].delete_many({"uuid": {"$in": uuids}})
                self.database[FLOWS].delete_one({"uuid": flow["uuid"]})

    def _failed(self, job: Document, retry: bool) -> Finding | None:
        """Find that a job's machine has failed."""
        if job["state"] not in FAILED or self._is_busy(job):
            return None
        error = job.get("error") or (job.get("remote") or {}).get("error") or job["state"]
        attempts = job.get("reruns", 0) + 1
        problem = f"{job['state']} {attempts} times: {last_line(error)}"
        kind, remedy = "failed", "run again"
        if attempts >= MAX_ATTEMPTS and not retry:
            kind, remedy = "given up", "given up; --retry runs it again"
        return Finding(kind, job["db_id"], job["job"]["name"], problem, remedy, uuid=job["uuid"])

    def _lost(self, job: Document) -> Finding | None:
        """Find that a job runs without signs of life."""
        launch = job.get("stored_data") or {}
        is_running = job["state"] in ("SUBMITTED", "RUNNING") and launch.get("launch")
        if not is_running or self.criteria.expiry is None:
            return None
        silence = age(launch["updated"])
        if silence <= self.criteria.expiry:
            return None
        problem = f"{job['state']}, but no sign of life for {duration(silence)}"
        return Finding("lost", job["db_id"], job["job"]["name"], problem, "run again")

    def _rerun(self, job: Document) -> None:
        """Have jobflow-remote run a job again, with a new folder, and count how often."""
        self.remote.controller.rerun_job(db_id=job["db_id"])
        self.database[JOBS].update_one({"db_id": job["db_id"]}, {"$inc": {"reruns": 1}})

    def _waiting(self, dry_run: bool) -> list[Finding]:
        """Find, and let go on, jobs that have waited for nothing for a while."""
        waiting = [
            job
            for job in waiting_for_nothing(self.database, self.campaign)
            if age(job["updated_on"]) > self.criteria.patience
        ]
        if not dry_run:
            make_ready(self.database, waiting)
        problem = "WAITING, and all before it has ended"
        return [
            Finding("waiting", job["db_id"], job["job"]["name"], problem, "let go on")
            for job in waiting
        ]


def rerun_stages(remote: RemoteProject, store: CampaignStore, dry_run: bool) -> RepairReport:
    """Run the stages again that failed in the last iteration, and the jobs after them.

    Parameters
    ----------
    remote
        The project that has the jobs.
    store
        The campaign.
    dry_run
        Only find.
    """
    messages = store.failed_stages()
    query = {"uuid": {"$in": list(messages)}, "state": "COMPLETED"}
    findings = []
    for job in store.database[JOBS].find(query, FIELDS).sort("created_on", 1):
        uuid = job["uuid"]
        name = job["job"]["name"]
        findings.append(
            Finding("stage", job["db_id"], name, messages[uuid], "run again", uuid=uuid)
        )
    if findings and not dry_run:
        store.set_state("running")
        for finding in findings:
            remote.controller.rerun_job(db_id=str(finding.job_id), force=True)
        store.delete_failures([str(finding.uuid) for finding in findings])
    return RepairReport(tuple(findings))


def _uuids(flow: Document) -> Iterator[str]:
    """Yield the identifiers of the jobs of a flow that was written as a document."""
    for item in flow.get("jobs", ()):
        if "jobs" in item:
            yield from _uuids(item)
        else:
            yield item["uuid"]
