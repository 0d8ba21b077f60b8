"""A campaign loses a bad structure, is trained again, and goes on from the new model."""

import copper
import mortal
import pytest
from commands import run
from test_steering import folder, problems  # noqa: F401

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.repair import repair
from entropy_flows.launch.retraining import submit_retraining
from entropy_flows.report.versions import version_lines
from entropy_flows.schemas import load_campaign
from entropy_flows.schemas.status import CampaignStatus
from entropy_flows.store import CampaignStore
from entropy_flows.store.fork import Fork


def retrain(path, iteration=None):
    campaign = load_campaign(path)
    store = CampaignStore.open(campaign.name)
    return submit_retraining(store, campaign, path.parent, iteration)


def test_a_bad_structure_is_lost_and_the_campaign_goes_on_without(folder, monkeypatch, capsys):  # noqa: F811
    latest = {"train": {"continue_from": "latest"}}
    path = copper.campaign_file(folder, **latest)
    store, _ = copper.submitted(path)
    copper.work("copper")
    assert store.document()["state"] == "done"
    old = store.model(1)
    bad = next(label["key"] for label in store.labels(split="train"))
    assert store.exclude([bad], "melted") == [bad]
    assert problems(store) == {}, "the past is what it was"

    first = retrain(path)
    assert (first.iteration, first.version, first.is_new, first.continues) == (1, 2, True, True)
    assert not retrain(path).is_new, "asked for twice it is one job"
    copper.work("copper")
    new = store.version(1, 2)
    assert new["training"]["trained_on"] == old["training"]["trained_on"] - 1
    assert new["parent"] == old["parent"]
    assert store.model(1) == old
    decided = new["evaluate"]["continues"]["model"]
    assert decided == new["reference"] != old["reference"]
    assert store.model_in_use() == new
    assert store.document()["state"] == "done"
    assert problems(store) == {}
    # a fork has the version, too, and what was excluded
    branch = load_campaign(copper.campaign_file(folder, name="branch", **latest))
    forked = CampaignStore.open("branch")
    Fork(store, forked, branch, 2).make()
    assert forked.model_in_use()["reference"] == decided
    assert list(forked.excluded()) == [bad]
    assert forked.predictions(1)["version"] == 2
    assert forked.predictions(1)["cells"] == store.predictions(1)["cells"]
    assert problems(forked) == {}
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = run(monkeypatch, capsys, "status", path)
    assert "iteration 1 was trained again (version 2): energy MAE" in " ".join(out.split())
    assert bad in out
    _, out, _ = run(monkeypatch, capsys, "status", path, "--json")
    read = CampaignStatus.model_validate_json(out)
    assert (read.model.iteration, read.model.version, read.model.reference) == (1, 2, decided)
    assert read.model.errors == new["evaluate"]["after"]
    assert [(cell.key, cell.why) for cell in read.excluded] == [(bad, "melted")]
    (again,) = read.retrained
    assert (again.version, again.goes_on, again.after) == (2, True, new["evaluate"]["after"])
    assert read.iterations[0].goes_on_from["model"] == old["reference"]

    # the next iteration goes on from it, and its statistics are without the cell
    _, more = copper.submitted(copper.campaign_file(folder, stop={"max_iterations": 2}, **latest))
    assert more.added
    copper.work("copper")
    assert store.document()["message"] == "all 2 iterations are done"
    assert store.model(2)["parent"] == decided
    (row,) = [row for row in store.iterations() if row["iteration"] == 2]
    assert (row["plan"]["exclusions"], row["plan"]["training_exclusions"]) == (1, 1)
    assert bad not in {atoms.info["key"] for atoms in store.frames()}
    assert problems(store) == {}

    # an earlier iteration may be trained again, and the campaign does not go back to it
    late = next(atoms.info["key"] for atoms in store.frames(iteration=2))
    assert store.exclude([late], "two phases") == [late]
    again = retrain(path, 1)
    assert (again.version, again.continues) == (3, False)
    copper.work("copper")
    assert store.version(1, 3)["replaced"] == store.model(2)["reference"]
    assert store.model_in_use() == store.model(2)
    assert len(version_lines(store.versions())) == 2
    assert problems(store) == {}

    # a version that replaces a later iteration's model is not of the past that a fork shares
    branch = load_campaign(copper.campaign_file(folder, name="later", **latest))
    forked = CampaignStore.open("later")
    Fork(store, forked, branch, 2).make()
    assert list(forked.excluded()) == [bad]
    assert [row["version"] for row in forked.versions()] == [2]
    assert (store.predictions(1)["version"], forked.predictions(1)["version"]) == (3, 2)
    assert problems(forked) == {}


def test_an_iteration_without_a_model_is_refused(folder):  # noqa: F811
    path = copper.campaign_file(folder)
    copper.submitted(path)
    with pytest.raises(ValueError, match=r"iteration 0 has no model to train again; .* none has"):
        retrain(path)


@pytest.mark.slow
def test_a_retraining_that_is_killed_leaves_one_version(folder):  # noqa: F811
    """The command dies at some of its writes, then the workers of its job at some of theirs."""
    path = copper.campaign_file(folder)
    store, _ = copper.submitted(path)
    copper.work("copper")
    old = store.model(1)
    store.exclude([next(label["key"] for label in store.labels(split="train"))], "melted")
    files = store.database["models.files"].count_documents({})

    def command():
        retrain(path)

    def complete():
        again = retrain(path)
        assert (again.version, again.iteration) == (2, 1)
        (job,) = workflow_manager().jobs("copper", retrain="1")
        assert job.state == "READY"
        assert problems(store) == {}
        workflow_manager().delete("copper", [job.uuid])

    assert mortal.deaths(command, 1, complete) > 2
    deaths = 0
    while mortal.dies(lambda: copper.work("copper"), 3 * (1 + deaths)):
        deaths += 1
        repair(launchpad(), "copper", copper.DEAD_WORKER)
    assert deaths > 2
    assert [row["version"] for row in store.versions()] == [2]
    new = store.version(1, 2)
    assert new["training"]["trained_on"] == old["training"]["trained_on"] - 1
    assert store.model(1) == old
    assert store.database["models.files"].count_documents({}) == files + 1
    assert store.failures() == []
    assert store.document()["state"] == "done"
    assert problems(store) == {}
