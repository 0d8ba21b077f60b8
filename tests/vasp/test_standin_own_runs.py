"""A run with the inputs that the campaign's Maker writes is the campaign's own."""

import json

import pytest
import standin
from atomate2.vasp.jobs.core import StaticMaker
from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker, MatPesMetaGGAStaticMaker
from atomate2.vasp.jobs.mp import MP24StaticMaker, MPGGAStaticMaker, MPMetaGGAStaticMaker
from atomate2.vasp.powerups import update_user_incar_settings, update_user_kpoints_settings
from atomate2.vasp.sets.core import StaticSetGenerator
from cells import rattled
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints
from pymatgen.io.vasp.sets import MPStaticSet

from entropy_flows.geometry import to_structure
from entropy_flows.label import LabelParams, engine_of, make_static_maker
from entropy_flows.label.existing import is_run_of, read_files
from entropy_flows.label.vasp_inputs import planned_inputs, write_inputs
from entropy_flows.label.vasp_settings import MOTION


def static(**options):
    return StaticMaker(input_set_generator=StaticSetGenerator(**options))


def preset(**options):
    return make_static_maker(LabelParams(**options))


MAKERS = {
    "preset": preset(kpoint_length=10),
    "preset with KSPACING": preset(user_incar_settings={"KSPACING": 0.3}),
    "atomate2's static": static(),
    "KSPACING": static(user_incar_settings={"KSPACING": 0.3, "ISPIN": 1, "GGA": "PE"}),
    "length": static(user_kpoints_settings={"reciprocal_density": 40}),
    "explicit mesh": static(user_kpoints_settings=Kpoints.gamma_automatic((2, 2, 2))),
    "Monkhorst": static(user_kpoints_settings=Kpoints.monkhorst_automatic((2, 2, 3))),
    "pymatgen's set": StaticMaker(input_set_generator=MPStaticSet()),
    "MatPES PBE": MatPesGGAStaticMaker(),
    "MatPES r2SCAN": MatPesMetaGGAStaticMaker(),
    "MP GGA": MPGGAStaticMaker(),
    "MP meta-GGA": MPMetaGGAStaticMaker(),
    "MP 24": MP24StaticMaker(),
    "powerups": update_user_kpoints_settings(
        update_user_incar_settings(static(), {"ENCUT": 500, "EDIFF": 1e-9}),
        {"reciprocal_density": 30},
    ),
}


@pytest.fixture
def cell():
    return to_structure(rattled("Si", repeat=1, stdev=0.1, seed=2))


def run_of(maker, cell, folder, monkeypatch):
    write_inputs(cell, maker, folder)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        standin.main()
    (frame,) = read_files(folder)
    assert frame.defect is None
    return frame


@pytest.mark.parametrize("name", MAKERS)
def test_a_makers_runs_are_its_own_and_no_others(name, cell, tmp_path, monkeypatch):
    frame = run_of(MAKERS[name], cell, tmp_path, monkeypatch)
    equal = [other for other, maker in MAKERS.items() if is_run_of(frame, maker)]
    assert name in equal
    alike = {"MP GGA": {"MP GGA", "pymatgen's set"}, "pymatgen's set": {"MP GGA", "pymatgen's set"}}
    assert set(equal) <= alike.get(name, {name})


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_written_is_what_is_hashed(name, cell, tmp_path):
    """MP's sets carry a relaxation's NSW, IBRION and ISIF, and leave them out of static runs."""
    maker = MAKERS[name]
    wrote = write_inputs(cell, maker, tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    assert dict(incar) == wrote["incar"]
    assert (tmp_path / "KPOINTS").is_file() is (wrote["kpoints"] is not None)
    assert incar.get("NSW", 0) == 0
    hashed = engine_of(maker).hash_input()["incar"]
    assert not MOTION & hashed.keys()
    per_atom = {
        "pymatgen's set",
        "MP GGA",
    }  # their EDIFF is for each atom; the one hashed is of a cell of one
    assert hashed["EDIFF"] == pytest.approx(incar["EDIFF"] / (len(cell) if name in per_atom else 1))
    for tag in ("ENCUT", "ISMEAR", "SIGMA", "METAGGA", "GGA", "KSPACING", "LASPH", "ADDGRID"):
        written = incar.get(tag)
        in_hash = hashed.get(tag)
        if isinstance(written, str):
            written = written.upper()
        assert in_hash == written, tag
    assert engine_of(maker).name.startswith("VASP ")
    assert engine_of(maker).hash == engine_of(maker).hash


def test_hashes_tell_makers_apart():
    hashes = {name: engine_of(maker).hash for name, maker in MAKERS.items()}
    assert len(set(hashes.values())) >= len(MAKERS) - 1  # MP's GGA Maker has pymatgen's set
    json.dumps({name: engine_of(maker).hash_input() for name, maker in MAKERS.items()})
    moving = static(user_incar_settings={"NSW": 0, "IBRION": 2, "ISIF": 3, "EDIFFG": -0.02})
    assert engine_of(moving).hash == hashes["atomate2's static"]


@pytest.mark.parametrize(
    ("change", "is_own"),
    [
        (lambda f: f.inputs["incar"].update(NCORE=8, ALGO="All", NELM=400), True),
        (lambda f: f.inputs["incar"].update(EDIFF=1.0e-5), False),
        (lambda f: f.inputs["incar"].update(IVDW=12), False),
        (lambda f: f.inputs["incar"].pop("PREC"), True),  # it is among the parameters
        (lambda f: [f.inputs[where].pop("PREC") for where in ("incar", "parameters")], False),
        (lambda f: f.inputs["kpoints"].update(usershift=(0.5, 0.5, 0.5)), False),
        (lambda f: f.inputs["kpoints"].update(usershift=(1.0, 0.0, 0.0)), True),
        (lambda f: f.label.provenance["kpoints"].update(mesh=[3, 3, 4]), False),
        (lambda f: f.inputs.update(potcar=["Si_sv"]), False),
        (lambda f: f.inputs.update(potcar_type=["PAW"]), False),
        (lambda f: f.inputs.update(potcar_type=[]), False),
    ],
)
def test_what_decides(change, is_own, cell, tmp_path, monkeypatch):
    maker = MAKERS["preset"]
    frame = run_of(maker, cell, tmp_path, monkeypatch)
    assert is_run_of(frame, maker)
    change(frame)
    assert is_run_of(frame, maker) is is_own


def test_a_mesh_beside_kspacing_is_seen(cell, tmp_path, monkeypatch):
    """VASP takes KPOINTS where there is one, whatever KSPACING says."""
    maker = MAKERS["KSPACING"]
    frame = run_of(maker, cell, tmp_path, monkeypatch)
    mesh = frame.label.provenance["kpoints"]["mesh"]
    frame.label.provenance["kpoints"]["mesh"] = [n + 1 for n in mesh]
    assert is_run_of(frame, maker)  # versions of VASP round differently
    frame.label.provenance["kpoints"]["mesh"] = [n + 3 for n in mesh]
    assert not is_run_of(frame, maker)


def test_a_kpoints_file_of_before_is_taken_away(cell, tmp_path):
    write_inputs(cell, MAKERS["preset"], tmp_path)
    assert (tmp_path / "KPOINTS").is_file()
    assert write_inputs(cell, MAKERS["KSPACING"], tmp_path)["kpoints"] is None
    assert not (tmp_path / "KPOINTS").exists()


def test_no_maker_of_vasp_and_no_set_for_the_elements():
    cell = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no VASP input set"):
        planned_inputs(cell, preset(engine="forcefield", model="ase.calculators.emt.EMT"))
    with pytest.raises((ValueError, KeyError)):
        planned_inputs(cell, MAKERS["preset"])
