"""What people and programs are told of a campaign that runs, or that nobody runs."""

import errno
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import run
from fireworks import FWorker, Workflow
from launchpads import ended_process, job, new_launchpad
from rich.console import Console

from entropy_flows import progress
from entropy_flows.cli import follow
from entropy_flows.cli.status import StatusView, views
from entropy_flows.cli.status_lines import NOT_BEGUN
from entropy_flows.launch.local import worker_name
from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.repair_report import Finding, RepairReport
from entropy_flows.launch.session import Session
from entropy_flows.processes import process_name
from entropy_flows.schemas import load_campaign
from entropy_flows.schemas.status import CampaignStatus
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams
from entropy_flows.train.folder import finished_epochs
from entropy_flows.train.steps import reporter

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
NAME = "silicon-demo"
PROGRESS = {"title": "explore/0", "iteration": 1, "done": 50, "total": 220, "unit": "steps"}


@pytest.fixture
def store(database):
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    store.create(campaign)
    store.set_state("running")
    return store


@pytest.fixture
def pad(store, tmp_path, monkeypatch):
    """A launchpad with an exploration and the selection after it."""
    monkeypatch.chdir(tmp_path)
    pad = new_launchpad()
    explore = job("explore", campaign=NAME)
    select = job("select", [explore], campaign=NAME)
    pad.add_wf(Workflow([explore, select]))
    return pad


def take(pad, process):
    """A local worker of a process takes the exploration, and says how far it is."""
    worker = FWorker(worker_name(NAME, process, 0), query={"spec.campaign": NAME})
    _, launch_id = pad.checkout_fw(worker, "launcher")
    progress = {**PROGRESS, "note": "6 runs", "rate": 17.0}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": {"progress": progress}})


@pytest.fixture
def status(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        code, out, err = run(monkeypatch, capsys, "status", DEMO, *arguments)
        assert code == 0, err
        return out

    return call


def test_a_program_reads_all_of_it(store, pad, status):
    take(pad, process_name())
    store.record(1, label={"requested": 80, "labelled": 34})
    forgotten = {"before": {"n": 0}, "after": {"n": 8, "kinds": {"plain": {"n": 8}}}}
    condition = {"phase": "diamond", "temperature": 300.0, "k": 2.0, "pressure": 0.0}
    store.record(1, runs=[{**condition, "reason": None, "snapshots": 30}])
    store.record(1, train={"epoch": 3, "replayed": 24, "replay_weight": 0.5})
    store.record(1, evaluate={"forgotten": forgotten})
    told = CampaignStatus.model_validate_json(status("--json"))
    (running,) = told.running
    assert (told.version, told.campaign, told.state, told.nobody) == (2, NAME, "running", None)
    assert told.jobs == {"RUNNING": 1, "WAITING": 1}
    assert (running.title, running.done, running.total, running.note) == (
        "explore/0",
        50,
        220,
        "6 runs",
    )
    assert running.seconds_left == pytest.approx(10.0)
    assert told.time_left.seconds == pytest.approx(10.0)
    assert "select" in told.time_left.without
    (count,) = told.conditions
    assert (count.phase, count.k, count.runs, count.explored, count.accepted) == (
        "diamond",
        2.0,
        1,
        30,
        0,
    )
    (iteration,) = told.iterations
    assert iteration.label == {"requested": 80, "labelled": 34}
    assert iteration.train == {"epoch": 3, "replayed": 24, "replay_weight": 0.5}
    assert iteration.forgotten == forgotten
    assert (told.model, told.excluded, told.changes, told.retrained) == (None, [], [], [])


def test_a_watch_waits_where_the_database_does_not_answer(monkeypatch, capsys):
    looks = iter([SimpleNamespace(is_over=False), OSError(errno.ENETDOWN, "down"), "over"])

    def read(file, folder):
        look = next(looks)
        if isinstance(look, OSError):
            raise look
        return SimpleNamespace(is_over=True) if look == "over" else look

    monkeypatch.setattr(StatusView, "read", read)
    assert [view.is_over for view in views(DEMO, None, 0.01)] == [False, True]
    assert capsys.readouterr().err == "cannot look now (OSError); waiting\n"
    looks = iter([OSError(errno.ENETDOWN, "down")])
    with pytest.raises(OSError, match="down"):
        next(views(DEMO, None, 0.01))


def test_people_read_a_row_for_each_job(pad, status):
    take(pad, process_name())
    text = status()
    row = next(line for line in text.splitlines() if "explore/0" in line)
    assert [cell.strip() for cell in row.split("│")[1:-2]] == [
        "explore/0",
        "50 of 220 steps, 6 runs",
        "17/s",
        "10 s",
        "local 0",
    ]
    assert "about 10 s left of the iteration, without select" in text
    assert NOT_BEGUN in text
    assert "candidates" not in text


def test_a_campaign_that_nobody_works_on(pad, status):
    assert "nobody is working on this: 1 job waits for a worker" in status()
    take(pad, ended_process())
    text = status("--watch")  # ends, since nothing changes by itself
    assert "lost" in text
    assert "nobody is working on this: explore/0 stopped" in text
    assert f"Go on with: entropy-flows run {DEMO}" in text


@pytest.fixture
def follower(store, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    campaign = load_campaign(DEMO)
    session = Session(campaign, DEMO, tmp_path, store, embedded=False)
    crew = SimpleNamespace(mend=RepairReport, processes={"a": None})
    fence = SimpleNamespace(check=lambda _: None)
    console = Console(file=io.StringIO(), width=100)
    return follow.Follower(session, workflow_manager(), crew, console, fence)


def test_ctrl_c_says_at_once_what_is_saved(pad, follower, monkeypatch):
    take(pad, process_name())

    reports = iter([RepairReport()])

    def mend():
        for report in reports:
            return report
        raise KeyboardInterrupt

    monkeypatch.setattr(follower.crew, "mend", mend)
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        follower.follow()
    assert ended.value.code == 130
    assert time.monotonic() - started < 10  # a look at the database beside, on a busy machine
    text = follower.console.file.getvalue()
    assert "saved: iteration 1" in text
    assert "explore/0 stops at 50 of 220 steps, 6 runs, and goes on from there" in text
    assert f"go on with: entropy-flows run {DEMO}" in text


def test_a_run_is_silent_about_what_slow_workers_do_late(pad, follower, store, monkeypatch):
    findings = [
        Finding("ended", 1, "label", "it has ended", "told"),
        Finding("lost", 2, "label", "RUNNING, but its worker is dead", "run again"),
    ]
    reports = [RepairReport(tuple(findings)), RepairReport(tuple(findings[:1]))]

    def mend():
        if len(reports) == 1:
            store.set_state("done", "enough")
        return reports.pop()

    monkeypatch.setattr(follower.crew, "mend", mend)
    pad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
    assert follower.follow() == ("done", "enough")
    lines = follower.console.file.getvalue().splitlines()
    assert len([line for line in lines if line.startswith("mended")]) == 1


def test_a_training_that_goes_on_is_shown_from_its_epoch(tmp_path):
    assert finished_epochs(tmp_path) == 0
    rows = [{"epoch": epoch + 1.0, "val_loss": 0.1} for epoch in range(12)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.json").write_text(json.dumps(rows))
    assert finished_epochs(tmp_path) == 12
    heard = []
    listener = SimpleNamespace(begin=None, update=heard.append)
    with progress.heard_by(listener):
        reporter(tmp_path, TrainParams(max_epochs=40), None)
    assert [(told.done, told.total, told.unit) for told in heard] == [(12, 40, "epochs")]


def test_a_shell_completes_commands_without_importing_them(tmp_path):
    code = "import sys; sys.argv = ['entropy-flows']; from entropy_flows.cli import main; main()"
    words = {"COMP_WORDS": "entropy-flows sta", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        env={**os.environ, **words, "_ENTROPY_FLOWS_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["status"]
    assert "entropy_flows.cli.status" not in done.stderr
