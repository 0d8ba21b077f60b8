"""Chosen cells wait for an approval, under real jobs; copper, EMT's labels."""

import copper
import pytest
from ase.io import read
from commands import run
from test_steering import folder, problems, status_now  # noqa: F401

from entropy_flows.launch.holding import apply_hold
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.schemas.status import ApprovalCounts
from entropy_flows.store import StoreError
from entropy_flows.store.holds import HoldKind

AT_ONCE = LivenessCriteria(patience=0.0)


def job_state():
    return launchpad().fireworks.find_one({"name": "approve"})["state"]


def test_cells_wait_are_looked_at_approved_and_rejected(folder, monkeypatch, capsys):  # noqa: F811
    file = copper.campaign_file(folder, label={"approve": True, "top_up": 1})
    store, _ = copper.submitted(file)
    copper.work("copper")
    waiting = [row["key"] for row in store.waiting()]
    assert len(waiting) > 3
    assert job_state() == "PAUSED"
    assert list(store.labels()) == []
    assert store.document()["state"] == "running"

    def call(name, *arguments):
        monkeypatch.setenv("COLUMNS", "120")
        return run(monkeypatch, capsys, name, file, *arguments)

    assert f"{len(waiting)} cells wait for: entropy-flows approve" in call("status")[1]
    assert waiting[0] in call("approve")[1]
    cells = folder / "waiting.extxyz"
    assert call("export", cells, "--waiting")[0] == 0
    assert [atoms.info["key"] for atoms in read(cells, ":")] == waiting

    # a repair, a resumption and a worker leave it where it is
    assert not workflow_manager().repair("copper", AT_ONCE)
    store.set_hold(HoldKind.PAUSE)
    store.set_hold(HoldKind.RESUME)
    apply_hold(launchpad(), store)
    copper.work("copper")
    assert job_state() == "PAUSED"

    code, _, err = call("approve", "001/explore/none")
    assert code == 1
    assert "no cell that waits for an approval: '001/explore/none'" in err
    code, _, err = call("approve", "--reject", waiting[0])
    assert code == 1
    assert "--reject needs --why" in err
    _, out, _ = call("approve", waiting[1], "--reject", waiting[0], "--why", "melted")
    assert "copper: 1 cells approved, 1 rejected" in out
    assert f"{len(waiting) - 2} cells wait still" in out
    copper.work("copper")
    assert list(store.labels()) == [], "labels are made when none waits"
    _, out, _ = call("approve", "--all", "--reject", waiting[1], "--why", "too late")
    assert f"{len(waiting) - 2} cells approved, 0 rejected" in out
    assert status_now(store).approvals == ApprovalCounts(approved=len(waiting) - 1, rejected=1)
    copper.work("copper")
    # a top-up replaces the rejected one, and is to be approved as well
    (replacement,) = store.waiting()
    assert "top_up" in replacement["key"]
    call("approve", "--all")
    copper.work("copper")
    assert store.document()["message"] == "all 1 iterations are done"
    labels = {label["key"]: label for label in store.labels()}
    assert len(labels) == len(waiting) + 1
    failed = [label for label in labels.values() if not label["converged"]]
    assert [(label["key"], label["reason"]) for label in failed] == [(waiting[0], "rejected")]
    assert failed[0]["evidence"].endswith(": melted")
    assert problems(store) == {}
    store.database["labels"].update_one({"key": waiting[0]}, {"$set": {"converged": True}})
    assert "it was rejected, and has a label" in " ".join(problems(store)["approvals"])


def test_killed_between_the_decision_and_the_jobs(folder):  # noqa: F811
    """The decision is there; a repair lets the job go on, or the same command."""
    store, _ = copper.submitted(copper.campaign_file(folder, label={"approve": True}))
    copper.work("copper")
    keys = [row["key"] for row in store.waiting()]
    store.approve(keys)
    assert store.approve(keys) == []
    assert job_state() == "PAUSED"
    assert workflow_manager().repair("copper", AT_ONCE).counts == {"waiting": 1}
    assert job_state() == "READY"
    copper.work("copper", until=copper.is_done("copper", "gather"))
    assert {label["key"] for label in store.labels(converged=True)} == set(keys)


def test_a_decision_is_for_good(folder):  # noqa: F811
    store, _ = copper.submitted(copper.campaign_file(folder, label={"approve": True}))
    copper.work("copper")
    key = store.waiting()[0]["key"]
    assert store.reject([key], "melted") == [key]
    assert store.approve([key]) == []
    (row,) = store.approvals(key=key)
    assert (row["approved"], row["why"]) == (False, "melted")
    with pytest.raises(StoreError, match="near: "):
        store.approve([key[:-1]])
