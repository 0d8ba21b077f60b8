"""Measures of a small model beside its teacher: equation of state, repulsion, time of a step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.distill.surroundings import MOVING_ATOMS, STATIC_ATOMS, repeated
from entropy_flows.explore import equation_of_state
from entropy_flows.geometry import shortest_distance
from entropy_flows.potentials import BatchModel

SQUEEZED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Lengths of a squeezed cell, in units of the seed's."""
STEPS = 20
"""Steps of which the time is measured."""


def equilibria(seeds: Mapping[str, Atoms], model: BatchModel) -> dict[str, dict[str, float] | None]:
    """Return volume per atom (Å³) and bulk modulus (GPa) of each phase; None where it has none."""
    values: dict[str, dict[str, float] | None] = {}
    for name, seed in seeds.items():
        try:
            eos = equation_of_state(repeated(seed, STATIC_ATOMS), model)
        except ValueError:
            values[name] = None
            continue
        values[name] = {"volume": eos.volume, "bulk_modulus": eos.bulk_modulus}
    return values


def repulsion(seed: Atoms, calculator: Calculator) -> dict[str, Any]:
    """Squeeze a cell, and return its energies.

    Returns
    -------
    dict
        `distances`: shortest distance (Å) of each squeezed cell, falling. `energies`: energy per
        atom (eV), counted from the first. `rises`: True if each is above the one before.
    """
    distances = []
    energies = []
    for length in SQUEEZED:
        atoms = Atoms(seed.numbers, seed.positions, cell=seed.cell, pbc=seed.pbc)
        atoms.set_cell(atoms.cell * length, scale_atoms=True)
        atoms.calc = calculator
        distances.append(round(shortest_distance(atoms)[0], 3))
        energies.append(float(atoms.get_potential_energy()) / len(atoms))
    above = [round(energy - energies[0], 3) for energy in energies]
    rises = bool(np.all(np.diff(energies[1:]) > 0))
    return {"distances": distances, "energies": above, "rises": rises}


def milliseconds_per_step(seed: Atoms, calculator: Calculator, on_cpu: bool = True) -> float:
    """Measure one evaluation of energy, forces and stress of a small cell, in ms.

    On a CPU it is the time that this process computes, whatever else the machine does.
    """
    clock = time.process_time if on_cpu else time.perf_counter
    atoms = repeated(
        Atoms(seed.numbers, seed.positions, cell=seed.cell, pbc=seed.pbc), MOVING_ATOMS
    )
    atoms.calc = calculator
    atoms.get_forces()
    rng = np.random.default_rng(0)
    start = clock()
    for _ in range(STEPS):
        atoms.positions += rng.normal(0.0, 1e-3, (len(atoms), 3))
        atoms.get_forces()
        if "stress" in calculator.implemented_properties:
            atoms.get_stress()
    return 1e3 * (clock() - start) / STEPS
