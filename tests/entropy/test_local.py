"""The laws of the local entropy."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import numerical_gradient, numerical_strain_gradient, rattled, rotated, skewed
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from entropy_flows.entropy import local_entropies, local_entropy
from entropy_flows.entropy.local import FLOOR, on_device
from entropy_flows.fingerprints import GOM

GOM_LOCAL = {"cutoff": 3.0, "natx": 30}


def paper(q):
    """The formula, pair by pair."""
    n = len(q)
    return (
        sum(
            np.log(n * min(np.linalg.norm(q[i] - q[j]) for j in range(n) if j != i))
            for i in range(n)
        )
        / n
    )


def test_equals_the_formula():
    for seed in range(3):
        q = GOM(**GOM_LOCAL)(rattled("Si", seed=seed))
        assert local_entropy(q)[0] == pytest.approx(paper(q), abs=1e-13)


@pytest.mark.parametrize("spread", [1e-5, 3e-4, 1e-3, 1.0])  # below, across and above the floor
def test_derivative(spread):
    q = 3 + spread * np.random.default_rng(0).normal(size=(5, 4))
    value = lambda x: local_entropy(x.reshape(5, 4))[0]  # noqa: E731
    slope = lambda x: local_entropy(x.reshape(5, 4))[1].ravel()  # noqa: E731
    scale = np.abs(slope(q.ravel())).max()
    assert check_grad(value, slope, q.ravel(), epsilon=1e-5 * spread) < 2e-3 * scale + 1e-6


@given(st.floats(0.5, 1.5))
def test_floor_is_smooth(x):
    """Value and slope of log δ join at the floor."""
    floor, step = 0.1, 1e-6
    pair = lambda delta: np.array([[0.0], [delta]])  # noqa: E731
    S, slope = local_entropy(pair(x * floor), floor=floor)
    ahead, _ = local_entropy(pair(x * floor + step), floor=floor)
    behind, _ = local_entropy(pair(x * floor - step), floor=floor)
    assert slope[1, 0] == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)
    assert behind <= S <= ahead
    assert abs(slope).max() <= 1.09 / floor


@pytest.mark.parametrize("atoms", [skewed("Si4", 1), skewed("Si2C2", 2), skewed("NaCl2O", 3)])
def test_forces_and_virial(atoms):
    gom = GOM(**GOM_LOCAL)
    entropy = lambda moved: local_entropy(gom(moved))[0]  # noqa: E731
    q, pullback = gom.vjp(atoms)
    gradient, strain = pullback(local_entropy(q)[1])
    np.testing.assert_allclose(gradient, numerical_gradient(entropy, atoms), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(
        strain, numerical_strain_gradient(entropy, atoms), atol=1e-6, rtol=1e-6
    )


def test_invariance():
    atoms, gom = skewed("Si3C2", 5), GOM(**GOM_LOCAL)
    S, _ = local_entropy(gom(atoms))
    for same in (rotated(atoms), atoms[[3, 0, 4, 1, 2]]):
        assert local_entropy(gom(same))[0] == pytest.approx(S, abs=1e-9)


def test_perfect_crystal():
    gom = GOM(**GOM_LOCAL)
    atoms = bulk("Si", "diamond", a=5.43) * (2, 2, 2)
    q, pullback = gom.vjp(atoms)
    S, dS_dq = local_entropy(q)
    assert pytest.approx(np.log(16 * 1e-3) - 0.75) == S
    gradient, strain = pullback(dS_dq)
    assert np.abs(gradient).max() < 1e-5
    assert np.abs(strain).max() < 1e-4


def test_one_atom():
    gom = GOM(**GOM_LOCAL)
    q = gom(Atoms("Si", cell=[2.5] * 3, pbc=True))
    S, dS_dq = local_entropy(q, floor=0.01)
    assert pytest.approx(np.log(0.01) - 0.75) == S
    assert not dS_dq.any()


@pytest.mark.parametrize(
    ("q", "floor", "message"),
    [
        (np.ones((2, 3)), 0.0, "floor is 0.0"),
        (np.ones((2, 3)), np.nan, "floor is nan"),
        (np.ones(3), 1e-3, r"shape \(3,\)"),
        (np.ones((0, 3)), 1e-3, r"shape \(0, 3\)"),
        (np.array([[1.0], [np.inf]]), 1e-3, "atom 1 is not finite"),
    ],
)
def test_wrong_input(q, floor, message):
    with pytest.raises(ValueError, match=message):
        local_entropy(q, floor=floor)


def test_a_batch_is_its_cells_on_either_path():
    """Compiled loops and tensor operations, for cells of several sizes in one call."""
    rng, sizes = np.random.default_rng(0), [4, 1, 7, 4, 2, 1]
    q = (
        rng.normal(size=(sum(sizes), 5))
        * np.repeat([1.0, 1.0, 1e-4, 1e-3, 1.0, 1.0], sizes)[:, None]
    )
    first = np.cumsum([0, *sizes])
    for path in (local_entropies, lambda q, sizes: on_device(q, sizes, FLOOR)):
        S, dS_dq = path(torch.from_numpy(q), sizes)
        for cell, (a, b) in enumerate(pairwise(first)):
            alone, gradient = local_entropy(q[a:b])
            assert float(S[cell]) == pytest.approx(alone, rel=1e-12)
            np.testing.assert_allclose(dS_dq[a:b], gradient, rtol=1e-9, atol=1e-12)
    equal = torch.from_numpy(q[:4]), [2, 2]
    for one, other in zip(local_entropies(*equal), on_device(*equal, FLOOR), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
