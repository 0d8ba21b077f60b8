"""Small jobs for tests of how jobs run; workers in other processes import them from here."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from jobflow import Flow, Maker, Response, job

from entropy_flows.jobs.common import identified, stage_job
from entropy_flows.schemas.documents import Document


class Counted(Document):
    """What a counting stage returns."""

    iteration: int
    runs: int
    trajectories: list[list[float]]


def mark(path):
    """Count runs in a file, which no crash takes back."""
    with open(path, "a") as stream:
        stream.write("x")
    return len(Path(path).read_text())


@dataclass
class CountMaker(Maker):
    """A stage that counts its runs, and fails the first few times as it is told."""

    name: str = "count"
    failures: int = 0
    error: str = "ValueError"

    @stage_job(Counted)
    def make(self, campaign, iteration, path):
        runs = mark(path)
        if runs <= self.failures:
            raise {"ValueError": ValueError, "OSError": lambda _: OSError(28, "No space left on device")}[self.error](
                "no"
            )
        return Counted(iteration=iteration, runs=runs, trajectories=[[1.5, runs]])


@job
def child(path):
    """Count a run."""
    return mark(path)


@job
def parent(campaign, path, places, addition=False):
    """Add a child for each place, as a detour or as an addition."""
    flow = Flow([identified(child(f"{path}{place}"), campaign, 1, place) for place in places])
    mark(path)
    return Response(output=1, **{"addition" if addition else "detour": flow})


@job
def gather(path, outputs):
    """Note what it was given."""
    with open(path, "a") as stream:
        stream.write(f"{outputs} ")
    return outputs


@job
def fan_out(campaign, path, jobs, chunk):
    """Add jobs in chunks, and one that gathers what the chunks gathered."""
    children = [identified(child(f"{path}{n}"), campaign, 1, "fan", n) for n in range(jobs)]
    ends = [
        identified(gather(f"{path}-end{n}", [made.output for made in children[n : n + chunk]]), campaign, 1, "end", n)
        for n in range(0, jobs, chunk)
    ]
    last = identified(gather(f"{path}-last", [end.output for end in ends]), campaign, 1, "last")
    for end in ends:
        end.metadata["chunk"] = last.uuid
    return Response(output=1, detour=Flow([*children, *ends, last]))


@job
def sleeper(path, seconds):
    """Take its time."""
    mark(path)
    time.sleep(seconds)
    mark(f"{path}.done")


@job
def writer(path, seconds):
    """Write to the database for a while, which stops answering meanwhile."""
    from entropy_flows.store import connect

    mark(path)
    numbers, deadline = connect()["numbers"], time.monotonic() + seconds
    while time.monotonic() < deadline:
        numbers.insert_one({"x": 1})
        time.sleep(0.05)
    return 1


@job
def killed(path):
    """Die as if the kernel had killed the process."""
    if mark(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1
