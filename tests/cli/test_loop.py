"""The whole loop on real parts: server, FireWorks workers, SevenNet-0's labels, NequIP.

Small in size only. One undisturbed campaign is the reference; a second one, identical, is killed
twice on its way.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read
from commands import run
from pymongo import MongoClient
from pymongo.database import Database

from entropy_flows.launch.session import open_session
from entropy_flows.processes import child
from entropy_flows.settings import settings
from entropy_flows.store.embedded import embedded_server

ROOT = Path(__file__).parents[2]
REPLAY = {"weight": 0.5, "crystals": 4, "close_pairs": 0, "steps": 8, "other_phases": 0}
"""Four crystals of each phase, and four snapshots of each of its two runs."""
PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]


def campaign_file(folder: Path, name: str = "mini", **changes) -> Path:
    """A two-iteration campaign of seconds."""
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    config |= {
        "name": name,
        "explore": {
            "temperatures": [600],
            "entropy_weights": [3],
            "pressures": [0, 10],
            "steps": 20,
            "warm_up": 5,
            "ramp": 5,
            "batch_size": 2,
        },
        "select": {"theta_min": 0.05, "max_labels": 8},
        "refine": {"max_candidates": 1, "max_steps": 2},
        "anchors": {"fraction": 0.25, "pressures": [0]},
        "label": {"engine": "forcefield", "model": "SevenNet", "batch_size": 8},
        "train": {"preset": "small", "max_epochs": 1, "replay": REPLAY},
        "stop": {"max_iterations": 2, "label_budget": 16},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def environment() -> dict[str, str]:
    """Without a configured database, so that the campaign brings its own."""
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    return {
        **hidden,
        "OMP_NUM_THREADS": "1",
        "ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent",
        "COLUMNS": "200",
    }


def command(*arguments: object, timeout: float = 280) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, capsys):
    """Commands on the module's campaign in the test's own process: exit code, output and error."""
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def call(*arguments):
        settings.cache_clear()
        return run(monkeypatch, capsys, *arguments)

    yield call
    settings.cache_clear()


@contextmanager
def database(path: Path) -> Iterator[Database]:
    """The campaign's database, of the server that runs or of one for as long as it is asked."""
    with open_session(path, None) as opened:
        yield opened.store.database


def rows(db, campaign):
    """Position, key and coordinates of every entry, and its label's energy, in order."""
    found = []
    for entry in db["structures"].find({"campaign": campaign}).sort("position", 1):
        label = db["labels"].find_one({"structure_id": entry["_id"]})
        xyz = [site["xyz"] for site in entry["structure"]["sites"]]
        found.append(f"{entry['position']} {entry['key']} {label and label['energy']} {xyz}")
    return found


def ledger(path: Path) -> list[str]:
    """The rows of a campaign that has its database to itself."""
    with database(path) as db:
        return rows(db, path.stem)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Iterator[Path]:
    path = campaign_file(tmp_path_factory.mktemp("undisturbed"))
    # one worker: the ledger is that of two, which a slow test has, and each imports for 15 seconds
    done = command("run", path, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 2 iterations are done" in done.stdout or "is spent" in done.stdout
    # one server for all the questions that follow, found by the commands as they find that of a
    # running campaign
    with child(
        [*PROGRAM, "database", str(path)], env=environment(), stdout=subprocess.DEVNULL
    ) as server:
        _wait_for((path.parent / "mini" / "database.uri").is_file, 60)
        yield path
        server.send_signal(signal.SIGINT)
        server.wait(30)


def test_two_iterations_leave_models_labels_and_errors(undisturbed):
    count = len(ledger(undisturbed))
    with database(undisturbed) as db:
        assert db.campaigns.find_one()["state"] == "done"
        assert db.models.count_documents({}) == 3  # base model and one per iteration
        assert db.labels.count_documents({"converged": True}) == count
        iterations = list(db.iterations.find().sort("iteration", 1))
    assert len(iterations) == 2
    for document in iterations:
        select, label = document["select"], document["label"]
        judged = select["accepted"] + select["near_misses"] + select["rejected"] + select["spent"]
        assert select["candidates"] == judged == 4 * 2
        assert document["evaluate"]["after"]["n"] >= 1
        assert label["labelled"] > 0
        assert label["failed"] == 0
        assert "failure" not in document
        assert document["train"]["replayed"] == 3 * (2 + 4)


def test_what_is_forgotten_is_measured_on_cells_of_the_first_model(undisturbed):
    with database(undisturbed) as db:
        (replay,) = db.replays.find()
        first, second = (row["evaluate"]["forgotten"] for row in db.iterations.find())
    assert sum(cell["held_out"] for cell in replay["cells"]) == 2 + 4
    assert first["before"]["forces_mae"] == pytest.approx(0.0, abs=1e-4)
    assert first["after"]["n"] == 2 + 4
    assert first["after"]["forces_mae"] > 1e-4
    assert second["before"]["forces_mae"] in (
        pytest.approx(first["after"]["forces_mae"], rel=1e-6),
        pytest.approx(0.0, abs=1e-4),  # the campaign went on from the base model
    )


def test_ledger_positions_are_gapless_and_test_cells_never_train(undisturbed):
    with database(undisturbed) as db:
        positions = [entry["position"] for entry in db.structures.find().sort("position", 1)]
        splits = sorted(db.labels.distinct("split"))
    assert positions == list(range(len(positions)))
    assert splits == ["test", "train", "val"]


def test_running_again_repeats_nothing(undisturbed, here):
    before = ledger(undisturbed)
    code, out, _ = here("run", undisturbed)
    assert code == 0
    assert "nothing is repeated" in out
    assert ledger(undisturbed) == before


def test_export_reads_back_with_energy_forces_and_stress(undisturbed, here, tmp_path):
    target = tmp_path / "out.extxyz"
    assert here("export", undisturbed, target)[0] == 0
    frames = read(target, ":")
    assert len(frames) == len(ledger(undisturbed))
    for atoms in frames:
        assert np.isfinite(atoms.get_potential_energy())
        assert atoms.get_forces().shape == (len(atoms), 3)
        assert atoms.get_stress().shape == (6,)
    code, _, err = here("export", undisturbed, target)
    assert code == 1
    assert "--overwrite" in err


def test_status_and_report_show_the_iterations(undisturbed, here):
    _, out, _ = here("status", undisturbed)
    assert "SevenNet-0 (teacher, not DFT)" in out
    assert "energy MAE, meV/atom" in out
    assert "18 × 0.5" in out
    assert "forgotten force, meV/Å" in out
    _, out, _ = here("report", undisturbed)
    page = Path(re.search(r"report: (.*)", out).group(1))
    text = page.read_text()
    assert "not DFT" in text
    assert "What was forgotten" in text
    figures = set(re.findall('<figure id="(.*?)">', text))
    assert figures == {"errors", "parity", "gains", "training"}
    for name in figures:
        assert (page.parent / f"{name}.png").stat().st_size > 5_000


def test_the_report_knows_labels_that_are_in_no_part(undisturbed, here):
    with database(undisturbed) as db:
        label = db.labels.find_one({"split": "train"})
        db.labels.update_one(
            {"_id": label["_id"]}, {"$set": {"flagged": True}, "$unset": {"split": ""}}
        )
    try:
        code, out, err = here("report", undisturbed)
        assert code == 0, err
        assert "report: " in out
    finally:
        with database(undisturbed) as db:
            db.labels.replace_one({"_id": label["_id"]}, label)


def test_the_queries_of_the_page_find_what_the_campaign_left(undisturbed):
    done = command("database", undisturbed, "--", sys.executable, ROOT / "examples" / "queries.py")
    assert done.returncode == 0, done.stderr
    assert re.search(r"labels above 10 GPa: [1-9]", done.stdout)
    assert "iteration 2:" in done.stdout
    assert "accepted from" in done.stdout
    page = (ROOT / "docs" / "howto" / "python.md").read_text()
    block = next(
        b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "db.labels.find" in b
    )
    with database(undisturbed) as db:
        for query in _statements(block):
            assert list(eval(query, {"db": db})), query


@pytest.mark.slow
def test_kill_worker_then_command_line_and_the_ledger_is_the_same(undisturbed, tmp_path):
    path = campaign_file(tmp_path)
    first = subprocess.Popen(
        [*PROGRAM, "run", str(path)], env=environment(), stdout=subprocess.DEVNULL
    )
    worker = _wait_for(lambda: _workers(tmp_path, r"mini-local-\S+-0 "), 60)
    time.sleep(12)  # in the middle of the first explorations
    os.kill(worker[0], signal.SIGKILL)
    _wait_for(
        lambda: [pid for pid in _workers(tmp_path, r"mini-local-\S+-0 ") if pid != worker[0]], 60
    )
    time.sleep(15)
    first.send_signal(signal.SIGKILL)
    first.wait()
    _wait_for(lambda: not _workers(tmp_path, "mini-local"), 30)  # workers die with the command line
    done = command("run", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ledger(path) == ledger(undisturbed)


@pytest.mark.slow
def test_same_flow_in_one_process_gives_the_same_ledger(undisturbed, tmp_path):
    path = campaign_file(tmp_path, stop={"max_iterations": 1, "label_budget": 16})
    done = command("run", path, "--local")
    assert done.returncode == 0, done.stdout + done.stderr
    first = ledger(path)
    assert len(first) >= 3
    assert first == ledger(undisturbed)[: len(first)]


@pytest.mark.slow
def test_two_campaigns_at_once_in_one_database_do_not_see_each_other(undisturbed, tmp_path):
    """Alike to the seed, they would take each other's jobs, cells or labels."""
    with embedded_server(tmp_path / "database") as uri:
        shared = {
            **environment(),
            "ENTROPY_FLOWS_URI": uri,
            "ENTROPY_FLOWS_CACHE": str(tmp_path / "cache"),
        }
        stop = {"max_iterations": 1, "label_budget": 16}
        files = [campaign_file(tmp_path, name, stop=stop) for name in ("mini", "mini-2")]
        runs = [
            subprocess.Popen([*PROGRAM, "run", str(path), "--workers", "1"], env=shared)
            for path in files
        ]
        assert [run.wait(280) for run in runs] == [0, 0]
        client = MongoClient(uri)
        db = client["entropy_flows"]
        ids = [set(db.structures.distinct("_id", {"campaign": path.stem})) for path in files]
        found = [rows(db, path.stem) for path in files]
        campaigns = {job["fw_id"]: job["spec"]["campaign"] for job in db.fireworks.find()}
        launched = [
            (launch["fworker"]["name"], campaigns[launch["fw_id"]]) for launch in db.launches.find()
        ]
        client.close()
        for path in files:
            done = subprocess.run(
                [*PROGRAM, "verify", str(path)], env=shared, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stdout
    assert not ids[0] & ids[1]
    assert found[0] == found[1] == ledger(undisturbed)[: len(found[0])]
    assert {worker.partition("-local-")[0] == campaign for worker, campaign in launched} == {True}


@pytest.mark.slow
def test_two_runs_of_two_folders_on_one_database(undisturbed, tmp_path):
    """The second says who has the campaign, follows a killed first one, and repeats nothing."""
    with embedded_server(tmp_path / "database") as uri:
        shared = {
            **environment(),
            "ENTROPY_FLOWS_URI": uri,
            "ENTROPY_FLOWS_CACHE": str(tmp_path / "cache"),
        }
        path = campaign_file(tmp_path, stop={"max_iterations": 1, "label_budget": 16})
        first, second = (
            [*PROGRAM, "run", str(path), "-C", str(tmp_path / name)] for name in ("first", "second")
        )
        client = MongoClient(uri)
        db = client["entropy_flows"]
        with child(first, env=shared, stdout=subprocess.DEVNULL) as running:
            _wait_for(lambda: db.launches.find_one({"state": "RUNNING"}), 60)
            refused = subprocess.run(
                second, env=shared, capture_output=True, text=True, check=False
            )
            assert refused.returncode == 1
            assert f"is being run by process {running.pid} on" in refused.stderr
            assert f"(folder {tmp_path / 'first'}) since" in refused.stderr
            for _ in range(2):
                subprocess.run(
                    [*PROGRAM, "repair", str(path), "-C", str(tmp_path / "third")],
                    env=shared,
                    check=True,
                )
            assert db.fireworks.count_documents({"archived_launches": {"$ne": []}}) == 0
            running.send_signal(signal.SIGKILL)
            running.wait()
        done = subprocess.run(second, env=shared, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert rows(db, "mini") == ledger(undisturbed)[: len(rows(db, "mini"))]
        client.close()


def test_label_engine_that_always_fails_ends_in_one_line(here, tmp_path, monkeypatch):
    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    explore = {
        "temperatures": [300],
        "entropy_weights": [3],
        "phases": ["diamond"],
        "steps": 10,
        "warm_up": 2,
        "ramp": 2,
    }
    label = {"maker": "failing_maker:always_fails"}
    path = campaign_file(tmp_path, "failing", label=label, explore=explore)
    code, _, err = here("run", path, "--local")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith(
        "error: campaign failing failed: iteration 1, train: ValueError: no label to train on"
    )
    assert "crash" in last
    assert "failed labels" in here("status", path)[1]


def _statements(code: str) -> list[str]:
    """The queries of a code block, comments dropped."""
    import ast

    return [ast.unparse(node) for node in ast.parse(code).body]


def _workers(folder: Path, name: str) -> list[int]:
    """Processes of workers of a campaign in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if (
                "entropy_flows.launch.worker" in line
                and re.search(name, line)
                and str(folder) in line
            ):
                found.append(int(entry.name))
    return found


def _wait_for(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"did not happen within {seconds:.0f} s")
