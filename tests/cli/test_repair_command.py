"""`entropy-flows repair`: what it shows, what it takes for dead, and what it leaves alone."""

from pathlib import Path

import pytest
from launchpads import ended_process, finish, take

from entropy_flows import load_campaign
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.local import worker_name
from entropy_flows.launch.session import open_session
from entropy_flows.launch.submit import submit
from entropy_flows.processes import process_name
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

CAMPAIGN = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"


@pytest.fixture
def command(tmp_path, monkeypatch, run_main):
    """Run the command; what it prints, in one line."""
    monkeypatch.chdir(tmp_path)

    def run(*options):
        return run_main("repair", CAMPAIGN, "-C", tmp_path / "folder", *options)

    return run


def started(store, process=None):
    """A submitted campaign, one of whose jobs a local worker has taken: of a process, or of one
    that has ended.
    """
    campaign = load_campaign(CAMPAIGN)
    submit(store, campaign, CAMPAIGN.parent)
    pad = launchpad()
    fw_id = pad.fireworks.find_one({"name": "explore", "state": "READY"})["fw_id"]
    return pad, fw_id, take(pad, fw_id, worker_name(campaign.name, process or ended_process(), 0))


def state(pad, fw_id):
    return pad.fireworks.find_one({"fw_id": fw_id})["state"]


def test_a_database_that_others_share(database, command, tmp_path):
    name = load_campaign(CAMPAIGN).name
    where = f"database '{database.name}' at {settings().uri.get_secret_value().rstrip('/')}"
    assert command() == (1, f"error: campaign '{name}' is not in {where}; submit it first")
    pad, fw_id, launch = started(CampaignStore.open(name), process_name())
    assert command() == (
        0,
        "nothing to mend",
    )  # its worker is somebody's, whatever folder that one uses
    dead = {"fworker.name": worker_name(name, ended_process(), 0)}
    pad.launches.update_one({"launch_id": launch}, {"$set": dead})
    code, printed = command("--dry-run")
    assert code == 0
    assert all(word in printed for word in ("explore", "its worker", "would be", "run again"))
    assert printed.endswith("would mend: lost jobs run again: 1")
    assert state(pad, fw_id) == "RUNNING"
    assert command()[1].endswith("lost jobs run again: 1")
    assert state(pad, fw_id) == "READY"
    assert command() == (0, "nothing to mend")


def test_silence_and_patience(database, command, tmp_path):
    name = load_campaign(CAMPAIGN).name
    pad, fw_id, _ = started(CampaignStore.open(name), process_name())
    assert command("--expiry", "3600")[1] == "nothing to mend"
    assert command("--expiry", "0", "--patience", "0")[1].endswith("lost jobs run again: 1")
    assert state(pad, fw_id) == "READY"


def test_retry(database, command):
    """A stage that failed by itself runs again when it is asked for, and not before."""
    store = CampaignStore.open(load_campaign(CAMPAIGN).name)
    pad, fw_id, launch_id = started(store)
    pad.rerun_fw(fw_id)
    pad.mark_fizzled(launch_id)
    finish(pad, fw_id, "cluster")
    uuid = pad.fireworks.find_one({"fw_id": fw_id})["spec"]["uuid"]
    store.add_failure(1, "explore", "explore/0", uuid, "ValueError: no")
    store.set_state("failed", "explore: ValueError: no")
    assert command() == (0, "nothing to mend")
    assert "ValueError: no" in command("--retry", "--dry-run")[1]
    assert state(pad, fw_id) == "COMPLETED"
    assert command("--retry")[1].endswith("failed stages run again: 1")
    assert state(pad, fw_id) == "READY"
    assert store.failures() == []
    assert store.document()["state"] == "running"


def test_a_database_of_its_own(command, tmp_path, monkeypatch):
    """Where no `run` goes on, nobody lives: nothing is waited for."""
    pytest.importorskip("secantus")
    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    settings.cache_clear()
    with open_session(CAMPAIGN, tmp_path / "folder") as opened:
        pad, *_ = started(opened.store)
        pad.workflows.update_one({}, {"$set": {"locked": True}})
    code, printed = command()
    assert code == 0
    assert printed.endswith("locks of dead workers removed: 1, lost jobs run again: 1")
