"""A worker, a submission or a repair dies at any of its writes: one repair, and the campaign ends
as it would have.
"""

from __future__ import annotations

import itertools

import pytest
from fireworks import FWAction, FWorker, Workflow
from launchpads import ALIVE, DEAD, chained, empty, job, number, states, take

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.repair import repair
from entropy_flows.launch.task import add_once, is_added

COLLECTIONS = ("fireworks", "workflows", "launches", "fw_id_assigner")
NAMES = {"first", "beside", "label", "gather", "second", "third", "next", "last"}
ALONE = LivenessCriteria(dead=frozenset({DEAD}), patience=0.0)


class Killed(BaseException):
    """Nothing catches it, and nothing that cleans up after it can write."""


class Mortal:
    """A process that dies instead of one of its writes.

    Parameters
    ----------
    writes
        How many it lives to do.
    """

    def __init__(self, writes: int):
        self.left = writes

    def pad(self):
        pad = launchpad()
        for name in COLLECTIONS:
            setattr(pad, name, Collection(getattr(pad, name), self))
        return pad

    def write(self):
        if self.left == 0:
            raise Killed
        self.left -= 1


class Collection:
    """A collection as a mortal process writes it."""

    def __init__(self, collection, process):
        self.collection, self.process = collection, process

    def __getattr__(self, name):
        function = getattr(self.collection, name)
        if not name.startswith(("insert", "update", "replace", "delete", "find_one_and")):
            return function

        def written(*args, **kwargs):
            self.process.write()
            return function(*args, **kwargs)

        return written

    def insert_many(self, documents):
        for document in documents:  # a kill may leave some of them
            self.process.write()
            self.collection.insert_one(document)


def submit(pad):
    first, beside = job("first"), job("beside")
    workflow = Workflow(
        [first, beside, second := job("second", [first, beside]), job("third", [second])]
    )
    add_once(pad, workflow)


def work(pad, name, launch_id):
    """Do a job and tell of its end; the first one adds two jobs before those after it, and another
    workflow.
    """
    action = FWAction()
    if name == "first":
        label = job("label")
        added = Workflow([label, job("gather", [label])])
        action = FWAction(detours=[] if is_added(pad, added) else [added])
        add_once(pad, chained("next", "last"))
    pad.complete_launch(launch_id, action)


def work_on(pad):
    """A living worker does what can be done."""
    while True:
        fw, launch_id = pad.checkout_fw(FWorker(ALIVE), "launcher")
        if fw is None:
            return
        work(pad, fw.name, launch_id)


EVERY = [5, pytest.param(1, marks=pytest.mark.slow)]


def deaths(pad, prepare, function, every):
    """After `prepare`, a process dies at some of `function`'s writes, from the first to the last;
    how often it did.
    """
    for writes in itertools.count(0, every):
        empty(pad)
        prepare(pad)
        try:
            function(Mortal(writes).pad())
        except Killed:
            assert_ends(pad, writes)
        else:
            return writes


def assert_ends(pad, place):
    """One repair is enough, and every job is there once and runs."""
    repair(pad, "ours", ALONE)
    assert not repair(pad, "ours", ALONE), place
    submit(pad)
    work_on(pad)
    assert states(pad) == dict.fromkeys(NAMES, "COMPLETED"), place
    assert pad.workflows.count_documents({}) == 2, place
    assert not repair(pad, "ours", ALONE), place


def run_first(pad):
    work(pad, "first", take(pad, number(pad, "first"), DEAD))


@pytest.mark.parametrize("every", EVERY)
def test_a_worker_is_killed(pad, every):
    assert deaths(pad, submit, run_first, every) > 20


@pytest.mark.parametrize("every", EVERY)
def test_a_submission_is_killed(pad, every):
    assert deaths(pad, lambda pad: None, submit, every) > 4


@pytest.mark.parametrize("every", EVERY)
def test_a_repair_is_killed(pad, every):
    """While it mends what one worker left that died while it added jobs, and another that died in
    the body of one.
    """

    def prepare(pad):
        submit(pad)
        take(pad, number(pad, "beside"), DEAD)
        with pytest.raises(Killed):
            run_first(Mortal(20).pad())
        assert pad.workflows.find_one({"locked": True})

    assert deaths(pad, prepare, lambda pad: repair(pad, "ours", ALONE), every) > 8
