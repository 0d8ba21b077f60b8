"""The integrator: energy without friction, temperature with it, and random numbers of each
trajectory's own.
"""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT

from entropy_flows.batch import Batch
from entropy_flows.entropy import LocalBias, SoftBias, thermal_distance
from entropy_flows.explore.langevin import BLOCK, Langevin
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import OneByOne

LOCAL = LocalBias(GOM(cutoff=3.0, natx=20))


def energy_error(k, timestep, picoseconds=0.03, bias=LOCAL):
    """Largest change of E_base − k S + kinetic energy without friction (eV/atom), copper from 300
    K.
    """
    atoms = bulk("Cu") * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    batch, model = Batch.of([atoms]), OneByOne(EMT())
    langevin = Langevin(batch.cells, [300.0], [1], timestep, friction=0.0)

    def evaluate(batch):
        base, pull = model(batch), bias(batch, ["atom"])
        return float(base.energy[0] - k * pull.value[0]), base.forces + k * pull.gradient

    v, (potential, forces) = langevin.velocities(), evaluate(batch)
    totals = []
    for step in range(round(1000 * picoseconds / timestep)):
        totals.append(potential + float(langevin.kinetic_energies(v)[0]))
        batch, half = langevin.first(batch, v, forces, step)
        potential, forces = evaluate(batch)
        v = langevin.second(half, forces, step)
    return np.abs(np.array(totals) - totals[0]).max() / len(atoms)


@pytest.mark.parametrize(
    ("k", "limit", "gain"), [(0.0, 1e-4, 100), (5.0, 0.1, 10), (20.0, 1.5, 10)]
)
def test_energy_is_conserved_without_friction(k, limit, gain):
    """Error → 0 with the step: as its square at k = 0; slower with bias, whose force jumps where
    the nearest changes.

    At 1 fs and k = 20 eV the surface is steep for its step, which is why such runs heat up; see
    docs/performance.md.
    """
    coarse, fine = energy_error(k, 1.0), energy_error(k, 1 / 16)
    assert coarse < limit
    assert fine < coarse / gain


@pytest.mark.parametrize("k", [5.0, 20.0])
def test_the_soft_surface_conserves_energy_ten_times_better(k):
    """With the floor that thermal motion makes in copper, at the paper's step of 1 fs."""
    gom = GOM(cutoff=3.0, natx=20)
    soft = SoftBias(gom, thermal_distance(gom, [bulk("Cu") * (2, 2, 2)]))
    assert energy_error(k, 1.0, bias=soft) < energy_error(k, 1.0) / 10


def harmonic(batch, anchors, stiffness):
    return -stiffness * (batch.positions - anchors)


def test_temperature_and_velocities_of_springs():
    """Independent oscillators: exact averages are known, and thousands of them give small error
    bars.
    """
    cell, T, stiffness = (
        Atoms("Si200", np.random.default_rng(0).uniform(0, 30, (200, 3)), cell=[30] * 3),
        600.0,
        5.0,
    )
    cells = [cell.copy() for _ in range(4)]
    batch = Batch.of(cells)
    anchors = batch.positions.clone()
    langevin = Langevin(
        batch.cells, [T, T, 2 * T, 0.5 * T], [1, 2, 3, 4], timestep=2.0, friction=0.05
    )
    v, forces, sampled, spread = langevin.velocities(), harmonic(batch, anchors, stiffness), [], []
    for step in range(1500):
        batch, half = langevin.first(batch, v, forces, step)
        forces = harmonic(batch, anchors, stiffness)
        v = langevin.second(half, forces, step)
        if step >= 300 and step % 20 == 0:
            sampled.append(v.numpy().copy())
            spread.append((batch.positions - anchors).square().mean(1).view(4, 200).mean(1).numpy())
    target = np.array([T, T, 2 * T, 0.5 * T])
    speeds = np.array(sampled).reshape(len(sampled), 4, 200, 3)
    mass = float(langevin.masses[0])
    measured = mass * (speeds**2).mean(axis=(0, 2, 3)) / units.kB * 200 / 199
    error = target * np.sqrt(
        2 / 600 / len(sampled) * 3
    )  # samples 40 fs apart at 1/γ = 20 fs: nearly independent
    np.testing.assert_allclose(measured, target, atol=4 * error.max())
    np.testing.assert_allclose(
        np.mean(spread, axis=0), units.kB * target / stiffness * 199 / 200, rtol=0.05
    )
    normal = speeds[:, 0] / np.sqrt(units.kB * T / mass * 199 / 200)
    assert (normal**3).mean() == pytest.approx(0, abs=0.03)
    assert (normal**4).mean() == pytest.approx(
        3, abs=0.08
    )  # Maxwell's distribution, not only its width
    assert langevin.instantaneous(torch.from_numpy(sampled[-1])).shape == (4,)


def test_velocities_at_the_start():
    atoms = bulk("Si") * (6, 6, 6)
    langevin = Langevin(Batch.of([atoms] * 3).cells, [300.0, 900.0, 900.0], [1, 1, 2], 1.0, 0.01)
    v = langevin.velocities().view(3, len(atoms), 3)
    np.testing.assert_allclose(v.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(v[1], v[0] * 3**0.5, rtol=1e-12)
    assert (v[2] - v[1]).abs().max() > 0.01
    np.testing.assert_allclose(langevin.instantaneous(v.flatten(0, 1)), [300, 900, 900], rtol=0.15)


def test_momentum_and_centre_of_mass_stay():
    atoms = Atoms("NaClSi", [[0, 0, 0], [2, 0, 0], [0, 2.5, 0]], cell=[6, 6, 6], pbc=True)
    lone = Atoms("Na", cell=[4, 4, 4], pbc=True)
    batch = Batch.of([atoms, lone])
    langevin = Langevin(batch.cells, [500.0, 500.0], [3, 4], 1.0, 0.05)
    v, forces = langevin.velocities(), torch.ones(4, 3, dtype=torch.float64)
    centre, masses = atoms.get_center_of_mass(), langevin.masses
    for step in range(2 * BLOCK):
        batch, half = langevin.first(batch, v, forces, step)
        v = langevin.second(half, forces, step)
    np.testing.assert_allclose((masses * v)[:3].sum(0), 0, atol=1e-10)
    moved = batch.structures()
    np.testing.assert_allclose(moved[0].get_center_of_mass(), centre, atol=1e-10)
    assert np.abs(moved[1].positions).max() > 0.01  # has nothing but its centre of mass to move


def test_random_numbers_depend_on_seed_and_step_alone():
    small, large = bulk("Cu") * (2, 1, 1), bulk("Cu") * (2, 2, 2)
    alone = Langevin(Batch.of([large]).cells, [300.0], [42], 1.0, 0.01)
    among = Langevin(
        Batch.of([small, large, small]).cells, [100.0, 300.0, 500.0], [1, 42, 2], 1.0, 0.01
    )
    steps = [0, BLOCK - 1, BLOCK, 5 * BLOCK + 3, 1]
    numbers = [alone._normal(step) for step in steps]
    for step, expected in zip(steps, numbers, strict=True):
        np.testing.assert_array_equal(among._normal(step)[:, 2:10], expected)
    assert len({float(number[0, 0, 0]) for number in numbers}) == len(steps)
    chosen = among.take([1], among.cells.take([1]))
    np.testing.assert_array_equal(chosen._normal(7), alone._normal(7))
    assert chosen.temperatures == [300.0]
