"""The surface of a target: its forces and stress are derivatives, and a cell is what it is."""

import numpy as np
import pytest
from cells import Spring, numerical_strain_gradient, rattled, rotated, skewed

from entropy_flows.batch import Batch
from entropy_flows.conventions import to_matrix
from entropy_flows.entropy import (
    CellBasis,
    CellMeans,
    RefineSurface,
    TargetBias,
    VarianceStatistics,
)
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import OneByOne
from entropy_flows.refine import RefineParams, refine

SYMBOLS = ["Si4", "Si2C2", "NaCl2O"]
GAUSSIAN = GOM(cutoff=3.0, natx=8)


def variance_near(atoms, fingerprint=GAUSSIAN, n=12):
    """A target of distorted copies of a cell, three of which are known."""
    copies = []
    for seed in range(n):
        copy = atoms.copy()
        copy.rattle(0.15, seed=seed)
        copies.append(copy)
    prints = fingerprint(copies)
    target = CellMeans.of(prints)
    # a long kernel, so that a cell sees many of the target's
    basis = CellBasis.drawn(target, 8, 1.0)
    statistics = VarianceStatistics.of_target(basis, target, 0.3)
    for q in prints[:3]:
        statistics.add(q)
    return statistics


def bias_of(variance, cells):
    return TargetBias(GAUSSIAN, variance)(Batch.of(cells, "cpu"), ["atom"] * len(cells))


@pytest.mark.parametrize(("symbols", "seed"), [("Si4", 4), ("Si2C2", 5), ("NaCl2O", 3)])
def test_gradient_is_that_of_finite_differences(symbols, seed):
    """No neighbour of these cells crosses the cutoff on the way, where higher derivatives jump."""
    atoms = skewed(symbols, seed)
    variance = variance_near(atoms)
    gradient = bias_of(variance, [atoms]).gradient.numpy()
    step = 1e-3
    moved = []
    for index in np.ndindex(*gradient.shape):
        for factor in (-3, -2, -1, 1, 2, 3):
            copy = atoms.copy()
            copy.positions[index] += factor * step
            moved.append(copy)
    values = bias_of(variance, moved).value.numpy().reshape(*gradient.shape, 6)
    sixth_order = values @ [-1, 9, -45, 45, -9, 1] / (60 * step)
    scale = np.abs(gradient).max()
    assert scale > 1e-2
    np.testing.assert_allclose(gradient, sixth_order, rtol=0, atol=1e-10 * max(1.0, scale))


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_forces_and_stress_of_the_surface(symbols):
    atoms = skewed(symbols, 2)
    variance = variance_near(atoms)
    calculator = RefineSurface(Spring(), GAUSSIAN, variance, k=0.5)
    stress = to_matrix(calculator.get_stress(atoms))

    def energy(cell):
        return RefineSurface(Spring(), GAUSSIAN, variance, k=0.5).get_potential_energy(cell)

    numerical = numerical_strain_gradient(energy, atoms) / atoms.get_volume()
    np.testing.assert_allclose(stress, numerical, atol=2e-6, rtol=2e-6)
    base = Spring()
    forces = base.get_forces(atoms) + 0.5 * bias_of(variance, [atoms]).gradient.numpy()
    np.testing.assert_allclose(calculator.get_forces(atoms), forces, atol=1e-12)
    assert calculator.results["gain"] == pytest.approx(variance.gain(GAUSSIAN(atoms)), rel=1e-10)


def test_a_cell_is_the_same_turned_shifted_sorted_and_in_any_company():
    atoms = skewed("Si4", 3)
    variance = variance_near(atoms)
    sorted_otherwise = atoms[[2, 0, 3, 1]]
    shifted = atoms.copy()
    shifted.positions += 0.7
    shifted.wrap()
    others = [rotated(atoms, seed=4), shifted, sorted_otherwise]
    together = bias_of(variance, [atoms, *others, skewed("Si4", 9)])
    alone = bias_of(variance, [atoms])
    np.testing.assert_allclose(together.value[:4], alone.value[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(together.measure[:4], alone.measure[0], rtol=1e-10)
    np.testing.assert_allclose(together.gradient[:4], alone.gradient, atol=1e-10)
    np.testing.assert_allclose(together.gradient[12:16], alone.gradient[[2, 0, 3, 1]], atol=1e-10)
    measured = TargetBias(GAUSSIAN, variance).measure(Batch.of([atoms], "cpu"), ["atom"])
    np.testing.assert_allclose(measured, alone.measure, rtol=1e-12)


def test_it_pulls_back_to_the_target_and_ends_far_away():
    atoms = rattled("Si", 1, stdev=0.05, seed=1)
    variance = variance_near(atoms)
    near, far = atoms.copy(), atoms.copy()
    near.rattle(0.2, seed=7)
    far.set_cell(far.cell * 1.35, scale_atoms=True)
    values = bias_of(variance, [near, far]).value.numpy()
    assert values[0] > values[1] + 1
    gone = atoms.copy()
    gone.set_cell(gone.cell * 3, scale_atoms=True)
    output = bias_of(variance, [gone])
    assert np.isfinite(output.value.numpy()).all()
    assert np.abs(output.gradient.numpy()).max() < 1e-6


def test_refinement_goes_uphill_in_the_gain_and_sees_the_data_set_grow():
    atoms = rattled("Si", 1, stdev=0.1, seed=2)
    variance = variance_near(atoms)
    params = RefineParams(k=20.0, max_steps=10)
    (result,) = refine([atoms], OneByOne(Spring()), GAUSSIAN, variance, params)
    assert result.gain_after > 1.02 * result.gain_before
    assert result.gain_after == pytest.approx(variance.gain(GAUSSIAN(result.atoms)), rel=1e-9)
    calculator = RefineSurface(Spring(), GAUSSIAN, variance, k=1.0)
    before = calculator.get_potential_energy(atoms)
    variance.add(GAUSSIAN(result.atoms))
    assert calculator.get_potential_energy(atoms) > before
