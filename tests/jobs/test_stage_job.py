"""A stage's job: its own failure is a row, and run again it returns its stored output."""

import pytest
from jobflow import run_locally
from stage_jobs import CountMaker

from entropy_flows import CampaignStore
from entropy_flows.store import connect, job_store, stored_output

pytestmark = pytest.mark.usefixtures("database")


def run(tmp_path, **maker):
    made = CountMaker(**maker).make("ours", 1, str(tmp_path / "count"))
    result = run_locally(made, store=job_store(), root_dir=tmp_path, create_folders=True)
    return made.uuid, result[made.uuid][1].output if made.uuid in result else "raised"


def test_run_again_it_returns_what_it_has_stored(tmp_path):
    uuid, first = run(tmp_path)
    assert first.runs == 1
    assert run(tmp_path) == (uuid, first)
    assert (tmp_path / "count").read_text() == "x"


def test_an_output_that_lost_its_arrays_is_made_anew(tmp_path):
    uuid, _ = run(tmp_path)
    assert stored_output(uuid)["trajectories"] == [[1.5, 1.0]]
    connect()["blobs.files"].delete_many({})
    assert stored_output(uuid) is None
    assert run(tmp_path)[1].trajectories == [[1.5, 2.0]]


def test_its_own_failure_is_a_row_until_it_does_well(tmp_path):
    store = CampaignStore.open("ours")
    uuid, output = run(tmp_path, failures=1)
    assert output is None
    (row,) = store.failures()
    assert (row["uuid"], row["stage"], row["iteration"], row["message"]) == (
        uuid,
        "count",
        1,
        "ValueError: no",
    )
    assert run(tmp_path, failures=1)[1].runs == 2
    assert store.failures() == []


def test_the_machines_failure_is_raised_and_leaves_nothing(tmp_path):
    uuid, output = run(tmp_path, failures=1, error="OSError")
    assert output == "raised"
    assert CampaignStore.open("ours").failures() == []
    assert stored_output(uuid) is None
