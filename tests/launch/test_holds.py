"""A campaign is paused, cancelled and resumed: under workers, by whoever is killed meanwhile."""

import itertools
import time

import pytest
from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket
from jobflow import Flow
from launchpads import chained, finish, number, states, take
from stage_jobs import child, fan_out, pausing, sleeper
from test_repair_kills import ALONE, Killed, Mortal
from test_task import add, output, prepared, run_here, wait_for, worker
from test_task import states as job_states

from entropy_flows.jobs.common import with_stable_uuid
from entropy_flows.launch.holding import apply_hold
from entropy_flows.launch.repair import repair
from entropy_flows.launch.task import add_once, to_workflow
from entropy_flows.launch.worker import GIVEN_BACK
from entropy_flows.store import CampaignStore
from entropy_flows.store.holds import HoldKind, standing

PAUSE, CANCEL, RESUME = HoldKind.PAUSE, HoldKind.CANCEL, HoldKind.RESUME


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return prepared()


@pytest.fixture
def store(pad):
    return CampaignStore.open("ours")


def ask(pad, store, kind, now=False):
    store.set_hold(kind, now)
    return apply_hold(pad, store)


@pytest.mark.parametrize(("kind", "kept"), [(PAUSE, "PAUSED"), (CANCEL, "DEFUSED")])
def test_no_job_can_start_until_the_campaign_is_resumed(pad, store, kind, kept):
    pad.add_wf(chained("first", "second"))
    pad.add_wf(chained("alone", campaign="theirs"))
    before = states(pad)
    assert ask(pad, store, kind) == 1
    assert states(pad) == {**before, "first": kept}
    hold = store.hold()
    assert ask(pad, store, kind) == 0
    assert store.hold() == hold, "who asked first, and when, stays"
    assert not repair(pad, "ours", ALONE)
    assert ask(pad, store, RESUME) == 1
    assert states(pad) == before
    assert store.hold() is None
    assert ask(pad, store, RESUME) == 0


def test_a_cancelled_campaign_may_be_paused_and_a_paused_one_cancelled(pad, store):
    pad.add_wf(chained("first", "second"))
    for kind in (PAUSE, CANCEL, PAUSE):
        ask(pad, store, kind)
        assert standing(store.document())[0] == {PAUSE: "paused", CANCEL: "cancelled"}[kind]
    ask(pad, store, RESUME)
    assert states(pad) == {"first": "READY", "second": "WAITING"}
    assert standing(store.document()) == ("new", None)


def test_a_job_that_runs_ends_and_those_after_it_do_not_start(pad, store, tmp_path):
    first = with_stable_uuid(sleeper(str(tmp_path / "s"), 1.0), "ours", 1, "first")
    second = with_stable_uuid(child(str(tmp_path / "c")), "ours", 1, "second")
    flow = Flow([first, second], order="linear")
    flow.update_metadata({"campaign": "ours"}, dynamic=True)
    add_once(pad, to_workflow(flow))
    with worker(tmp_path) as running:
        wait_for(lambda: (tmp_path / "s").exists())
        ask(pad, store, PAUSE)
        wait_for(lambda: job_states(pad) == {"sleeper": "COMPLETED", "child": "PAUSED"})
        time.sleep(0.5)
        assert running.poll() is None, "the worker waits for the resumption"
        assert not (tmp_path / "c").exists()
        ask(pad, store, RESUME)
        wait_for(lambda: job_states(pad) == {"sleeper": "COMPLETED", "child": "COMPLETED"})
    assert (tmp_path / "c").read_text() == "x"


def test_at_once_the_job_that_runs_is_given_back(pad, store, tmp_path):
    add(pad, sleeper(str(tmp_path / "s"), 60))
    with worker(tmp_path, ENTROPY_FLOWS_HEARTBEAT="0.2") as running:
        wait_for(lambda: (tmp_path / "s").exists())
        ask(pad, store, PAUSE)
        time.sleep(0.6)
        assert running.poll() is None, "it was not asked to stop what it does"
        ask(pad, store, PAUSE, now=True)
        assert running.wait(20) == GIVEN_BACK
    assert states(pad) == {"sleeper": "PAUSED"}
    assert "was given back" in output(tmp_path)
    ask(pad, store, RESUME)
    assert states(pad) == {"sleeper": "READY"}


def test_what_a_running_job_adds_does_not_start(pad, store, tmp_path):
    add(pad, pausing("ours", str(tmp_path / "p"), ["a", "b"]))
    run_here(pad)
    kept = sorted((job["name"], job["state"]) for job in pad.fireworks.find())
    assert kept == [("child", "PAUSED"), ("child", "PAUSED"), ("pausing", "COMPLETED")]
    assert not (tmp_path / "pa").exists()
    ask(pad, store, RESUME)
    run_here(pad)
    assert {job["state"] for job in pad.fireworks.find()} == {"COMPLETED"}
    assert (tmp_path / "pa").read_text() == (tmp_path / "pb").read_text() == "x"


def test_a_command_that_is_killed_before_the_jobs_has_paused_the_campaign(pad, store, tmp_path):
    add(pad, child(str(tmp_path / "c")))
    store.set_hold(PAUSE)
    run_here(pad)
    assert states(pad) == {"child": "PAUSED"}
    assert not (tmp_path / "c").exists()


def test_a_job_that_gathers_is_not_let_go_before_its_time(pad, store, tmp_path):
    add(pad, fan_out("ours", str(tmp_path / "f"), 4, 2))
    launch_rocket(pad, FWorker("here"))
    own = {"spec.awaited_jobs": {"$exists": True}, "spec.chunk": {"$exists": False}}
    gathering = pad.fireworks.find_one(own)["fw_id"]
    launch_rocket(pad, FWorker("here"), fw_id=gathering)
    ask(pad, store, PAUSE)
    ask(pad, store, RESUME)
    assert pad.fireworks.find_one(own)["state"] == "PAUSED"
    run_here(pad)
    assert (tmp_path / "f-last").read_text() == "[[1, 1], [1, 1]] "
    assert {job["state"] for job in pad.fireworks.find()} == {"COMPLETED"}


def test_a_repair_does_not_let_a_held_campaign_go_on(pad, store):
    pad.add_wf(chained("first", "second"))
    take(pad, number(pad, "first"))
    ask(pad, store, PAUSE)
    assert states(pad)["first"] == "RUNNING"
    assert repair(pad, "ours", ALONE).counts == {"lost": 1}
    assert states(pad) == {"first": "PAUSED", "second": "WAITING"}


@pytest.mark.parametrize(
    ("kind", "kept"),
    [(PAUSE, "PAUSED"), pytest.param(CANCEL, "DEFUSED", marks=pytest.mark.slow)],
)
def test_killed_at_any_write_one_repair_completes_it(pad, store, kind, kept):
    """Each command dies at each of its writes, and so does the resumption."""

    def prepare():
        for collection in (pad.fireworks, pad.workflows, pad.launches):
            collection.delete_many({})
        pad.add_wf(chained("first", "second"))
        pad.add_wf(chained("other"))

    def completed(asked, expected):
        for writes in itertools.count():
            prepare()
            if asked == RESUME:
                ask(pad, store, kind)
            store.set_hold(asked)
            try:
                apply_hold(Mortal(writes).pad(), store)
            except Killed:
                repair(pad, "ours", ALONE)
                assert states(pad) == expected, writes
                assert not repair(pad, "ours", ALONE), writes
            else:
                assert states(pad) == expected
                return writes

    waiting = {"second": "WAITING"}
    assert completed(kind, {"first": kept, "other": kept, **waiting}) > 5
    assert completed(RESUME, {"first": "READY", "other": "READY", **waiting}) > 5
    assert store.hold() is None
    finish(pad, number(pad, "first"))
    assert states(pad)["second"] == "READY"
