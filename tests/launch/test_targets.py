"""A campaign that chooses for a target: real jobs, killed, forked, verified from its structures."""

import copper
import numpy as np
import pytest
from mortal import dies

from entropy_flows.jobs import IterationContext
from entropy_flows.jobs.train import weigh_for_target
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.verify import verify
from entropy_flows.report import refused
from entropy_flows.report.campaign_cells import campaign_cells
from entropy_flows.report.iterations import iteration_rows
from entropy_flows.report.refused_story import refused_story
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore, connect, verify_context
from entropy_flows.store.fork import Fork
from entropy_flows.train.dataset import loss_weights

SELECT = {
    "selector": "variance",
    "theta_min": 1e-9,
    "max_labels": 6,
    "landmarks": 20,
    "refined": 0.35,
    "target": "plain",
}
SETTINGS = {
    "select": SELECT,
    "explore": {"entropy_weights": [0, 3], "surface": "variance"},
    "anchors": {"fraction": 0.0},
    "refine": {"max_candidates": 2, "max_steps": 2},
    "stop": {"max_iterations": 2},
}


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """A campaign of two iterations that has run, and its twin, the first selection of which was
    killed again and again.
    """
    from entropy_flows.settings import settings

    folder = tmp_path_factory.mktemp("targets")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("ENTROPY_FLOWS_URI", server)
        patched.setenv("ENTROPY_FLOWS_DATABASE", "test_targets")
        patched.setenv("ENTROPY_FLOWS_CACHE", str(folder / "cache"))
        patched.setattr(verify_context, "SETTLE_SECONDS", 0.0)
        settings.cache_clear()
        copper.importable(patched)
        copper.base_model(folder)
        store, _ = copper.submitted(copper.campaign_file(folder, "whole", **SETTINGS))
        copper.work("whole")
        yield store, folder
        database = connect()
        database.client.drop_database(database.name)
        settings.cache_clear()


def deep(store):
    checks = verify(store, workflow_manager(), deep=True)
    counts = {check.name: check.checked for check in checks}
    return counts, {check.name: check.problems for check in checks if check.problems}


def test_the_choice_is_made_for_plain_dynamics_and_everything_is_computed_again(ran):
    store, _ = ran
    assert store.document()["message"] == "all 2 iterations are done"
    counts, problems = deep(store)
    assert problems == {}
    assert (counts["targets"], counts["bases"]) == (2, 1)
    assert counts["precisions"] >= 4
    entries = list(store.database["structures"].find({"campaign": "whole"}).sort("position", 1))
    assert counts["variance_gains"] == len(entries) == 12
    assert {entry["stage"] for entry in entries} == {"select", "refine"}
    targets = list(store.database["targets"].find({"campaign": "whole"}).sort("iteration", 1))
    assert [row["kind"] for row in targets] == ["plain", "plain"]
    runs = store.iterations()[0]["runs"]
    assert targets[0]["n"] == sum(run["snapshots"] for run in runs if run["k"] == 0)
    assert targets[0]["sha256"] != targets[1]["sha256"]


def test_what_is_unknown_falls_by_the_gains(ran):
    store, _ = ran
    for document in store.iterations()[:2]:
        entries = list(
            store.database["structures"].find(
                {"campaign": "whole", "iteration": document["iteration"]}
            )
        )
        gains = dict.fromkeys(("select", "refine"), 0.0)
        for entry in entries:
            assert entry["variance_gain"] > 0
            gains[entry["stage"]] += entry["variance_gain"]
        select, refine = document["select"], document["refine"]
        assert 0 < select["variance_after"] < select["variance_before"] <= 1
        assert select["variance_before"] - select["variance_after"] == pytest.approx(
            gains["select"], abs=1e-12
        )
        assert select["variance_after"] - refine["variance_after"] == pytest.approx(
            gains["refine"], abs=1e-12
        )
        for before, after in refine["gains"]:
            assert after >= before
    assert store.iterations()[0]["select"]["variance_before"] == pytest.approx(1)
    rows = {row[0]: row[1:] for row in iteration_rows(store.iterations())}
    assert rows["unknown of the target, %"][0].startswith("100.00 → ")


def test_a_fork_has_the_targets_and_the_same_statistics(ran):
    store, folder = ran
    campaign = load_campaign(copper.campaign_file(folder, "forked", **SETTINGS))
    target = CampaignStore.open("forked")
    Fork(store, target, campaign, 2).make()
    counts, problems = deep(target)
    assert problems == {}
    assert counts["variance_gains"] == 6
    rows = {
        name: [
            (row["position"], row["checksum"])
            for row in store.database["precisions"].find({"campaign": name}).sort("position", 1)
        ]
        for name in ("whole", "forked")
    }
    assert rows["forked"] == rows["whole"][: len(rows["forked"])] != []


def test_damage_is_found(ran):
    store, folder = ran
    campaign = load_campaign(copper.campaign_file(folder, "damaged", **SETTINGS))
    target = CampaignStore.open("damaged")
    Fork(store, target, campaign, 2).make()
    database = store.database
    ours = {"campaign": "damaged"}
    row = database["precisions"].find_one(ours)
    database["precisions"].update_one({"_id": row["_id"]}, {"$set": {"variance": 0.5}})
    entry = database["structures"].find_one({**ours, "position": 2})
    database["structures"].update_one(
        {"_id": entry["_id"]}, {"$set": {"variance_gain": entry["variance_gain"] + 1e-9}}
    )
    _, problems = deep(target)
    assert any("by its document 0.5" in line for line in problems["precisions"])
    (line,) = problems["variance_gains"]
    assert "position 2" in line
    cells = database["targets"].find_one(ours)
    data = bytearray(cells["data"])
    data[len(data) // 2] ^= 1
    database["targets"].update_one({"_id": cells["_id"]}, {"$set": {"data": bytes(data)}})
    _, problems = deep(target)
    assert {"targets", "bases", "seals"} <= problems.keys()


def test_a_killed_campaign_makes_the_same_choice(ran):
    store, folder = ran
    twin, _ = copper.submitted(copper.campaign_file(folder, "killed", **SETTINGS))

    def selected():
        copper.work("killed", copper.is_done("killed", "select"))

    copper.work("killed", copper.is_done("killed", "explore"))
    deaths = 0
    for writes in (8, 12, 16):
        deaths += dies(selected, writes)
        launchpad().detect_lostruns(expiration_secs=0, rerun=True)
    assert deaths >= 2
    copper.work("killed")
    assert twin.document()["message"] == "all 2 iterations are done"
    assert deep(twin)[1] == {}
    chosen = {
        name: [
            (row["key"], row["variance_gain"])
            for row in store.database["structures"].find({"campaign": name, "iteration": 1})
        ]
        for name in ("whole", "killed")
    }
    assert [key for key, _ in chosen["killed"]] == [key for key, _ in chosen["whole"]]
    np.testing.assert_allclose(
        [gain for _, gain in chosen["killed"]],
        [gain for _, gain in chosen["whole"]],
        atol=1e-12,
    )


def test_herding_takes_what_makes_the_labels_most_like_the_target(ran):
    store, folder = ran
    select = {**SELECT, "selector": "herding", "refined": 0.0}
    path = copper.campaign_file(folder, "herded", **{**SETTINGS, "select": select})
    herded, _ = copper.submitted(path)
    copper.work("herded", copper.is_done("herded", "select"))
    assert deep(herded)[1] == {}
    book = herded.ledger(load_campaign(path).dataset)
    row = book.target_row(1)
    basis = book.basis(row["basis"])
    mean, _ = book.target_cells(row).moments(basis)
    cells = [basis.features(q.mean(axis=0)[None])[0] for q in book.fingerprints_between(0, 6)]
    assert len(cells) == 6
    total = np.zeros(basis.dim)
    for number, taken in enumerate(cells):
        scores = [mean @ phi - total @ phi / (number + 1) for phi in cells[number:]]
        assert scores[0] == max(scores)
        total += taken
    statistics = book.variance_at(6, 1)
    assert statistics.distance() == pytest.approx(np.linalg.norm(mean - total / 6), abs=1e-12)
    assert statistics.value() < store.iterations()[0]["select"]["variance_before"]


def test_a_campaign_without_plain_dynamics_is_refused(ran):
    _, folder = ran
    path = copper.campaign_file(folder, "refused", select=SELECT)
    with pytest.raises(ValueError, match=r"add 0 to explore\.entropy_weights, which are 3"):
        load_campaign(path)
    unrefined = {**SETTINGS, "refine": {"enabled": False}}
    with pytest.raises(ValueError, match=r"refine\.enabled is false"):
        load_campaign(copper.campaign_file(folder, "unrefined", **unrefined))


def test_labels_weigh_as_the_target_has_them(ran):
    store, folder = ran
    campaign = store.campaign()
    context = IterationContext("whole", 2, dataset=campaign.dataset)
    frames = store.frames(exclusions=0)
    weigh_for_target(store, context, frames)
    weights = loss_weights(frames, ())
    assert weights.mean() == pytest.approx(1)
    assert weights.max() > 1.2
    book = store.ledger(campaign.dataset)
    row = book.target_row(2)
    target = book.target_cells(row).means.means
    middle = book.basis(row["basis"]).points(target).mean(axis=0)
    prints = list(book.fingerprints_between(0, len(frames)))
    points = book.basis(row["basis"]).points(np.array([q.mean(axis=0) for q in prints]))
    order = np.argsort(np.linalg.norm(points - middle, axis=1))
    near, far = weights[order[:4]].mean(), weights[order[-4:]].mean()
    assert near > far
    train = {"weights": "target"}
    with pytest.raises(ValueError, match=r"set select\.selector to herding or variance"):
        load_campaign(copper.campaign_file(folder, "weighed", train=train))


def test_a_target_file_begins_at_the_campaigns_folder(ran):
    _, folder = ran
    select = {**SELECT, "target": "md.xyz"}
    campaign = load_campaign(copper.campaign_file(folder, "file", select=select))
    assert campaign.select.target == str(folder / "md.xyz")
    with pytest.raises(ValueError, match=r"select\.target \.\./md\.xyz leaves the folder"):
        load_campaign(
            copper.campaign_file(folder, "outside", select={**select, "target": "../md.xyz"})
        )


def test_candidates_that_were_not_chosen_are_read_again_as_they_were_judged(ran, monkeypatch):
    store, _ = ran
    monkeypatch.setattr(refused, "MAX_REFUSED", 5)
    dataset = store.campaign().dataset
    ledger = store.ledger(dataset)
    chosen = {row["key"] for row in store.entry_rows()}
    cells = campaign_cells(store, dataset)
    assert len(cells.refused) >= 6
    assert not chosen & set(cells.refused)
    for document in store.iterations()[:2]:
        number, selected = document["iteration"], document["select"]
        one = next(cell for cell in cells.refused.values() if cell.iteration == number)
        statistics = ledger.statistics(number, "refine")[one.origin["mode"]]
        [q] = ledger.fingerprint([one.atoms])
        assert one.gain == pytest.approx(statistics.gain(q), rel=1e-12)
        run = document["runs"][one.origin["run"]]
        assert (run["k"], run["temperature"]) == (one.origin["k"], one.origin["temperature"])
        card = cells.cards(store, [one.key])[one.key]
        assert f"the least of the chosen raised it by {min(selected['gains']):.3g}" in " ".join(
            card["story"]
        )
        assert set(card["neighbours"]) <= chosen
        assert len(card["symbols"]) == len(one.atoms)
        story, cell = refused_story(store, ledger, one.key, 2)
        assert (story.gain, story.threshold) == (one.gain, min(selected["gains"]))
        assert [each.key for each in story.neighbours] == card["neighbours"][:2]
        assert np.array_equal(cell.atoms.positions, one.atoms.positions)
        assert "explored it, and chose others" in str(story.sections)
    assert refused_story(store, ledger, "001/explore/00000/99999", 2) is None
    points = cells.points.as_dict()
    status = dict(zip(points["keys"], points["names"]["status"]["values"], strict=True))
    assert {key for key, word in status.items() if word == refused.STATUS} == set(cells.refused)
    novelty = points["numbers"]["novelty"]["values"]
    assert all(value is not None and value > 0 for value in novelty)
    store.database["outputs"].delete_many({})  # the last test of this campaign
    assert campaign_cells(store, dataset).refused == {}
