"""Each state that a killed worker leaves is built by hand on the launchpad, shown without being
touched, and mended.
"""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from fireworks import FWAction, FWorker, Workflow
from launchpads import ALIVE, DEAD, chained, ended_process, finish, job, number, states, take

from entropy_flows.launch.findings import MAX_ATTEMPTS
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.local import ended_workers, local_workers, worker_name
from entropy_flows.launch.repair import repair, retry_stages
from entropy_flows.launch.repair_report import RepairReport
from entropy_flows.processes import process_name
from entropy_flows.store import CampaignStore, job_store

NAMES = ("first", "second", "third")
KNOWN = LivenessCriteria(dead=frozenset({DEAD}), patience=0.2)
ALONE = LivenessCriteria(dead=frozenset({DEAD}), patience=0.0)
TROUBLE = {
    "_exception": {"_stacktrace": "Traceback …\nOSError: [Errno 28] No space left on device\n"}
}


@pytest.fixture
def chain(pad):
    """One job after another: its ids."""
    pad.add_wf(chained(*NAMES))
    return [number(pad, name) for name in NAMES]


def everything(pad):
    return {
        name: list(pad.db[name].find().sort("_id", 1))
        for name in sorted(pad.db.list_collection_names())
    }


def mend(pad, evidence=ALONE, **options):
    """What a repair does: a dry run shows the same and writes nothing, a second one finds nothing
    to mend.
    """
    before = everything(pad)
    shown = repair(pad, "ours", evidence, dry_run=True, **options)
    assert everything(pad) == before
    mended = repair(pad, "ours", evidence, **options)
    assert mended == shown
    after = everything(pad)
    assert not repair(pad, "ours", evidence)
    assert everything(pad) == after
    return mended.counts


def nothing(pad, evidence=ALONE):
    """That there is nothing to mend."""
    before = everything(pad)
    mended = repair(pad, "ours", evidence)
    assert not mended
    assert everything(pad) == before
    return mended


def end_launch(pad, launch_id, action=None, state="COMPLETED"):
    """What `complete_launch` writes before it refreshes the workflow."""
    done = {"state": state, "action": (action or FWAction()).to_dict()}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": done})


def lock(pad):
    pad.workflows.update_one({}, {"$set": {"locked": True}})


def ago(seconds):
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def silent(pad, launch_id, seconds):
    """Let a launch's last sign of life be as old as that."""
    last = len(pad.launches.find_one({"launch_id": launch_id})["state_history"]) - 1
    pad.launches.update_one(
        {"launch_id": launch_id}, {"$set": {f"state_history.{last}.updated_on": ago(seconds)}}
    )


# -- jobs that nobody runs any more
# -------------------------------------------------------------------------------


def test_nothing_to_mend(pad, chain):
    finish(pad, chain[0])
    mended = nothing(pad)
    assert mended == RepairReport()
    assert str(mended) == "nothing to mend"


@pytest.mark.parametrize("evidence", [KNOWN, ALONE])
def test_killed_in_a_job(pad, chain, evidence):
    finish(pad, chain[0])
    launch = take(pad, chain[1])
    assert states(pad) == {"first": "COMPLETED", "second": "RUNNING", "third": "WAITING"}
    assert mend(pad, evidence) == {"lost": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}
    assert pad.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"
    finish(pad, chain[1])
    assert states(pad)["third"] == "READY"


def test_jobs_after_a_lost_one_never_see_it_fail(pad, monkeypatch):
    """Where they were made to start after a failed one; another worker might take one in that
    moment.
    """
    pad.add_wf(chained(*NAMES, _allow_fizzled_parents=True))
    take(pad, number(pad, "first"))
    seen, update = [], pad._update_wf

    def watched(*args):
        update(*args)
        seen.extend(
            fw["state"] for fw in pad.fireworks.find({"name": {"$ne": "first"}}, {"state": 1})
        )

    monkeypatch.setattr(pad, "_update_wf", watched)
    assert repair(pad, "ours", KNOWN)
    assert len(seen) >= 2
    assert set(seen) == {"WAITING"}
    assert "_fizzled_parents" not in pad.fireworks.find_one({"name": "second"})["spec"]


def test_silence(pad, chain):
    silent(
        pad, take(pad, chain[0], ALIVE), 36_000
    )  # shown in hours, which the two repairs have in common
    nothing(pad, LivenessCriteria(expiry=72_000, patience=0))
    assert mend(pad, LivenessCriteria(expiry=18_000, patience=0)) == {"lost": 1}
    assert states(pad)["first"] == "READY"


def test_the_living_are_left_alone(pad, chain):
    take(pad, chain[0], ALIVE)
    nothing(pad, LivenessCriteria(dead=frozenset({DEAD}), expiry=50, patience=0))
    assert states(pad)["first"] == "RUNNING"


def test_local_workers_end_with_the_process_that_started_them(pad, chain):
    """Names tell workers apart: of two folders, two machines, two campaigns with names alike."""
    alive = process_name()
    ended = ended_process()
    elsewhere = f"00000000-{ended.partition('-')[2]}"
    names = [worker_name("ours", process, 0) for process in (alive, ended, elsewhere)]
    others = [
        worker_name("ours-local", ended, 0),
        f"ours-local-{ended}",
        "ours-local-0",
        "ours-local-cluster",
    ]
    for name in [*names, *others]:
        pad.rerun_fw(chain[0])
        take(pad, chain[0], name)
    assert local_workers(pad, "ours") == dict(zip(names, (alive, ended, elsewhere), strict=True))
    assert ended_workers(pad, "ours") == {names[1]}


def test_killed_while_taking_a_job(pad, chain):
    """The launch was written, the job not: another worker may have it by now."""
    launch = take(pad, chain[0])
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": "READY", "launches": []}})
    pad.workflows.update_one({}, {"$set": {f"fw_states.{chain[0]}": "READY"}})
    take(pad, chain[0], ALIVE)
    assert mend(pad) == {"left": 1}
    assert states(pad)["first"] == "RUNNING"
    assert pad.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"


def test_other_campaigns_are_left_alone(pad):
    pad.add_wf(Workflow([job("theirs", campaign="theirs")]))
    pad.checkout_fw(FWorker(DEAD), "launcher")
    pad.fireworks.insert_one({**job("orphan", campaign="theirs").to_db_dict(), "fw_id": 99})
    lock(pad)
    nothing(pad)
    assert pad.fireworks.count_documents({}) == 2


# -- reservations
# ------------------------------------------------------------------------------------------


def test_killed_before_the_launch_was_written(pad, chain):
    long_ago = datetime.now(UTC) - timedelta(
        seconds=100
    )  # FireWorks writes a date here, and text elsewhere
    pad.fireworks.update_one(
        {"fw_id": chain[0]}, {"$set": {"state": "RESERVED", "updated_on": long_ago}}
    )
    nothing(pad, LivenessCriteria(patience=200))
    assert mend(pad, LivenessCriteria(patience=50)) == {"reserved": 1}
    assert states(pad)["first"] == "READY"


def reserve(pad, reservation=None):
    fw, launch_id = pad.reserve_fw(FWorker("cluster"), "launcher")
    if reservation is not None:
        pad.set_reservation_id(launch_id, reservation)
    silent(pad, launch_id, 100)
    return fw.fw_id, launch_id


def test_killed_between_the_launchpad_and_the_queue(pad, chain):
    reserve(pad)
    nothing(pad, LivenessCriteria(patience=200))
    assert mend(pad, LivenessCriteria(patience=50, queue=frozenset({"11"}))) == {"reserved": 1}
    assert states(pad)["first"] == "READY"


def test_cancelled_in_the_queue(pad, chain):
    _, launch = reserve(pad, 11)
    nothing(pad, LivenessCriteria(patience=50, queue=frozenset({"11"})))
    nothing(pad, LivenessCriteria(patience=50, queue=None))
    nothing(pad, LivenessCriteria(patience=200, queue=frozenset()))
    assert mend(pad, LivenessCriteria(patience=50, queue=frozenset({"12"}))) == {"reserved": 1}
    assert states(pad)["first"] == "READY"
    assert pad.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"


def test_cancelled_while_it_ran(pad, chain):
    fw_id, _ = reserve(pad, 11)
    launch = take(pad, fw_id, "cluster")
    gone = LivenessCriteria(patience=50, queue=frozenset())
    nothing(pad, gone)  # it gives signs of life: this may be another cluster's queue
    silent(pad, launch, 100)
    nothing(pad, LivenessCriteria(patience=50, queue=frozenset({"11"})))
    assert mend(pad, gone) == {"lost": 1}
    assert states(pad)["first"] == "READY"


# -- ends that were not heard of
# ----------------------------------------------------------------------------------


def test_killed_before_the_workflow_heard(pad, chain):
    launch = take(pad, chain[0])
    end_launch(pad, launch)
    nothing(pad, LivenessCriteria(patience=50))  # its worker may be about to tell
    assert mend(pad, LivenessCriteria(dead=frozenset({DEAD}), patience=50)) == {"ended": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}


def test_killed_before_the_workflow_heard_of_a_failure(pad, chain):
    end_launch(pad, take(pad, chain[0]), FWAction(stored_data=TROUBLE), "FIZZLED")
    assert mend(pad) == {"failed": 1}
    assert states(pad) == {"first": "READY", "second": "WAITING", "third": "WAITING"}


@pytest.mark.parametrize("child", ["WAITING", "READY"])
@pytest.mark.parametrize("evidence", [KNOWN, ALONE])
def test_killed_between_the_job_and_its_workflow(pad, chain, evidence, child):
    """The jobs' own documents were saved, some or all; the workflow's was not, and its lock is
    held.
    """
    end_launch(pad, take(pad, chain[0]))
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": "COMPLETED"}})
    pad.fireworks.update_one({"fw_id": chain[1]}, {"$set": {"state": child}})
    lock(pad)
    assert mend(pad, evidence) == {"lock": 1, "ended": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}


def detour():
    return Workflow([label := job("label"), job("gather", [label])])


@pytest.mark.parametrize("saved", ["RUNNING", "COMPLETED", "FIZZLED"])
@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("inserted", [1, 2])
def test_killed_while_adding_jobs(pad, chain, inserted, locked, saved):
    """A detour's jobs were inserted, one or both, but no workflow has them."""
    added = detour()
    end_launch(pad, take(pad, chain[0]), FWAction(detours=[added]))
    for place, orphan in enumerate(added.fws[:inserted]):
        document = {
            **orphan.to_db_dict(),
            "fw_id": 50 + place,
            "state": "READY" if place == 0 else "WAITING",
        }
        pad.fireworks.insert_one(document)
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": saved}})
    if locked:
        lock(pad)
    assert mend(pad) == ({"lock": 1} if locked else {}) | {"ended": 1, "orphan": inserted}
    after = {
        "first": "COMPLETED",
        "label": "READY",
        "gather": "WAITING",
        "second": "WAITING",
        "third": "WAITING",
    }
    assert states(pad) == after
    finish(pad, number(pad, "label"))
    finish(pad, number(pad, "gather"))
    assert states(pad)["second"] == "READY"


def test_a_refresh_that_failed(pad, chain, monkeypatch):
    """FireWorks then calls the job FIZZLED whose launch is COMPLETED, and leaves what it has
    inserted.
    """
    launch = take(pad, chain[0])

    def broken(workflow, updated):
        pad._upsert_fws([workflow.id_fw[fw_id] for fw_id in updated])
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(pad, "_update_wf", broken)
        with pytest.raises(RuntimeError, match="MemoryError"):
            pad.complete_launch(launch, FWAction(detours=[detour()]))
    assert pad.fireworks.find_one({"name": "first"})["state"] == "FIZZLED"
    assert pad.fireworks.count_documents({}) == 5
    assert mend(pad) == {"ended": 1, "orphan": 2}
    assert states(pad)["label"] == "READY"


def test_one_end_after_another(pad, chain):
    """The second ran when the first's end had been saved in part; neither was heard of, and both
    add jobs.
    """
    end_launch(pad, take(pad, chain[0]))
    pad.fireworks.update_one({"fw_id": chain[1]}, {"$set": {"state": "READY"}})
    end_launch(pad, take(pad, chain[1]), FWAction(detours=[Workflow([job("label")])]))
    pad.fireworks.update_many({"fw_id": {"$in": chain[:2]}}, {"$set": {"state": "COMPLETED"}})
    assert mend(pad) == {"ended": 2}
    assert states(pad) == {
        "first": "COMPLETED",
        "second": "COMPLETED",
        "label": "READY",
        "third": "WAITING",
    }


# -- orphans and locks
# --------------------------------------------------------------------------------------------


def test_killed_while_submitting(pad):
    pad.fireworks.insert_one({**job("new").to_db_dict(), "fw_id": 50, "state": "READY"})
    nothing(pad, LivenessCriteria(patience=50))  # it may be in the middle of being added
    (finding,) = repair(pad, "ours", ALONE, dry_run=True).findings
    assert finding.name == "new"
    assert "submit" in finding.remedy
    assert mend(pad) == {"orphan": 1}
    assert pad.fireworks.count_documents({}) == 0


def test_a_taken_orphan_goes_with_its_launch(pad, chain):
    pad.fireworks.insert_one(
        {**job("orphan").to_db_dict(), "fw_id": 50, "state": "RUNNING", "launches": [70]}
    )
    launch = {
        **pad.launches.find_one({"launch_id": take(pad, chain[0], ALIVE)}),
        "launch_id": 70,
        "fw_id": 50,
    }
    launch.pop("_id")
    pad.launches.insert_one(launch)
    assert mend(pad) == {"orphan": 1}
    assert pad.launches.count_documents({"launch_id": 70}) == 0
    assert states(pad)["first"] == "RUNNING"


def test_a_dead_lock(pad, chain):
    lock(pad)
    assert mend(pad, KNOWN) == {"lock": 1}
    assert "locked" not in pad.workflows.find_one()


def test_a_lock_on_what_is_done(pad, chain):
    for fw_id in chain:
        finish(pad, fw_id)
    lock(pad)
    assert mend(pad, KNOWN) == {"lock": 1}


def holding(pad, change, stop):
    """Change the workflow every now and then, as living workers do."""

    def work():
        while not stop.is_set():
            pad.workflows.update_one({}, change())
            time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_living_holders_of_the_lock(pad, chain, monkeypatch):
    """One after the other, they write the workflow: it is not taken from them, and nothing else is
    done either.
    """
    monkeypatch.setattr("entropy_flows.launch.lock.BUSY_SECONDS", 0.3)
    end_launch(pad, take(pad, chain[0]))
    pad.fireworks.insert_one({**job("new").to_db_dict(), "fw_id": 50, "state": "READY"})
    lock(pad)
    stop = threading.Event()
    thread = holding(pad, lambda: {"$set": {"updated_on": ago(0)}}, stop)
    mended = repair(pad, "ours", LivenessCriteria(patience=0.3))
    stop.set()
    thread.join()
    assert not mended
    assert mended.counts == {"busy": 1}
    assert pad.workflows.find_one()["locked"] is True
    assert pad.fireworks.count_documents({"name": "new"}) == 1


def test_a_lock_that_is_let_go(pad, chain):
    take(pad, chain[0])
    lock(pad)
    release = threading.Timer(0.3, lambda: pad.workflows.update_one({}, {"$unset": {"locked": ""}}))
    release.start()
    mended = repair(pad, "ours", LivenessCriteria(dead=frozenset({DEAD}), patience=30))
    release.join()
    assert mended.counts == {"lost": 1}
    assert states(pad)["first"] == "READY"


# -- failures of machines
# -----------------------------------------------------------------------------------------


def fail(pad, fw_id, times=1):
    for attempt in range(times):
        if attempt:
            pad.rerun_fw(fw_id)
        pad.complete_launch(
            take(pad, fw_id, ALIVE), FWAction(stored_data=TROUBLE, exit=True), "FIZZLED"
        )


def test_a_failed_job_runs_again(pad, chain):
    fail(pad, chain[0], MAX_ATTEMPTS - 1)
    (finding,) = repair(pad, "ours", ALONE, dry_run=True).findings
    assert "No space left" in finding.problem
    assert mend(pad) == {"failed": 1}
    assert states(pad) == {"first": "READY", "second": "WAITING", "third": "WAITING"}


def test_a_job_that_fails_again_and_again_is_given_up(pad, chain):
    fail(pad, chain[0], MAX_ATTEMPTS)
    mended = nothing(pad)
    assert mended.counts == {"given up": 1}
    assert mended.findings[0].problem.startswith(f"failed {MAX_ATTEMPTS} times: OSError")
    assert "--retry" in mended.findings[0].remedy
    assert mend(pad, retry=True) == {"failed": 1}
    assert states(pad)["first"] == "READY"


def test_a_given_up_job_whose_workflow_has_not_heard(pad, chain):
    fail(pad, chain[0], MAX_ATTEMPTS)
    pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"state": "RUNNING"}})
    assert mend(pad) == {"ended": 1}
    assert states(pad)["first"] == "FIZZLED"


def test_a_death_is_no_failed_attempt(pad, chain):
    for _ in range(MAX_ATTEMPTS + 1):
        take(pad, chain[0])
        assert repair(pad, "ours", ALONE).counts == {"lost": 1}


def test_failed_jobs_one_after_the_other(pad):
    pad.add_wf(chained(*NAMES, _allow_fizzled_parents=True))
    for name in NAMES[:2]:
        fail(pad, number(pad, name))
    assert mend(pad) == {"failed": 2}
    assert states(pad) == {"first": "READY", "second": "WAITING", "third": "WAITING"}


def make_unreadable(pad, fw_id):
    """What FireWorks leaves where a job's code is missing: no launch."""
    pad.fireworks.update_one(
        {"fw_id": fw_id}, {"$set": {"spec._tasks.0._fw_name": "{{nowhere.Task}}"}}
    )
    assert pad.checkout_fw(FWorker(ALIVE), "launcher") == (None, None)
    assert pad.fireworks.find_one({"fw_id": fw_id})["state"] == "FIZZLED"


def test_a_job_that_a_worker_could_not_read(pad, chain):
    for _ in range(MAX_ATTEMPTS):
        readable = pad.fireworks.find_one({"fw_id": chain[0]})["spec"]["_tasks"]
        make_unreadable(pad, chain[0])
        pad.fireworks.update_one({"fw_id": chain[0]}, {"$set": {"spec._tasks": readable}})
        assert mend(pad) == {"failed": 1}
        assert states(pad)["first"] == "READY"
    make_unreadable(pad, chain[0])
    assert nothing(pad).counts == {"given up": 1}


def test_a_job_that_cannot_be_read_here_either(pad, chain):
    """The others are run again all the same."""
    pad.add_wf(Workflow([one := job("one"), job("two"), job("three", [one])]))
    pad.workflows.delete_one({"nodes": chain[0]})
    pad.fireworks.delete_many({"fw_id": {"$in": chain}})
    fail(pad, number(pad, "one"))
    make_unreadable(pad, number(pad, "two"))
    mended = repair(pad, "ours", ALONE)
    assert mended.counts == {"failed": 1, "given up": 1}
    assert "nowhere" in next(finding.remedy for finding in mended.findings if finding.name == "two")
    assert states(pad) == {"one": "READY", "two": "FIZZLED", "three": "WAITING"}


# -- outputs and stages
# -------------------------------------------------------------------------------------------


@pytest.fixture(params=["trajectories", "documents"])
def arrays(pad, chain, request):
    """The first two jobs are done, their outputs have blobs; a function to lose those of some."""
    field = request.param
    store = job_store()
    store.connect()
    for name in NAMES[:2]:
        store.update(
            {"uuid": name, "index": 1, "output": {field: [1.0, 2.0]}}, save={"data": field}
        )
    store.close()
    finish(pad, chain[0])
    finish(pad, chain[1])

    def lose(*names):
        for output in pad.db["outputs"].find({"uuid": {"$in": names}}):
            pad.db["blobs.files"].delete_one(
                {"metadata.blob_uuid": output["output"][field]["blob_uuid"]}
            )

    return lose


@pytest.mark.parametrize("asking", ["READY", "RUNNING", "FIZZLED"])
def test_missing_arrays(pad, chain, arrays, asking):
    nothing(pad)
    if asking == "RUNNING":
        take(pad, chain[2])
    if asking == "FIZZLED":
        fail(pad, chain[2])
    arrays("second")
    trouble = {"READY": {}, "RUNNING": {"lost": 1}, "FIZZLED": {"failed": 1}}[asking]
    assert mend(pad) == trouble | {"arrays": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}
    assert pad.db["outputs"].distinct("uuid") == ["first"]


def test_missing_arrays_one_after_the_other(pad, chain, arrays):
    arrays("first")
    nothing(pad)  # nobody asks for them any more
    arrays("second")
    assert mend(pad) == {"arrays": 2}
    assert states(pad) == {"first": "READY", "second": "WAITING", "third": "WAITING"}


def test_failed_stages_of_the_last_iteration(pad, chain):
    store = CampaignStore(pad.db, "ours")
    for fw_id in chain:
        finish(pad, fw_id)
    pad.db["campaigns"].insert_one({"name": "ours", "state": "failed"})
    store.add_failure(1, "explore", "explore/0", "first", "ValueError: long ago")
    store.add_failure(2, "train", "train", "second", "ValueError: diverged")
    store.add_failure(2, "train", "train", "not there", "ValueError: diverged")
    before = everything(pad)
    shown = retry_stages(pad, store, dry_run=True)
    assert everything(pad) == before
    assert retry_stages(pad, store) == shown
    assert shown.counts == {"stage": 1}
    assert shown.findings[0].problem == "ValueError: diverged"
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}
    assert {row["uuid"] for row in store.failures()} == {"first", "not there"}
    assert pad.db["campaigns"].find_one()["state"] == "running"
    assert not retry_stages(pad, store)


@pytest.mark.parametrize("before", ["READY", "PAUSED"])
def test_killed_while_pausing(pad, chain, before):
    """What gathers the chunks of a fan-out looked before the last one was there, and died before it
    looked again.
    """
    finish(pad, chain[0])
    pad.update_spec([chain[1]], {"awaited_jobs": ["a", "b"]})
    pad.pause_fw(chain[1])
    pad.workflows.update_one({}, {"$set": {f"fw_states.{chain[1]}": before}})
    pad.db["outputs"].insert_one({"uuid": "a"})
    nothing(pad)
    pad.db["outputs"].insert_one({"uuid": "b"})
    nothing(pad, LivenessCriteria(patience=50))
    assert mend(pad) == {"waiting": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}


def test_killed_while_resuming(pad, chain):
    finish(pad, chain[0])
    pad.pause_fw(chain[1])
    nothing(pad)  # somebody wants it so
    pad.fireworks.update_one({"fw_id": chain[1]}, {"$set": {"state": "WAITING"}})
    nothing(pad, LivenessCriteria(patience=50))
    assert mend(pad) == {"waiting": 1}
    assert states(pad) == {"first": "COMPLETED", "second": "READY", "third": "WAITING"}


# -- at the same time
# ---------------------------------------------------------------------------------------------


def together(*work):
    """Run these at once; an error in one of them is raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_repairs_at_once(pad, chain):
    """Of a lost job, one that ended and adds others, a failed one and a dead lock."""
    pad.add_wf(Workflow([job("lost"), job("failed"), ended := job("ended"), job("after", [ended])]))
    take(pad, number(pad, "lost"))
    fail(pad, number(pad, "failed"))
    end_launch(pad, take(pad, number(pad, "ended")), FWAction(detours=[detour()]))
    pad.workflows.update_many({}, {"$set": {"locked": True}})
    evidence = LivenessCriteria(dead=frozenset({DEAD}), patience=1.0)
    time.sleep(1.1)
    mended = []
    together(*[lambda: mended.append(repair(launchpad(), "ours", evidence)) for _ in range(2)])
    assert states(pad) == {
        **{"first": "READY", "second": "WAITING", "third": "WAITING"},
        **{"lost": "READY", "failed": "READY", "ended": "COMPLETED"},
        **{"label": "READY", "gather": "WAITING", "after": "WAITING"},
    }
    both = mended[0] + mended[1]
    assert both.counts == {"lock": 2, "ended": 1, "lost": 1, "failed": 1}
    assert not repair(pad, "ours", evidence)


def test_while_workers_run(pad):
    """Nothing is found wrong, and every job runs once."""
    for chain in "ab":
        pad.add_wf(
            Workflow([root := job(f"{chain}0"), *(job(f"{chain}{n}", [root]) for n in range(1, 4))])
        )
    ran, mended, left = [], [], threading.Event()

    def work():
        own, idle = launchpad(), 0
        while idle < 3:
            fw, launch_id = own.checkout_fw(FWorker(ALIVE), "launcher")
            if fw is None:
                idle += 1
                time.sleep(0.1)
                continue
            idle = 0
            ran.append(fw.name)
            added = [Workflow([job(f"{fw.name}+")])] if fw.name.endswith("0") else []
            own.complete_launch(launch_id, FWAction(detours=added))
        left.set()

    def mend_on():
        own = launchpad()
        while not left.is_set():
            mended.append(
                repair(
                    own, "ours", LivenessCriteria(dead=frozenset({DEAD}), expiry=100, patience=10)
                )
            )

    together(work, work, mend_on)
    assert sorted(ran) == sorted(states(pad))
    assert len(ran) == 10
    assert set(states(pad).values()) == {"COMPLETED"}
    assert len(mended) > 3
    assert not any(mended)
