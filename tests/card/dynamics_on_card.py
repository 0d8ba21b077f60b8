"""Exploration on the card: the CPU's trajectories, resumed, halved and exploding too."""

import numpy as np
import pytest
from biases_on_card import BIASES
from cells import Spring, rattled
from pretend_card import NAME, Card

from entropy_flows.explore import Condition, ExploreParams, Run, explore
from entropy_flows.potentials import OneByOne

PARAMS = ExploreParams(steps=8, warm_up=1, ramp=2, snapshot_every=4)
SIZES = (2, 2, 1, 2)


@pytest.fixture(autouse=True)
def card():
    with Card() as card:
        yield card


class Small(OneByOne):
    """Has room for three cells; after `last` calls the first cell of each is pushed."""

    def __init__(self, device, last=10**9):
        super().__init__(Spring(), device)
        self.calls, self.last = 0, last

    def __call__(self, batch):
        if len(batch) > 3:
            raise MemoryError("too many cells")
        result = super().__call__(batch)
        self.calls += 1
        if self.calls > self.last:
            result.forces[0] += 1e5
        return result


def runs_of(name):
    mode = "config" if name == "configurations" else "atom"
    k = (2.0, 1.0, 0.0, 0.5)
    return [Run(i, Condition("d", 400.0 + i, k[i], 0.0), mode, i) for i in range(len(SIZES))]


def starts():
    return [rattled(repeat=size, seed=i, stdev=0.1) for i, size in enumerate(SIZES)]


def explored(card, device, name, model=None, **options):
    model = card.aside(model or OneByOne(Spring(), device))
    model.device = device
    return explore(runs_of(name), starts(), model, BIASES[name](), PARAMS, **options)


def assert_close(trajectories, expected):
    for one, other in zip(trajectories, expected, strict=True):
        assert (one.reason is None) == (other.reason is None)
        assert len(one) == len(other)
        for part in ("positions", "energies", "temperatures", "max_forces"):
            np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-6)
        assert one.mean_temperature == pytest.approx(other.mean_temperature, nan_ok=True)


@pytest.mark.parametrize("name", ["local", "atoms", "configurations", "target"])
def test_trajectories(card, name):
    assert_close(explored(card, NAME, name), explored(card, "cpu", name))


def test_resumed_run_goes_on(card):
    states = []
    expected = explored(card, NAME, "local", on_step=lambda e: states.append(e.state()))
    assert all(isinstance(array, np.ndarray) for array in states[3]["arrays"].values())
    for position in (2, 7):
        assert_close(explored(card, NAME, "local", resume=states[position]), expected)


def test_a_run_that_explodes_and_a_batch_that_is_halved(card):
    results = [explored(card, device, "local", Small(device, last=12)) for device in ("cpu", NAME)]
    assert_close(*results)
    assert [trajectory.reason is None for trajectory in results[1]].count(False) >= 1
