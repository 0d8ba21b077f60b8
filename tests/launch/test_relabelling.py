"""A campaign's cells are labelled again by another engine, in a fork; real jobs, EMT and LJ."""

import copper
import mortal
import pytest
from test_forks import left, problems, rows

from entropy_flows.cli.status_lines import change_lines
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.repair import repair
from entropy_flows.launch.steering import erase
from entropy_flows.launch.submit import submit
from entropy_flows.schemas import load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, StoreError, connect, verify_context
from entropy_flows.store.fork import Fork

LJ = {
    "engine": "forcefield",
    "model": "ase.calculators.lj.LennardJones",
    "calculator_kwargs": {"sigma": 2.3, "epsilon": 0.4, "rc": 6.0},
    "batch_size": 2,
}
HOT = {"temperatures": [3000, 5000]}


@pytest.fixture(scope="module")
def folder(server, tmp_path_factory):
    """A folder with the file of a campaign of one iteration that began with imported cells."""
    path = tmp_path_factory.mktemp("relabelling")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("ENTROPY_FLOWS_URI", server)
        patch.setenv("ENTROPY_FLOWS_DATABASE", "test_relabelling")
        patch.setenv("ENTROPY_FLOWS_CACHE", str(path / "cache"))
        patch.setattr(verify_context, "SETTLE_SECONDS", 0.0)
        settings.cache_clear()
        copper.importable(patch)
        copper.base_model(path)
        file = copper.campaign_file(path)
        store = CampaignStore.open("copper")
        store.create(load_campaign(file))
        copper.import_cells(store, load_campaign(file), number=4)
        copper.submitted(file)
        copper.work("copper")
        bad = next(label["key"] for label in store.labels(iteration=1, split="train"))
        store.exclude([bad], "melted")
        yield path
        connect().client.drop_database("test_relabelling")
    settings.cache_clear()


def fork_of(folder, name, iteration=2, source="copper", **changes):
    """A fork whose cells are labelled again, not made yet."""
    campaign = load_campaign(copper.campaign_file(folder, name, **{"label": LJ, **changes}))
    store = CampaignStore.open(source)
    return Fork(store, store.of(name), campaign, iteration, relabel=True)


def explored_at(store):
    """Iteration → temperatures that its exploration was set to."""
    rows = [row for row in store.iterations() if "settings" in row["plan"]]
    sections = {row["iteration"]: row["plan"]["settings"]["sections"] for row in rows}
    return {number: section["explore"]["temperatures"] for number, section in sections.items()}


def check_labels(store, source):
    """Check that a fork has labels of its own for all cells of its source, and their splits."""
    labels = {label["key"]: label for label in store.labels()}
    excluded = set(source.excluded())
    for old in source.labels():
        new = labels[old["key"]]
        assert new["engine_hash"] == store.document()["engine"]["hash"] != old["engine_hash"]
        if old["key"] in excluded:
            assert (new["reason"], new.get("split")) == ("rejected", None)
            assert "melted" in new["evidence"]
        elif new["converged"]:
            assert new["free_energy"] != pytest.approx(old["free_energy"])
            if not new.get("flagged"):
                assert new["split"] == old["split"]
    return labels


def work_and_die(name, every, run_main, folder):
    """Run a fork's jobs up to its first evaluation by workers that die after some writes.

    Each time `status` has to show what is there. How often they died.
    """
    deaths = 0
    is_done = copper.is_done(name, "evaluate")
    while mortal.dies(lambda: copper.work(name, until=is_done), every * (1 + deaths // 3)):
        deaths += 1
        code, out = run_main("status", folder / f"{name}.yaml")
        assert code == 0, out
        repair(launchpad(), name, copper.DEAD_WORKER)
    copper.work(name)
    return deaths


def test_all_cells_are_labelled_again_and_the_loop_goes_on(folder, run_main):
    source = CampaignStore.open("copper")
    before = {name: rows(source, name) for name in ("structures", "labels")}
    fork = fork_of(folder, "lj", explore=HOT, stop={"max_iterations": 2})
    entries = fork.make()
    store = fork.target
    assert rows(store) == before["structures"]
    assert rows(store, "labels") == []
    assert problems(store) == {}
    assert fork.make() == entries, "made again it is the same"

    assert submit(store, fork.campaign, folder).added
    assert not submit(store, fork.campaign, folder).added
    # nothing is lost or doubled by workers that are killed
    assert work_and_die("lj", 60, run_main, folder) > 2
    assert store.document()["message"] == "all 2 iterations are done"
    assert rows(source, "labels") == before["labels"]
    labels = check_labels(store, source)
    assert len(before["labels"]) < len(labels) == len(rows(store)) == len(list(store.labels()))
    engines = {label["provenance"]["engine"] for label in store.labels(converged=True)}
    assert engines == {"LennardJones (teacher, not DFT)"}
    # the first training is of the first model, on the new labels, without the excluded cell
    assert store.model(1)["parent"] == store.model(0)["reference"]
    assert store.model(1)["sha256"] != source.model(1)["sha256"]
    trained = store.frames(split="train", iteration={"$lt": 2})
    assert store.model(1)["training"]["trained_on"] == len(trained)
    assert store.model(2)["parent"] in (store.model(1)["reference"], store.model(0)["reference"])
    # what was explored by the old campaign is not said to be by the new settings
    assert explored_at(store) == {1: [600, 1200], 2: [3000, 5000]}
    counts = [row["label"] for row in store.iterations()]
    assert [count["labelled"] + count["failed"] for count in counts] == [
        count["requested"] for count in counts
    ]
    assert counts[1]["reasons"]["rejected"] == 1
    assert problems(store) == {}
    assert problems(source) == {}
    assert change_lines(store.document()) == [
        "forked from copper, from iteration 2 on; the cells before it labelled again"
    ]


@pytest.mark.slow
def test_equal_cells_have_the_labels_that_are_there(folder, run_main):
    """The first fork pays for them; a second one trains on the same, and ends by its limit."""
    for name in ("first", "second"):
        fork = fork_of(folder, name)
        fork.make()
        submit(fork.target, fork.campaign, folder)
        copper.work(name)
        assert fork.target.document()["message"] == "all 1 iterations are done"
        assert problems(fork.target) == {}
    paid = [label for label in fork.target.labels(converged=True) if not label["copied_from"]]
    assert paid == []
    # the other commands take it as any campaign
    file = folder / "second.yaml"
    for name, *arguments in (
        ("report",),
        ("export", "cells.extxyz"),
        ("retrain",),
        ("curve", "--show"),
        ("model",),
        ("list",),
    ):
        code, out = run_main(name, file, *arguments)
        assert code == 0 or "no point" in out, (name, out)
    copper.work("second")
    assert [row["version"] for row in fork.target.versions()] == [2]
    assert problems(fork.target) == {}


@pytest.mark.slow
def test_imported_cells_alone_are_labelled_before_the_first_iteration(folder):
    fork = fork_of(folder, "imported", 1, label={**LJ, "approve": True})
    assert fork.make() == 4
    store = fork.target
    submit(store, fork.campaign, folder)
    copper.work("imported")
    waiting = [row["key"] for row in store.waiting()]
    assert sorted(waiting) == sorted(row["key"] for row in rows(store))
    store.reject(waiting[:1], "broken")
    store.approve(waiting[1:])
    workflow_manager().release_approved(store)
    copper.work("imported")
    store.approve([row["key"] for row in store.waiting()])
    workflow_manager().release_approved(store)
    copper.work("imported")
    assert store.document()["message"] == "all 1 iterations are done"
    reasons = {label["key"]: label["reason"] for label in store.labels(iteration=0)}
    assert reasons.pop(waiting[0]) == "rejected"
    assert set(reasons) == set(waiting[1:])
    assert store.model(1)["trained_up_to"] > 4
    assert problems(store) == {}


@pytest.mark.slow
def test_a_training_that_failed_is_made_again_on_the_same_labels(folder):
    fork = fork_of(folder, "failed", train={"ridge": -1.0})
    fork.make()
    store = fork.target
    submit(store, fork.campaign, folder)
    copper.work("failed")
    assert store.document()["message"].startswith("iteration 1, train: ValueError: train: ridge")
    labels = rows(store, "labels")
    mended = load_campaign(copper.campaign_file(folder, "failed", label=LJ))
    assert submit(store, mended, folder).added
    copper.work("failed")
    assert store.document()["message"] == "all 1 iterations are done"
    unsplit = [{**row, "split": None, "given_split": None} for row in labels]
    assert [{**row, "split": None, "given_split": None} for row in rows(store, "labels")] == unsplit
    assert problems(store) == {}


def test_the_command(folder, run_main):
    copper.campaign_file(folder, "typed", label=LJ)
    old = folder / "copper.yaml"
    new = folder / "typed.yaml"
    cells = len(rows(CampaignStore.open("copper")))
    code, out = run_main("fork", old, new, "--from-iteration", 2, "--relabel")
    assert code == 0, out
    assert out == (
        f"typed begins with iteration 2: {cells} cells they are labelled again and trained on "
        f"before it goes on next: entropy-flows run {new}"
    )
    code, out = run_main("fork", old, new, "--from-iteration", 2)
    assert code == 1
    assert "error: label." in out
    assert "--relabel has them labelled again" in out
    erase(CampaignStore.open("typed"), workflow_manager())


def test_what_has_no_cells_is_not_labelled_again(folder):
    source = CampaignStore.open("copper").of("empty")
    source.create(load_campaign(copper.campaign_file(folder, "empty")))
    with pytest.raises(StoreError, match=r"no cell before iteration 1: .* leave --relabel out"):
        fork_of(folder, "refused", 1, source="empty").make()
    assert left(source.database, "refused") == []


@pytest.mark.slow
def test_a_fork_that_was_killed_is_completed(folder):
    source = CampaignStore.open("copper")

    def fork():
        fork_of(folder, "killed").make()

    def complete():
        fork()
        store = CampaignStore.open("killed")
        assert rows(store) == rows(source)
        assert rows(store, "labels") == []
        again = [row["plan"]["relabel"] for row in store.iterations()]
        assert sum(len(keys) for groups in again for keys in groups.values()) == len(rows(store))
        assert problems(store) == {}
        erase(store, workflow_manager())
        assert left(store.database, "killed") == []

    assert mortal.deaths(fork, 1, complete) > 5
    erase(CampaignStore.open("killed"), workflow_manager())


@pytest.mark.slow
def test_workers_may_be_killed_at_many_writes(folder, run_main):
    source = CampaignStore.open("copper")
    fork = fork_of(folder, "mortal", stop={"max_iterations": 1})
    fork.make()
    submit(fork.target, fork.campaign, folder)
    store = fork.target
    assert work_and_die("mortal", 9, run_main, folder) > 10
    assert store.document()["message"] == "all 1 iterations are done"
    labels = check_labels(store, source)
    assert len(labels) == store.database["labels"].count_documents({"campaign": "mortal"})
    assert len(labels) == len(rows(store))
    assert problems(store) == {}
    erase(store, workflow_manager())
    assert left(store.database, "mortal") == []
