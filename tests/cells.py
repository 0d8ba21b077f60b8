"""Cells and helpers that several test files share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.spatial.transform import Rotation


def skewed(symbols: str, seed: int = 0, edge: float = 3.6) -> Atoms:
    """A triclinic cell of the given atoms, some outside of it, none closer than 1.2 Å."""
    rng = np.random.default_rng(seed)
    n = len(Atoms(symbols))
    while True:
        cell = edge * (np.eye(3) + 0.25 * rng.normal(size=(3, 3)))
        atoms = Atoms(symbols, scaled_positions=rng.uniform(-1.5, 2.5, (n, 3)), cell=cell, pbc=True)
        if atoms.get_volume() > 0.5 * edge**3 and len(neighbor_list("i", atoms, 1.2)) == 0:
            return atoms


def rattled(symbol: str = "Si", repeat: int = 2, stdev: float = 0.1, seed: int = 0) -> Atoms:
    """A perturbed diamond crystal."""
    lattice = {"C": 3.57, "Si": 5.43}[symbol]
    atoms = bulk(symbol, "diamond", a=lattice) * (repeat, repeat, repeat)
    atoms.rattle(stdev, seed=seed)
    return atoms


def rotated(atoms: Atoms, seed: int = 0) -> Atoms:
    """The same cell, seen from another side."""
    matrix = Rotation.random(random_state=seed).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell[:] @ matrix.T)
    turned.positions = atoms.positions @ matrix.T
    return turned


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """r → (1 + ε) r for atoms and cell."""
    copy = atoms.copy()
    deformation = np.eye(3) + strain
    copy.set_cell(atoms.cell[:] @ deformation.T)
    copy.positions = atoms.positions @ deformation.T
    return copy


def numerical_gradient(
    function: Callable[[Atoms], float], atoms: Atoms, step: float = 1e-4
) -> np.ndarray:
    """∂φ/∂r (n_atoms, 3), four-point central differences."""
    gradient = np.zeros((len(atoms), 3))
    for index in np.ndindex(gradient.shape):
        moved = []
        for shift in (-2, -1, 1, 2):
            copy = atoms.copy()
            copy.positions[index] += shift * step
            moved.append(function(copy))
        gradient[index] = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * step)
    return gradient


def numerical_strain_gradient(
    function: Callable[[Atoms], float], atoms: Atoms, step: float = 1e-4
) -> np.ndarray:
    """∂φ/∂ε (3, 3), four-point central differences."""
    gradient = np.zeros((3, 3))
    for index in np.ndindex(3, 3):
        moved = []
        for shift in (-2, -1, 1, 2):
            strain = np.zeros((3, 3))
            strain[index] = shift * step
            moved.append(function(strained(atoms, strain)))
        gradient[index] = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * step)
    return gradient


class Spring(Calculator):
    """Pairs of any species: E = ½ Σ (1 − r/2.5 Å)³ eV below 2.5 Å, smooth and with a stress."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        i, d, D = neighbor_list("idD", atoms, 2.5)
        x = 1 - d / 2.5
        force = -(3 * x**2 / 2.5 / d)[:, None] * D
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, force)
        self.results = {"energy": 0.5 * (x**3).sum(), "forces": forces}
        if atoms.cell.rank == 3:
            virial = 0.5 * force.T @ D / atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial)


@cache
def space_group(symbol):
    """Keep a space group: pymatgen makes it anew, in up to a second, where nobody has kept it."""
    from pymatgen.symmetry.groups import SpaceGroup

    return SpaceGroup(symbol)


def crystal(symbol, *arguments, **options):
    """Build a pymatgen structure of a space group."""
    from pymatgen.core import Structure

    space_group(symbol)
    return Structure.from_spacegroup(symbol, *arguments, **options)
