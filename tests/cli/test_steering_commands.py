"""The commands that steer a campaign: what they print, refuse and change."""

import pytest
import yaml
from commands import run
from small_campaign import CONFIG, job, small_campaign

from entropy_flows.store.holds import standing

KEY = "001/select/00001"


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("steering")
    with small_campaign(server, folder, "test_steering") as (store, pad):
        store.set_state("running")
        file = folder / "campaign.yaml"
        file.write_text(yaml.safe_dump(CONFIG))
        for uuid in ("first", "second"):
            pad.add_wf(job(uuid, uuid))
        yield file, store, pad


@pytest.fixture
def call(campaign, monkeypatch, capsys):
    file, _, _ = campaign
    monkeypatch.setenv("COLUMNS", "120")
    # its documents have not all that the table of a campaign's iterations shows
    monkeypatch.setattr("entropy_flows.cli.status.show_iterations", lambda *_: None)

    def run_command(name, *arguments):
        return run(monkeypatch, capsys, name, file, *arguments)

    return run_command


def test_pause_and_resume(campaign, call):
    file, store, pad = campaign
    code, out, err = call("pause")
    assert (code, err) == (0, "")
    assert "test is paused by " in out
    assert f"to go on: entropy-flows resume {file}" in out
    assert pad.fireworks.count_documents({"state": "PAUSED"}) == 2
    _, out, _ = call("status")
    assert out.startswith("test is paused by ")
    assert "jobs: 2 completed, 2 paused (entropy-flows resume)" in out
    code, _, err = call("run")
    assert code == 1
    code, out, _ = call("resume")
    assert "test was paused; 2 jobs were let go on" in out
    assert standing(store.document()) == ("running", None)
    _, out, _ = call("resume")
    assert "test was not held; 0 jobs were let go on" in out


def test_cancel_and_resume(campaign, call):
    _, store, pad = campaign
    code, out, _ = call("cancel", "--now")
    assert code == 0
    assert "test is cancelled by " in out
    assert pad.fireworks.count_documents({"state": "DEFUSED"}) == 2
    assert standing(store.document())[0] == "cancelled"
    _, out, _ = call("resume")
    assert "test was cancelled; 2 jobs were let go on" in out


def test_there_is_nothing_to_pause_of_a_campaign_that_is_done(campaign, call):
    _, store, pad = campaign
    jobs = {"name": {"$in": ["first", "second"]}}
    store.set_state("done", "all iterations are done")
    pad.fireworks.update_many(jobs, {"$set": {"state": "COMPLETED"}})
    code, _, err = call("pause")
    pad.fireworks.update_many(jobs, {"$set": {"state": "READY"}})
    store.set_state("running")
    assert code == 1
    assert err == "error: campaign 'test' is done: there is nothing to pause\n"


def test_exclude_and_include(campaign, call):
    code, _, err = call("exclude", "001/selct/00001", "--why", "two phases")
    assert code == 1
    assert "'test' has no entry '001/selct/00001' (near: 001/select/0000" in err
    code, out, _ = call("exclude", KEY, "--why", "two phases")
    assert code == 0
    assert "test: 1 cells excluded now, 1 in all" in out
    assert "the training of iteration 1 and the statistics of iteration 3" in out
    _, out, _ = call("exclude", KEY, "--why", "again")
    assert f"{KEY} was excluded before, by " in out
    assert ": two phases" in out
    _, out, _ = call("status")
    assert "cells excluded from the data set" in out
    assert KEY in out
    _, out, _ = call("include", KEY)
    assert "test: 1 cells included now, 0 are excluded" in out
    _, out, _ = call("status")
    assert KEY not in out
