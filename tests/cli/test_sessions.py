"""Commands that read make no database, and say where they looked; `status` shows the jobs."""

import os
from pathlib import Path
from threading import Timer

import pytest
from commands import run
from launchpads import take

from entropy_flows.cli import follow
from entropy_flows.faults import MachineError
from entropy_flows.launch import session
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.local import LocalWorkers
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.session import open_session
from entropy_flows.launch.submit import submit
from entropy_flows.processes import locked
from entropy_flows.schemas import load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.store.lease import lease

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "silicon_demo.yaml"
TUNGSTEN = ROOT / "examples" / "agnostic" / "tungsten.yaml"
READING = {
    "status": [DEMO],
    "repair": [DEMO],
    "verify": [DEMO],
    "report": [DEMO],
    "physics": [DEMO],
    "export": [DEMO, "cells.extxyz"],
    "check": [DEMO, "--database"],
    "curve": [DEMO, "--show"],
    "agnostic": [TUNGSTEN, "--show"],
}


@pytest.fixture
def unconfigured(monkeypatch, tmp_path):
    """A shell without ENTROPY_FLOWS_URI, in an empty folder."""
    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def without_preflight(monkeypatch):
    """Leave out the checks before a run, which load the label engine for ten seconds."""
    monkeypatch.setattr("entropy_flows.cli.preflight.preflight", lambda *_, **__: None)


@pytest.mark.parametrize("name", READING)
def test_a_command_that_reads_makes_no_database(name, unconfigured, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, name, *READING[name], "-C", unconfigured / "folder")
    assert code == 1
    assert (
        f"is not in the embedded database of {unconfigured}/folder; ENTROPY_FLOWS_URI is not set"
        in err
    )
    assert list(unconfigured.iterdir()) == []


def test_nor_does_one_that_takes_cells(unconfigured, monkeypatch, capsys):
    file = unconfigured / "mine.yaml"
    file.write_text(DEMO.read_text())
    code, _, err = run(
        monkeypatch, capsys, "export", file, unconfigured / "out", "--format", "mace"
    )
    assert code == 1
    assert "is not in the embedded database of" in err
    assert list(unconfigured.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "file"), [("curve", DEMO), ("agnostic", TUNGSTEN), ("physics", DEMO)]
)
def test_nothing_is_submitted_to_a_database_that_ends_with_the_command(
    name, file, unconfigured, monkeypatch, capsys
):
    code, _, err = run(monkeypatch, capsys, name, file, "--queue", "-C", unconfigured / "folder")
    assert code == 1
    assert "--queue needs a database that workers can reach: set ENTROPY_FLOWS_URI" in err
    assert list(unconfigured.iterdir()) == []


def test_an_embedded_database_without_the_campaign_is_named(unconfigured, monkeypatch, capsys):
    pytest.importorskip("secantus")
    with open_session(DEMO, unconfigured / "folder"):
        pass
    code, _, err = run(monkeypatch, capsys, "status", DEMO, "-C", unconfigured / "folder")
    assert code == 1
    folder = f"the embedded database of {unconfigured}/folder"
    assert f"'silicon-demo' is not in {folder}; ENTROPY_FLOWS_URI is not" in err


def test_a_database_that_is_being_opened_is_waited_for(server, unconfigured, capsys):
    home = unconfigured / "folder"
    # the first thing that a `run` does, and the last one of its start
    with locked(home / "database.lock", "it", 0.0):
        Timer(0.7, (home / "database.uri").write_text, [server]).start()
        with open_session(DEMO, home) as opened:
            assert opened.store.database.client.address == ("127.0.0.1", int(server[-6:-1]))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"waiting for another command that has {home}/database.lock locked"]


def test_what_must_last_does_not_join_a_database_of_another_command(
    server, unconfigured, monkeypatch
):
    home = unconfigured / "folder"
    monkeypatch.setattr(session, "LOCK_SECONDS", 0.1)
    with locked(home / "database.lock", "it", 0.0):
        (home / "database.uri").write_text(server)
        with (
            pytest.raises(MachineError, match=rf"waited 0 s\): end it, or set \w+={server}"),
            open_session(DEMO, home, is_lasting=True),
        ):
            pass
        (home / "database.uri").write_text(f"{server}\nlasting\n")
        with open_session(DEMO, home, is_lasting=True) as opened:
            assert opened.embedded


def test_status_shows_the_jobs_of_a_campaign_that_is_not_done(
    database, monkeypatch, capsys, tmp_path
):
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    submit(store, campaign, DEMO.parent)
    pad = launchpad()
    ready = pad.fireworks.count_documents({"state": "READY"})
    waiting = pad.fireworks.count_documents({"state": "WAITING"})

    def status():
        monkeypatch.setenv("COLUMNS", "200")
        code, out, err = run(monkeypatch, capsys, "status", DEMO, "-C", tmp_path)
        assert code == 0, err
        return " ".join(out.split())

    assert f"jobs: {ready} ready, {waiting} waiting" in status()
    assert "repair" not in status()
    fw_id = pad.fireworks.find_one({"name": "explore", "state": "READY"})["fw_id"]
    pad.mark_fizzled(take(pad, fw_id, "a worker"))
    text = status()
    assert f"jobs: {ready - 1} ready, {waiting} waiting, 1 failed (entropy-flows repair)" in text
    assert f"see `entropy-flows repair {DEMO} -C {tmp_path} --dry-run`" in text
    pad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
    assert "completed" in status()
    store.set_state("done")
    assert "jobs:" not in status()


def test_status_and_run_tell_what_somebody_has_put_aside(database, monkeypatch, capsys, tmp_path):
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    submit(store, campaign, DEMO.parent)
    pad = launchpad()
    ready = [job["fw_id"] for job in pad.fireworks.find({"state": "READY"})]
    monkeypatch.setenv("COLUMNS", "200")

    def status():
        code, out, err = run(monkeypatch, capsys, "status", DEMO, "-C", tmp_path)
        assert code == 0, err
        return " ".join(out.split())

    for fw_id in ready:
        pad.pause_fw(fw_id)
    text = status()
    assert f"silicon-demo stands still: {len(ready)} paused (entropy-flows resume)" in text
    assert f"to go on: entropy-flows resume {DEMO} -C {tmp_path}" in text
    pad.resume_fw(ready[0])
    assert "silicon-demo is running" in status()
    assert (
        f"jobs: 1 ready, {pad.fireworks.count_documents({'state': 'WAITING'})} waiting, "
        in status()
    )
    for fw_id in ready:
        pad.defuse_fw(fw_id)
    assert f"stands still: {len(ready)} cancelled (entropy-flows resume)" in status()
    monkeypatch.setattr(LocalWorkers, "_start", lambda *_: Idle())
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    without_preflight(monkeypatch)
    code, _, err = run(monkeypatch, capsys, "run", DEMO, "-C", tmp_path)
    assert code == 1
    waiting = pad.fireworks.count_documents({"state": "WAITING"})
    assert f"silicon-demo stands still: {waiting} waiting, " in err
    assert f"{len(ready)} cancelled (entropy-flows resume)" in err
    pad.reignite_fw(ready[0])
    assert "silicon-demo is running" in status()
    pad.archive_wf(ready[0])
    text = status()
    assert "stands still" in text
    assert "archived (for good: submit under a new name)" in text
    pad.fireworks.update_many({}, {"$set": {"state": "UNHEARD OF"}})
    assert "unheard of" in status()


class Idle:
    """A worker that takes no job."""

    stdin = None

    def poll(self):
        return None

    def terminate(self):
        pass

    def wait(self, *_):
        return 0


def test_a_job_that_gathers_is_no_paused_one(database):
    jobs = database["fireworks"]
    jobs.insert_one({"spec": {"campaign": "ours", "awaited_jobs": ["a"]}, "state": "PAUSED"})
    jobs.insert_one({"spec": {"campaign": "ours"}, "state": "PAUSED"})
    assert workflow_manager().job_counts("ours") == {"WAITING": 1, "PAUSED": 1}


def test_another_run_has_the_campaign(database, monkeypatch, capsys, tmp_path):
    name = load_campaign(DEMO).name
    without_preflight(monkeypatch)
    with lease(database, f"run/{name}", folder="/somewhere/else"):
        code, _, err = run(monkeypatch, capsys, "run", DEMO, "-C", tmp_path)
    assert code == 1
    assert f"campaign '{name}' is being run by process {os.getpid()} on " in err
    assert "(folder /somewhere/else) since " in err
    assert database["fireworks"].count_documents({}) == 0
    assert database["leases"].count_documents({}) == 0
