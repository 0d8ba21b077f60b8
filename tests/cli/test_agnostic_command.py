"""`entropy-flows agnostic` from a file to a ledger, a page and files.

It runs on real workers that may be killed.
"""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from ase.io import read
from ase.neighborlist import neighbor_list
from commands import run

from entropy_flows.report.agnostic import dataset_rows

PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]


def settings_file(folder, **changes):
    """Two searches of seconds."""
    config = {
        "name": "tiny",
        "element": "W",
        "windows": {"chosen": [2]},
        "iterations": 12,
        "lockstep": 4,
        "shape": {"atoms": [2, 6]},
        "ascent": {"max_steps": 15},
        "fingerprint": {"cutoff": 4.0, "natx": 24},
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def environment(**more):
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    own = {"ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return {**hidden, **own, **more}


def command(*arguments):
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The file of a data set that is done, and the output of its command."""
    path = settings_file(tmp_path_factory.mktemp("agnostic"))
    # One worker: starting a second takes longer than the searches that it would take over.
    done = command("agnostic", path, "--workers", 1, "--element", "Al")
    assert done.returncode == 0, done.stdout + done.stderr
    return path, done.stdout


def test_table_page_and_cells(finished):
    path, said = finished
    folder = path.parent / "tiny" / "agnostic"
    assert re.search(r"tiny: \d+ cells, \d+ atoms", said)
    assert len(re.findall(r"│ 2 +│ (?:atom|config)", said)) == 2
    page = (folder / "index.html").read_text()
    assert "hours for 30,349 cells" in page
    for name in re.findall(r'src="([^"]+)"', page):
        assert (folder / name).stat().st_size > 5_000
    cells, scaled = read(folder / "tiny.extxyz", ":"), read(folder / "tiny-Al.extxyz", ":")
    assert len(cells) == len(scaled) > 10
    for atoms, other in zip(cells, scaled, strict=True):
        for cell in (atoms, other):
            d = neighbor_list("d", cell, cell.info["r_core"])
            assert len(d) == 0 or d.min() >= 0.9 * cell.info["r_core"] - 1e-6
        factor = (other.get_volume() / atoms.get_volume()) ** (1 / 3)
        assert other.info["r_core"] == pytest.approx(factor * atoms.info["r_core"])
        assert set(other.get_chemical_symbols()) == {"Al"}
        assert other.get_volume() / atoms.get_volume() == pytest.approx(
            scaled[0].get_volume() / cells[0].get_volume()
        )


def test_all_is_well_and_nothing_is_repeated(finished, monkeypatch, capsys):
    path, _ = finished
    code, out, err = run(monkeypatch, capsys, "verify", path, "--deep")
    assert code == 0, out + err
    code, out, _ = run(monkeypatch, capsys, "agnostic", path)
    assert code == 0
    assert "nothing is repeated" in out
    code, out, _ = run(monkeypatch, capsys, "status", path)
    assert code == 0
    assert "searches" in out


def test_searches_that_accepted_nothing_have_a_table():
    run_document = {"cpu_seconds": 3.6, "accepted": 0, "tried": 7}
    admitted = {"cells": 10, "atoms": 40, "entropy": {"atom": -1.0}, "random": {"atom": -2.0}}
    rows = dict(dataset_rows([run_document], admitted)[1:])
    assert rows["candidates accepted"] == "0 (0.0 %)"
    assert rows["hours for 30,349 cells at this rate"] == "–"


@pytest.mark.parametrize("name", ["run", "check", "report"])
def test_commands_for_campaigns_say_that_it_is_none(finished, monkeypatch, capsys, name):
    path, _ = finished
    code, _, err = run(monkeypatch, capsys, name, path)
    assert code == 1
    assert "is a file of `entropy-flows agnostic`" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_killed_and_run_again_it_is_the_same_and_can_be_labelled(finished, tmp_path):
    path, _ = finished
    whole = read(path.parent / "tiny" / "agnostic" / "tiny.extxyz", ":")
    lennard_jones = {
        "engine": "forcefield",
        "model": "ase.calculators.lj.LennardJones",
        "calculator_kwargs": {"sigma": 2.0, "epsilon": 1.0, "rc": 5.0, "smooth": True},
    }
    other = settings_file(tmp_path, label=lennard_jones)
    often = environment(ENTROPY_FLOWS_CHECKPOINT="0")
    first = subprocess.Popen([*PROGRAM, "agnostic", str(other), "--workers", "1"], env=often)
    checkpoints = tmp_path / "tiny" / "cache" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.rglob("search.checkpoint")):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = command("agnostic", other, "--workers", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    found = read(tmp_path / "tiny" / "agnostic" / "tiny.extxyz", ":")
    assert f"{len(found)} labels" in done.stdout
    for one, two in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)
        assert one.info["gain"] == two.info["gain"]
    assert command("verify", other).returncode == 0
    assert command("export", other, tmp_path / "labels.extxyz").returncode == 0
    assert len(read(tmp_path / "labels.extxyz", ":")) == len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--volume", 20], "--volume 20 needs --element"),
        (["--element", "Xx"], "--element Xx: expected a chemical symbol"),
        (["--element", "Ga"], "no crystal of element 'Ga'"),
        (["--element", "Ga", "--volume", -1], "--volume -1: expected a positive number"),
        (["--queue"], "--queue needs a database that workers can reach"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(
    tmp_path, monkeypatch, capsys, options, message
):
    code, _, err = run(monkeypatch, capsys, "agnostic", settings_file(tmp_path), *options)
    assert code == 1
    assert message in err
    assert not (tmp_path / "tiny").exists()


def test_windows_that_no_cell_fits_are_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    crowded = settings_file(
        tmp_path, windows={"core": 1.5}, shape={"atoms": [6, 6]}, ascent={"max_steps": 2}
    )
    code, _, err = run(monkeypatch, capsys, "agnostic", crowded)
    assert code == 1
    assert "window 0: 0 of 100 random cells have no pair below" in err
    assert not (tmp_path / "tiny").exists()
