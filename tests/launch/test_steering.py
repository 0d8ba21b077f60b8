"""A campaign's file is edited while it runs, and after it has ended; real jobs, EMT's labels."""

from types import SimpleNamespace

import copper
import pytest

from entropy_flows.cli.status_lines import change_lines
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.status import read_status
from entropy_flows.launch.verify import verify
from entropy_flows.store import StoreError, verify_context
from entropy_flows.store.settings_changes import explored_phases

HOTTER = {"temperatures": [600, 1000]}
BCC = {"name": "bcc", "spacegroup": 229, "lattice": {"a": 2.9}, "sites": {"Cu": [[0, 0, 0]]}}


@pytest.fixture
def folder(database, tmp_path, monkeypatch):
    """A folder with the base model; FireWorks' jobs run in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify_context, "SETTLE_SECONDS", 0.0)
    copper.importable(monkeypatch)
    copper.base_model(tmp_path)
    return tmp_path


def problems(store):
    """What a thorough verification finds."""
    checks = verify(store, workflow_manager(), deep=True)
    return {check.name: check.problems + check.wasted for check in checks if check.problems}


def settings_of(store, iteration):
    """The settings that an iteration has run with."""
    (row,) = [row for row in store.iterations() if row["iteration"] == iteration]
    return row["plan"]["settings"]["sections"]


def status_now(store):
    """What programs are told of a campaign."""
    session = SimpleNamespace(store=store)
    return read_status(session, workflow_manager(), "", iterations=store.iterations())


def test_a_done_campaign_goes_on_by_one_edit(folder):
    store, first = copper.submitted(copper.campaign_file(folder))
    assert first.added
    copper.work("copper")
    assert store.document()["message"] == "all 1 iterations are done"
    assert not copper.submitted(copper.campaign_file(folder))[1].added
    before = list(store.database["structures"].find({}, {"created": 0}).sort("position", 1))

    edited = copper.campaign_file(folder, stop={"max_iterations": 2}, explore=HOTTER)
    _, again = copper.submitted(edited)
    assert again.added
    assert {change.key: change.iteration for change in again.changes} == {
        "explore.temperatures": 2,
        "stop.max_iterations": 2,
    }
    copper.work("copper")
    assert store.document()["message"] == "all 2 iterations are done"
    after = list(store.database["structures"].find({}, {"created": 0}).sort("position", 1))
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert settings_of(store, 1)["explore"]["temperatures"] == [600, 1200]
    assert settings_of(store, 2)["explore"]["temperatures"] == [600, 1000]
    assert store.model(2)["parent"] == store.model(1)["reference"]
    assert problems(store) == {}
    (raised, *_) = [row for row in status_now(store).changes if row.key == "stop.max_iterations"]
    assert (raised.old, raised.new, raised.iteration) == (1, 2, 2)
    first_line = change_lines(store.document())[0]
    assert "explore.temperatures: [600.0, 1200.0] → [600.0, 1000.0], from iteration 2 on" in (
        first_line
    )

    # a limit that is raised and still reached leaves it done
    _, more = copper.submitted(
        copper.campaign_file(folder, stop={"max_iterations": 3, "label_budget": 8}, explore=HOTTER)
    )
    assert not more.added
    assert store.document()["message"] == "the label budget of 8 is spent"


def test_a_running_campaign_takes_a_change_at_its_next_iteration(folder):
    path = copper.campaign_file(folder, stop={"max_iterations": 2})
    store, _ = copper.submitted(path)
    copper.work("copper", until=copper.is_done("copper", "select"))
    # a queue's settings are those of the running jobs otherwise
    changes = {"explore": HOTTER, "train": {"max_epochs": 7}, "categories": {"train": "big"}}
    edited = copper.campaign_file(folder, stop={"max_iterations": 2}, **changes)
    _, submission = copper.submitted(edited)
    assert not submission.added
    assert {change.iteration for change in submission.changes} == {2}
    copper.work("copper")
    assert store.document()["state"] == "done"
    assert settings_of(store, 1)["explore"]["temperatures"] == [600, 1200]
    assert settings_of(store, 2)["explore"]["temperatures"] == [600, 1000]
    assert "max_epochs" not in settings_of(store, 1)["train"]
    assert settings_of(store, 2)["train"]["max_epochs"] == 7
    jobs = launchpad().fireworks.find({"name": "train"}).sort("spec._category", 1)
    assert [job["spec"]["_category"] for job in jobs] == ["big", "gpu"]
    assert problems(store) == {}

    for changes, key in (
        ({"seed": 7}, "seed"),
        ({"elements": ["Cu", "Au"]}, "elements"),
        ({"global_fingerprint": {"natx": 8}}, "global_fingerprint.natx"),
        ({"regularization": 0.1}, "regularization"),
        ({"base_model": "SevenNet-0"}, "base_model"),
        ({"label": {"model": "CHGNet"}}, "label.model"),
    ):
        before = store.document()
        with pytest.raises(
            StoreError, match=r"cannot change any more .*`entropy-flows fork"
        ) as err:
            copper.submitted(copper.campaign_file(folder, **changes))
        assert f"({key}: " in str(err.value)
        assert store.document() == before


@pytest.mark.slow
def test_a_phase_is_added_while_the_campaign_runs(folder):
    stop = {"max_iterations": 2}
    store, _ = copper.submitted(copper.campaign_file(folder, stop=stop))
    copper.work("copper", until=copper.is_done("copper", "select"))
    both = [*copper.CONFIG["phases"], BCC]
    edited = copper.campaign_file(folder, stop=stop, phases=both)
    _, submission = copper.submitted(edited)
    assert not submission.added
    assert {change.key: change.iteration for change in submission.changes} == {"phases": 2}
    assert sorted(store.document()["seeds"]) == ["bcc", "fcc"]
    copper.work("copper")
    assert store.document()["message"] == "all 2 iterations are done"
    phases = {row["iteration"]: {run["phase"] for run in row["runs"]} for row in store.iterations()}
    assert phases == {1: {"fcc"}, 2: {"fcc", "bcc"}}
    assert explored_phases(store) == ["fcc", "bcc"]
    assert problems(store) == {}

    # what was explored stays, also a phase that was added
    for phases, message in (
        ([BCC], r"phases \(fcc\): .* cannot be left out; leave it out of explore.phases instead"),
        ([both[0], {**BCC, "lattice": {"a": 3.1}}], r"phases \(bcc\): .* cannot be changed"),
    ):
        with pytest.raises(StoreError, match=message):
            copper.submitted(copper.campaign_file(folder, stop=stop, phases=phases))


def test_a_campaign_that_has_run_nothing_may_change_in_everything(folder):
    store, _ = copper.submitted(copper.campaign_file(folder))
    changed = copper.campaign_file(
        folder, seed=7, global_fingerprint={"natx": 8}, explore={"batch_size": 1}
    )
    _, submission = copper.submitted(changed)
    assert submission.added
    assert {change.key for change in submission.changes} == {
        "seed",
        "global_fingerprint.natx",
        "explore.batch_size",
    }
    assert "changes" not in store.document()
    assert launchpad().fireworks.count_documents({"name": "explore"}) == 2
    copper.work("copper")
    assert store.document()["state"] == "done"
    assert problems(store) == {}


@pytest.mark.slow
def test_an_iteration_that_failed_is_made_again_with_changed_settings(folder):
    """One that found nothing, whole; one whose training failed, from its labels on."""
    limits = {"max_temperature": 1.0}
    store, _ = copper.submitted(copper.campaign_file(folder, explore=limits))
    copper.work("copper")
    assert store.document()["state"] == "failed"
    edited = copper.campaign_file(folder, train={"ridge": -1.0})
    _, submission = copper.submitted(edited)
    assert submission.added
    assert {change.iteration for change in submission.changes} == {1}
    copper.work("copper")
    assert store.document()["message"].startswith("iteration 1, train: ValueError: train: ridge")
    labels = store.database["labels"].count_documents({})
    assert labels > 0
    _, submission = copper.submitted(copper.campaign_file(folder))
    assert submission.added
    copper.work("copper")
    assert store.document()["state"] == "done"
    assert store.database["labels"].count_documents({}) == labels
    assert problems(store) == {}
