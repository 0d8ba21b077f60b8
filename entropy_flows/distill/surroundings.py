"""Cells around a seed: compressed and stretched, strained, rattled, with close pairs, moving.

They are what a small model has to describe before it can drive dynamics: the crystal near its
equilibrium and under pressure, and the repulsion at short distances.

    volumes      V(P) by Murnaghan's equation of state of the teacher, up to the highest pressure
    strain       ε symmetric, its components normal with 0.025
    rattle       normal displacements of 1.5, 3.5 and 6.5 % of the shortest distance
    close pairs  one atom pushed towards another of each pair of elements, down to 0.63 of their
                 covalent radii's sum
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from entropy_flows.explore import (
    Condition,
    ExploreParams,
    Run,
    compressed,
    equation_of_state,
    explore,
)
from entropy_flows.geometry import scaled_to_volume, shortest_distance, to_atoms, to_structure
from entropy_flows.potentials import BatchModel
from entropy_flows.vacuum import repetitions, vacuum_of

SAME_PLACE = 0.01
"""Distance (Å) within which atoms are images of one another: a distorted crystal stays one."""
STATIC_ATOMS = 5
"""Fewest atoms of a cell that does not move, where the crystal's primitive cell is smaller."""
MOVING_ATOMS = 10
"""Fewest atoms of a cell for dynamics, and of one with close pairs."""
MAX_ATOMS = 64
"""Most atoms to which a cell is repeated."""
STRETCHED = 1.08
"""Largest volume of a cell, in units of that at no pressure."""
SMALLEST = (0.55, 0.85)
"""Bounds of the smallest volume of a cell, in units of that at no pressure."""
WITHOUT_PRESSURE = (0.94, 1.06)
"""Volumes of a cell with a vacuum, or of one that the teacher does not bind."""
BEYOND = 1.25
"""Highest pressure of a cell at rest, in units of the campaign's highest."""
STRAIN = 0.025
"""Standard deviation of the strain's components."""
RATTLES = (0.015, 0.035, 0.065)
"""Standard deviations of displacements, in units of the cell's shortest distance."""
PUSHED = (0.63, 0.87)
"""Distances of close pairs, in units of the sum of covalent radii, or of the distance if less."""
CLOSEST = 0.6
"""Shortest distance in a cell with a close pair, in units of the sum of covalent radii."""
LIGHT = 4.0
"""Mass (u) below which an atom needs steps of 1 fs; heavier ones take 2 fs."""
SNAPSHOT_STEPS = 8
"""Steps between two snapshots of the teacher's dynamics."""
WARM_UP = 20
"""Steps before the first snapshot."""
HOT = 1.5
"""Temperature of the dynamics for the test, in units of the campaign's highest."""
HOT_WARM_UP = 60
"""Steps before the first snapshot of the dynamics for the test."""


@dataclass(frozen=True)
class Surroundings:
    """The volumes and cells around one seed.

    Attributes
    ----------
    name
        Name of the phase.
    still, moving
        Cell at no pressure, of few atoms, and of more for dynamics.
    smallest, largest
        Bounds of volumes, in units of that of `still`.
    pressed
        Volumes at the pressures of dynamics, in the same units.
    note
        Sentence on what could not be done; "" for nothing.
    """

    name: str
    still: Atoms
    moving: Atoms
    smallest: float
    largest: float
    pressed: tuple[float, ...]
    note: str = ""

    @classmethod
    def of(
        cls, name: str, seed: Atoms, teacher: BatchModel, pressures: Sequence[float]
    ) -> Surroundings:
        """Find the volumes of a phase by the teacher's equation of state.

        Parameters
        ----------
        name, seed
            The phase and its seed cell, which is reduced to its primitive cell.
        teacher
            The model to be distilled.
        pressures
            Nominal pressures (GPa) that the campaign explores.
        """
        bare = Atoms(seed.numbers, seed.positions, cell=seed.cell, pbc=seed.pbc)
        primitive = to_atoms(to_structure(bare).get_primitive_structure(SAME_PLACE))
        still = repeated(primitive, STATIC_ATOMS)
        moving = repeated(primitive, MOVING_ATOMS)
        vacuum = vacuum_of(still)
        note = "" if vacuum is None else f"it is {vacuum}, so its volume stays"
        if vacuum is None:
            try:
                eos = equation_of_state(still, teacher)
            except ValueError as err:
                note = str(err)
        if note:
            return cls(name, still, moving, *WITHOUT_PRESSURE, (1.0,), note)
        highest = max(0.0, *pressures)
        volumes = [compressed(still, pressure, eos).get_volume() for pressure in pressures]
        least = compressed(still, BEYOND * highest, eos).get_volume()
        still = scaled_to_volume(still, eos.volume * len(still))
        moving = scaled_to_volume(moving, eos.volume * len(moving))
        fractions = [volume / still.get_volume() for volume in volumes]
        low, high = SMALLEST
        smallest = min(max(least / still.get_volume() - 0.03, low), high)
        return cls(name, still, moving, smallest, STRETCHED, _three(fractions))

    def at(self, atoms: Atoms, fraction: float) -> Atoms:
        """Return a copy of a cell at another volume."""
        return scaled_to_volume(atoms, fraction * atoms.get_volume())

    def curve(self, count: int) -> list[Atoms]:
        """Return cells along the equation of state, the largest first."""
        return [
            self.at(self.still, fraction)
            for fraction in np.linspace(self.largest, self.smallest, count)
        ]

    def strained(self, count: int, rng: np.random.Generator) -> list[Atoms]:
        """Return cells at random volumes, strained and rattled."""
        cells = []
        for index in range(count):
            cell = self.at(self.still, rng.uniform(self.smallest, self.largest))
            strain = rng.normal(0.0, STRAIN, (3, 3))
            cell.set_cell(cell.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
            cells.append(rattled(cell, RATTLES[index % len(RATTLES)], rng))
        return cells

    def close_pairs(self, count: int, rng: np.random.Generator) -> list[Atoms]:
        """Return cells in which one atom is pushed against another.

        They keep dynamics from collapsing. Each pair of elements that has two atoms in the cell
        has its turn.
        """
        pairs = _element_pairs(self.moving)
        cells = []
        for index in range(count if pairs else 0):
            cell = self.at(self.moving, rng.uniform(max(self.smallest, 0.85), 1.0))
            cell = rattled(cell, RATTLES[1], rng)
            cells.append(_pushed(cell, pairs[index % len(pairs)], rng))
        return cells

    def dynamics(
        self,
        teacher: BatchModel,
        temperatures: Sequence[float],
        count: int,
        warm_up: int,
        seed: int,
    ) -> list[Atoms]:
        """Return snapshots of the teacher's dynamics at all volumes and temperatures.

        Parameters
        ----------
        teacher
            The model to be distilled.
        temperatures
            Temperatures (K).
        count
            Snapshots wanted. There are fewer if the runs are not stable.
        warm_up
            Steps before the first snapshot.
        seed
            Seed of velocities and of the thermostat.
        """
        grid = list(product(self.pressed, _three(temperatures)))
        each = max(1, round(count / len(grid)))
        light = float(self.moving.get_masses().min()) < LIGHT
        params = ExploreParams(
            temperatures=tuple(temperatures),
            steps=SNAPSHOT_STEPS * each,
            warm_up=warm_up,
            ramp=0,
            snapshot_every=SNAPSHOT_STEPS,
            timestep=1.0 if light else 2.0,
            friction=0.02,
        )
        runs = [
            Run(index, Condition(self.name, T, 0.0, 0.0), "config", seed + index)
            for index, (_, T) in enumerate(grid)
        ]
        starts = [self.at(self.moving, fraction) for fraction, _ in grid]
        trajectories = explore(runs, starts, teacher, None, params)
        return [cell for run in trajectories for _, cell in run.snapshots()][:count]


def repeated(atoms: Atoms, minimum: int) -> Atoms:
    """Repeat a cell along its shortest vectors until it has enough atoms."""
    return atoms * repetitions(atoms, minimum, MAX_ATOMS)


def rattled(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """Return a copy whose atoms are displaced; the amplitude is in units of its shortest distance.

    A lone atom, which has no neighbour, stays.
    """
    cell = atoms.copy()
    distance, _ = shortest_distance(cell)
    if np.isfinite(distance):
        cell.positions += rng.normal(0.0, amplitude * distance, cell.positions.shape)
    return cell


def longest_bond(atoms: Atoms) -> float:
    """Return the largest distance (Å) of an atom to its nearest neighbour, images included.

    0 for a lone atom.
    """
    if len(atoms) == 1 and not atoms.pbc.any():
        return 0.0
    doubled = atoms * tuple(2 if periodic else 1 for periodic in atoms.pbc)
    distances = doubled.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(axis=1).max())


def _three(values: Sequence[float]) -> tuple[float, ...]:
    """Return the lowest, a middle and the highest of some values, each once."""
    ordered = sorted(set(values))
    return tuple(sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]}))


def _element_pairs(atoms: Atoms) -> list[tuple[int, int]]:
    """Return the pairs of atomic numbers that have two different atoms in a cell."""
    numbers = list(atoms.numbers)
    pairs = combinations_with_replacement(sorted(set(numbers)), 2)
    return [(a, b) for a, b in pairs if a != b or numbers.count(a) > 1]


def _pushed(atoms: Atoms, pair: tuple[int, int], rng: np.random.Generator) -> Atoms:
    """Return a cell with a random atom of an element pushed towards its nearest of another."""
    first, second = pair
    index = int(rng.choice(np.flatnonzero(atoms.numbers == first)))
    others = [other for other in np.flatnonzero(atoms.numbers == second) if other != index]
    distances = atoms.get_distances(index, others, mic=True)
    neighbour = others[int(np.argmin(distances))]
    touching = min(float(distances.min()), covalent_radii[first] + covalent_radii[second])
    # An atom that lies between the two would be hit: then it is pushed less far.
    for fraction in np.arange(rng.uniform(*PUSHED), 1.0, 0.05):
        cell = atoms.copy()
        cell.set_distance(neighbour, index, fraction * touching, fix=0, mic=True)
        if shortest_distance(cell)[1] >= CLOSEST:
            return cell
    return atoms
