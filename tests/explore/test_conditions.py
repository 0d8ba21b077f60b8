"""The grid and the runs drawn from it: sizes, order, independence of batches, and what is
refused.
"""

from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError

from entropy_flows.explore import Condition, ExploreParams, condition_grid, draw_runs

PHASES = [f"phase-{n}" for n in range(12)]
GENERATION_3 = ExploreParams(
    temperatures=(300, 1000, 3000, 5000),
    entropy_weights=(2, 5, 10, 20),
    pressures=(0, 5, 10, 20, 40, 60, 80, 100),
)


def test_the_papers_third_generation():
    grid = condition_grid(GENERATION_3, PHASES)
    assert len(grid) == len(set(grid)) == 1536
    assert Counter(condition.phase for condition in grid) == dict.fromkeys(PHASES, 128)
    assert {condition.pressure for condition in grid} == set(GENERATION_3.pressures)


def test_order_is_phase_pressure_temperature_weight():
    params = ExploreParams(temperatures=(300, 900), entropy_weights=(0, 5), pressures=(0, 10))
    grid = condition_grid(params, ["a", "b"])
    assert grid[:5] == [
        Condition("a", 300, 0, 0),
        Condition("a", 300, 5, 0),
        Condition("a", 900, 0, 0),
        Condition("a", 900, 5, 0),
        Condition("a", 300, 0, 10),
    ]
    places = [("ab".index(c.phase), c.pressure, c.temperature, c.k) for c in grid]
    assert all(first < second for first, second in pairwise(places))


def test_chosen_phases_only():
    params = ExploreParams(phases=("b",), temperatures=(300,), entropy_weights=(5,))
    assert condition_grid(params, ["a", "b"]) == [Condition("b", 300, 5, 0)]


def test_a_run_does_not_depend_on_those_around_it():
    grid = condition_grid(GENERATION_3, PHASES)
    runs = draw_runs(grid, 0.6, (42, 1))
    assert [run.index for run in runs] == list(range(1536))
    assert [run.condition for run in runs] == grid
    assert draw_runs(grid[:100], 0.6, (42, 1)) == runs[:100]
    assert draw_runs(list(reversed(grid)), 0.6, (42, 1))[7].seed == runs[7].seed
    assert len({run.seed for run in runs}) == 1536


def test_seed_and_iteration_change_every_run():
    grid = condition_grid(GENERATION_3, PHASES)
    seeds = [
        {run.seed for run in draw_runs(grid, 0.6, place)} for place in ((42, 1), (42, 2), (43, 1))
    ]
    assert not seeds[0] & seeds[1]
    assert not seeds[0] & seeds[2]


@pytest.mark.parametrize("fraction", [0.0, 0.6, 1.0])
def test_share_of_per_atom_runs(fraction):
    runs = draw_runs(condition_grid(GENERATION_3, PHASES), fraction, (42, 1))
    share = sum(run.mode == "atom" for run in runs) / len(runs)
    assert share == pytest.approx(fraction, abs=4 * (fraction * (1 - fraction) / len(runs)) ** 0.5)
    assert {run.mode for run in runs} <= {"atom", "config"}


def test_the_papers_share_is_the_default():
    assert ExploreParams().per_atom_fraction == 0.6


def test_unknown_phase():
    with pytest.raises(
        ValueError, match=r"'graphit' is not a phase of this campaign \(diamond, graphite\)"
    ):
        condition_grid(ExploreParams(phases=("graphit",)), ["diamond", "graphite"])


@pytest.mark.parametrize(("chosen", "phases"), [((), ["diamond"]), (None, [])])
def test_no_phase(chosen, phases):
    with pytest.raises(ValueError, match="the list is empty"):
        condition_grid(ExploreParams(phases=chosen), phases)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"temperatures": (300, -1)}, "temperatures.1"),
        ({"temperatures": ()}, "temperatures"),
        ({"entropy_weights": (2, -2)}, "entropy_weights.1"),
        ({"entropy_weights": (2, float("nan"))}, "entropy_weights.1"),
        ({"pressures": ()}, "pressures"),
        ({"steps": 0}, "steps"),
        ({"per_atom_fraction": 1.1}, "per_atom_fraction"),
        ({"surface": "both"}, "surface"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_values_out_of_range(values, place):
    with pytest.raises(ValidationError) as caught:
        ExploreParams(**values)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


def test_misspelt_key():
    with pytest.raises(
        ValidationError, match="unknown key 'temperature'; did you mean 'temperatures'"
    ):
        ExploreParams(temperature=(300,))
    with pytest.raises(
        ValidationError, match="unknown key 'xyz'; known keys: phases, temperatures"
    ):
        ExploreParams(xyz=1)


def test_parameters_travel_as_they_are():
    assert ExploreParams.from_dict(GENERATION_3.as_dict()) == GENERATION_3
    with pytest.raises(ValidationError, match="frozen"):
        GENERATION_3.steps = 5
