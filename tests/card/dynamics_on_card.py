"""Exploration on the card: the CPU's trajectories, resumed, halved and exploding too."""

import numpy as np
import pytest
import torch
from biases_on_card import BIASES
from cells import Spring, rattled
from pretend_card import NAME, Card

from entropy_flows.batch import Batch
from entropy_flows.explore import Condition, ExploreParams, Run, dynamics, evaluate, explore
from entropy_flows.potentials import OneByOne
from entropy_flows.settings import choose_algorithms, settings

PARAMS = ExploreParams(steps=8, warm_up=1, ramp=2, snapshot_every=4)
SIZES = (2, 2, 1, 2)
COUNTS = [
    ("local", "host", 2, 19),
    ("target", "host", 2, 19),
    ("local", "device", 2, 79),
    ("soft", "device", 2, 78),
    ("atoms", "device", 3, 61),
    ("target", "device", 3, 60),
]
"""Bias, where it is, and how often the host may wait and kernels may start in a step."""


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


def starts(sizes=SIZES):
    return [rattled(repeat=size, seed=i, stdev=0.1) for i, size in enumerate(sizes)]


def explored(card, device, name, model=None, uniform=False, **options):
    cells = starts((2,) * 4) if uniform else starts()
    model = card.aside(model or OneByOne(Spring(), device))
    model.device = device
    return explore(runs_of(name), cells, model, BIASES[name](), PARAMS, **options)


def assert_close(trajectories, expected):
    for one, other in zip(trajectories, expected, strict=True):
        assert (one.reason is None) == (other.reason is None)
        assert len(one) == len(other)
        for part in ("positions", "energies", "temperatures", "max_forces"):
            np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-6)
        assert one.mean_temperature == pytest.approx(other.mean_temperature, nan_ok=True)


@pytest.mark.parametrize("bias_on", ["device", "host"])
@pytest.mark.parametrize("name", ["local", "soft", "atoms", "configurations", "target"])
def test_trajectories(card, name, bias_on):
    expected = explored(card, "cpu", name)
    assert_close(explored(card, NAME, name, bias_on=bias_on), expected)
    assert not card.unrepeatable  # every operation has a deterministic form


def test_the_faster_device_is_chosen_by_measurement(card, monkeypatch):
    clock = iter([0.0, 5.0, 5.0, 7.0, 7.0, 9.0, 9.0, 12.0, 12.0, 13.0, 13.0, 17.0])
    monkeypatch.setattr(evaluate.time, "perf_counter", lambda: next(clock))
    model = card.aside(OneByOne(Spring(), NAME))
    evaluator = evaluate.Evaluator(model, BIASES["local"](), ["atom"] * 4)
    batch = Batch.of(starts(), NAME)
    result = evaluator(batch, range(4), [1.0, 0.0, 2.0, 1.0])
    assert evaluator.bias_on == "host"  # 1 s at best, against 2 s
    assert result.gradient.device == batch.positions.device
    bound = BIASES["local"]()
    bound.fingerprint.is_bound = True
    assert evaluate.Evaluator(model, bound, ["atom"]).bias_on == "host"
    assert evaluate.Evaluator(OneByOne(Spring()), bound, ["atom"], "host").bias_on == "device"


@pytest.mark.parametrize(("name", "bias_on", "waits", "kernels"), COUNTS)
def test_a_step_waits_and_launches_no_more_than_this(card, name, bias_on, waits, kernels):
    """Beside the model, in the steps between snapshots, once k has risen."""
    counts = []

    def on_step(ensemble):
        if ensemble.step > 1 and ensemble.step % PARAMS.snapshot_every:
            counts.append([card.waits.total(), card.copies.total(), card.kernels.total()])
        card.clear()

    explored(card, NAME, name, uniform=True, bias_on=bias_on, on_step=on_step)
    assert len(counts) == 5
    assert max(row[0] for row in counts) <= waits
    assert max(row[1] for row in counts) <= 3 if bias_on == "host" else True
    assert max(row[2] for row in counts) <= kernels


def test_pairs_that_were_kept_for_too_long_are_found_again(card, monkeypatch):
    params = ExploreParams(steps=30, warm_up=1, ramp=2, snapshot_every=30)
    runs = [Run(i, Condition("d", 3000.0, 2.0, 0.0), "atom", i) for i in range(4)]
    waits = []

    def on_step(ensemble):
        waits.append(card.waits.total())
        card.clear()

    def run(device):
        model = card.aside(OneByOne(Spring(), device))
        model.device = device
        options = {"bias_on": "device", "on_step": on_step}
        return explore(runs, starts((2,) * 4), model, BIASES["local"](), params, **options)

    found = run(NAME)
    # two searches and two solutions, where there is one otherwise
    assert set(waits[4:-1]) == {2, 7}
    assert 3 <= waits.count(7) <= 10
    expected = run("cpu")
    assert_close(found, expected)
    # without that, pairs are missing
    monkeypatch.setattr(dynamics, "MAX_DISPLACEMENT", 10.0)
    monkeypatch.setattr(evaluate, "SKIN", 0.01)
    wrong = np.array([trajectory.positions for trajectory in run(NAME)])
    right = np.array([trajectory.positions for trajectory in expected])
    assert np.abs(wrong - right).max() > 1e-3


def test_resumed_run_goes_on(card):
    states = []
    expected = explored(card, NAME, "local", on_step=lambda e: states.append(e.state()))
    assert all(isinstance(array, np.ndarray) for array in states[3]["arrays"].values())
    for position in (4,):
        assert_close(explored(card, NAME, "local", resume=states[position]), expected)


def test_a_run_that_explodes_and_a_batch_that_is_halved(card):
    results = [
        explored(card, device, "local", Small(device, last=12), bias_on="device")
        for device in ("cpu", NAME)
    ]
    assert_close(*results)
    assert [trajectory.reason is None for trajectory in results[1]].count(False) >= 1


@pytest.mark.parametrize(("device", "chosen"), [("cuda", True), ("cpu", False)])
def test_a_setting_asks_for_the_deterministic_form(monkeypatch, device, chosen):
    monkeypatch.setenv("ENTROPY_FLOWS_DETERMINISTIC", "1")
    monkeypatch.setenv("ENTROPY_FLOWS_DEVICE", device)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    settings.cache_clear()
    try:
        choose_algorithms()
        assert torch.are_deterministic_algorithms_enabled() is chosen
    finally:
        torch.use_deterministic_algorithms(False)
        settings.cache_clear()
