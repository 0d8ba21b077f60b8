"""Vacancies and surfaces are what a slab and a supercell of ASE give."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from physics.crystals import copper

from entropy_flows.evaluate.physics import CheckError, PhysicsParams
from entropy_flows.evaluate.physics.defects import JOULE_PER_SQUARE_METRE, surfaces, vacancy
from entropy_flows.evaluate.physics.relax import relaxed

PARAMS = PhysicsParams(
    fmax=1e-3, defect_fmax=1e-3, supercell_length=7, surfaces=((1, 1, 1), (1, 1, 0))
)


@pytest.fixture(scope="module")
def equilibrium():
    """The lattice constant of EMT's copper, and its energy per atom."""
    cell = relaxed(copper(), EMT(), PARAMS)
    cell.calc = EMT()
    return cell.get_volume() ** (1 / 3), cell.get_potential_energy() / len(cell)


def energy(atoms: Atoms) -> float:
    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=1e-3)
    return atoms.get_potential_energy()


def test_a_vacancy_is_a_supercell_without_one_atom(equilibrium):
    pytest.importorskip("matcalc")
    lattice, per_atom = equilibrium
    cell = bulk("Cu", a=lattice, cubic=True) * (2, 2, 2)
    del cell[0]

    result = vacancy(copper(), EMT(), PARAMS)

    assert result.atoms == 32
    assert list(result.energies.values()) == pytest.approx([energy(cell) - 31 * per_atom], abs=1e-4)


def test_a_surface_is_half_of_what_a_slab_costs(equilibrium):
    pytest.importorskip("matcalc")
    lattice, per_atom = equilibrium
    slab = fcc111("Cu", (1, 1, 6), a=lattice, vacuum=8, periodic=True)
    area = np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))
    expected = (energy(slab) - 6 * per_atom) / (2 * area) * JOULE_PER_SQUARE_METRE

    energies = surfaces(copper(), EMT(), PARAMS).energies

    assert energies["111"] == pytest.approx(expected, rel=0.01)
    assert energies["110"] > energies["111"]


def test_a_compound_has_no_such_energies():
    with pytest.raises(CheckError, match="compound"):
        vacancy(bulk("NaCl", "rocksalt", a=5.6), EMT(), PARAMS)
