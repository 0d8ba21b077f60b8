"""Campaigns that share their past: forked, run on, deleted, and killed in the middle of it."""

import copper
import mortal
import pytest

from entropy_flows.cli.list import overview_row
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.steering import erase
from entropy_flows.launch.submit import submit
from entropy_flows.launch.verify import verify
from entropy_flows.schemas import load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, StoreError, connect, verify_context
from entropy_flows.store.fork import Fork
from entropy_flows.store.overview import campaigns_of
from entropy_flows.store.seals import KEYS

STOP = {"max_iterations": 2}
EVERY = [7, pytest.param(1, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def folder(server, tmp_path_factory):
    """A folder with the file of a campaign that has run two iterations."""
    path = tmp_path_factory.mktemp("forks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("ENTROPY_FLOWS_URI", server)
        patch.setenv("ENTROPY_FLOWS_DATABASE", "test_forks")
        patch.setenv("ENTROPY_FLOWS_CACHE", str(path / "cache"))
        patch.setattr(verify_context, "SETTLE_SECONDS", 0.0)
        settings.cache_clear()
        copper.importable(patch)
        copper.base_model(path)
        copper.submitted(copper.campaign_file(path, stop=STOP))
        copper.work("copper")
        yield path
        connect().client.drop_database("test_forks")
    settings.cache_clear()


def problems(store):
    """What a thorough verification finds, in things that are wrong or wasted."""
    checks = verify(store, workflow_manager(), deep=True)
    found = {check.name: check.problems + check.wasted for check in checks}
    return {name: lines for name, lines in found.items() if lines}


def fork_of(folder, name, iteration, **changes):
    """A fork of the campaign that is not made yet."""
    campaign = load_campaign(copper.campaign_file(folder, name, **changes))
    source = CampaignStore.open("copper")
    return Fork(source, source.of(name), campaign, iteration)


def rows(store, collection="structures"):
    """Documents of a campaign by their keys, without what names the campaign."""
    names = ("_id", "campaign", "seals", "digest", "created", "structure_id", "copied_from")
    found = store.database[collection].find({"campaign": store.name})
    return [
        {key: value for key, value in row.items() if key not in (*names, "wall_seconds")}
        for row in found.sort("position", 1)
    ]


def left(database, name):
    """Collections that have something of a campaign."""
    queries = {key: {"campaign": name} for key in KEYS if key not in ("campaigns", "outputs")}
    queries |= {"campaigns": {"name": name}, "outputs": {"metadata.campaign": name}}
    queries |= {"fireworks": {"spec.campaign": name}, "arrays.files": {"metadata.campaign": name}}
    return [key for key, query in queries.items() if database[key].find_one(query)]


def test_a_fork_shares_the_past_and_runs_on_alone(folder):
    source = CampaignStore.open("copper")
    before = rows(source)
    shared = [row for row in before if row["iteration"] == 1]
    source.exclude([shared[0]["key"], before[-1]["key"]], why="melted")
    fork = fork_of(folder, "seven", 2, seed=7, stop=STOP)
    assert fork.make() == len(shared) < len(before)
    assert rows(fork.target) == shared
    assert problems(fork.target) == {}
    labels = rows(source, "labels")
    assert rows(fork.target, "labels") == [row for row in labels if row["iteration"] == 1]
    assert fork.target.model(1)["file"] == source.model(1)["file"]
    assert list(fork.target.excluded()) == [shared[0]["key"]]
    files = source.database["models.files"].count_documents({})
    held_out = {row["key"]: row["split"] for row in labels if row["iteration"] == 1}

    assert submit(fork.target, fork.campaign, folder).added
    copper.work("seven")
    assert fork.target.document()["message"] == "all 2 iterations are done"
    after = rows(fork.target)
    assert after[: len(shared)] == shared
    assert len(after) > len(shared)
    assert after != before
    splits = fork.target.splits()
    assert {key: splits[key] for key in held_out} == held_out
    assert source.database["models.files"].count_documents({}) == files + 1
    assert problems(fork.target) == {}
    assert problems(source) == {}
    assert rows(source) == before


def test_another_fingerprint_gives_the_shared_cells_other_gains(folder):
    fork = fork_of(folder, "eight", 3, global_fingerprint={"natx": 8})
    fork.make()
    assert problems(fork.target) == {}
    structures = [row["structure"] for row in rows(fork.source)]
    assert [row["structure"] for row in rows(fork.target)] == structures
    gains = [[row["gain"] for row in rows(each)] for each in (fork.source, fork.target)]
    assert gains[0] != gains[1]


@pytest.mark.parametrize(
    ("iteration", "changes", "message"),
    [
        (4, {}, r"has evaluated 2 iterations: .* iteration 3 at most, not 4"),
        (2, {"base_model": "SevenNet-0"}, r"base_model: .*use --from-iteration 1"),
        (2, {"label": {"model": "CHGNet"}}, r"label\.model: .* --relabel has them labelled again"),
    ],
)
def test_what_a_fork_cannot_share(folder, iteration, changes, message):
    fork = fork_of(folder, "refused", iteration, **changes)
    with pytest.raises(StoreError, match=message):
        fork.make()
    assert left(fork.source.database, "refused") == []


def test_a_fork_takes_no_other_campaigns_name(folder):
    fork_of(folder, "taken", 2).make()
    assert fork_of(folder, "taken", 2).make() > 0
    with pytest.raises(StoreError, match="is there already, and is no fork of 'copper' from iter"):
        fork_of(folder, "taken", 3).make()


@pytest.mark.parametrize("every", EVERY)
def test_a_fork_that_was_killed_is_completed(folder, every):
    def fork():
        fork_of(folder, "killed", 3).make()

    def complete():
        unfinished = CampaignStore.open("killed")
        if unfinished.exists() and unfinished.document()["state"] == "forking":
            with pytest.raises(StoreError, match="run `entropy-flows fork` again"):
                submit(unfinished, load_campaign(folder / "killed.yaml"), folder)
        fork()
        assert rows(unfinished) == rows(CampaignStore.open("copper"))
        assert problems(unfinished) == {}
        erase(unfinished, workflow_manager())
        assert left(unfinished.database, "killed") == []

    assert mortal.deaths(fork, every, complete) > 2
    erase(CampaignStore.open("killed"), workflow_manager())


@pytest.mark.parametrize("every", EVERY)
def test_a_deletion_that_was_killed_is_completed_and_leaves_the_others_whole(folder, every):
    """The fork's own jobs have run, so that it has outputs, failures and launches as well."""
    fork = fork_of(folder, "short", 1)
    fork.make()
    submit(fork.target, fork.campaign, folder)
    copper.work("short", until=copper.is_done("short", "train"))
    database = fork.source.database

    def delete():
        erase(CampaignStore.open("short"), workflow_manager())

    number = 0
    # what is gone already counts as a write, too
    while mortal.dies(delete, number * every):
        number += 1
        if number == 1:
            continue  # before the first write
        assert CampaignStore.open("short").document()["state"] == "deleting"
        with pytest.raises(StoreError, match="run `entropy-flows delete` again"):
            submit(fork.target, fork.campaign, folder)
    assert number > 2
    assert left(database, "short") == []
    assert problems(fork.source) == {}
    names = database["models.files"].distinct("_id")
    used = {row["file"] for name in ("models", "members") for row in database[name].find()}
    assert set(names) == {name for name in used if name is not None}


@pytest.mark.parametrize("every", EVERY)
def test_a_change_that_was_killed_is_completed(folder, every):
    """A done campaign is edited so that it goes on; the command dies at any of its writes."""
    edited = fork_of(folder, "edited", 3, stop={"max_iterations": 3}, explore={"steps": 18})
    edited_file = (folder / "edited.yaml").read_text()

    def prepare():
        done = fork_of(folder, "edited", 3, stop=STOP)
        done.make()
        assert not submit(done.target, done.campaign, folder).added
        assert done.target.document()["message"] == "all 2 iterations are done"
        (folder / "edited.yaml").write_text(edited_file)

    def change():
        submit(CampaignStore.open("edited"), edited.campaign, folder)

    def complete():
        store = CampaignStore.open("edited")
        change()
        document = store.document()
        assert document["state"] == "running"
        assert [row["key"] for row in document["changes"]] == [
            "explore.steps",
            "stop.max_iterations",
        ]
        (row,) = [row for row in store.iterations() if row["iteration"] == 3]
        assert row["plan"]["settings"]["sections"]["explore"]["steps"] == 18
        jobs = workflow_manager().jobs("edited")
        assert len({job.uuid for job in jobs}) == len(jobs) == 8
        assert problems(store) == {}
        erase(store, workflow_manager())
        assert left(store.database, "edited") == []
        prepare()

    prepare()
    assert mortal.deaths(change, every, complete) > 1
    erase(CampaignStore.open("edited"), workflow_manager())


def test_the_source_of_a_fork_may_be_deleted(folder):
    source = CampaignStore.open("copper")
    first = fork_of(folder, "first", 3)
    first.make()
    campaign = load_campaign(copper.campaign_file(folder, "second"))
    again = Fork(first.target, first.target.of("second"), campaign, 3)
    again.make()
    erase(first.target, workflow_manager())
    assert left(source.database, "first") == []
    assert problems(again.target) == {}
    assert problems(source) == {}
    listed = [overview_row(overview) for overview in campaigns_of(source.database)]
    row = next(row for row in listed if row[0] == "second (fork of first)")
    assert row[1:5] == ["new", "2", str(len(rows(source))), str(len(rows(source)))]


def test_the_commands(folder, run_main):
    copper.campaign_file(folder, "typed")
    old, new = folder / "copper.yaml", folder / "typed.yaml"
    code, out = run_main("fork", old, new, "--from-iteration", 3)
    assert code == 0, out
    n_cells = len(rows(CampaignStore.open("copper")))
    assert f"typed begins with iteration 3: {n_cells} cells, {n_cells} labels" in out
    assert f"next: entropy-flows run {new}" in out
    code, out = run_main("list")
    assert f"typed (fork of copper) new 2 {n_cells} {n_cells} " in out
    assert f" copper done 2 {n_cells} {n_cells} " in out
    code, out = run_main("delete", new)
    assert code == 1
    assert "add --yes" in out
    code, out = run_main("delete", new, "--yes")
    assert code == 0, out
    assert "deleted: typed" in out
    assert left(connect(), "typed") == []
    code, out = run_main("fork", old, old, "--from-iteration", 3)
    assert code == 1
    assert "is that of" in out


def test_what_runs_is_not_deleted(folder, run_main):
    fork = fork_of(folder, "busy", 3, stop={"max_iterations": 3})
    fork.make()
    assert submit(fork.target, fork.campaign, folder).added
    query = {"spec.campaign": "busy", "state": "READY"}
    job = fork.source.database["fireworks"]
    job.update_one(query, {"$set": {"state": "RUNNING"}})
    before = sorted(left(fork.source.database, "busy"))
    code, out = run_main("delete", folder / "busy.yaml", "--yes")
    assert code == 1
    assert "'busy' is running (1 running)" in out
    assert sorted(left(fork.source.database, "busy")) == before
    job.update_one({**query, "state": "RUNNING"}, {"$set": {"state": "READY"}})
    assert run_main("delete", folder / "busy.yaml", "--yes")[0] == 0
    assert left(fork.source.database, "busy") == []
