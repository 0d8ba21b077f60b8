"""Whether compiling pays follows from what was measured."""

import time

import pytest
import torch
from ase.build import bulk

from entropy_flows.compiled.cache import CompiledFacts
from entropy_flows.compiled.decision import CompileEstimate
from entropy_flows.compiled.speed import Speed, measure_speed
from entropy_flows.potentials import Evaluation

EAGER = Speed(call=0.010, cell=0.002)


def facts(**changes):
    measured = {"eager": (0.008, 0.004), "compiled": (0.002, 0.003), "seconds": 40.0}
    return CompiledFacts(machine={}, model="", sha256="", **{**measured, **changes})


def test_it_pays_where_the_calls_to_come_save_more_than_it_costs():
    # a call with 8 cells takes 26 ms, and half as much compiled
    def estimate(n, cost=65.0):
        return CompileEstimate({8: n}, EAGER, 0.5, 0.5, cost)

    assert estimate(1000).eager_seconds == pytest.approx(26.0)
    assert estimate(1000).saved == pytest.approx(13.0)
    assert not estimate(4990).pays
    assert estimate(5010).pays
    assert not estimate(5010, cost=66.0).pays


def test_calls_of_each_size_count_by_themselves():
    both = CompileEstimate({1: 100, 32: 200}, EAGER, 0.0, 1.0, 1.0)
    # the overhead of a call is saved, whatever is in it, and the work is not
    assert both.saved == pytest.approx(300 * EAGER.call)


def test_what_compiling_did_here_before_counts_instead_of_what_is_usual():
    usual = CompileEstimate.of({8: 1000}, EAGER, None)
    here = CompileEstimate.of({8: 1000}, EAGER, facts())
    assert usual.cost == 90.0
    assert (here.call_ratio, here.cell_ratio, here.cost) == (0.25, 0.75, 40.0)
    assert here.saved == pytest.approx(1000 * (0.75 * 0.010 + 8 * 0.25 * 0.002))


def test_a_form_that_is_slower_never_pays():
    slower = CompileEstimate.of({8: 10**9}, EAGER, facts(compiled=(0.016, 0.008)))
    assert slower.saved < 0
    assert not slower.pays
    assert "compiled they would take 0 s less" in slower.text()


class Counting:
    """A model whose calls take a known time."""

    device = "cpu"

    def __call__(self, batch):
        time.sleep(0.02 + 0.01 * len(batch))
        return Evaluation(torch.zeros(len(batch)), batch.positions, None)


def test_speed_is_a_line_through_two_sizes():
    speed = measure_speed(Counting(), [bulk("Si")], 5)
    assert speed.call == pytest.approx(0.02, abs=0.006)
    assert speed.cell == pytest.approx(0.01, abs=0.003)
    assert Speed.through(0.030, 0.070, 5).seconds(32) == pytest.approx(0.34)
    assert measure_speed(Counting(), [bulk("Si")], 1).seconds(1) == pytest.approx(0.03, abs=0.01)
