"""When a campaign goes on, when it is done, and when it has failed."""

import pytest

from entropy_flows.flows import ActiveLearningMaker, IterationMaker, StopDecision, decide_to_stop
from entropy_flows.jobs import SelectMaker
from entropy_flows.schemas import StopParams
from entropy_flows.select import LogDetSelector

GOOD, BAD = {"energy_mae": 0.001, "forces_mae": 0.05}, {"energy_mae": 0.01, "forces_mae": 0.5}


def verdict(iteration=1, last=3, labels=10, new=5, validation=BAD, failure=None, **stop):
    return decide_to_stop(iteration, last, StopParams(**stop), labels, new, validation, failure)


def test_goes_on():
    assert verdict() == StopDecision("running")
    assert verdict(iteration=2, label_budget=11, energy_mae=0.01) == StopDecision("running")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iteration": 3}, "all 3 iterations are done"),
        ({"iteration": 4}, "all 3 iterations are done"),
        ({"label_budget": 10}, "the label budget of 10 is spent"),
        ({"label_budget": 9}, "the label budget of 9 is spent"),
        ({"new": 0}, "nothing new was found"),
        (
            {"validation": GOOD, "energy_mae": 0.002},
            "validation energy MAE 1.00 meV/atom is below the threshold",
        ),
        (
            {"validation": GOOD, "energy_mae": 0.002, "forces_mae": 0.1},
            "validation energy MAE 1.00 meV/atom",
        ),
    ],
)
def test_done(changes, message):
    found = verdict(**changes)
    assert found.state == "done"
    assert message in found.message


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": GOOD},  # no threshold
        {"validation": GOOD, "energy_mae": 0.001},  # at it, not below it
        {"validation": GOOD, "energy_mae": 0.002, "forces_mae": 0.05},
        {"validation": {"energy_mae": 0.001}, "energy_mae": 0.002, "forces_mae": 0.1},
        {"validation": {"n": 0}, "energy_mae": 0.002},  # no validation cells: nothing is known
    ],
)
def test_not_good_enough(changes):
    assert verdict(**changes).state == "running"


def test_failed():
    failure = {"stage": "train", "message": "no label to train on: 3 × scf"}
    found = verdict(iteration=2, validation=None, failure=failure, new=0)
    assert found == StopDecision("failed", "iteration 2, train: no label to train on: 3 × scf")
    assert verdict(validation=None) == StopDecision(
        "failed", "iteration 1, evaluate: left no result"
    )
    assert verdict(failure=failure).state == "running"  # a stage that failed once and was mended


@pytest.mark.parametrize(
    ("iteration", "spent", "expected"),
    [(1, 0, 20), (2, 20, None), (2, 90, None), (3, 90, 50), (9, 90, 50)],
)
def test_budget_of_an_iteration(iteration, spent, expected):
    chosen = [SelectMaker(params=LogDetSelector(max_labels=most)) for most in (20, None, 50)]
    iterations = [IterationMaker(select=select) for select in chosen]
    maker = ActiveLearningMaker(iterations=iterations)
    assert maker.budget(iteration, spent) == expected
    limited = ActiveLearningMaker(iterations=iterations, stop=StopParams(label_budget=100))
    assert limited.budget(iteration, spent) == min(100 - spent, expected or 100)
