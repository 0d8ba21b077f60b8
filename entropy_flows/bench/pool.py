"""The labelled pool of a benchmark: fingerprints and energies of cells, or a table's rows, and their fixed split."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.bench.params import BenchParams
from entropy_flows.conventions import Array, to_voigt
from entropy_flows.faults import is_machine_fault
from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import to_atoms
from entropy_flows.label.existing import read_extxyz
from entropy_flows.potentials import check_elements
from entropy_flows.train import energy_per_atom, stratified_split

Prints = tuple[list[Array], Array]
"""Fingerprints (n_atoms, dim) of each cell, and energies per atom (n,)."""
QUANTITY = ("energy", "meV/atom")
SPLIT_SEED = 42
SHARES = {"network": (0.8, 0.0, 0.2), "model": (0.7, 0.1, 0.2)}
"""Training, validation and test; networks train for a fixed number of steps and need no validation."""


@dataclass(frozen=True)
class LabelledPool:
    """Cells or rows with their labels.

    Attributes
    ----------
    prints
        Fingerprints (n_atoms, dim) of each; of a table, its features (1, dim), standardised on the training side.
    targets
        (n,) energies per atom in eV, or a table's targets.
    parts
        "train" (what selectors choose from), "val", "test" → places.
    quantity
        What the targets are, and their unit.
    frames
        The cells, with energy and maybe forces and stress; empty for a table, or if they were not asked for.
    """

    prints: list[Array]
    targets: Array
    parts: dict[str, list[int]]
    quantity: tuple[str, str]
    frames: list[Atoms]

    @classmethod
    def of(cls, params: BenchParams, known: Prints | None = None, with_frames: bool = True) -> LabelledPool:
        """Read the pool; what is known already is not computed, and of cells nothing is read without `with_frames`.

        Raises
        ------
        ValueError
            If a cell or row cannot be used, an element is not in the fingerprint's list or unknown to the base model,
            or the pool is too small.
        """
        pool = _read_table(params) if params.is_table else _read_cells(params, known, with_frames)
        if max(params.sizes) > (most := len(pool.parts["train"])):
            raise ValueError(
                f"{params.pool} has {len(pool.targets)} cells, {most} of them to choose from; "
                f"{max(params.sizes)} are wanted"
            )
        return pool


def _read_cells(params: BenchParams, known: Prints | None, with_frames: bool) -> LabelledPool:
    shares = SHARES["network" if params.base_model is None else "model"]
    if known is not None and not with_frames:
        return LabelledPool(*known, split(known[1], shares), QUANTITY, [])
    frames = energies_only(Path(params.pool)) if not params.forces else fully_labelled(Path(params.pool))
    energies = np.array([energy_per_atom(atoms) for atoms in frames])
    if params.within is not None:
        kept = np.flatnonzero(energies <= energies.min() + params.within)
        frames, energies = [frames[place] for place in kept], energies[kept]
    there = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
    if params.base_model is not None:
        check_elements(params.base_model, there, f"{params.pool} holds {', '.join(there)}; base_model")
    if known is None:
        listed = params.fingerprint.elements
        if listed and (missing := [symbol for symbol in there if symbol not in listed]):
            raise ValueError(
                f"{params.pool} has {missing[0]}, which fingerprint.elements ({', '.join(listed)}) does not list"
            )
        settings = {**dict(params.fingerprint), "elements": listed or tuple(there)}
        known = GOM(**settings)(frames), energies
    return LabelledPool(known[0], energies, split(energies, shares), QUANTITY, frames)


def _read_table(params: BenchParams) -> LabelledPool:
    path = Path(params.pool)
    if params.base_model is not None:
        raise ValueError(f"{path} is a table without cells: base_model {params.base_model!r} has nothing to train on")
    columns = read_table(path)
    numeric = {name: values for name, values in columns.items() if isinstance(values, np.ndarray)}
    if params.target is None or params.target not in numeric:
        raise ValueError(f"{path}: target is {params.target!r}; its columns of numbers are {', '.join(numeric)}")
    if missing := [name for name in params.features if name not in numeric]:
        raise ValueError(f"{path}: no column of numbers {missing[0]!r}; there are {', '.join(numeric)}")
    names = params.features or [name for name in numeric if name != params.target]
    if not names:
        raise ValueError(f"{path} has no column of numbers beside its target {params.target!r}")
    parts = split(numeric[params.target], SHARES["network"])
    features = np.column_stack([numeric[name] for name in names])
    side = features[parts["train"]]
    spread = side.std(axis=0)
    features = (features - side.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return LabelledPool([row[None] for row in features], numeric[params.target], parts, (params.target, ""), [])


def read_table(path: Path) -> dict[str, np.ndarray | list[str]]:
    """Columns of a CSV file with a header: arrays of those that hold numbers alone, texts of the others.

    Raises
    ------
    ValueError
        If there is no such file, a row of another length, or a number that is not finite.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a table with a header, or extended XYZ")
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    if len(rows) < 2:
        raise ValueError(f"{path} has {len(rows)} rows; expected a header and at least one row")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}, row {number}: {len(row)} values, the header has {len(rows[0])}")
    found: dict[str, np.ndarray | list[str]] = {}
    for name, *texts in zip(*rows, strict=True):
        try:
            found[name] = np.array([float(text) for text in texts])
        except ValueError:
            found[name] = texts
            continue
        if not np.isfinite(values := np.asarray(found[name])).all():
            raise ValueError(f"{path}, row {int(np.argmin(np.isfinite(values))) + 2}: {name} is not finite")
    return found


def fully_labelled(path: Path) -> list[Atoms]:
    """Cells with energy, forces and maybe stress.

    Raises
    ------
    ValueError
        Naming the first frame that lacks one.
    """
    frames = []
    for found in read_extxyz(_there(path)):
        if found.defect is not None or found.structure is None or found.label is None:
            raise ValueError(f"{found.place} cannot be used: {found.defect}")
        numbers = {"energy": found.label.free_energy, "forces": found.label.forces}
        stress = {} if found.label.stress is None else {"stress": to_voigt(found.label.stress)}
        atoms = to_atoms(found.structure)
        atoms.calc = SinglePointCalculator(atoms, **numbers, **stress)
        frames.append(atoms)
    return _some(path, frames)


def energies_only(path: Path) -> list[Atoms]:
    """Cells with their energy alone; forces of 0 stand where a training file must have some.

    Raises
    ------
    ValueError
        Naming the first frame without an energy.
    """
    from ase.io import read

    _there(path)
    try:
        found = read(path, ":", format="extxyz")
    except Exception as err:  # ASE's own errors do not name the file
        if is_machine_fault(err):
            raise
        raise ValueError(f"{path} cannot be read as extended XYZ: {' '.join(str(err).split())}") from None
    frames = []
    for index, atoms in enumerate(found):
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise ValueError(f"{path.name}[{index}] cannot be used: positions or cell are not finite numbers")
        results = {} if atoms.calc is None else atoms.calc.results
        energy = results.get("free_energy", results.get("energy"))
        if energy is None or not np.isfinite(energy):
            raise ValueError(f"{path.name}[{index}] cannot be used: its energy is {energy}, a number is needed")
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.calc = SinglePointCalculator(bare, energy=float(energy), forces=np.zeros((len(bare), 3)))
        frames.append(bare)
    return _some(path, frames)


def split(targets: Sequence[float] | Array, shares: tuple[float, float, float]) -> dict[str, list[int]]:
    """Places of training, validation and test cells, stratified by target: the same for every selector and seed."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    assigned = stratified_split(list(targets), range(len(targets)), shares, SPLIT_SEED)
    for place, part in sorted(assigned.items()):
        parts[part].append(place)
    return parts


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected extended XYZ, a table (.csv), or a YAML file that names one")
    return path


def _some(path: Path, frames: list[Atoms]) -> list[Atoms]:
    if not frames:
        raise ValueError(f"{path} has no cells")
    return frames
