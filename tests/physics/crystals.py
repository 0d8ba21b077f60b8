"""Crystals with potentials whose physics is known."""

import numpy as np
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

from entropy_flows.evaluate.physics import PhysicsParams

SHARP = PhysicsParams(fmax=1e-4, steps=100)


def copper(repeat=1):
    """A cube of fcc copper, with EMT in mind."""
    return bulk("Cu", cubic=True) * (repeat, repeat, repeat)


class Springs(Calculator):
    """Harmonic springs between neighbours closer than `reach`: E = ½ Σ_pairs k (r − r0)²."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, k, r0, reach):
        super().__init__()
        self.k, self.r0, self.reach = k, r0, reach

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, d, D = neighbor_list("idD", atoms, self.reach)
        pull = (self.k * (d - self.r0) / d)[:, None] * D
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        stress = 0.5 * pull.T @ D / atoms.get_volume()
        energy = 0.25 * self.k * ((d - self.r0) ** 2).sum()
        self.results = {
            "energy": energy,
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(stress),
        }
