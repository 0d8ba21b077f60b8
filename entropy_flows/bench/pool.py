"""The labelled pool of a benchmark: fingerprints and energies of cells, or a table's rows, and their fixed split."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.bench.params import BenchParams
from entropy_flows.conventions import Array
from entropy_flows.fingerprints import GOM
from entropy_flows.label.compressed import open_binary
from entropy_flows.label.extxyz import CellFile, read_cells
from entropy_flows.potentials import check_elements
from entropy_flows.train import energy_per_atom, stratified_split

Prints = tuple[list[Array], Array]
"""Fingerprints (n_atoms, dim) of each cell, and energies per atom (n,)."""
QUANTITY = ("energy", "meV/atom")
SPLIT_SEED = 42
SHARES = {"network": (0.8, 0.0, 0.2), "model": (0.7, 0.1, 0.2)}
"""Training, validation and test; networks train for a fixed number of steps and need no
validation.
"""


@dataclass(frozen=True)
class LabelledPool:
    """Cells or rows with their labels.

    Attributes
    ----------
    prints
        Fingerprints (n_atoms, dim) of each; of a table, its features (1, dim), standardised on the
        training side.
    targets
        (n,) energies per atom in eV, or a table's targets.
    parts
        "train" (what selectors choose from), "val", "test" → places.
    quantity
        What the targets are, and their unit.
    frames
        The cells, with energy and maybe forces and stress; empty for a table, or if they were not
        asked for.
    left_out, notes
        Lines for the frames that cannot be used, and of what was read under another name than the
        usual one.
    """

    prints: list[Array]
    targets: Array
    parts: dict[str, list[int]]
    quantity: tuple[str, str]
    frames: list[Atoms]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, params: BenchParams, known: Prints | None = None, with_frames: bool = True
    ) -> LabelledPool:
        """Read the pool; what is known already is not computed, and of cells nothing is read without `with_frames`.

        Raises
        ------
        ValueError
            If no cell can be used or a row cannot, an element is not in the fingerprint's list or
            unknown to the base model, or the pool is too small.
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
    file = labelled_cells(Path(params.pool), params.forces)
    frames = file.cells
    energies = np.array([energy_per_atom(atoms) for atoms in frames])
    if params.within is not None:
        kept = np.flatnonzero(energies <= energies.min() + params.within)
        frames, energies = [frames[place] for place in kept], energies[kept]
    there = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
    if params.base_model is not None:
        check_elements(
            params.base_model, there, f"{params.pool} holds {', '.join(there)}; base_model"
        )
    if known is None:
        listed = params.fingerprint.elements
        if listed and (missing := [symbol for symbol in there if symbol not in listed]):
            raise ValueError(
                f"{params.pool} has {missing[0]}, which fingerprint.elements ({', '.join(listed)}) does not list"
            )
        settings = {**dict(params.fingerprint), "elements": listed or tuple(there)}
        known = GOM(**settings)(frames), energies
    return LabelledPool(
        known[0], energies, split(energies, shares), QUANTITY, frames, file.left_out, file.notes
    )


def _read_table(params: BenchParams) -> LabelledPool:
    path = Path(params.pool)
    if params.base_model is not None:
        raise ValueError(
            f"{path} is a table without cells: base_model {params.base_model!r} has nothing to train on"
        )
    columns = read_table(path)
    numeric = {name: values for name, values in columns.items() if isinstance(values, np.ndarray)}
    if params.target is None or params.target not in numeric:
        raise ValueError(
            f"{path}: target is {params.target!r}; its columns of numbers are {', '.join(numeric)}"
        )
    if missing := [name for name in params.features if name not in numeric]:
        raise ValueError(
            f"{path}: no column of numbers {missing[0]!r}; there are {', '.join(numeric)}"
        )
    names = params.features or [name for name in numeric if name != params.target]
    if not names:
        raise ValueError(f"{path} has no column of numbers beside its target {params.target!r}")
    parts = split(numeric[params.target], SHARES["network"])
    features = np.column_stack([numeric[name] for name in names])
    side = features[parts["train"]]
    spread = side.std(axis=0)
    features = (features - side.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return LabelledPool(
        [row[None] for row in features], numeric[params.target], parts, (params.target, ""), []
    )


def read_table(path: Path) -> dict[str, np.ndarray | list[str]]:
    """Columns of a CSV file with a header: arrays of those that hold numbers alone, texts of the others.

    Raises
    ------
    ValueError
        If there is no such file, a row of another length, or a number that is not finite.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a table with a header, or extended XYZ")
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        rows = [row for row in csv.reader(text) if row]
    if len(rows) < 2:
        raise ValueError(f"{path} has {len(rows)} rows; expected a header and at least one row")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, row {number}: {len(row)} values, the header has {len(rows[0])}"
            )
    found: dict[str, np.ndarray | list[str]] = {}
    for name, *texts in zip(*rows, strict=True):
        try:
            found[name] = np.array([float(text) for text in texts])
        except ValueError:
            found[name] = texts
            continue
        if not np.isfinite(values := np.asarray(found[name])).all():
            raise ValueError(
                f"{path}, row {int(np.argmin(np.isfinite(values))) + 2}: {name} is not finite"
            )
    return found


def labelled_cells(path: Path, forces: bool) -> CellFile:
    """Cells of an extended XYZ file with their labels, for a student to train on.

    Parameters
    ----------
    path
        The file.
    forces
        Whether cells need forces too, and have to be periodic. If not they have their energies
        alone, and forces of 0 stand where a training file must have some.

    Raises
    ------
    ValueError
        If there is no such file, or no cell in it that can be used.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; expected extended XYZ, a table (.csv), or a YAML file that names one"
        )
    file = read_cells(path, ("energy", "forces", "periodic") if forces else ("energy",))
    return replace(file, cells=[_for_training(atoms, forces) for atoms in file.cells])


def _for_training(atoms: Atoms, forces: bool) -> Atoms:
    """The cell with its free energy if there is one, and forces and stress or zeros."""
    given = atoms.calc.results
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    results = {
        "energy": given.get("free_energy", given.get("energy")),
        "forces": np.zeros((len(bare), 3)),
    }
    if forces:
        results |= {name: given[name] for name in ("forces", "stress") if name in given}
    bare.calc = SinglePointCalculator(bare, **results)
    return bare


def split(
    targets: Sequence[float] | Array, shares: tuple[float, float, float]
) -> dict[str, list[int]]:
    """Places of training, validation and test cells, stratified by target: the same for every selector and seed."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    assigned = stratified_split(list(targets), range(len(targets)), shares, SPLIT_SEED)
    for place, part in sorted(assigned.items()):
        parts[part].append(place)
    return parts
