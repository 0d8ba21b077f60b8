"""The rest of an iteration: rates of what runs, and what stages took before."""

import pytest

from entropy_flows.launch.manager import JobRecord
from entropy_flows.launch.time_left import time_left
from entropy_flows.schemas.status import RunningJob

BEFORE = {
    "iteration": 1,
    "seconds": {
        "explore/0": 100.0,
        "explore/1": 100.0,
        "anchor/0": 40.0,
        "select": 5.0,
        "refine": 20.0,
        "plan": 1.0,
        "label/0": 30.0,
        "label/1": 30.0,
        "train": 200.0,
        "evaluate": 4.0,
    },
}
SERIAL = 5.0 + 20.0 + 1.0 + 200.0 + 4.0


def jobs(*names):
    return [JobRecord(str(index), name, "WAITING") for index, name in enumerate(names)]


def running(title, seconds=10.0, **fields):
    stage = title.partition("/")[0]
    return RunningJob(
        title=title, stage=stage, worker="w", host="h", seconds=seconds, silence=0.0, **fields
    )


LATER = jobs("select", "refine", "plan", "train", "evaluate", "advance")


def test_the_next_iteration_takes_what_the_last_one_took():
    opened = [*jobs("explore", "explore", "anchor"), *LATER]
    for workers, dynamics in ((1, 240.0), (2, 120.0), (8, 100.0)):
        left = time_left([BEFORE], opened, [], workers)
        assert left.without == []
        assert left.seconds == pytest.approx(dynamics + SERIAL + 60.0 / min(workers, 2))


def test_a_job_that_counts_goes_by_its_rate():
    counting = running("explore/0", done=10, total=110, unit="steps", rate=2.0)
    left = time_left([BEFORE], [*jobs("explore"), *LATER], [counting], 1)
    assert left.seconds == pytest.approx(50.0 + SERIAL + 60.0)


def test_in_the_first_iteration_what_nobody_knows_is_named():
    counting = running("explore/0", done=10, total=110, unit="steps", rate=2.0)
    left = time_left([], [*jobs("explore", "explore"), *LATER], [counting], 1)
    assert left.seconds == pytest.approx(50.0 + 60.0)  # a job like this one takes 60 s
    assert left.without == ["select", "refine", "plan", "label", "train", "evaluate"]


def test_labels_that_are_planned_count_and_those_of_before_do_not():
    opened = jobs("label Si16 abc", "label Si16 def", "train", "evaluate")
    left = time_left([BEFORE], opened, [], 1)
    assert left.seconds == pytest.approx(2 * 30.0 + 200.0 + 4.0)


def test_a_job_that_counts_nothing_has_what_is_left_of_the_time_before():
    left = time_left([BEFORE], jobs("train"), [running("train", seconds=150.0)], 1)
    assert left.seconds == pytest.approx(50.0)
    overdue = time_left([BEFORE], jobs("train"), [running("train", seconds=500.0)], 1)
    assert overdue.seconds == 0.0


def test_nothing_is_left_of_nothing():
    assert time_left([BEFORE], [], [], 2) is None
