"""Serve models to the job that has started this process, until the job ends.

    python -I serve.py CONNECTION LIFE

Two numbers of open descriptors: the socket that messages come by, and a pipe that nobody writes to,
which ends with the job. An adapter, named by its path, loads the models. Requests are answered one
after the other, and nothing is kept between them: a process that was killed is replaced by another
one without a loss.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import sys
import threading
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MEMORY_WORDS = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
MACHINE_WORDS = ("cuda error", "no cuda gpus", "no space left", "input/output error")


class Cells:
    """The part of a batch that stays while atoms move: B cells with n atoms in all.

    Attributes
    ----------
    sizes, first
        Atoms of each cell (B,), and the number of each cell's first atom, with n at the end.
    numbers
        Atomic numbers (n,).
    owner
        Cell of each atom (n,).
    lattice, pbc
        Lattice vectors (B, 3, 3) in Å, one a row, and which of them repeat (B, 3).
    inputs
        Dictionary in which an adapter may keep what it has made of the rest.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.sizes = arrays["sizes"]
        self.numbers = arrays["numbers"]
        self.lattice = arrays["lattice"]
        self.pbc = arrays["pbc"]
        self.first = np.concatenate([[0], np.cumsum(self.sizes)])
        self.owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        self.inputs: dict[str, Any] = {}

    def are(self, arrays: dict[str, np.ndarray]) -> bool:
        """Return whether arrays are those that these cells are made of."""
        names = ("sizes", "numbers", "lattice", "pbc")
        return all(np.array_equal(getattr(self, name), arrays[name]) for name in names)


class Pairs:
    """R pairs of atoms (centre i, member j) within a model's cutoff, ordered by centre.

    Attributes
    ----------
    centers, members
        Numbers of the atoms i and j (R,), int64.
    vectors
        r_j + shift · lattice − r_i (R, 3) in Å, float64.
    shifts
        Whole lattice vectors (R, 3), int32: the image of j.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.centers = arrays["centers"].astype(np.int64)
        self.members = arrays["members"].astype(np.int64)
        self.vectors = arrays["vectors"]
        self.shifts = arrays["shifts"]


class OneByOne:
    """An ASE calculator as a model of many cells: called cell after cell."""

    cutoff = None
    elements = None

    def __init__(self, calculator: Any) -> None:
        self.calculator = calculator
        self.has_stress = "stress" in calculator.implemented_properties

    def evaluate(self, cells: Cells, positions: np.ndarray, stress: bool) -> dict[str, Any]:
        """Evaluate all cells; a stress that does not come with the forces only if it is needed."""
        results = [self._one(cells, positions, index, stress) for index in range(len(cells.sizes))]
        energies, forces, stresses = zip(*results)  # noqa: B905 (Python 3.9)
        stacked = np.array(stresses, dtype=float)
        return {
            "energy": np.array(energies, dtype=float),
            "forces": np.concatenate(forces).astype(float),
            "stress": None if np.isnan(stacked).all() else stacked,
        }

    def _one(self, cells: Cells, positions: np.ndarray, index: int, stress: bool) -> tuple:
        from ase import Atoms

        span = slice(cells.first[index], cells.first[index + 1])
        atoms = Atoms(
            numbers=cells.numbers[span],
            positions=positions[span],
            cell=cells.lattice[index],
            pbc=cells.pbc[index],
        )
        atoms.calc = self.calculator
        energy = float(atoms.get_potential_energy())
        forces = atoms.get_forces()
        is_there = "stress" in self.calculator.results or (stress and self.has_stress)
        tensor = atoms.get_stress(voigt=False) if is_there else np.full((3, 3), np.nan)
        return energy, forces, tensor


class Server:
    """The models of this process."""

    def __init__(self, wire: ModuleType, stream: socket.socket) -> None:
        self.wire = wire
        self.stream = stream
        self.models: dict[int, Any] = {}
        self.cells: Cells | None = None

    def run(self) -> None:
        """Answer requests until the job closes the connection."""
        packages = {
            each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]
        }
        python = ".".join(map(str, sys.version_info[:3]))
        self._send("hello", {"python": python, "pid": os.getpid(), "packages": packages})
        while True:
            request = self.wire.receive(self.stream, "load", "evaluate", "drop")
            if request.kind == "drop":
                self.models.pop(request.fields["model"], None)
                continue
            number = request.fields["number"]
            try:
                kind, fields, arrays = getattr(self, request.kind)(request)
            except Exception as error:  # a model may refuse in many ways
                answer = {"fault": fault(error), "type": type(error).__name__}
                message = " ".join(str(error).split())[:2000]
                self._send("error", {"number": number, "message": message, **answer})
            else:
                self._send(kind, {"number": number, **fields}, arrays)

    def load(self, request: Any) -> tuple:
        """Load a model by its adapter."""
        fields = request.fields
        path = Path(fields["adapter"])
        adapter = load_file(path, f"entropy_flows_adapter_{path.stem}")
        set_threads(fields["threads"])
        arguments = (fields["name"], fields["arguments"], fields["device"])
        model: Any
        if fields["form"] == "batch" and hasattr(adapter, "load_batch_model"):
            model = adapter.load_batch_model(*arguments)
        else:
            model = OneByOne(adapter.load_calculator(*arguments))
        self.models[fields["model"]] = model
        elements = None if model.elements is None else [int(number) for number in model.elements]
        return (
            "loaded",
            {
                "cutoff": model.cutoff,
                "elements": elements,
                "stress": bool(getattr(model, "has_stress", True)),
            },
            {},
        )

    def evaluate(self, request: Any) -> tuple:
        """Evaluate a batch."""
        arrays = request.arrays
        model = self.models[request.fields["model"]]
        if self.cells is None or not self.cells.are(arrays):
            self.cells = Cells(arrays)
        positions = arrays["positions"]
        if isinstance(model, OneByOne):
            result = model.evaluate(self.cells, positions, request.fields["stress"])
        else:
            pairs = Pairs(arrays) if "centers" in arrays else None
            result = model(self.cells, positions, pairs)
        return "result", {}, {name: array for name, array in result.items() if array is not None}

    def _send(self, kind: str, fields: dict, arrays: dict | None = None) -> None:
        self.wire.send(self.stream, self.wire.Message(kind, fields, arrays or {}))


def fault(error: BaseException) -> str:
    """Say whose fault an error is: of the memory, of the machine, or of the cell."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in MEMORY_WORDS):
        return "memory"
    if isinstance(error, (ImportError, ConnectionError)):
        return "machine"
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return "machine"
    return "machine" if any(words in text for words in MACHINE_WORDS) else "cell"


def load_file(path: Path, name: str) -> ModuleType:
    """Import a file by its path; its folder does not become one to import from."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, f"{path} ends in .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def set_threads(number: int) -> None:
    """Give torch as many threads as it has in the job, so that sums have the same order.

    An adapter that computes with torch has imported it.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


def end_with(life: int) -> None:
    """End this process when the job has ended, even in the middle of a calculation."""

    def wait() -> None:
        os.read(life, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve until the connection ends."""
    # The job decides when this process ends: it may have to finish a step before it saves.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, life = map(int, sys.argv[1:3])
    end_with(life)
    wire = load_file(Path(__file__).with_name("wire.py"), "entropy_flows_wire")
    stream = socket.socket(fileno=connection)
    with stream, contextlib.suppress(wire.ClosedError, ConnectionError):
        Server(wire, stream).run()


if __name__ == "__main__":
    main()
