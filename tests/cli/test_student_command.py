"""`entropy-flows student`: refused in one line, killed and run again, entered in the file."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from commands import run

from entropy_flows.schemas import Campaign, load_campaign

SI_SMALL = Path(__file__).parents[2] / "entropy_flows" / "models" / "si-small.nequip.zip"
PROGRAM = [str(Path(sys.executable).with_name("entropy-flows"))]
TEXT = """\
name: copper
elements: [Cu]
base_model: ase.calculators.emt.EMT   # of ASE
phases:
  - {name: fcc, spacegroup: Fm-3m, lattice: {a: 3.61}, sites: {Cu: [[0, 0, 0]]}}
explore: {temperatures: [600], pressures: [0]}   # few
label: {engine: forcefield, model: ase.calculators.emt.EMT}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    path = tmp_path / "campaign.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "huge"], "--size 'huge': expected small or medium"),
        (["--architecture", "mace"], "--architecture 'mace': expected allegro or nequip"),
        (["--teacher", "nonsense"], "model 'nonsense' is not known; expected"),
        (["--teacher", "shipped:si-small.nequip.zip"], "si-small.nequip.zip does not know Cu"),
        (["-o", "fast.pth"], "--output fast.pth: expected a name that ends in .nequip.zip"),
        (["--from-campaign", "--write"], "--from-campaign has its teacher"),
        (["--from-campaign"], "campaign 'copper' is not in the embedded database of"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(file, arguments, message, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "student", file, *arguments)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1
    assert [path.name for path in file.parent.iterdir()] == ["campaign.yaml"]


def test_a_file_that_is_there_stays(file, monkeypatch, capsys):
    (file.parent / "copper-student.nequip.zip").write_text("mine")
    code, _, err = run(monkeypatch, capsys, "student", file)
    assert code == 1
    assert "copper-student.nequip.zip exists; give --overwrite" in err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_and_run_again_it_is_entered_and_loads(file):
    command = [*PROGRAM, "student", "campaign.yaml", "--cells", "40", "--epochs", "4", "--write"]
    labels = file.parent / "copper" / "student"
    running = subprocess.Popen(command, cwd=file.parent, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while len(list(labels.glob("labels-*/0*.extxyz"))) < 2:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    before = {path: path.read_bytes() for path in labels.glob("labels-*/0*.extxyz")}
    assert "student:" not in file.read_text()
    done = subprocess.run(
        command, cwd=file.parent, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert before == {path: path.read_bytes() for path in before}
    expected = TEXT.splitlines()
    expected.insert(3, "student: copper-student.nequip.zip")
    assert file.read_text().splitlines() == expected
    assert load_campaign(file).student == "copper-student.nequip.zip"
    assert "write there" not in done.stdout
    assert "choose its recipe there: train: {preset: small} (it is oam-l)" in done.stdout
    lines = done.stdout.partition("in ASE:\n")[2].splitlines()
    code = textwrap.dedent("\n".join(lines[:3]))
    atoms = bulk("Cu", a=3.61)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(file.parent)
        exec(code, {"atoms": atoms})
    assert atoms.get_potential_energy() == pytest.approx(0.0, abs=3.0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_campaigns_model_is_distilled_and_both_are_compared(
    server, tmp_path, monkeypatch, capsys
):
    from small_campaign import CONFIG, small_campaign

    with small_campaign(server, tmp_path, "distilled") as (store, _):
        write(tmp_path / "diamond.cif", bulk("Si", a=5.43))
        config = {**CONFIG, "explore": {"temperatures": [300], "pressures": [0]}}
        file = tmp_path / "campaign.yaml"
        file.write_text(json.dumps(config))
        document = {"config": Campaign.model_validate(config).model_dump(mode="json")}
        store.database["campaigns"].update_one({"name": "test"}, {"$set": document})
        model = tmp_path / "model.nequip.zip"
        model.write_bytes(SI_SMALL.read_bytes())
        store.save_model(2, model, parent="SevenNet-0")
        options = ["--from-campaign", "--cells", "20", "--epochs", "2"]
        code, out, err = run(monkeypatch, capsys, "student", file, *options)
        assert code == 0, err
    given = list((tmp_path / "test" / "student").glob("labels-*/given-*.extxyz"))
    assert len(given) == 1
    assert (tmp_path / "test-2-fast.nequip.zip").is_file()
    assert "held-out labels of the campaign: 1" in out
    assert "student:" not in file.read_text()
