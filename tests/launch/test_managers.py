"""What campaigns share under every manager, and what jobflow-remote's needs of them."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from jobflow import job

from entropy_flows.launch.job_states import STATE_WORDS
from entropy_flows.launch.manager import (
    ManagerChoice,
    manager_choice,
    typed_choice,
)
from entropy_flows.launch.remote.job import has_ended
from entropy_flows.launch.remote.launch import RunningRemoteJob, begin
from entropy_flows.launch.remote.project import WorkerFacts, translate
from entropy_flows.launch.remote.project_file import ProjectFile
from entropy_flows.launch.remote.states import STATES, state_of
from entropy_flows.launch.remote.waiting import make_ready, waiting_for_nothing
from entropy_flows.store import CampaignStore, StoreError
from entropy_flows.store.fence import LaunchLostError, merge, running

FACTS = {
    "cpu": {"scheduler": "shell", "resources": {}, "keys": []},
    "gpu": {
        "scheduler": "slurm",
        "resources": {"partition": "gpu", "time": "24:00:00"},
        "keys": ["partition", "time", "mem"],
    },
}


@job
def nothing():
    return None


@pytest.mark.parametrize(
    ("config", "translated"),
    [
        ({"category": "cpu"}, {"worker": "cpu"}),
        ({"category": "gpu"}, {"worker": "gpu"}),
        # processes of this machine have no queue
        ({"category": "cpu", "queue": {"walltime": "1:00:00"}}, {"worker": "cpu"}),
        (
            {"category": "gpu", "queue": {"walltime": "48:00:00", "mem": "8G"}},
            {
                "worker": "gpu",
                "resources": {"partition": "gpu", "time": "48:00:00", "mem": "8G"},
            },
        ),
        ({"worker": "mine"}, {"worker": "mine"}),
    ],
)
def test_a_category_is_a_worker_and_the_queue_its_resources(config, translated):
    made = nothing()
    made.config.manager_config = config
    translate(made, FACTS)
    assert made.config.manager_config == translated


def test_a_worker_or_a_key_that_there_is_not_is_named():
    made = nothing()
    made.config.manager_config = {"category": "big"}
    with pytest.raises(ValueError, match=r"needs a worker 'big'; there are: cpu, gpu"):
        translate(made, FACTS)
    with pytest.raises(ValueError, match=r"train asks for 'image', which jobflow-remote's slurm"):
        WorkerFacts(**FACTS["gpu"]).with_changes({"image": "x"}, "train")


def test_a_projects_file_holds_no_server(monkeypatch, tmp_path):
    monkeypatch.setenv("ENTROPY_FLOWS_URI", "mongodb://me:secret@host/")
    path = ProjectFile("mine", tmp_path, "slurm", resources={"gpu": {"gres": "gpu:1"}}).write(
        tmp_path
    )
    text = path.read_text()
    assert "mongodb" not in text
    project = yaml.safe_load(text)
    assert set(project["workers"]) == {"cpu", "gpu", "dft"}
    assert project["workers"]["gpu"]["resources"] == {"gres": "gpu:1"}
    assert project["workers"]["cpu"]["execution_cmd"].endswith("launch.remote.job {}")
    with pytest.raises(ValueError, match="--overwrite replaces it"):
        ProjectFile("mine", tmp_path).write(tmp_path)


def test_a_campaign_stays_with_its_manager(database):
    store = CampaignStore(database, "one")
    asked = ManagerChoice("jobflow-remote", "mine")
    database["campaigns"].insert_one({"name": "one"})
    assert manager_choice(store) == ManagerChoice("fireworks")
    assert manager_choice(store, asked) == asked
    store.set_manager({"name": "jobflow-remote", "project": "mine"})
    assert manager_choice(store) == asked
    with pytest.raises(StoreError, match=r"at jobflow-remote \(project mine\), not at fireworks"):
        manager_choice(store, ManagerChoice("fireworks"))


def test_options_that_name_no_manager_are_refused():
    assert typed_choice(None, None) is None
    with pytest.raises(ValueError, match="--manager slurm: expected one of fireworks, jobflow"):
        typed_choice("slurm", None)
    with pytest.raises(ValueError, match="--project mine: needs --manager jobflow-remote"):
        typed_choice(None, "mine")


def test_every_state_of_jobflow_remote_has_a_word():
    assert set(STATES.values()) <= set(STATE_WORDS)
    begun = {"state": "SUBMITTED", "stored_data": {"launch": 1}, "job": {"metadata": {}}}
    assert state_of(begun) == "RUNNING"
    approved = {"state": "PAUSED", "job": {"metadata": {"awaits_approval": True}}}
    assert state_of(approved) == "WAITING"


def remote_job(database, name, state="READY", parents=(), **fields):
    old = datetime.now(UTC) - timedelta(hours=1)
    document = {
        "uuid": name,
        "index": 1,
        "db_id": name,
        "state": state,
        "parents": list(parents),
        "stored_data": None,
        "lock_id": None,
        "worker": "cpu",
        "updated_on": old,
        "job": {"name": name, "metadata": {"campaign": "one"}},
    }
    database["jobs"].insert_one({**document, **fields})


def test_a_run_that_has_lost_its_job_writes_nothing(database):
    remote_job(database, "a", "SUBMITTED")
    first = begin(database, "a", 1)
    database["rows"].create_index([("name", 1)], unique=True)
    with running(first):
        merge(database["rows"], [{"name": "by the first"}], on=["name"])
    second = begin(database, "a", 1)
    assert (first.number, second.number) == (1, 2)
    with running(first), pytest.raises(LaunchLostError):
        merge(database["rows"], [{"name": "by the older one"}], on=["name"])
    RunningRemoteJob(database, first, "a").write_progress({"done": 1})
    assert "progress" not in database["jobs"].find_one({"uuid": "a"})["stored_data"]
    # what jobflow-remote does whenever it runs a job again
    database["jobs"].update_one({"uuid": "a"}, {"$set": {"stored_data": None, "state": "READY"}})
    with running(second), pytest.raises(LaunchLostError):
        merge(database["rows"], [{"name": "by the other"}], on=["name"])
    assert [row["name"] for row in database["rows"].find({})] == ["by the first"]
    assert begin(database, "a", 1) is None


def test_jobs_that_wait_for_nothing_go_on_and_no_others(database):
    remote_job(database, "a", "COMPLETED")
    remote_job(database, "b", "FAILED")
    remote_job(database, "after a", "WAITING", ["a"])
    remote_job(database, "after both", "WAITING", ["a", "b"])
    jobs = waiting_for_nothing(database, "one")
    assert [row["uuid"] for row in jobs] == ["after a"]
    database["jobs"].update_one({"uuid": "after a"}, {"$set": {"state": "RUNNING"}})
    make_ready(database, jobs)  # the runner was faster
    assert database["jobs"].find_one({"uuid": "after a"})["state"] == "RUNNING"


def test_a_job_has_ended_when_it_says_so(tmp_path):
    assert not has_ended(tmp_path)
    output = tmp_path / "jfremote_out.json"
    output.write_text('{"start_time": "now"}')
    assert not has_ended(tmp_path)
    output.write_text('{"response": null, "error": "why"}')
    assert has_ended(tmp_path)
