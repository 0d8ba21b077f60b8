"""`entropy-flows model`: the file of a campaign's model, by a name that says it, and its lines."""

import hashlib
import textwrap
from pathlib import Path

import pytest
from ase.build import bulk
from commands import run

from entropy_flows.potentials import load_calculator
from entropy_flows.report.model import campaign_model
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "silicon_demo.yaml"
SI_SMALL = ROOT / "entropy_flows" / "models" / "si-small.nequip.zip"
ERRORS = {"n": 32, "energy_mae": 0.0112, "forces_mae": 0.1994, "stress_mae": 0.0056}
NAME = "silicon-demo-1.nequip.zip"


@pytest.fixture
def store(database, tmp_path, monkeypatch):
    """A campaign of one iteration, whose model is the shipped one."""
    monkeypatch.chdir(tmp_path)
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    store.create(campaign)
    store.save_model(0, "SevenNet-0", role="base")
    file = tmp_path / "model.nequip.zip"
    file.write_bytes(SI_SMALL.read_bytes())
    store.save_model(1, file, parent="SevenNet-0")
    file.unlink()
    store.record(1, evaluate={"before": ERRORS, "after": ERRORS})
    return store


def code_of(output):
    """The indented lines of an output, as Python."""
    return textwrap.dedent("\n".join(x for x in output.splitlines() if x.startswith("    ")))


def test_the_file_has_its_name_and_the_lines_load_it(store, tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "model", DEMO, "-C", tmp_path / "folder")
    assert code == 0, err
    digest = hashlib.sha256(SI_SMALL.read_bytes()).hexdigest()
    assert hashlib.sha256(Path(NAME).read_bytes()).hexdigest() == digest
    assert f"{NAME} is written (sha256 {digest})" in out
    assert (
        "MAE on 32 held-out cells: energy 11.2 meV/atom, forces 199 meV/Å, stress 0.90 GPa" in out
    )
    lines = code_of(out)
    assert len(lines.splitlines()) == 3
    atoms = bulk("Si")
    exec(lines, {"atoms": atoms})
    reference = bulk("Si")
    reference.calc = load_calculator(SI_SMALL)
    assert atoms.get_potential_energy() == reference.get_potential_energy()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [NAME]


def test_a_file_that_is_there_stays(store, tmp_path, monkeypatch, capsys):
    Path(NAME).write_text("mine")
    code, _, err = run(monkeypatch, capsys, "model", DEMO, "-C", tmp_path / "folder")
    assert code == 1
    assert f"{NAME} exists; give --overwrite" in err
    assert Path(NAME).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--iteration", "7"], "has no model of iteration 7; it has 0, 1 (0: base model"),
        (["--iteration", "0"], "is the published SevenNet-0, no file: load it by its name"),
        (["--device", "tpu"], "--device 'tpu': expected cpu or cuda"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(
    store, arguments, message, tmp_path, monkeypatch, capsys
):
    code, _, err = run(monkeypatch, capsys, "model", DEMO, "-C", tmp_path / "folder", *arguments)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_model_alone_has_other_forms_but_not_its_own(tmp_path, monkeypatch, capsys):
    _, _, err = run(monkeypatch, capsys, "model", SI_SMALL)
    assert "is a model already; --for compiled and --for lammps write another form" in err
    _, _, err = run(monkeypatch, capsys, "model", SI_SMALL, "--iteration", 1, "--for", "compiled")
    assert "--folder and --iteration are for campaigns" in err
    _, _, err = run(
        monkeypatch, capsys, "model", "SevenNet-0", "--for", "compiled", "-o", tmp_path / "x.pt2"
    )
    assert "models of the family sevennet are not compiled" in err


def test_a_shipped_model_goes_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "there.pt2"
    output.touch()
    _, _, err = run(
        monkeypatch,
        capsys,
        "model",
        "shipped:si-small.nequip.zip",
        "--for",
        "compiled",
        "-o",
        output,
    )
    assert "--overwrite" in err
    _, _, err = run(monkeypatch, capsys, "model", "shipped:none.nequip.zip", "--for", "compiled")
    assert "none.nequip.zip does not exist" in err


def test_status_and_the_report_end_with_the_model(store, tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "status", DEMO, "-C", tmp_path / "folder")
    assert code == 0, err
    tail = out.splitlines()[-7:]
    assert tail[0].startswith(f"model: {NAME} (iteration 1, nequip, sha256 ")
    assert tail[2] == f"its file: entropy-flows model {DEMO} -C {tmp_path / 'folder'}"
    assert tail[-2].strip() == f'calculator = load_calculator("{NAME}")'


def test_the_model_in_use_is_the_one_that_the_campaign_goes_on_from(store, tmp_path):
    file = tmp_path / "second.nequip.zip"
    file.write_bytes(SI_SMALL.read_bytes() + b"\0")
    store.save_model(2, file, parent="SevenNet-0")
    assert campaign_model(store).iteration == 2
    first = store.model(1)["reference"]
    store.record(2, **{"evaluate.continues": {"model": first, "iteration": 1, "worse": True}})
    assert campaign_model(store).file_name == NAME
    assert campaign_model(store, 2).errors == {}
    assert campaign_model(store, 0).title() == "SevenNet-0 (published, not a file)"
