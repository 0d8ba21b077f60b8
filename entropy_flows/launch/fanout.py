"""Split wide fan-outs: a thousand labels are ten workflows, and one job waits for all of them.

FireWorks locks, reads and writes the whole workflow whenever one of its jobs starts or ends. The
time for that grows with the number of its jobs, and no other of them can do the same meanwhile.
Therefore a job that a Maker has marked as the end of a chunk becomes a workflow of its own, with
the jobs before it. The mark is the metadata `chunk`: the uuid of the job that gathers.

The gathering job pauses until all chunks have an output (`launch.waiting`).
"""

from __future__ import annotations

from collections import defaultdict

from fireworks import Workflow


def without_chunks(workflow: Workflow) -> tuple[list[Workflow], Workflow]:
    """Take the chunks out of a workflow.

    Parameters
    ----------
    workflow
        Workflow whose jobs have their `uuid` in the spec, and the ends of chunks their `chunk`.

    Returns
    -------
    list of Workflow
        One workflow for each chunk.
    Workflow
        The rest. The spec of the gathering job and of the chunks' ends names in `awaited_jobs` the
        jobs that the gathering one waits for.
    """
    ends = defaultdict(list)
    for fw_id, firework in workflow.id_fw.items():
        if "chunk" in firework.spec:
            ends[firework.spec["chunk"]].append(fw_id)
    chunks = []
    for gathering_uuid, fw_ids in ends.items():
        chunks += [_with_ancestors(workflow, fw_id) for fw_id in fw_ids]
        awaited_jobs = [workflow.id_fw[fw_id].spec["uuid"] for fw_id in fw_ids]
        for firework in workflow.fws:
            if firework.spec["uuid"] in (gathering_uuid, *awaited_jobs):
                firework.spec["awaited_jobs"] = awaited_jobs
    rest = set(workflow.id_fw).difference(*chunks)
    workflows = [_subworkflow(workflow, chunk) for chunk in chunks]
    return workflows, _subworkflow(workflow, rest)


def _with_ancestors(workflow: Workflow, fw_id: int) -> set[int]:
    """Return the numbers of a job and of all jobs before it."""
    parents = workflow.links.parent_links.get(fw_id, [])
    return {fw_id}.union(*(_with_ancestors(workflow, parent) for parent in parents))


def _subworkflow(workflow: Workflow, fw_ids: set[int]) -> Workflow:
    """Build a workflow of some of a workflow's jobs, with the links among them."""
    fireworks = [firework for firework in workflow.fws if firework.fw_id in fw_ids]
    for firework in fireworks:
        firework.parents = []
    links = {}
    for fw_id in fw_ids:
        links[fw_id] = [child for child in workflow.links[fw_id] if child in fw_ids]
    return Workflow(fireworks, links, name=workflow.name)
