"""The fast student learns what it can learn, by itself and from what it is given alone."""

import numpy as np
import pytest

from entropy_flows.bench import NetworkParams
from entropy_flows.bench.network import Networks


def cells(n, seed=0):
    """Cells of one to four atoms whose energy per atom is the mean of a function of their atoms."""
    rng = np.random.default_rng(seed)
    prints = [rng.normal(size=(rng.integers(1, 5), 3)) * [5.0, 1.0, 0.1] for _ in range(n)]
    return prints, np.array([np.mean(0.2 * q[:, 0] + np.tanh(q[:, 1])) - 4 for q in prints])


@pytest.mark.parametrize("inputs", ["atoms", "mean"])
def test_it_learns(inputs):
    prints, energies = cells(300)
    losses = []
    made = Networks.trained(
        prints[:200], energies[:200], NetworkParams(steps=400, inputs=inputs), 1, losses
    )
    assert losses[-1] < 0.2 * losses[0]
    predicted = made.predict(prints[200:])
    assert predicted.shape == (5, 100)
    off = predicted.mean(axis=0) - energies[200:]
    assert np.abs(off).mean() < 0.4 * np.abs(energies[200:] - energies[:200].mean()).mean()
    assert predicted.std(axis=0, ddof=1).min() > 0


def test_a_sum_over_atoms_does_not_depend_on_their_order_nor_on_the_other_cells():
    prints, energies = cells(30)
    made = Networks.trained(prints, energies, NetworkParams(steps=20), 1)
    turned = [q[::-1] for q in prints]
    np.testing.assert_allclose(made.predict(turned), made.predict(prints), atol=1e-5)
    np.testing.assert_allclose(made.predict(prints[7:8]), made.predict(prints)[:, 7:8], atol=1e-5)
    double = [np.vstack([q, q]) for q in prints]
    np.testing.assert_allclose(made.predict(double), made.predict(prints), atol=1e-5)


def test_the_seed_decides():
    prints, energies = cells(30)
    few = NetworkParams(steps=30, members=2)
    same = [Networks.trained(prints, energies, few, 3).predict(prints) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.allclose(same[0], Networks.trained(prints, energies, few, 4).predict(prints))


def test_labels_that_are_all_alike():
    prints, _ = cells(10)
    made = Networks.trained(prints, np.full(10, -4.0), NetworkParams(steps=300), 1)
    np.testing.assert_allclose(made.predict(prints).mean(axis=0), -4.0, atol=0.2)
