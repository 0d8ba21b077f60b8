import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.harmonic import HarmonicCalculator, HarmonicForceField
from ase.calculators.lj import LennardJones

from entropy_flows.batch import Batch
from entropy_flows.potentials import BatchOfOne, OneByOne


@pytest.fixture
def metals():
    cells = [
        bulk("Cu").repeat((2, 1, 1)),
        bulk("AlNi", "cesiumchloride", a=2.9),
        bulk("Au", cubic=True),
    ]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.1, seed=seed)
    return cells


def test_equals_the_calculator_to_the_last_digit(metals):
    result = OneByOne(EMT())(Batch.of(metals))

    assert result.energy.dtype == result.forces.dtype == result.stress.dtype == torch.float64
    first = Batch.of(metals).cells.first
    for index, atoms in enumerate(metals):
        atoms.calc = EMT()
        assert result.energy[index] == atoms.get_potential_energy()
        assert np.array_equal(result.forces[first[index] : first[index + 1]], atoms.get_forces())
        assert np.array_equal(result.stress[index], atoms.get_stress(voigt=False))


def test_a_calculator_without_stress():
    water = molecule("H2O")
    field = HarmonicForceField(water, np.eye(9))

    result = OneByOne(HarmonicCalculator(field))(Batch.of([water, water]))
    assert result.stress is None
    assert result.forces.shape == (6, 3)


def test_no_stress_without_a_volume():
    dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.1]])
    crystal = bulk("Ar", cubic=True, a=1.6)

    stress = OneByOne(LennardJones())(Batch.of([dimer, crystal])).stress
    assert stress[0].isnan().all()
    assert stress[1].isfinite().all()


def test_there_and_back(metals):
    calculator = BatchOfOne(OneByOne(EMT()))
    for atoms in metals:
        other = atoms.copy()
        atoms.calc, other.calc = calculator, EMT()
        assert atoms.get_potential_energy(force_consistent=True) == other.get_potential_energy()
        assert np.array_equal(atoms.get_forces(), other.get_forces())
        assert np.allclose(atoms.get_stress(), other.get_stress(), rtol=1e-14)


def test_cells_that_are_evaluated_ahead_are_looked_up(metals):
    class Counted(OneByOne):
        sizes = ()

        def __call__(self, batch):
            self.sizes += (len(batch),)
            return super().__call__(batch)

    model = Counted(EMT())
    calculator = BatchOfOne(model)
    cells = [rattled for seed in range(4) for rattled in (atoms.copy() for atoms in metals)]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.05, seed=seed)
    large = metals[2] * (4, 4, 5)
    calculator.ahead([*cells, large])
    assert model.sizes == (8, 4, 1)  # 320 atoms are a call of their own
    for atoms in (*cells, large):
        other = atoms.copy()
        atoms.calc, other.calc = calculator, EMT()
        assert atoms.get_potential_energy() == other.get_potential_energy()
        assert np.array_equal(atoms.get_forces(), other.get_forces())
    assert len(model.sizes) == 3
    cells[0].rattle(0.1)
    cells[0].get_potential_energy()
    assert model.sizes[3:] == (1,)
