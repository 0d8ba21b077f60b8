"""The files of a long job's progress, and that of an exploration.

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

DIGEST_BYTES = 32
"""Length of a SHA-256 digest; a file starts with that of the rest and that of its inputs."""


def checkpoint_folder(campaign: str, iteration: int, uuid: str) -> Path:
    """Name the folder of a job's checkpoints for the launch that runs, without making it.

    What an earlier launch has left is moved there, unless a process still holds a lock in it. One
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
    """Name the folder of an iteration's checkpoints."""
    return campaign_folder(campaign) / f"{iteration:03d}"


def campaign_folder(campaign: str) -> Path:
    """Name the folder of a campaign's checkpoints."""
    return settings().cache.expanduser() / "checkpoints" / campaign


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
        SHA-256 of the job's inputs; a state of others is not taken up.
    """

    def __init__(self, path: Path, inputs: bytes):
        self.path = path
        self._inputs = inputs
        self._saved = time.monotonic()

    def read(self) -> bytes | None:
        """Return the state to go on from, if it is whole and of the same inputs."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        body = data[DIGEST_BYTES:]
        if (
            hashlib.sha256(body).digest() != data[:DIGEST_BYTES]
            or body[:DIGEST_BYTES] != self._inputs
        ):
            return None
        return body[DIGEST_BYTES:]

    def write(self, state: bytes) -> None:
        """Write a state, all of it or nothing."""
        body = self._inputs + state
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as file:
            file.write(hashlib.sha256(body).digest() + body)

    def save_if_due(self, state: Callable[[], bytes], position: str) -> bool:
        """Save if it is time, and end if the process was asked to; called where a job may stop.

        Returns
        -------
        bool
            Whether the state was saved.
        """
        terminating = termination_asked()
        due = terminating or time.monotonic() - self._saved >= settings().checkpoint
        if due:
            self.write(state())
            self._saved = time.monotonic()
        if terminating:
            raise Terminated(f"saved at {position}")
        return due


class ExploreCheckpoint(CheckpointFile):
    """The state of a batch of trajectories.

    Parameters
    ----------
    path
        The file.
    runs, starts, params, model
        Inputs of the batch; a state of others is not taken up.
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
        arrays: list[bytes] = []
        for atoms in starts:
            cell = (atoms.numbers, atoms.positions, atoms.cell.array)
            arrays += [array.tobytes() for array in cell]
        super().__init__(path, bytes.fromhex(digest([facts, arrays])))

    def load(self) -> dict[str, Any] | None:
        """Return the state to go on from, if it is whole and of the same inputs."""
        data = self.read()
        return None if data is None else unpack(data)

    def step(self, ensemble: Ensemble) -> None:
        """Save if it is time, and end if the process was asked to; to be called after each step."""
        self.save_if_due(lambda: pack(ensemble.state()), f"step {ensemble.step}")

    def save(self, state: dict[str, Any]) -> None:
        """Write a state, all of it or nothing."""
        self.write(pack(state))


def pack(state: dict[str, Any]) -> bytes:
    """Pack a state into bytes, without pickle.

    Numbers are JSON, which keeps every bit of a float; arrays are as they are.
    """
    arrays = {f"array/{name}": array for name, array in state["arrays"].items()}
    records = []
    for index, record in enumerate(state["records"]):
        per_snapshot = dict(record["per_snapshot"])
        arrays[f"positions/{index}"] = np.array(per_snapshot.pop("positions"))
        records.append({**record, "per_snapshot": per_snapshot})
    plain = {"step": state["step"], "alive": state["alive"], "records": records}
    stream = io.BytesIO()
    np.savez(stream, plain=np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8), **arrays)
    return stream.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Return the state that `pack` was given."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state: dict[str, Any] = json.loads(stored["plain"].tobytes())
        for index, record in enumerate(state["records"]):
            record["per_snapshot"]["positions"] = list(stored[f"positions/{index}"])
        names = [name.removeprefix("array/") for name in stored.files if name.startswith("array/")]
        state["arrays"] = {name: stored[f"array/{name}"] for name in names}
    return state
