"""Check a campaign's jobs at jobflow-remote: documents, flows, locks, states and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from entropy_flows.launch.job_states import UNFINISHED_STATES
from entropy_flows.launch.remote.states import FAILED, STATE_FIELDS, TAKEN, state_of
from entropy_flows.store import CampaignStore
from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.remote_stores import FLOWS, JOBS
from entropy_flows.store.verify_context import VerifyResult, find_in_batches, lasting

STAGES_AFTER_THE_END = ("physics", "retrain")
"""Stages whose jobs may be submitted when the campaign has ended."""
Jobs = dict[str, dict[str, Any]]


def check_jobs(store: CampaignStore) -> VerifyResult:
    """Check that a campaign's jobs are whole, that each is there once, and that none has failed.

    Parameters
    ----------
    store
        The campaign.
    """
    count = store.database[JOBS].count_documents({"job.metadata.campaign": store.name})
    return VerifyResult("jobs", count, lasting(lambda: list(_problems(store))))


def _problems(store: CampaignStore) -> Iterator[str]:
    """Yield a line for each thing that is wrong."""
    fields = {**STATE_FIELDS, "lock_time": 1, "parents": 1}
    query = {"job.metadata.campaign": store.name}
    documents = list(store.database[JOBS].find(query, fields))
    jobs = {job["uuid"]: job for job in documents}
    for uuid, number in Counter(job["uuid"] for job in documents).items():
        if number > 1:
            yield f"{_name(jobs[uuid])}: there {number} times"
    is_active = any(job["state"] in TAKEN for job in documents)
    if not is_active:
        yield from _broken_flows(store, jobs)
        for job in documents:
            if job.get("lock_time") is not None:
                yield f"{_name(job)}: locked since {job['lock_time']}"
    yield from _missing_outputs(store, jobs)
    for job in documents:
        if job["state"] in FAILED:
            yield f"{_name(job)}: {job['state']}; see `entropy-flows repair`"
    if store.document()["state"] == "done":
        for job in documents:
            is_left = state_of(job) in UNFINISHED_STATES
            if is_left and job["job"]["name"] not in STAGES_AFTER_THE_END:
                yield f"{_name(job)}: {job['state']} although the campaign is done"


def _broken_flows(store: CampaignStore, jobs: Jobs) -> Iterator[str]:
    """Yield where flows and jobs do not agree, which they may while something runs."""
    flows = list(store.database[FLOWS].find({"metadata.campaign": store.name}))
    placed = set()
    for flow in flows:
        placed |= set(flow["jobs"])
        if flow.get("lock_id") is not None:
            yield f"flow {flow['name']!r}: locked since {flow['lock_time']}"
        for uuid in sorted(set(flow["jobs"]) - jobs.keys()):
            yield f"flow {flow['name']!r}: its job {uuid} is gone"
        recorded = {
            uuid: parents
            for uuid, by_index in flow["parents"].items()
            for parents in by_index.values()
        }
        for uuid, parents in recorded.items():
            if uuid in jobs and not set(parents) <= set(jobs[uuid]["parents"] or ()):
                yield f"{_name(jobs[uuid])}: its parents are not those of its flow"
    for uuid in sorted(jobs.keys() - placed):
        yield f"{_name(jobs[uuid])}: in no flow"


def _missing_outputs(store: CampaignStore, jobs: Jobs) -> Iterator[str]:
    """Yield the jobs that have ended and stored no output."""
    completed = {uuid for uuid, job in jobs.items() if job["state"] == "COMPLETED"}
    rows = find_in_batches(store.database[OUTPUTS], "uuid", completed, {"uuid": 1})
    for uuid in sorted(completed - {row["uuid"] for row in rows}):
        yield f"{_name(jobs[uuid])}: COMPLETED, and its output is gone"


def _name(job: dict[str, Any]) -> str:
    return f"job {job['db_id']} ({job['job']['name']})"
