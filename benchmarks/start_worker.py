"""A worker that notes what each of its jobs costs: `python -m benchmarks.start_worker FILE …`.

The arguments after FILE are the campaign and its model. It goes on until no job is left, and adds a
line of JSON to FILE for each. The first line has what it imported and loaded before its first job,
as a local worker does.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.preload import Preload


def used() -> dict[str, float]:
    """Return CPU seconds of this process and its children, page faults and peak memory (MiB)."""
    this = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu": this.ru_utime + this.ru_stime,
        "programs": children.ru_utime + children.ru_stime,
        "faults": this.ru_minflt,
        "memory": this.ru_maxrss / 1024,
    }


def main(file: str, campaign: str, model: str) -> None:
    """Import and load, take all jobs, and note what each costs."""
    preload = Preload(campaign, model)
    preload.add_what_is_stored()
    while preload.next():
        pass
    nothing = dict.fromkeys(("cpu", "programs", "faults", "memory"), 0.0)
    before = note(file, "before the first job", nothing)
    pad = launchpad()
    while pad.run_exists(FWorker()):
        rapidfire(pad, FWorker(), nlaunches=1, strm_lvl="ERROR", local_redirect=True)
        launch = pad.launches.find_one({}, sort=[("launch_id", -1)])
        job = pad.fireworks.find_one({"fw_id": launch["fw_id"]}, {"name": 1, "state": 1})
        if job["state"] != "COMPLETED":
            raise RuntimeError(f"job {job['name']} is {job['state']}")
        before = note(file, job["name"].split()[0], before)


def note(file: str, name: str, before: dict[str, float]) -> dict[str, float]:
    """Write a line of what was used since `before`; return what has been used by now."""
    now = used()
    row = {name: now[name] - before[name] for name in now} | {"memory": now["memory"]}
    with Path(file).open("a") as lines:
        lines.write(json.dumps({"job": name, **row}) + "\n")
    return now


if __name__ == "__main__":
    main(*sys.argv[1:])
