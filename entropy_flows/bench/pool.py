"""The labelled pool of a benchmark, and its splits.

A pool is the fingerprints and energies of cells, or the rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.table import read_table
from entropy_flows.conventions import Array
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.label.extxyz import CellFile, read_cells
from entropy_flows.potentials import check_elements
from entropy_flows.train import energy_per_atom, stratified_split


class Stored(NamedTuple):
    """Fingerprints and labels of a pool, which are computed and read once."""

    prints: list[Array]
    """Fingerprints (n_atoms, dim) of each cell."""
    energies: Array
    """Energies per atom (n,)."""
    forces: list[Array]
    """Forces (n_atoms, 3) of each cell."""


ENERGY = ("energy", "meV/atom")
SPLIT_SEED = 42
NETWORK_SHARES = (0.8, 0.0, 0.2)
"""Shares of training, validation and test cells. Networks train for a fixed number of steps, and
need no validation.
"""
MODEL_SHARES = (0.7, 0.1, 0.2)
"""The same shares if a base model is fine-tuned."""


@dataclass(frozen=True)
class LabelledPool:
    """Cells or rows with their labels.

    Attributes
    ----------
    prints
        Fingerprints (n_atoms, dim) of each cell. Of a table they are its features (1, dim),
        standardised over the training side.
    targets
        Energies per atom (n,) in eV, or a table's targets.
    split
        "train" (from which selectors choose), "val" and "test" → indices.
    quantity
        Name of the targets, and their unit.
    forces
        Forces (n_atoms, 3) of each cell, zeros if they are not to be used. There are none of a
        table.
    frames
        The cells, with energy and maybe forces and stress. There are none of a table, or if they
        were not asked for.
    left_out, notes
        Lines for the frames that cannot be used, and for what was read under another name than
        the usual one.
    """

    prints: list[Array]
    targets: Array
    split: dict[str, list[int]]
    quantity: tuple[str, str]
    frames: list[Atoms]
    forces: list[Array] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        params: BenchParams,
        stored: Stored | None = None,
        with_frames: bool = True,
        seed: int = SPLIT_SEED,
    ) -> LabelledPool:
        """Read the pool.

        Parameters
        ----------
        params
            The benchmark's.
        stored
            Fingerprints and energies that were computed before.
        with_frames
            Whether the cells themselves are read. Without them, `stored` suffices.
        seed
            Seed of the split.

        Raises
        ------
        ValueError
            If no cell can be used or a row cannot, an element is not in the fingerprint's list or
            the base model lacks it, or the pool is too small.
        """
        if params.is_table:
            pool = _read_table_pool(params, seed)
        elif stored is not None and not with_frames:
            split = split_by_target(stored.energies, _shares(params), seed)
            pool = cls(stored.prints, stored.energies, split, ENERGY, [], stored.forces)
        else:
            pool = _read_cell_pool(params, stored, seed)
        available = len(pool.split["train"])
        largest = max(params.sizes)
        if largest > available:
            raise ValueError(
                f"{params.pool} has {len(pool.targets)} cells, {available} of them to choose from; "
                f"{largest} are wanted"
            )
        return pool


def _shares(params: BenchParams) -> tuple[float, float, float]:
    return NETWORK_SHARES if params.base_model is None else MODEL_SHARES


def _read_cell_pool(params: BenchParams, stored: Stored | None, seed: int) -> LabelledPool:
    """Read the cells, and compute their fingerprints unless they are stored."""
    file = labelled_cells(Path(params.pool), params.forces)
    frames = file.cells
    energies = np.array([energy_per_atom(atoms) for atoms in frames])
    if params.within is not None:
        low = np.flatnonzero(energies <= energies.min() + params.within)
        frames = [frames[index] for index in low]
        energies = energies[low]
    symbols = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
    if params.base_model is not None:
        source = f"{params.pool} holds {', '.join(symbols)}; base_model"
        check_elements(params.base_model, symbols, source)
    prints = _fingerprints(params, frames, symbols) if stored is None else stored.prints
    # Cells are split by energy, so that each side has the whole range of it.
    split = split_by_target(energies, _shares(params), seed)
    forces = [atoms.calc.results["forces"] for atoms in frames]
    return LabelledPool(prints, energies, split, ENERGY, frames, forces, file.left_out, file.notes)


def _fingerprints(params: BenchParams, frames: list[Atoms], symbols: list[str]) -> list[Array]:
    """Compute the fingerprints of cells of some elements."""
    settings = dict(params.fingerprint)
    listed = settings.get("elements") or tuple(symbols)
    missing = [symbol for symbol in symbols if symbol not in listed]
    if missing:
        raise ValueError(
            f"{params.pool} has {missing[0]}, which fingerprint.elements ({', '.join(listed)}) "
            "does not list"
        )
    fingerprint = type(params.fingerprint)(**{**settings, "elements": listed})
    return make_fingerprint(fingerprint)(frames)


def _read_table_pool(params: BenchParams, seed: int) -> LabelledPool:
    """Read a table, whose numeric columns are the features."""
    path = Path(params.pool)
    if params.base_model is not None:
        raise ValueError(
            f"{path} is a table without cells: base_model {params.base_model!r} has nothing to "
            "train on"
        )
    columns = read_table(path)
    numeric = {name: values for name, values in columns.items() if isinstance(values, np.ndarray)}
    if params.target is None or params.target not in numeric:
        raise ValueError(
            f"{path}: target is {params.target!r}; its columns of numbers are {', '.join(numeric)}"
        )
    missing = [name for name in params.features if name not in numeric]
    if missing:
        raise ValueError(
            f"{path}: no column of numbers {missing[0]!r}; there are {', '.join(numeric)}"
        )
    names = params.features or [name for name in numeric if name != params.target]
    if not names:
        raise ValueError(f"{path} has no column of numbers beside its target {params.target!r}")
    targets = numeric[params.target]
    split = split_by_target(targets, NETWORK_SHARES, seed)
    features = np.column_stack([numeric[name] for name in names])
    # The test's features have no part in the standardisation.
    training = features[split["train"]]
    spread = training.std(axis=0)
    features = (features - training.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return LabelledPool([row[None] for row in features], targets, split, (params.target, ""), [])


def labelled_cells(path: Path, forces: bool) -> CellFile:
    """Read cells of an extended XYZ file with their labels, for a student to train on.

    Parameters
    ----------
    path
        The file.
    forces
        Whether cells need forces too, and have to be periodic. If not, they have their energies
        alone. Forces of 0 stand where a training file must have some.

    Raises
    ------
    ValueError
        If there is no such file, or no cell in it that can be used.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; expected extended XYZ, a table (.csv), or a YAML file that "
            "names one"
        )
    file = read_cells(path, ("energy", "forces", "periodic") if forces else ("energy",))
    return replace(file, cells=[_for_training(atoms, forces) for atoms in file.cells])


def _for_training(atoms: Atoms, forces: bool) -> Atoms:
    """Copy a cell with its free energy if there is one, and forces and stress, or zeros."""
    labels = atoms.calc.results
    cell = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    results = {
        "energy": labels.get("free_energy", labels.get("energy")),
        "forces": np.zeros((len(cell), 3)),
    }
    if forces:
        results |= {name: labels[name] for name in ("forces", "stress") if name in labels}
    cell.calc = SinglePointCalculator(cell, **results)
    return cell


def split_by_target(
    targets: Sequence[float] | Array,
    shares: tuple[float, float, float],
    seed: int = SPLIT_SEED,
) -> dict[str, list[int]]:
    """Split cells in training, validation and test, stratified by target.

    Returns
    -------
    dict
        "train", "val" and "test" → indices.
    """
    split: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    assigned = stratified_split(list(targets), range(len(targets)), shares, seed)
    for index, side in sorted(assigned.items()):
        split[side].append(index)
    return split
