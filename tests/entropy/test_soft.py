"""The laws of the local entropy with a soft minimum."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import Spring, numerical_gradient, numerical_strain_gradient, rattled, rotated, skewed
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from entropy_flows.entropy import (
    BiasedSurface,
    SoftBias,
    local_entropies,
    soft_entropies,
    thermal_distance,
)
from entropy_flows.entropy.soft import DISPLACEMENT, soft_on_device
from entropy_flows.fingerprints import GOM

GOM_LOCAL = GOM(cutoff=3.0, natx=30)
FLOOR = 0.05


def entropy(q, floor=FLOOR, softness=0.5):
    """S_soft and its derivative of one cell."""
    S, slope = soft_entropies(torch.from_numpy(q), [len(q)], floor=floor, softness=softness)
    return float(S[0]), slope.numpy()


def formula(q, floor, softness):
    """The definition, pair by pair."""
    n = len(q)
    logs = []
    for i in range(n):
        x = [((q[i] - q[j]) ** 2).sum() + floor**2 for j in range(n) if j != i]
        logs.append(-softness / 2 * np.logaddexp.reduce(-np.log(x) / softness))
    return np.log(n) + np.mean(logs)


@pytest.mark.parametrize("softness", [0.1, 0.5, 1.0])
def test_equals_the_formula(softness):
    q = GOM_LOCAL(rattled("Si"))
    assert entropy(q, softness=softness)[0] == pytest.approx(formula(q, FLOOR, softness), abs=1e-12)


@pytest.mark.parametrize("softness", [0.2, 0.5])
@pytest.mark.parametrize("spread", [1e-4, 0.05, 3.0])  # below, at and above the floor
def test_derivative(spread, softness):
    q = 3 + spread * np.random.default_rng(0).normal(size=(6, 4))
    value = lambda x: entropy(x.reshape(6, 4), softness=softness)[0]  # noqa: E731
    slope = lambda x: entropy(x.reshape(6, 4), softness=softness)[1].ravel()  # noqa: E731
    scale = np.abs(slope(q.ravel())).max()
    assert check_grad(value, slope, q.ravel(), epsilon=1e-5 * spread) < 1e-4 * scale


@pytest.mark.parametrize("atoms", [skewed("Si4", 1), skewed("Si2C2", 2), skewed("NaCl2O", 3)])
def test_forces_and_virial(atoms):
    """Of the surface, with a base model beneath."""
    make = lambda: BiasedSurface(Spring(), SoftBias(GOM_LOCAL, FLOOR), k=2.0)  # noqa: E731
    energy = lambda moved: make().get_potential_energy(moved)  # noqa: E731
    surface = make()
    forces = surface.get_forces(atoms)
    stress = surface.get_stress(atoms)
    np.testing.assert_allclose(forces, -numerical_gradient(energy, atoms), atol=2e-6, rtol=2e-6)
    strain = numerical_strain_gradient(energy, atoms) / atoms.get_volume()
    expected = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(stress, expected, atol=2e-6, rtol=2e-6)


def test_invariance():
    atoms = skewed("Si3C2", 5)
    S, _ = entropy(GOM_LOCAL(atoms))
    for same in (rotated(atoms), atoms[[3, 0, 4, 1, 2]]):
        assert entropy(GOM_LOCAL(same))[0] == pytest.approx(S, abs=1e-9)


def test_without_softness_and_floor_it_is_the_papers():
    """Values and derivatives, of cells of several sizes."""
    sizes = [4, 7, 2]
    q = torch.from_numpy(np.random.default_rng(1).normal(size=(13, 5)))
    S, slope = soft_entropies(q, sizes, floor=1e-9, softness=1e-3)
    expected, expected_slope = local_entropies(q, sizes)
    np.testing.assert_allclose(S, expected, atol=1e-9)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-9)


@given(st.floats(1e-3, 1.0))
def test_softness_only_lowers(softness):
    """The soft minimum is below the least, by at most τ/2 times the log of the neighbours."""
    q = np.random.default_rng(2).normal(size=(8, 3))
    hard = entropy(q, softness=1e-4)[0]
    soft = entropy(q, softness=softness)[0]
    assert hard - softness / 2 * np.log(7) - 1e-9 <= soft <= hard + 1e-9


def test_the_force_does_not_jump_where_the_nearest_changes():
    """Atom 0 between two others: the paper's slope changes its sign, the soft one passes 0."""
    at = lambda x: np.array([[x], [-1.0], [1.0]])  # noqa: E731
    step = 1e-6
    jump = lambda slope: abs(slope(step)[0, 0] - slope(-step)[0, 0])  # noqa: E731
    paper = lambda x: local_entropies(torch.from_numpy(at(x)), [3])[1].numpy()  # noqa: E731
    assert jump(paper) > 0.5
    assert jump(lambda x: entropy(at(x))[1]) < 1e-5


def test_slope_is_bounded_by_the_floor():
    pair = lambda delta: np.array([[0.0], [delta]])  # noqa: E731
    slopes = [abs(entropy(pair(x * FLOOR))[1][0, 0]) for x in np.linspace(0, 5, 101)]
    assert max(slopes) == pytest.approx(1 / (2 * FLOOR), rel=1e-3)  # of the two atoms together


def test_perfect_crystal_has_no_force():
    q, pullback = GOM_LOCAL.vjp(bulk("Si", "diamond", a=5.43) * (2, 2, 2))
    S, slope = entropy(q)
    assert pytest.approx(np.log(16 * FLOOR) - 0.25 * np.log(15)) == S
    assert np.abs(pullback(slope)[0]).max() < 1e-9


def test_a_batch_is_its_cells_on_either_path():
    """Compiled loops and tensor operations, for cells of several sizes in one call."""
    rng, sizes = np.random.default_rng(0), [4, 1, 7, 4, 2, 1]
    q = rng.normal(size=(sum(sizes), 5)) * np.repeat([1, 1, 1e-4, 0.1, 1, 1], sizes)[:, None] + 4
    q[:, 2] = 0  # a component that nothing populates
    first = np.cumsum([0, *sizes])
    on_device = lambda q, sizes, floor: soft_on_device(q, sizes, floor, 0.5)  # noqa: E731
    for path in (lambda q, sizes, floor: soft_entropies(q, sizes, floor=floor), on_device):
        for floor in (0.01, 1.0):
            S, slope = path(torch.from_numpy(q), sizes, floor)
            for cell, (a, b) in enumerate(pairwise(first)):
                alone, gradient = entropy(q[a:b], floor)
                assert float(S[cell]) == pytest.approx(alone, abs=1e-10)
                np.testing.assert_allclose(slope[a:b], gradient, rtol=1e-8, atol=1e-9)


def test_thermal_distance_is_that_of_a_thermal_crystal():
    """The distance to the nearest atom of a rattled crystal of 16 equal sites."""
    crystal = bulk("Si", "diamond", a=5.43) * (2, 2, 2)
    floor = thermal_distance(GOM_LOCAL, [crystal])
    nearest = []
    for seed in range(8):
        moved = crystal.copy()
        moved.rattle(DISPLACEMENT * 2.351 / np.sqrt(3), seed=seed)
        q = GOM_LOCAL(moved)
        distance = np.linalg.norm(q[:, None] - q, axis=-1) + np.diag([np.inf] * 16)
        nearest += distance.min(axis=1).tolist()
    assert floor == pytest.approx(np.exp(np.mean(np.log(nearest))), rel=0.15)
    assert floor == thermal_distance(GOM_LOCAL, [crystal])


def test_thermal_distance_knows_scales_and_sites():
    """It grows with the displacement and the fingerprint's unit; unlike sites make it no larger."""
    crystal = bulk("Si", "diamond", a=5.43) * (2, 1, 1)
    floor = thermal_distance(GOM_LOCAL, [crystal])
    assert thermal_distance(GOM_LOCAL, [crystal], 0.1) > 1.5 * floor
    halved = GOM(cutoff=3.0, natx=30, elements=("Si",), scale=[2.0])
    assert thermal_distance(halved, [crystal]) == pytest.approx(floor / 2, rel=1e-9)
    alone = bulk("Si", "diamond", a=5.43)
    both = thermal_distance(GOM_LOCAL, [alone, crystal])
    assert both == pytest.approx(np.sqrt(floor * thermal_distance(GOM_LOCAL, [alone])))
    salt = bulk("NaCl", "zincblende", a=5.43)
    of_sites = thermal_distance(GOM(cutoff=3.0, natx=30, elements=("Na", "Cl")), [salt])
    q = GOM(cutoff=3.0, natx=30, elements=("Na", "Cl"))(salt)
    assert of_sites < 0.1 * np.linalg.norm(q[0] - q[1])


@pytest.mark.parametrize(
    ("q", "settings", "message"),
    [
        (np.ones((2, 3)), {"floor": 0.0}, "floor is 0.0"),
        (np.ones((2, 3)), {"softness": np.nan}, "softness is nan"),
        (np.array([[1.0], [np.inf]]), {}, "atom 1 is not finite"),
    ],
)
def test_wrong_input(q, settings, message):
    with pytest.raises(ValueError, match=message):
        entropy(q, **settings)


def test_a_cell_of_one_atom_has_the_floor_of_its_crystal():
    one = bulk("Cu")
    gom = GOM(cutoff=3.0, natx=30)
    assert thermal_distance(gom, [one]) == pytest.approx(thermal_distance(gom, [one * (2, 2, 2)]))


def test_cells_without_environments_have_no_floor():
    with pytest.raises(ValueError, match="0 cells have no thermal distance"):
        thermal_distance(GOM_LOCAL, [])
    with pytest.raises(ValueError, match="1 cells have no thermal distance"):
        thermal_distance(GOM_LOCAL, [Atoms("Si2", [[0, 0, 0], [0, 0, 9]], cell=[20] * 3, pbc=True)])
