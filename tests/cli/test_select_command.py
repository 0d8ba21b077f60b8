"""`entropy-flows select`: files in, chosen frames out, and bad input in one line."""

import json

import numpy as np
import pytest
from ase.io import read, write
from cells import rattled

from entropy_flows.report.frames import sparkline

SMALL = ("--fingerprint", "{natx: 12, cutoff: 3.5}")


@pytest.fixture
def command(tmp_path, monkeypatch, run_main):
    """Run a command in the test's folder; exit code and what it prints, in one line."""
    monkeypatch.chdir(tmp_path)
    return run_main


@pytest.fixture
def files(tmp_path):
    """Two runs, cold and hot, and some of the cold one known."""
    (tmp_path / "md").mkdir()
    cold = [rattled("Si", 1, stdev=0.02, seed=seed) for seed in range(20)]
    hot = [rattled("Si", 1, stdev=0.3, seed=seed) for seed in range(20, 30)]
    write(tmp_path / "md" / "cold.traj", cold)
    write(tmp_path / "md" / "hot.extxyz", hot)
    write(tmp_path / "train.extxyz", cold[:5])
    return tmp_path


def test_frames_of_a_folder(command, files):
    text = (files / "md" / "hot.extxyz").read_text().replace("Si ", "Xx ", 1)
    (files / "md" / "hot.extxyz").write_text(text)
    options = ("-n", 6, "--known", "train.extxyz", "-o", "picked.extxyz", "-C", "page", *SMALL)
    code, told = command("select", "md", *options)
    assert code == 0, told
    assert "6 of 30 frames chosen by variance" in told
    assert "md/cold.traj 20 0 5" in told
    assert "md/hot.extxyz 10 1 0" in told
    assert "together 30 1 5 6" in told
    assert "left out: md/hot.extxyz[0]: species of atom 0 is 'Xx'" in told
    assert "log det Σ, per configuration" in told
    cells = read(files / "picked.extxyz", ":")
    assert [atoms.info["select_rank"] for atoms in cells] == [1, 2, 3, 4, 5, 6]
    for atoms in cells:
        pool = read(files / atoms.info["select_source"], int(atoms.info["select_frame"]))
        np.testing.assert_allclose(atoms.positions, pool.positions, atol=1e-7)
    page = json.loads((files / "page" / "choice.json").read_text())
    assert [each["rank"] for each in page["chosen"]] == [1, 2, 3, 4, 5, 6]
    assert page["data_set"] == 5
    html = (files / "page" / "index.html").read_text()
    for name in ("map", "gains", "distances"):
        assert f'<figure id="{name}">' in html
        assert (files / "page" / f"{name}.png").stat().st_size > 5_000
    code, told = command("select", "md", *options)
    assert (code, told) == (1, "error: picked.extxyz exists; give --force to replace it")
    assert command("select", "md", *options, "--force")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("none.traj",), "error: none.traj does not exist; expected a file"),
        (("md", "--selector", "hybrid"), "'hybrid' needs a committee of models"),
        (("md", "--selector", "{selector: kmeans, cluster: 3}"), "did you mean 'clusters'"),
        (("md", "--fingerprint", "soap"), "unknown fingerprint 'soap'"),
        (("md", "--types", "Si,Xx"), "'Xx' is no element"),
        (("md", "--known", "none.extxyz"), "none.extxyz does not exist"),
        (("md", "-o", "md"), "md is a folder"),
        (("md", "-o", "none/picked.extxyz"), "none is no folder that exists"),
        (("md", "-o", "picked.extxyz.gz"), "written as plain extended XYZ"),
    ],
)
def test_bad_input_is_named_in_one_line(command, files, options, message):
    output = () if "-o" in options else ("-o", "picked.extxyz")
    code, told = command("select", *options, "-n", 3, *output)
    assert code == 1
    assert message in told
    assert told.count("error:") == 1
    assert not (files / "picked.extxyz").exists()


def test_a_sparkline_has_the_shape_of_its_values():
    assert sparkline([0, 7]) == "▁█"
    assert sparkline([1.0]) == "▁"
    line = sparkline(np.linspace(1, 0, 1000))
    assert (len(line), line[0], line[-1]) == (60, "█", "▁")
