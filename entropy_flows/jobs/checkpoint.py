"""Where a long job keeps what it has done so far, and the exploration's file there.

The folder is below the cache, by campaign, iteration, job and launch. Where workers share that
disk, whoever runs the job next takes the folder over and goes on from there; where they do not, it
starts again. So a worker that was given up for dead and wakes up writes into no folder of the one
that has its job now. A file that is damaged or belongs to other inputs is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest
from entropy_flows.explore import Ensemble, ExploreParams, Run
from entropy_flows.faults import Terminated, termination_asked
from entropy_flows.files import whole_file
from entropy_flows.processes import is_locked
from entropy_flows.settings import settings
from entropy_flows.store.fence import current_launch

DIGEST = 32
"""Bytes of a SHA-256 digest; a file starts with that of the rest and that of its inputs."""


def checkpoint_folder(campaign: str, iteration: int, uuid: str) -> Path:
    """Folder of a job's checkpoints for the launch that runs; not made.

    What an earlier launch has left is moved there, unless a process still holds a lock in it: one
    that was stopped may go on at any time, and its program goes on without it.
    """
    job = iteration_folder(campaign, iteration) / uuid
    launch = current_launch()
    folder = job / ("local" if launch is None else f"{launch.number:08d}")
    if folder.exists() or not job.is_dir():
        return folder
    for earlier in sorted(job.iterdir(), reverse=True):
        if not any(is_locked(lock) for lock in earlier.rglob("lock")):
            with contextlib.suppress(OSError):  # another launch was faster
                earlier.rename(folder)
                return folder
    return folder


def iteration_folder(campaign: str, iteration: int) -> Path:
    """Folder of an iteration's checkpoints."""
    return settings().cache.expanduser() / "checkpoints" / campaign / f"{iteration:03d}"


def forget_iteration(campaign: str, iteration: int) -> None:
    """Delete the checkpoints of an iteration that has ended."""
    shutil.rmtree(iteration_folder(campaign, iteration), ignore_errors=True)


class CheckpointFile:
    """A file that holds a job's state, for as long as the job's inputs are the same.

    Parameters
    ----------
    path
        The file.
    inputs
        SHA-256 of what the job was given; a state of anything else is not taken up.
    """

    def __init__(self, path: Path, inputs: bytes):
        self.path, self._inputs, self._saved = path, inputs, time.monotonic()

    def read(self) -> bytes | None:
        """The state to go on from; None if there is none that is whole and of the same inputs."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        body = data[DIGEST:]
        if hashlib.sha256(body).digest() != data[:DIGEST] or body[:DIGEST] != self._inputs:
            return None
        return body[DIGEST:]

    def write(self, state: bytes) -> None:
        """Write a state, all of it or nothing."""
        body = self._inputs + state
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as file:
            file.write(hashlib.sha256(body).digest() + body)

    def save_if_due(self, state: Callable[[], bytes], where: str) -> bool:
        """To be called where the job may stop: save if it is time, and end if the process was asked to.

        Returns
        -------
        bool
            Whether the state was saved.
        """
        asked = termination_asked()
        due = asked or time.monotonic() - self._saved >= settings().checkpoint
        if due:
            self.write(state())
            self._saved = time.monotonic()
        if asked:
            raise Terminated(f"saved at {where}")
        return due


class ExploreCheckpoint(CheckpointFile):
    """The state of a batch of trajectories, saved from time to time and when the process is asked to end.

    Parameters
    ----------
    path
        The file.
    runs, starts, params, model
        What the batch is made of; a state of anything else is not taken up.
    """

    def __init__(
        self,
        path: Path,
        runs: Sequence[Run],
        starts: Sequence[Atoms],
        params: ExploreParams,
        model: str,
    ):
        facts = [model, params.model_dump(mode="json"), [str(run) for run in runs]]
        arrays = (a for cell in starts for a in (cell.numbers, cell.positions, cell.cell.array))
        content = [facts, [array.tobytes() for array in arrays]]
        super().__init__(path, bytes.fromhex(digest(content)))

    def load(self) -> dict[str, Any] | None:
        """The state to go on from; None if there is none that is whole and of the same inputs."""
        data = self.read()
        return None if data is None else unpack(data)

    def step(self, ensemble: Ensemble) -> None:
        """To be called after each step: save if it is time, and end if the process was asked to."""
        self.save_if_due(lambda: pack(ensemble.state()), f"step {ensemble.step}")

    def save(self, state: dict[str, Any]) -> None:
        """Write a state, all of it or nothing."""
        self.write(pack(state))


def pack(state: dict[str, Any]) -> bytes:
    """A state as bytes, without pickle: numbers as JSON, which keeps every bit of a float, arrays as they are."""
    arrays = {f"array/{name}": array for name, array in state["arrays"].items()}
    records = []
    for index, record in enumerate(state["records"]):
        kept = dict(record["kept"])
        arrays[f"positions/{index}"] = np.array(kept.pop("positions"))
        records.append({**record, "kept": kept})
    plain = {"step": state["step"], "alive": state["alive"], "records": records}
    stream = io.BytesIO()
    np.savez(stream, plain=np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8), **arrays)
    return stream.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """The state that `pack` was given."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state: dict[str, Any] = json.loads(stored["plain"].tobytes())
        for index, record in enumerate(state["records"]):
            record["kept"]["positions"] = list(stored[f"positions/{index}"])
        names = [name.removeprefix("array/") for name in stored.files if name.startswith("array/")]
        state["arrays"] = {name: stored[f"array/{name}"] for name in names}
    return state
