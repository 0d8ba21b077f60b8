"""All faults of VASP end as a row with the right reason, and custodian's repairs are checked."""

import json
from pathlib import Path

import numpy as np
import pytest
import standin
from cells import crystal
from custodian.vasp.handlers import FrozenJobErrorHandler, LargeSigmaHandler, WalltimeHandler
from pymatgen.core import Lattice

from entropy_flows.geometry import to_atoms
from entropy_flows.label import Reason, engine_of, label_one


@pytest.fixture
def silicon():
    return crystal("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("truncated_xml", Reason.PARSE_ERROR, "VasprunXMLValidator"),
        ("missing_oszicar", Reason.CRASH, "VaspFilesValidator"),
        ("unconverged", Reason.SCF_NOT_CONVERGED, "UnconvergedErrorHandler"),
        ("crash", Reason.CRASH, "segmentation fault"),
        ("late_crash", Reason.CRASH, "return code is 139"),
        ("out_of_memory", Reason.OUT_OF_MEMORY, "oom-kill"),
        ("wrong_energy", Reason.INCONSISTENT_OUTPUT, "the last electronic step"),
        ("wrong_oszicar", Reason.INCONSISTENT_OUTPUT, "OSZICAR"),
        ("net_force", Reason.INCONSISTENT_OUTPUT, "add up to 0.5 eV/Å"),
    ],
)
def test_faults_end_in_their_reason(vasp, silicon, monkeypatch, fault, reason, words):
    monkeypatch.setenv("STANDIN_FAULTS", fault)
    label = label_one(vasp(incar={"NELM": 12}, max_errors=2), silicon)
    assert (label.converged, label.reason) == (False, reason), label.evidence
    assert words in label.evidence
    assert (label.energy, label.forces) == (None, None)
    assert label.wall_seconds > 0
    json.dumps(label.as_dict())


def test_a_metal_is_labelled_and_not_made_another_calculation(vasp, silicon, monkeypatch):
    """The presets leave LargeSigmaHandler out; where a user asks for it, what it did is found."""
    monkeypatch.setenv("STANDIN_FAULTS", "metal")
    assert label_one(vasp(), silicon, "as it is").converged
    changed = label_one(vasp(handlers=[LargeSigmaHandler()]), silicon, "with it")
    assert changed.reason is Reason.INCONSISTENT_OUTPUT
    assert "custodian changed SIGMA 0.05 → 0.0" in changed.evidence


def test_a_hang_is_ended_by_custodian(vasp, silicon, monkeypatch):
    monkeypatch.setenv("STANDIN_FAULTS", "hang")
    label = label_one(vasp(handlers=[FrozenJobErrorHandler(timeout=1)]), silicon)
    assert label.reason is Reason.WALLTIME, label.evidence
    assert "FrozenJobErrorHandler" in label.evidence


def test_a_run_that_was_stopped_for_time_is_no_label(vasp, silicon, monkeypatch):
    """STOPCAR ends the steps early with all files in order, and custodian says nothing."""
    monkeypatch.setenv("STANDIN_STEP", "0.5")
    handler = WalltimeHandler(wall_time=1, buffer_time=0, electronic_step_stop=True)
    label = label_one(vasp(incar={"EDIFF": 1e-12}, handlers=[handler]), silicon)
    assert label.reason is Reason.WALLTIME, label.evidence
    assert "Walltime reached" in label.evidence


def test_steps_that_somebody_cut_short_are_no_label(vasp, silicon, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "STOPCAR").write_text("LABORT = .TRUE.\n")
    label = label_one(vasp(), silicon, run)
    assert label.reason is Reason.SCF_NOT_CONVERGED
    assert "EDIFF is 1e-06" in label.evidence


def test_vasp_is_not_started_on_a_bad_geometry(vasp, silicon, tmp_path):
    silicon.translate_sites([1], silicon.frac_coords[0] - silicon.frac_coords[1] + 0.02)
    label = label_one(vasp(), silicon, tmp_path / "run")
    assert label.reason is Reason.BAD_GEOMETRY
    assert not (tmp_path / "run").exists()


def test_repairs_that_keep_the_numbers_are_labels_and_recorded(
    vasp, silicon, monkeypatch, tmp_path
):
    undisturbed = label_one(vasp(), silicon, tmp_path / "undisturbed")
    monkeypatch.setenv("STANDIN_FAULTS", "edddav")
    label = label_one(vasp(), silicon, tmp_path / "mended")
    assert label.converged, label.evidence
    assert label.provenance["custodian"] == ["VaspErrorHandler: edddav (ALGO = All, ISEARCH = 1)"]
    assert label.free_energy == pytest.approx(undisturbed.free_energy, abs=1e-6)


def test_a_share_of_cells_has_a_fault_and_keeps_it(silicon, monkeypatch):
    monkeypatch.setenv("STANDIN_FAULTS", "crash=0.1 out_of_memory=0.2")
    rng = np.random.default_rng(0)
    reasons = []
    for _ in range(200):
        cell = to_atoms(silicon)
        cell.positions += rng.normal(scale=0.1, size=(8, 3))
        reasons.append(standin.fault(cell))
        assert standin.fault(cell) == reasons[-1]
    assert 8 <= reasons.count("crash") <= 35
    assert 20 <= reasons.count("out_of_memory") <= 65


# --- other settings where the electronic steps ran out


@pytest.mark.parametrize(
    ("required", "scf_retries", "retried"),
    [("BMIX=0.0001 AMIX=0.05", 2, 2), ("ALGO=Damped", 1, 1)],
)
def test_scf_retries_lead_to_the_same_numbers_or_gives_up(
    vasp, silicon, monkeypatch, tmp_path, required, scf_retries, retried
):
    maker = vasp(incar={"NELM": 12}, max_errors=2)
    easy = label_one(maker, silicon, tmp_path / "easy")
    monkeypatch.setenv("STANDIN_CONVERGES", required)
    label = label_one(maker, silicon, tmp_path / "hard", scf_retries=scf_retries)
    folders = sorted(path.name for path in (tmp_path / "hard").glob("again_*"))
    assert folders == [f"again_{n}" for n in range(1, retried + 1)]
    assert len(label.provenance["scf_retries"]) == retried
    assert {"ALGO", "NELM"} <= label.provenance["scf_retries"][-1].keys()
    if "Damped" in required:
        assert (label.reason, label.energy) == (Reason.SCF_NOT_CONVERGED, None)
        return
    assert label.converged, label.evidence
    assert label.free_energy == pytest.approx(easy.free_energy, abs=1e-6)
    assert label.energy == pytest.approx(easy.energy, abs=1e-6)
    np.testing.assert_allclose(label.forces, easy.forces, atol=1e-6)
    assert "scf_retries" not in easy.provenance
    assert easy.wall_seconds < label.wall_seconds


def test_other_failures_do_not_climb(vasp, silicon, monkeypatch):
    monkeypatch.setenv("STANDIN_FAULTS", "crash")
    label = label_one(vasp(), silicon, scf_retries=3)
    assert label.reason is Reason.CRASH
    assert not list(Path().glob("again_*"))


def test_the_engine_hash_does_not_know_the_scf_retries(vasp):
    from entropy_flows.label.scf_retries import CHANGES, with_changes

    maker = vasp()
    assert {engine_of(with_changes(maker, step)).hash for step in CHANGES} == {
        engine_of(maker).hash
    }
    others = [{"EDIFF": 1e-5}, {"ICHARG": 11}, {"NBANDS": 20}]
    assert (
        len(
            {
                engine_of(vasp(incar=incar)).hash
                for incar in [{}, {"ICHARG": 2}, {"NELM": 7}, *others]
            }
        )
        == 4
    )
