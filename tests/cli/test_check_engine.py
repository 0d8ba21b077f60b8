"""`check` finds an engine that can label nothing, and writes what any VASP Maker would run."""

import json
from pathlib import Path

import pytest
import yaml
from atomate2.vasp.jobs.core import StaticMaker
from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker
from atomate2.vasp.jobs.mp import MPGGAStaticMaker
from atomate2.vasp.sets.core import StaticSetGenerator
from commands import run
from monty.json import MontyEncoder
from pymatgen.io.vasp import Incar

ROOT = Path(__file__).parents[2]


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Check the demo's campaign with this static Maker or label section; exit code, output and
    error.
    """

    def command(label, *options):
        if not isinstance(label, dict):
            label = {"maker": json.loads(MontyEncoder().encode(label))}
        config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text()) | {
            "label": label
        }
        path = tmp_path / "campaign.yaml"
        path.write_text(yaml.safe_dump(config))
        return run(monkeypatch, capsys, "check", path, *options)

    return command


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (
            StaticMaker(
                input_set_generator=StaticSetGenerator(
                    user_incar_settings={"ISPIN": 2, "MAGMOM": [3.0, -3.0]}
                )
            ),
            "VASP PBEsol cannot write the inputs of 'phase ",
        ),
        (
            {"engine": "vasp-pbe", "user_incar_settings": {"ISPIN": 2, "MAGMOM": "8*1.0"}},
            "MAGMOM '8*1.0': expected a value for each element",
        ),
    ],
)
def test_an_engine_that_writes_no_inputs_is_found(check, label, reason):
    code, _, err = check(label)
    assert code == 1
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("maker", "kspacing"),
    [(MatPesGGAStaticMaker(), 0.22), (MPGGAStaticMaker(), None)],
    ids=["MatPES", "MP"],
)
def test_the_inputs_of_pymatgens_sets_are_written(check, tmp_path, maker, kspacing):
    code, out, err = check(maker, "--inputs", tmp_path / "inputs")
    assert code == 0, err
    incar = Incar.from_file(tmp_path / "inputs/INCAR")
    assert incar.get("KSPACING") == kspacing
    assert not {"IBRION", "ISIF"} & incar.keys()
    assert (tmp_path / "inputs/KPOINTS").exists() is (kspacing is None)
    assert f"k points: {'Gamma' if kspacing is None else 'KSPACING 0.22'}" in out
    assert "cannot run on this machine: no POTCARs" in out


def test_what_labels_need_is_asked_for_before_anything_is_explored(
    database, check, tmp_path, monkeypatch, capsys
):
    """`check` without launchers and `submit` only warn, for other machines may label."""
    warning = (
        "warning: VASP PBE cannot run on this machine: no POTCARs: PMG_VASP_PSP_DIR in "
        "~/.pmgrc.yaml names no folder; no 'vasp_std', of VASP's command 'vasp_std'"
    )
    code, out, err = check({"engine": "vasp-pbe"})
    assert code == 0, err
    assert out.count(warning) == 1
    code, out, err = run(monkeypatch, capsys, "submit", tmp_path / "campaign.yaml")
    assert code == 0, err
    assert out.count(warning) == 1
