"""`init` writes a file that `check` takes, for systems that come with the package and for crystals
of one's own.
"""

import shlex
from pathlib import Path

import pytest
from ase.build import bulk, fcc111
from ase.io import write
from commands import run

from entropy_flows.schemas import load_campaign


def last_command(out):
    return shlex.split(out.split("next:")[1].strip())


@pytest.fixture
def crystals(tmp_path):
    """Files of MgO, of caesium with its far neighbours, of a large cell, and of a slab."""
    folder = tmp_path / "from elsewhere"
    folder.mkdir()
    write(folder / "MgO B1.cif", bulk("MgO", "rocksalt", a=4.21, cubic=True))
    write(folder / "B2.vasp", bulk("MgO", "cesiumchloride", a=2.65), format="vasp")
    write(folder / "Cs.xyz", bulk("Cs", "bcc", a=6.14), format="extxyz")
    write(folder / "large.cif", bulk("MgO", "rocksalt", a=4.21, cubic=True) * (3, 3, 1))
    slab = fcc111("Cu", (1, 1, 4), vacuum=6.0)
    slab.pbc = True
    write(folder / "slab.extxyz", slab, format="extxyz")
    return folder


def test_own_crystals(tmp_path, crystals, monkeypatch, capsys):
    folder = tmp_path / "my mgo"
    files = [crystals / name for name in ("MgO B1.cif", "B2.vasp", "large.cif")]
    code, out, err = run(monkeypatch, capsys, "init", folder, "--structure", *files)
    assert code == 0, err
    *_, next_file = command = last_command(out)
    assert command[:2] == ["entropy-flows", "check"]
    assert {path.name for path in folder.iterdir()} == {
        "campaign.yaml",
        "MgO B1.cif",
        "B2.vasp",
        "large.cif",
    }
    campaign = load_campaign(next_file)
    assert (campaign.name, campaign.elements, campaign.base_model) == (
        "my-mgo",
        ("O", "Mg"),
        "SevenNet-0",
    )
    assert [phase.name for phase in campaign.phases] == ["MgO-B1", "B2", "large"]
    code, out, err = run(monkeypatch, capsys, *command[1:])
    assert code == 0, err
    assert "VASP PBE" in out
    sizes = {
        line.split()[1]: int(line.split()[5])
        for line in out.splitlines()
        if "MgO" in line and "│" in line
    }
    assert sizes == {"MgO-B1": 16, "B2": 16, "large": 72}


def test_cutoffs_and_pressures_follow_the_crystal(tmp_path, crystals, monkeypatch, capsys):
    for name in ("Cs", "slab"):
        file = next(crystals.glob(f"{name}.*"))
        code, out, err = run(monkeypatch, capsys, "init", tmp_path / name, "--structure", file)
        assert code == 0, err
        assert run(monkeypatch, capsys, *last_command(out)[1:])[0] == 0
    caesium = load_campaign(tmp_path / "Cs" / "campaign.yaml")
    assert caesium.local_fingerprint.cutoff > 6.14  # eight neighbours at 5.32 Å, six at 6.14
    assert caesium.global_fingerprint.cutoff == pytest.approx(1.9 * 5.317, abs=0.1)
    assert caesium.explore.pressures == (0, 5, 10)
    slab = load_campaign(tmp_path / "slab" / "campaign.yaml")
    assert slab.explore.pressures == (0,)
    assert slab.phases[0].supercell[2] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["mgo"],
            "mgo: which system? Give your crystals by --structure FILE …, or "
            "--template silicon, carbon, nacl, demo",
        ),
        (
            ["mgo", "--template", "mgo"],
            "--template 'mgo': expected one of silicon, carbon, nacl, demo",
        ),
        (["mgo", "Cs.xyz"], "Cs.xyz: give your own crystals behind --structure"),
        (["mgo", "--structure", "none.cif"], "none.cif does not exist"),
        (["mgo", "--structure", "Cs.xyz", "Cs.xyz"], "two structures have the name 'Cs.xyz'"),
        (["mgo", "--structure", "Cs.xyz", "--template", "silicon"], "exclude each other"),
    ],
)
def test_what_init_does_not_write(arguments, expected, crystals, monkeypatch, capsys):
    monkeypatch.chdir(crystals)
    before = {*crystals.iterdir()}
    code, _, err = run(monkeypatch, capsys, "init", *arguments)
    assert code == 1
    assert expected in err
    assert {*crystals.iterdir()} == before


def test_the_demo_is_in_the_package(tmp_path, monkeypatch, capsys):
    """Whoever installs the package without its repository runs what `make demo` runs."""
    assert run(monkeypatch, capsys, "init", tmp_path / "demo")[0] == 0
    text = (tmp_path / "demo" / "campaign.yaml").read_text()
    example = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
    assert text.replace("name: demo\n", "name: silicon-demo\n") == example.read_text()


def test_a_folder_named_as_a_system_is_that_system(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, capsys, "init", tmp_path / "carbon")[0] == 0
    assert load_campaign(tmp_path / "carbon" / "campaign.yaml").elements == ("C",)
