"""The papers' VASP inputs, tag by tag, as files on disk; no licence, no POTCAR library."""

import json

import pytest
from atomate2.vasp.jobs.core import StaticMaker
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints

from entropy_flows.label import (
    PBEStaticSetGenerator,
    R2SCANrVV10StaticSetGenerator,
    kpoint_mesh,
    write_inputs,
)

COMMON = {
    "ENCUT": 600,
    "ISMEAR": 0,
    "SIGMA": 0.05,
    "EDIFF": 1e-6,
    "NSW": 0,
    "IBRION": -1,
    "ISIF": 2,
    "PREC": "ACCURATE",
    "LREAL": False,
    "NELM": 200,
    "LCHARG": False,
    "LWAVE": False,
}
PBE = {**COMMON, "GGA": "PE", "ALGO": "NORMAL"}
R2SCAN = {
    **COMMON,
    "METAGGA": "R2SCAN",
    "LUSE_VDW": True,
    "BPARAM": 11.95,
    "CPARAM": 0.0093,
    "LASPH": True,
    "LMIXTAU": True,
    "ALGO": "ALL",
}


@pytest.fixture(autouse=True)
def no_pseudopotentials(monkeypatch):
    monkeypatch.setattr("pymatgen.io.vasp.inputs.SETTINGS", {}, raising=False)
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)


def diamond(symbol, a):
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(a), [symbol], [[0, 0, 0]])


def rock_salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def tags(incar):
    return {key: value.upper() if isinstance(value, str) else value for key, value in incar.items()}


@pytest.mark.parametrize(
    ("generator", "structure", "expected", "mesh", "potcar"),
    [
        (PBEStaticSetGenerator, diamond("Si", 5.43), PBE, [7, 7, 7], ["Si"]),
        (PBEStaticSetGenerator, rock_salt(), PBE, [7, 7, 7], ["Na_pv", "Cl"]),
        (R2SCANrVV10StaticSetGenerator, diamond("C", 3.567), R2SCAN, [11, 11, 11], ["C"]),
    ],
    ids=["Si", "NaCl", "C"],
)
def test_inputs_are_the_papers(tmp_path, generator, structure, expected, mesh, potcar):
    summary = write_inputs(structure, StaticMaker(input_set_generator=generator()), tmp_path / "run")
    assert {file.name for file in (tmp_path / "run").iterdir()} == {"INCAR", "POSCAR", "KPOINTS", "POTCAR.spec"}
    # Equality of dictionaries: what must be absent (ISPIN, MAGMOM, GGA or METAGGA, IVDW, KSPACING, ...) is absent.
    assert tags(Incar.from_file(tmp_path / "run" / "INCAR")) == expected
    kpoints = Kpoints.from_file(tmp_path / "run" / "KPOINTS")
    assert kpoints.style == Kpoints.supported_modes.Gamma
    assert list(kpoints.kpts[0]) == mesh
    assert list(kpoints.kpts_shift) == [0, 0, 0]
    assert (tmp_path / "run" / "POTCAR.spec").read_text().split() == potcar
    assert (tags(summary["incar"]), summary["kpoints"], summary["potcar"]) == (expected, mesh, potcar)
    assert summary["n_atoms"] == len(structure)


def test_mesh_rule_uses_real_lengths_and_never_drops_below_one():
    assert kpoint_mesh(Lattice.cubic(5.43)) == (7, 7, 7)
    assert kpoint_mesh(Lattice.orthorhombic(2.0, 26.0, 200.0)) == (20, 2, 1)
    assert kpoint_mesh(Lattice.from_parameters(4, 4, 4, 35, 35, 35)) == (10, 10, 10)
    assert kpoint_mesh(Lattice.cubic(5.43), length=15) == (3, 3, 3)


def test_user_has_the_last_word(tmp_path):
    generator = PBEStaticSetGenerator(
        user_incar_settings={"ENCUT": 300, "NELM": None, "ISIF": 3, "ISPIN": 2}, kpoint_length=15
    )
    summary = write_inputs(diamond("Si", 5.43), StaticMaker(input_set_generator=generator), tmp_path)
    assert summary["incar"]["ENCUT"] == 300
    assert summary["incar"]["ISIF"] == 3
    assert summary["incar"]["ISPIN"] == 2
    assert "NELM" not in summary["incar"]
    assert summary["kpoints"] == [3, 3, 3]


def test_writing_leaves_the_maker_and_the_current_directory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INCAR").write_text("ENCUT = 1\n")
    maker = StaticMaker(input_set_generator=PBEStaticSetGenerator())
    write_inputs(diamond("Si", 5.43), maker, tmp_path / "elsewhere")
    assert (tmp_path / "INCAR").read_text() == "ENCUT = 1\n"
    assert maker.input_set_generator.structure is None


def test_makers_of_other_codes_have_no_inputs_to_write(tmp_path):
    from atomate2.ase.jobs import AseMaker

    with pytest.raises(ValueError, match="no VASP input set"):
        write_inputs(rock_salt(), AseMaker(), tmp_path)


def test_sets_survive_the_database(tmp_path):
    maker = StaticMaker(input_set_generator=R2SCANrVV10StaticSetGenerator(kpoint_length=30))
    revived = MontyDecoder().process_decoded(json.loads(MontyEncoder().encode(maker)))
    cell = diamond("C", 3.567)
    assert write_inputs(cell, revived, tmp_path / "a") == write_inputs(cell, maker, tmp_path / "b")
    assert write_inputs(cell, revived, tmp_path / "a")["kpoints"] == [8, 8, 8]
