"""A worker that notes what each of its jobs costs: `python -m benchmarks.start_worker FILE`.

It goes on until no job is left, and adds a line of JSON to FILE for each. The first line has all
that the process did since it began, imports included.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire

from entropy_flows.launch.launchpad import launchpad


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


def main(file: str) -> None:
    """Take all jobs, and note what they cost."""
    pad = launchpad()
    before = dict.fromkeys(("cpu", "programs", "faults", "memory"), 0.0)
    while pad.run_exists(FWorker()):
        rapidfire(pad, FWorker(), nlaunches=1, strm_lvl="ERROR", local_redirect=True)
        launch = pad.launches.find_one({}, sort=[("launch_id", -1)])
        job = pad.fireworks.find_one({"fw_id": launch["fw_id"]}, {"name": 1, "state": 1})
        if job["state"] != "COMPLETED":
            raise RuntimeError(f"job {job['name']} is {job['state']}")
        now = used()
        row = {name: now[name] - before[name] for name in now} | {"memory": now["memory"]}
        with Path(file).open("a") as lines:
            lines.write(json.dumps({"job": job["name"].split()[0], **row}) + "\n")
        before = now


if __name__ == "__main__":
    main(*sys.argv[1:])
