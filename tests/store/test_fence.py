"""Writes that the database refuses: of a launch lost by its job, and of a lease that ran out."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cells import rattled
from launchpads import ended_process, new_launchpad
from stage_jobs import DATASET

from entropy_flows.geometry import to_structure
from entropy_flows.launch.launchpad import FireworkLaunch, launchpad
from entropy_flows.store import CampaignStore, Entry, fence, lease
from entropy_flows.store.fence import (
    LaunchLostError,
    check_launch,
    current_launch,
    merge,
    running,
)
from entropy_flows.store.lease import LeaseLostError, LeaseTakenError
from entropy_flows.store.schema import make_indexes

OURS = FireworkLaunch(1, 5)


@pytest.fixture
def job(database):
    """A job that runs as launch 5."""
    database["fireworks"].insert_one({"fw_id": 1, "launches": [5], "state": "RUNNING"})
    return database["fireworks"]


@pytest.fixture
def short(monkeypatch):
    """Leases of half a second."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.5)


def cells(n):
    return [to_structure(rattled("Si", repeat=1, seed=seed)) for seed in range(n)]


def entries(keys, run=1.0):
    return [
        Entry(key, cell, np.full((len(cell), 4), run), run)
        for key, cell in zip(keys, cells(len(keys)), strict=True)
    ]


def test_documents_are_written_as_they_are(database, job):
    documents = [
        {"_id": "$a", "x": {"$literal": 1}, "y": ["$b", None]},
        {"_id": 2, "when": time.time()},
    ]
    for launch in (None, OURS):
        with running(launch) if launch else threading.Lock():
            merge(database["some"], documents)
            assert list(database["some"].find().sort("when", 1)) == documents
        database["some"].drop()


def test_what_is_there_stays_or_is_replaced(database):
    some = database["some"]
    merge(some, [{"k": 1, "v": 1}], on=["k"])  # the index is made
    merge(some, [{"k": 1, "v": 2}], on=["k"])
    assert some.find_one()["v"] == 1
    merge(some, [{"k": 1, "v": 3}], on=["k"], matched="replace")
    assert some.find_one()["v"] == 3
    merge(
        some,
        [{"k": 1, "v": 4}, {"k": 2, "v": 5}],
        on=["k"],
        matched=[{"$set": {"w.x": "$$new.v"}}],
        unmatched="discard",
    )
    assert [(row["v"], row["w"]) for row in some.find()] == [(3, {"x": 4})]


def test_many_large_documents_are_several_commands(database, monkeypatch):
    monkeypatch.setattr(fence, "COMMAND_BYTES", 3000)
    merge(database["some"], [{"_id": n, "data": b"x" * 1000} for n in range(10)])
    assert database["some"].count_documents({}) == 10


@pytest.mark.parametrize(
    "change",
    [
        {"launches": []},
        {"launches": [6]},
        {"state": "READY"},
        {"state": "FIZZLED"},
        {"state": "DEFUSED"},
    ],
)
def test_a_launch_that_its_job_has_lost_writes_nothing(database, job, change):
    store = CampaignStore(database, "ours")
    with running(OURS):
        store.record(1, train={"epoch": 1})
        store.add_failure(1, "train", "train", "uuid", "no")
        check_launch(database)
        job.update_one({}, {"$set": change})
        writes = [
            lambda: store.record(1, train={"epoch": 2}),
            lambda: store.plan(1, "batch_size", 7),
            lambda: store.set_state("done"),
            lambda: store.add_failure(1, "train", "train", "uuid", "other"),
            lambda: store.save_point({"method": "m", "size": 1, "seed": 1}),
            lambda: store.save_model(1, "SevenNet-0"),
            lambda: store.ledger(DATASET).append_accepted(1, "select", entries(["a"])),
        ]
        store.count_labels(1, 3)  # a count for people is refused in silence
        for write in writes:
            with pytest.raises(LaunchLostError, match="job 1 is not launch 5's any more"):
                write()
    assert current_launch() is None
    (row,) = store.iterations()
    assert (row["train"], "plan" in row, "label" in row) == ({"epoch": 1}, False, False)
    assert [row["message"] for row in store.failures()] == ["no"]
    for name in ("points", "models", "structures", "fingerprints", "covariances", "leases"):
        assert database[name].count_documents({}) == 0, name


def test_a_failure_of_a_later_launch_is_not_forgotten(database, job):
    store = CampaignStore(database, "ours")
    job.update_one({}, {"$set": {"launches": [6]}})
    with running(FireworkLaunch(1, 6)):
        store.add_failure(1, "train", "train", "uuid", "the later one's")
    with running(OURS):
        store.delete_failures(["uuid"])
    assert len(store.failures()) == 1
    store.delete_failures(["uuid"])
    assert store.failures() == []


@pytest.mark.parametrize(("write", "writer"), [(1, 2.0), (2, 2.0), (3, 1.0), (4, 1.0)])
def test_an_appender_whose_lease_has_run_out_writes_nothing_more(
    database, job, short, monkeypatch, write, writer
):
    """It is stopped before a write; its job is done again with other numbers, fewer entries."""
    make_indexes(database)
    monkeypatch.setattr(
        lease, "_prolong", lambda *_: None
    )  # as if all threads of the process were stopped
    ledger = CampaignStore(database, "ours").ledger(DATASET)
    # what counts for the iteration is decided, and written, before its entries are
    ledger.exclusions.statistics_exclusions(1)
    aggregate = fence._aggregate
    sent = []
    after = []

    def content():
        names = ("structures", "fingerprints", "covariances")
        return {name: list(database[name].find().sort("_id", 1)) for name in names}

    def stopped(target, fences, stages):
        sent.append(stages[-1]["$merge"]["into"])
        if len(sent) == write:
            time.sleep(0.7)
            job.update_one({}, {"$set": {"launches": [6]}})
            with running(FireworkLaunch(1, 6)):
                ledger.append_accepted(
                    1, "select", entries(["a", "b", "c"][: 2 if writer == 2.0 else 3], run=2.0)
                )
            after.append(content())
        aggregate(target, fences, stages)

    monkeypatch.setattr(fence, "_aggregate", stopped)
    with running(OURS), pytest.raises(LaunchLostError):
        ledger.append_accepted(1, "select", entries(["a", "b", "c"]))
    assert after == [content()]
    assert {entry["gain"] for entry in ledger.entries()} == {writer}
    assert ledger.statistics(2, "select")["config"].n == (2 if writer == 2.0 else 3)
    assert database["leases"].count_documents({}) == 0


def test_a_lease_is_held_for_as_long_as_its_holder_lives(database, short):
    with lease.lease(database, "some") as held:
        time.sleep(1.2)
        assert held.holds(database)
        with pytest.raises(LeaseTakenError) as taken, lease.lease(database, "some", patience=0.2):
            pass
        assert taken.value.holder["host"]
    assert database["leases"].count_documents({}) == 0


def test_a_lease_that_has_run_out_is_lost(database, short, monkeypatch):
    monkeypatch.setattr(lease, "_prolong", lambda *_: None)
    with lease.lease(database, "some") as first:
        time.sleep(0.7)
        assert not first.holds(database)
        with pytest.raises(LeaseLostError):
            merge(database["numbers"], [{"_id": 1}], lease=first)
        with lease.lease(database, "some") as second:
            merge(database["numbers"], [{"_id": 2}], lease=second)
            with pytest.raises(LeaseLostError):
                merge(database["numbers"], [{"_id": 3}], lease=first)
    assert [row["_id"] for row in database["numbers"].find()] == [2]


def test_one_that_may_be_regained_is_lost_to_another_only(database, short):
    with lease.lease(database, "some", regain=True) as held:
        database["leases"].update_one({}, {"$set": {"until": 0}})
        assert held.holds(database)
        time.sleep(0.4)
        assert database["leases"].find_one()["until"] > 0
        database["leases"].update_one({}, {"$set": {"holder": "another"}})
        assert not held.holds(database)


def test_a_holder_that_has_ended_is_not_waited_for(database):
    dead = {
        "_id": "some",
        "holder": "h",
        "process": ended_process(),
        "until": 1000 * (time.time() + 1000),
    }
    database["leases"].insert_one(dead)
    start = time.monotonic()
    with lease.lease(database, "some"):
        pass
    assert time.monotonic() - start < 5
    database["leases"].insert_one({**dead, "process": "00000000-1-1"})
    with pytest.raises(LeaseTakenError), lease.lease(database, "some", patience=0):
        pass


def test_no_number_of_a_job_or_launch_is_given_twice(database):
    pads = [new_launchpad(), *(launchpad() for _ in range(3))]

    def numbers(pad):
        return [(pad.get_new_launch_id(), pad.get_new_fw_id(2)) for _ in range(30)]

    with ThreadPoolExecutor(4) as pool:
        found = [pair for pairs in pool.map(numbers, pads) for pair in pairs]
    assert sorted(launch for launch, _ in found) == list(range(1, 121))
    assert sorted(first for _, first in found) == list(range(1, 241, 2))
