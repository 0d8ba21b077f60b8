"""Check a campaign's jobs on the launchpad: documents, links, launches, states and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from entropy_flows.store import CampaignStore
from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.verify_context import VerifyResult, find_in_batches, lasting

if TYPE_CHECKING:
    from fireworks import LaunchPad

ACTIVE_STATES = ("RUNNING", "RESERVED")
UNFINISHED_STATES = ("READY", "WAITING", "PAUSED", "DEFUSED")
STAGES_AFTER_THE_END = ("physics", "retrain")
"""Stages whose jobs may be submitted when the campaign has ended."""
JOB_FIELDS = ("fw_id", "name", "state", "spec.uuid", "launches", "archived_launches")
WORKFLOW_FIELDS = ("nodes", "links", "parent_links", "fw_states", "locked", "updated_on", "name")


def check_jobs(pad: LaunchPad, store: CampaignStore) -> VerifyResult:
    """Check that a campaign's jobs are whole, that each is there once, and that none has failed.

    Parameters
    ----------
    pad
        The launchpad that has the jobs.
    store
        The campaign.
    """
    count = pad.fireworks.count_documents({"spec.campaign": store.name})
    problems = lasting(lambda: list(_JobDocuments(pad, store).problems()))
    return VerifyResult("jobs", count, problems)


@dataclass(frozen=True)
class _JobDocuments:
    """The documents of a campaign's jobs and workflows, as they are at one moment."""

    pad: LaunchPad
    store: CampaignStore

    @cached_property
    def jobs(self) -> dict[int, dict[str, Any]]:
        """FireWorks' number of each job → its document."""
        query = {"spec.campaign": self.store.name}
        documents = self.pad.fireworks.find(query, dict.fromkeys(JOB_FIELDS, 1))
        return {job["fw_id"]: job for job in documents}

    @cached_property
    def workflows(self) -> list[dict[str, Any]]:
        """Documents of the workflows that have these jobs, each once."""
        workflows = []
        remaining = set(self.jobs)
        while remaining:
            query = {"nodes": remaining.pop()}
            workflow = self.pad.workflows.find_one(query, dict.fromkeys(WORKFLOW_FIELDS, 1))
            if workflow is not None:
                remaining -= set(workflow["nodes"])
                workflows.append(workflow)
        return workflows

    def problems(self) -> Iterator[str]:
        """Yield a line for each thing that is wrong."""
        _ = self.jobs  # the jobs are read before the workflows: a new workflow is no problem
        for workflow in self.workflows:
            if workflow.get("locked"):
                yield f"workflow {workflow['name']!r}: locked since {workflow['updated_on']}"
        yield from self._broken_links()
        yield from self._jobs_without_document()
        yield from self._broken_launches()
        yield from self._missing_outputs()
        yield from self._misplaced_or_failed()
        if not any(job["state"] in ACTIVE_STATES for job in self.jobs.values()):
            yield from self._disagreements()

    def _broken_links(self) -> Iterator[str]:
        """Yield the workflows whose nodes, links and states are not of the same jobs."""
        for workflow in self.workflows:
            nodes = sorted(workflow["nodes"])
            children = _by_number(workflow.get("links", {}))
            parents = _by_number(workflow.get("parent_links", {}))
            if sorted(children) != nodes or _inverted(children) != parents:
                yield f"workflow {workflow['name']!r}: its links and its jobs do not agree"
            if sorted(map(int, workflow["fw_states"])) != nodes:
                yield f"workflow {workflow['name']!r}: its states and its jobs do not agree"

    def _jobs_without_document(self) -> Iterator[str]:
        """Yield the jobs of a workflow that are not on the launchpad."""
        names = {number: flow["name"] for flow in self.workflows for number in flow["nodes"]}
        documents = find_in_batches(self.pad.fireworks, "fw_id", names, {"fw_id": 1})
        present = {job["fw_id"] for job in documents}
        for number in sorted(names.keys() - present):
            yield f"job {number}: workflow {names[number]!r} has it, and it is gone"

    def _broken_launches(self) -> Iterator[str]:
        """Yield the jobs whose launches are gone, another job's, there twice, or not completed."""
        numbers = {
            number: [*job.get("launches", ()), *job.get("archived_launches", ())]
            for number, job in self.jobs.items()
        }
        all_numbers = [launch for launches in numbers.values() for launch in launches]
        fields = {"fw_id": 1, "launch_id": 1, "state": 1}
        documents = find_in_batches(self.pad.launches, "launch_id", all_numbers, fields)
        launches = {launch["launch_id"]: launch for launch in documents}
        for number, job in self.jobs.items():
            for launch in numbers[number]:
                if launches.get(launch, {}).get("fw_id") != number:
                    yield f"{_name(job)}: its launch {launch} is gone, or another job's"
            if len(set(numbers[number])) < len(numbers[number]):
                yield f"{_name(job)}: has a launch twice"
            current = [launches[n] for n in job.get("launches", ()) if n in launches]
            states = [launch.get("state") for launch in current]
            if job["state"] == "COMPLETED" and "COMPLETED" not in states:
                yield f"{_name(job)}: COMPLETED, and none of its launches is"

    def _missing_outputs(self) -> Iterator[str]:
        """Yield the jobs that have ended and stored no output."""
        completed = {
            job["spec"]["uuid"]: job
            for job in self.jobs.values()
            if job["state"] == "COMPLETED" and "uuid" in job["spec"]
        }
        outputs = self.store.database[OUTPUTS]
        fields = {"uuid": 1, "metadata.campaign": 1}
        present = set()
        for row in find_in_batches(outputs, "uuid", completed, fields):
            if row.get("metadata", {}).get("campaign") == self.store.name:
                present.add(row["uuid"])
        for uuid in sorted(completed.keys() - present):
            yield f"{_name(completed[uuid])}: COMPLETED, and its output is gone"

    def _misplaced_or_failed(self) -> Iterator[str]:
        """Yield the jobs in no workflow, those that are there twice, and those that failed."""
        in_workflows = {number for flow in self.workflows for number in flow["nodes"]}
        placed = in_workflows & set(self.jobs)
        uuids = Counter(self.jobs[number]["spec"].get("uuid") for number in placed)
        for number, job in self.jobs.items():
            uuid = job["spec"].get("uuid")
            if number not in placed:
                yield f"{_name(job)}: in no workflow"
            elif uuid is not None and uuids[uuid] > 1:
                yield f"{_name(job)}: there {uuids[uuid]} times"
            if job["state"] == "FIZZLED":
                yield f"{_name(job)}: FIZZLED; see `entropy-flows repair`"

    def _disagreements(self) -> Iterator[str]:
        """Yield where job, workflow and campaign differ, which they may while something runs."""
        for workflow in self.workflows:
            for key, recorded in workflow["fw_states"].items():
                job = self.jobs.get(int(key))
                if job is not None and job["state"] != recorded:
                    yield f"{_name(job)}: {job['state']}, its workflow says {recorded}"
        if self.store.document()["state"] == "done":
            for job in self.jobs.values():
                unfinished = job["state"] in UNFINISHED_STATES
                if unfinished and job["name"] not in STAGES_AFTER_THE_END:
                    yield f"{_name(job)}: {job['state']} although the campaign is done"


def _by_number(links: dict[str, list[int]]) -> dict[int, list[int]]:
    """Return links whose keys are numbers again, which MongoDB keeps as texts."""
    return {int(number): sorted(others) for number, others in links.items()}


def _inverted(children: dict[int, list[int]]) -> dict[int, list[int]]:
    """Return child → parents for parent → children."""
    parents: dict[int, list[int]] = {}
    for parent, numbers in children.items():
        for child in numbers:
            parents.setdefault(child, []).append(parent)
    return {child: sorted(numbers) for child, numbers in parents.items()}


def _name(job: dict[str, Any]) -> str:
    return f"job {job['fw_id']} ({job['name']})"
