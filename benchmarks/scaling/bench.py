"""A server, a campaign of silicon on it, and workers as processes of their own.

The model is the shipped one, a trajectory is seven steps, labels come from a Lennard-Jones
potential: numbers without meaning, at a cost beside which the workflow's own is seen.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from jobflow import Flow, Job

from entropy_flows.explore import seed_cell
from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.jobs.common import with_stable_uuid
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.local import LocalWorkers
from entropy_flows.launch.task import add_once, to_workflow
from entropy_flows.potentials import locate_model
from entropy_flows.schemas import Campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, connect
from entropy_flows.store.embedded import embedded_server

NAME, SEED, MODEL = "scale", 42, "shipped:si-small.nequip.zip"
LATTICES = {"diamond": ("Fd-3m", {"a": 5.43}), "beta-tin": ("I4_1/amd", {"a": 4.81, "c": 2.65})}
DESCRIPTION: dict[str, Any] = {
    "name": NAME,
    "elements": ["Si"],
    "seed": SEED,
    "base_model": MODEL,
    "phases": [
        {"name": name, "spacegroup": group, "lattice": lattice, "sites": {"Si": [[0, 0, 0]]},
         "primitive": True, "supercell": [2, 2, 2]}
        for name, (group, lattice) in LATTICES.items()
    ],
    "global_fingerprint": {"cutoff": 4.5, "natx": 24},
    "local_fingerprint": {"cutoff": 3.0, "natx": 16},
    "explore": {"steps": 7, "warm_up": 0, "ramp": 0, "snapshot_every": 1},
    "select": {"theta_min": 1e-2},
    "anchors": {"fraction": 0.0},
    "label": {"engine": "forcefield", "model": "ase.calculators.lj.LennardJones",
              "calculator_kwargs": {"sigma": 2.0, "epsilon": 0.5, "rc": 3.0}},
}  # fmt: skip
"""The demo's campaign with 7 steps a trajectory and a snapshot each."""
PATIENCE = 900.0
"""Seconds after which what is waited for will not come."""
ALL_AT_ONCE = 5
"""Rounds of warming up after which a worker that has had no job will not get one."""


@contextmanager
def server() -> Iterator[Path]:
    """Run an embedded server as this machine's; yield the folder of all files."""
    with (
        TemporaryDirectory(prefix="entropy-flows-scale-") as name,
        embedded_server(Path(name) / "database") as uri,
    ):
        os.environ |= {"ENTROPY_FLOWS_URI": uri, "ENTROPY_FLOWS_CACHE": str(Path(name) / "cache")}
        settings.cache_clear()
        yield Path(name)


def _read(file: Path) -> str:
    """Return the text of a file of /proc, whose process may have ended."""
    try:
        return file.read_text()
    except OSError:
        return ""


@dataclass(frozen=True)
class Batch:
    """Jobs that were added together: those from number `first` on, of this iteration."""

    iteration: int
    first: int


class Bench:
    """The campaign in a database of its own.

    Parameters
    ----------
    folder
        Of the server.
    database
        Name of the database.
    natx
        Length of the data set's fingerprints.
    """

    def __init__(self, folder: Path, database: str, natx: int = 24):
        os.environ["ENTROPY_FLOWS_DATABASE"] = database
        settings.cache_clear()
        self.folder, self.iteration = folder / database, 0
        self.folder.mkdir()
        self.description = DESCRIPTION | {"global_fingerprint": {"cutoff": 4.5, "natx": natx}}
        campaign = Campaign.model_validate(self.description)
        self.store = CampaignStore(connect(), NAME)
        self.store.create(campaign)
        self.ledger = self.store.ledger(campaign.dataset)
        self.model = self.store.save_model(0, locate_model(MODEL, Path()), role="base")
        self.seeds = {phase.name: seed_cell(phase, Path()) for phase in campaign.phases}
        self.pad = launchpad()
        FireWorksManager(self.pad).prepare()

    @property
    def server(self) -> int:
        """Number of the server's process, which this one has started."""
        tasks = Path(f"/proc/{os.getpid()}/task")
        children = [int(n) for task in tasks.iterdir() for n in _read(task / "children").split()]
        (found,) = (n for n in children if "store/server.py" in _read(Path(f"/proc/{n}/cmdline")))
        return found

    def next_iteration(self) -> int:
        """Number of an iteration that is not there yet."""
        self.iteration += 1
        return self.iteration

    def makers(self, **sections: dict[str, Any]) -> ActiveLearningMaker:
        """The Makers, some sections of the description changed."""
        changed = {
            name: {**self.description[name], **changes} for name, changes in sections.items()
        }
        campaign = Campaign.model_validate(self.description | changed)
        return ActiveLearningMaker.from_campaign(campaign)

    def entries(self, iteration: int, count: int) -> list[Entry]:
        """Rattled diamond cells as selection accepts them."""
        rng, cells = np.random.default_rng(iteration), []
        for _ in range(count):
            cells.append(to_atoms(self.seeds["diamond"]))
            cells[-1].positions += rng.normal(scale=0.08, size=cells[-1].positions.shape)
        keys = (f"{iteration:03d}/explore/{number:05d}/00000" for number in range(count))
        prints = self.ledger.fingerprint(cells)
        return [
            Entry(key, to_structure(cell), q, 0.1)
            for key, cell, q in zip(keys, cells, prints, strict=True)
        ]

    def add(self, iteration: int, flow: Flow) -> Batch:
        """Put a flow on the launchpad."""
        flow.update_metadata({"campaign": NAME}, dynamic=True)
        first = self.pad.fw_id_assigner.find_one({})["next_fw_id"]
        add_once(self.pad, to_workflow(flow))
        return Batch(iteration, first)

    def run_here(self) -> float:
        """Run the one job that is ready in this process.

        The seconds go from taking it to the end of what it adds.
        """
        started = time.perf_counter()
        rapidfire(
            self.pad,
            FWorker("here"),
            nlaunches=1,
            m_dir=str(self.folder),
            strm_lvl="ERROR",
            local_redirect=True,
        )
        return time.perf_counter() - started


class Workers:
    """Local workers that have done their imports.

    Parameters
    ----------
    bench
        Whose jobs they take.
    count
        How many.
    warm_up
        Adds so many jobs of each kind that will be measured, and one that gathers.
    """

    def __init__(self, bench: Bench, count: int, warm_up: Callable[[Bench, int], Batch]):
        self.bench, self.count, self.warm_up = bench, count, warm_up
        self.local = LocalWorkers(NAME, bench.folder, count)

    def __enter__(self) -> Workers:
        self.local.__enter__()
        self.local.begin()
        for _ in range(ALL_AT_ONCE):
            self.wait(self.warm_up(self.bench, 2 * self.count), "gather", 0)
            if set(self.local.processes) <= set(self.bench.pad.launches.distinct("fworker.name")):
                return self
        raise RuntimeError(
            f"not all of {self.count} workers took a job; see {self.bench.folder / 'logs'}"
        )

    def __exit__(self, *_: object) -> None:
        self.local.__exit__()

    def wait(self, batch: Batch, name: str, *places: int) -> None:
        """Wait until the jobs of this name, or those with these numbers, are completed.

        Asks for one job at a time by its uuid, which has an index: asking for a whole batch keeps
        the server busy.
        """
        deadline = time.monotonic() + PATIENCE
        for place in [[place] for place in places] or [[]]:
            awaited = with_stable_uuid(Job(print, name=name), NAME, batch.iteration, *place).uuid
            while (
                self.bench.pad.fireworks.find_one(
                    {"spec.uuid": awaited, "state": "COMPLETED"}, {"_id": 1}
                )
                is None
            ):
                self._look()
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"job {name!r} of iteration {batch.iteration} was not done in "
                        f"{PATIENCE:.0f} s"
                    )
                time.sleep(0.5)

    def _look(self) -> None:
        """Raise an error if a job or a worker has failed."""
        failed = self.bench.pad.fireworks.find_one(
            {"spec.campaign": NAME, "state": "FIZZLED"}, {"fw_id": 1, "name": 1}
        )
        if failed is not None:
            raise RuntimeError(f"job {failed['fw_id']} ({failed['name']}) failed")
        if any(
            process is None or process.poll() is not None
            for process in self.local.processes.values()
        ):
            raise RuntimeError(f"a worker has ended: {self._last_words()}")

    def _last_words(self) -> str:
        """The end of each ended worker's log, which goes with the folder."""
        processes = self.local.processes.items()
        ended = [
            name for name, process in processes if process is None or process.poll() is not None
        ]
        logs = {
            name: (self.bench.folder / "logs" / f"{name}.log").read_text().splitlines()
            for name in ended
        }
        return "; ".join(f"{name}: {' | '.join(lines[-8:])}" for name, lines in logs.items())

    def keep(self, count: int) -> None:
        """End all but so many of the workers, idle now."""
        for name in list(self.local.processes)[count:]:
            if (process := self.local.processes.pop(name)) is not None:
                process.terminate()
                process.wait()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Have the workers, idle now, take nothing within the block."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in self.local.processes.values():
                if process is not None:
                    process.send_signal(number)
            if number is signal.SIGSTOP:
                yield
