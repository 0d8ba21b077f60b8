"""Small jobs for tests of how jobs run; workers in other processes import them from here."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import rattled
from jobflow import Flow, Maker, Response, job
from pymongo.collection import Collection

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.common import current_uuid, stage_job, with_stable_uuid
from entropy_flows.schemas.documents import Document
from entropy_flows.store import CampaignStore, Entry, lease
from entropy_flows.store.holds import HoldKind

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))


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
            raise {
                "ValueError": ValueError,
                "OSError": lambda _: OSError(28, "No space left on device"),
            }[self.error]("no")
        return Counted(iteration=iteration, runs=runs, trajectories=[[1.5, runs]])


def stop_before(write, path):
    """Stop this process, as SIGSTOP does, just before it sends its `write`-th write, from 1.

    The file has then the collections of all writes up to this one.
    """
    aggregate = Collection.aggregate
    sent = []

    def stopping(collection, pipeline, *args, **kwargs):
        if "$merge" in pipeline[-1]:
            sent.append(pipeline[-1]["$merge"]["into"])
            if len(sent) == write:
                Path(path).write_text(" ".join(sent))
                os.kill(os.getpid(), signal.SIGSTOP)
        return aggregate(collection, pipeline, *args, **kwargs)

    Collection.aggregate = stopping


@dataclass
class AllWritesMaker(Maker):
    """A stage that writes other numbers each time it runs; its first run stops in between."""

    name: str = "writes"

    @stage_job(Counted)
    def make(self, campaign, iteration, path, write):
        runs = mark(path)
        lease.LEASE_SECONDS = 2.0
        if runs == 1:
            stop_before(write, f"{path}.sent")
        store = CampaignStore.open(campaign)
        store.record(iteration, train={"epoch": runs})
        cells = [to_structure(rattled("Si", repeat=1, seed=n)) for n in range(3)]
        entries = [
            Entry(
                f"{iteration:03d}/select/{n:05d}",
                cell,
                np.full((len(cell), 4), n + 1.0),
                float(runs),
                {"run": runs},
            )
            for n, cell in enumerate(cells)
        ]
        ledger = store.ledger(DATASET)
        ledger.append_accepted(iteration, "select", entries)
        label = {"converged": True, "free_energy": float(runs), "forces": [], "wall_seconds": runs}
        for entry in ledger.entries():
            store.add_label(entry, "settings", label)
        store.set_splits({entry.key: "train" for entry in entries})
        model = Path(f"{path}.{runs}.nequip.zip")
        model.write_text(str(runs))
        store.save_model(iteration, model, runs=runs)
        store.add_failure(iteration, self.name, self.name, current_uuid(), f"run {runs}")
        store.set_state("running", f"run {runs}")
        return Counted(iteration=iteration, runs=runs, trajectories=[[1.5, runs]])


@job
def child(path):
    """Count a run."""
    return mark(path)


@job
def parent(campaign, path, places, addition=False):
    """Add a child for each place, as a detour or as an addition."""
    flow = Flow([with_stable_uuid(child(f"{path}{place}"), campaign, 1, place) for place in places])
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
    children = [with_stable_uuid(child(f"{path}{n}"), campaign, 1, "fan", n) for n in range(jobs)]
    ends = [
        with_stable_uuid(
            gather(f"{path}-end{n}", [made.output for made in children[n : n + chunk]]),
            campaign,
            1,
            "end",
            n,
        )
        for n in range(0, jobs, chunk)
    ]
    last = with_stable_uuid(
        gather(f"{path}-last", [end.output for end in ends]), campaign, 1, "last"
    )
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


@job
def pausing(campaign, path, places):
    """Add a child for each place, and pause the campaign meanwhile as somebody else might."""
    CampaignStore.open(campaign).set_hold(HoldKind.PAUSE)
    flow = Flow([with_stable_uuid(child(f"{path}{place}"), campaign, 1, place) for place in places])
    return Response(output=1, detour=flow)
