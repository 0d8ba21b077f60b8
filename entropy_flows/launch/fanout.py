"""Wide fan-outs: a thousand labels are ten workflows of a hundred, and the job that gathers them waits for all.

FireWorks locks, reads and writes the whole workflow whenever one of its jobs starts or ends, so the
time for that grows with the number of its jobs, and no other of them can do the same meanwhile. A
job that a Maker has marked as the end of a chunk (metadata `chunk`: the uuid of the job that
gathers) becomes, with the jobs before it, a workflow of its own.

    the gathering job, started     a chunk has no output yet → pause, look once more, go on if all have one
    the end of a chunk, done       all chunks have an output → let the gathering job go on

Each looks after it has done its part, so one of them sees what both have done, whoever comes first.
"""

from __future__ import annotations

from collections import defaultdict

from fireworks import LaunchPad, Workflow

from entropy_flows.store.connection import OUTPUTS


def without_chunks(workflow: Workflow) -> tuple[list[Workflow], Workflow]:
    """Take the chunks out of a workflow.

    Parameters
    ----------
    workflow
        Its jobs have their `uuid` in the spec, and the ends of chunks their `chunk`.

    Returns
    -------
    list of Workflow
        One per chunk.
    Workflow
        The rest. The spec of the gathering job and of the chunks' ends says in `needs` for which
        jobs it waits.
    """
    ends = defaultdict(list)
    for fw_id, firework in workflow.id_fw.items():
        if "chunk" in firework.spec:
            ends[firework.spec["chunk"]].append(fw_id)
    parts = [_with_ancestors(workflow, end) for several in ends.values() for end in several]
    for gathering, several in ends.items():
        needs = [workflow.id_fw[end].spec["uuid"] for end in several]
        for firework in workflow.fws:
            if firework.spec["uuid"] in (gathering, *needs):
                firework.spec["needs"] = needs
    rest = set(workflow.id_fw).difference(*parts)
    return [_part(workflow, part) for part in parts], _part(workflow, rest)


def is_complete(pad: LaunchPad, needs: list[str]) -> bool:
    """Whether all these jobs have stored their output."""
    return len(pad.db[OUTPUTS].distinct("uuid", {"uuid": {"$in": needs}})) == len(needs)


def pause(pad: LaunchPad, fw_id: int, needs: list[str]) -> None:
    """Have the running job wait until what it needs is there; this run of it is void."""
    pad.rerun_fw(fw_id)
    pad.pause_fw(fw_id)
    if is_complete(pad, needs):
        pad.resume_fw(fw_id)


def let_go_on(pad: LaunchPad, gathering: str, needs: list[str]) -> None:
    """Let the gathering job go on if it waits and all is there."""
    if not is_complete(pad, needs):
        return
    for firework in pad.fireworks.find({"spec.uuid": gathering, "state": "PAUSED"}, {"fw_id": 1}):
        pad.resume_fw(firework["fw_id"])


def _with_ancestors(workflow: Workflow, fw_id: int) -> set[int]:
    parents = workflow.links.parent_links.get(fw_id, [])
    return {fw_id}.union(*(_with_ancestors(workflow, parent) for parent in parents))


def _part(workflow: Workflow, ids: set[int]) -> Workflow:
    """Some jobs of a workflow, with the links among them."""
    fireworks = [firework for firework in workflow.fws if firework.fw_id in ids]
    for firework in fireworks:
        firework.parents = []
    links = {fw_id: [child for child in workflow.links[fw_id] if child in ids] for fw_id in ids}
    return Workflow(fireworks, links, name=workflow.name)
