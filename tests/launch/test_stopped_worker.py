"""A worker is stopped for longer than its heartbeat and wakes up when its job was done again:
nothing changes then.
"""

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from jobflow import Flow
from launchpads import new_launchpad
from stage_jobs import AllWritesMaker

from entropy_flows import CampaignStore, load_campaign
from entropy_flows.jobs.common import with_stable_uuid
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.repair import repair
from entropy_flows.launch.task import add_once, to_workflow
from entropy_flows.processes import child as process

ROOT = Path(__file__).parents[2]
WRITES = [
    "iterations",
    *("iterations", "iterations"),  # which exclusions count is decided once
    *("fingerprints", "structures", "covariances", "covariances"),
    *("labels", "labels", "labels", "labels"),
    "models",
    "failures",
    "campaigns",
    "iterations",
    "outputs",
]
"""Collections in the order in which the job writes them, by commands with fences."""
FEW = [6, 16]
"""One write under the ledger's lease, and the last one."""


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    campaign = load_campaign(ROOT / "examples" / "silicon_demo.yaml").model_copy(
        update={"name": "ours"}
    )
    CampaignStore.open("ours").create(campaign)
    pad = new_launchpad()
    return pad


@contextmanager
def worker(tmp_path):
    """A worker process, as `entropy-flows run` starts it."""
    command = [
        sys.executable,
        "-m",
        "entropy_flows.launch.worker",
        "w",
        "ours",
        str(tmp_path / "launches"),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "ENTROPY_FLOWS_HEARTBEAT": "0.2",
    }
    with (
        (tmp_path / "worker.log").open("ab") as log,
        process(command, env=variables, stdout=log, stderr=log) as running,
    ):
        yield running


def state_of(running):
    """The kernel's letter for a process: T is stopped."""
    return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def content(database):
    """All that counts: everything but the launches, in which the woken worker may leave its last
    ping.
    """
    names = [name for name in database.list_collection_names() if name != "launches"]
    return {name: sorted(database[name].find(), key=repr) for name in names}


@pytest.mark.parametrize(
    "write",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(WRITES) + 1)],
)
def test_a_worker_that_wakes_up_changes_nothing(pad, database, tmp_path, write):
    flow = Flow(
        [with_stable_uuid(AllWritesMaker().make("ours", 1, str(tmp_path / "w"), write), "ours", 1)]
    )
    flow.update_metadata({"campaign": "ours"}, dynamic=True)
    assert add_once(pad, to_workflow(flow))
    with worker(tmp_path) as stopped:
        wait_for(lambda: state_of(stopped) == "T")
        time.sleep(0.5)
        assert repair(pad, "ours", LivenessCriteria(expiry=0.4)).counts == {"lost": 1}
        assert (tmp_path / "w.sent").read_text().split() == WRITES[:write]
        rapidfire(pad, FWorker("here"), nlaunches=0, strm_lvl="CRITICAL")
        assert pad.fireworks.find_one({})["state"] == "COMPLETED"
        before = content(database)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait(60) == 1
    assert content(database) == before
    output = before["outputs"][0]["output"]
    assert output["runs"] == 2
    assert before["models"][0]["runs"] == (2 if write <= WRITES.index("models") + 1 else 1)
    assert before["failures"] == []
    files = [tmp_path / "worker.log", *(tmp_path / "launches").rglob("FW_job.error")]
    assert "this one ends" in "".join(file.read_text() for file in files)
