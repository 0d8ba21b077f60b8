"""The file of a search for cells without physics."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest
from entropy_flows.explore import AcceptedCell, RevEM
from entropy_flows.jobs.checkpoint import CheckpointFile


class SearchCheckpoint(CheckpointFile):
    """The state of a search, saved from time to time.

    Parameters
    ----------
    path
        The file.
    facts
        What the search is made of, in JSON types.
    """

    def __init__(self, path: Path, facts: Sequence[Any]):
        super().__init__(path, bytes.fromhex(digest(facts)))
        self._started = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor time that went into the search, also in other processes."""
        return time.process_time() - self._started

    def resume(self, run: RevEM, element: str) -> None:
        """Have a search go on from the file if it can."""
        if (data := self.read()) is not None:
            state, seconds = unpacked(data, element)
            self._started -= seconds
            run.resume(state)

    def step(self, run: RevEM) -> bool:
        """To be called after each batch: save if it is time, and end if the process was asked to.

        Returns
        -------
        bool
            Whether the state was saved.
        """
        return self.between(lambda: packed(run, self.seconds), f"candidate {run.done}")


def packed(run: RevEM, seconds: float) -> bytes:
    """A search's state as bytes, without pickle: numbers as JSON, which keeps every bit of a float, arrays as they are.

    Parameters
    ----------
    run
        The search.
    seconds
        Processor time that went into it.
    """
    state = run.state()
    found, statistics = state.pop("found"), state.pop("statistics")
    rows = [[one.candidate, one.k, one.gain, one.entropy, len(one.atoms)] for one in found]
    plain = json.dumps({**state, "rows": rows, "seconds": seconds}).encode()
    stream = io.BytesIO()
    np.savez(
        stream,
        plain=np.frombuffer(plain, dtype=np.uint8),
        statistics=np.frombuffer(statistics, dtype=np.uint8),
        cells=np.array([one.atoms.cell.array for one in found]),
        positions=np.concatenate([one.atoms.positions for one in found]),
    )
    return stream.getvalue()


def unpacked(data: bytes, element: str) -> tuple[dict[str, Any], float]:
    """The state that `packed` was given, of cells of one element, and the seconds."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state: dict[str, Any] = json.loads(stored["plain"].tobytes())
        rows, seconds = state.pop("rows"), state.pop("seconds")
        places = np.split(stored["positions"], np.cumsum([row[-1] for row in rows])[:-1])
        cells = [
            Atoms([element] * len(positions), positions=positions, cell=cell, pbc=True)
            for cell, positions in zip(stored["cells"], places, strict=True)
        ]
        state["statistics"] = stored["statistics"].tobytes()
    state["found"] = [
        AcceptedCell(atoms, *row[:-1]) for atoms, row in zip(cells, rows, strict=True)
    ]
    return state, seconds
