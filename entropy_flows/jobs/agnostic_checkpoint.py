"""The checkpoint file of a search for cells without physics."""

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
        Everything that the search follows from, in JSON types.
    """

    def __init__(self, path: Path, facts: Sequence[Any]):
        super().__init__(path, bytes.fromhex(digest(facts)))
        self._started = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor time (s) that went into the search, also in other processes."""
        return time.process_time() - self._started

    def resume(self, search: RevEM, element: str) -> None:
        """Have a search go on from the file if it can."""
        data = self.read()
        if data is None:
            return
        state, seconds = unpacked(data, element)
        self._started -= seconds
        search.resume(state)

    def step(self, search: RevEM) -> bool:
        """Save if it is time, and end if the process was asked to; to be called after each batch.

        Returns
        -------
        bool
            Whether the state was saved.
        """
        return self.save_if_due(lambda: packed(search, self.seconds), f"candidate {search.done}")


def packed(search: RevEM, seconds: float) -> bytes:
    """Pack a search's state into bytes, without pickle.

    Numbers are JSON, which keeps every bit of a float; arrays are as they are.

    Parameters
    ----------
    search
        The search.
    seconds
        Processor time that went into it.
    """
    state = search.state()
    cells = state.pop("accepted")
    statistics = state.pop("statistics")
    rows = [[cell.candidate, cell.k, cell.gain, cell.entropy, len(cell.atoms)] for cell in cells]
    plain = json.dumps({**state, "rows": rows, "seconds": seconds}).encode()
    stream = io.BytesIO()
    np.savez(
        stream,
        plain=np.frombuffer(plain, dtype=np.uint8),
        statistics=np.frombuffer(statistics, dtype=np.uint8),
        cells=np.array([cell.atoms.cell.array for cell in cells]),
        positions=np.concatenate([cell.atoms.positions for cell in cells]),
    )
    return stream.getvalue()


def unpacked(data: bytes, element: str) -> tuple[dict[str, Any], float]:
    """Return the state that `packed` was given, of cells of one element, and the seconds."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state: dict[str, Any] = json.loads(stored["plain"].tobytes())
        rows = state.pop("rows")
        seconds = state.pop("seconds")
        ends = np.cumsum([row[-1] for row in rows])
        positions = np.split(stored["positions"], ends[:-1])
        cells = [
            Atoms([element] * len(sites), positions=sites, cell=cell, pbc=True)
            for cell, sites in zip(stored["cells"], positions, strict=True)
        ]
        state["statistics"] = stored["statistics"].tobytes()
    state["accepted"] = [
        AcceptedCell(atoms, *row[:-1]) for atoms, row in zip(cells, rows, strict=True)
    ]
    return state, seconds
