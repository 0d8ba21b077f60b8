"""The papers' VASP inputs, tag by tag, as files on disk; no licence, no POTCAR library."""

import json

import pytest
from atomate2.vasp.jobs.core import StaticMaker
from cells import crystal
from monty.json import MontyDecoder, MontyEncoder
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints

from entropy_flows.label import (
    EngineError,
    LabelParams,
    PBEStaticSetGenerator,
    R2SCANrVV10StaticSetGenerator,
    engine_of,
    kpoint_mesh,
    make_static_maker,
    write_inputs,
)
from entropy_flows.label.vasp_settings import deciding_tags

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
    return crystal("Fd-3m", Lattice.cubic(a), [symbol], [[0, 0, 0]])


def rock_salt():
    return crystal("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


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
    summary = write_inputs(
        structure, StaticMaker(input_set_generator=generator()), tmp_path / "run"
    )
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "INCAR",
        "POSCAR",
        "KPOINTS",
        "POTCAR.spec",
    }
    # Equality of dictionaries: what must be absent (ISPIN, MAGMOM, GGA or METAGGA, IVDW, KSPACING,
    # ...) is absent.
    assert tags(Incar.from_file(tmp_path / "run" / "INCAR")) == expected
    kpoints = Kpoints.from_file(tmp_path / "run" / "KPOINTS")
    assert kpoints.style == Kpoints.supported_modes.Gamma
    assert list(kpoints.kpts[0]) == mesh
    assert list(kpoints.kpts_shift) == [0, 0, 0]
    assert (tmp_path / "run" / "POTCAR.spec").read_text().split() == potcar
    assert (tags(summary["incar"]), summary["kpoints"], summary["potcar"]) == (
        expected,
        mesh,
        potcar,
    )
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
    summary = write_inputs(
        diamond("Si", 5.43), StaticMaker(input_set_generator=generator), tmp_path
    )
    assert summary["incar"]["ENCUT"] == 300
    assert summary["incar"]["ISIF"] == 3
    assert summary["incar"]["ISPIN"] == 2
    assert summary["incar"]["MAGMOM"] == [0.6] * 8
    assert "NELM" not in summary["incar"]
    assert summary["kpoints"] == [3, 3, 3]


def nickel_oxide(metals=("Ni", "Ni"), anion="O", moments=None):
    """Species in turns, as VASP does not have them."""
    coords = [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0, 0.5]]
    cell = Structure(Lattice.cubic(4.17), [metals[0], anion, metals[1], anion], coords)
    if moments is not None:
        cell.add_site_property("magmom", moments)
    return cell


def incar_of(cell, folder, **options):
    return write_inputs(cell, make_static_maker(LabelParams(**options)), folder)["incar"]


@pytest.mark.parametrize("engine", ["vasp-pbe", "vasp-r2scan-rvv10"])
@pytest.mark.parametrize("how", [{"spin": True}, {"user_incar_settings": {"ISPIN": 2}}])
def test_moments_follow_their_atoms_into_the_incar(tmp_path, engine, how):
    """POSCAR has Ni Ni O O, the cell Ni O Ni O."""
    incar = incar_of(nickel_oxide(moments=[2.0, 0.1, -2.0, -0.1]), tmp_path, engine=engine, **how)
    assert (incar["ISPIN"], incar["LORBIT"]) == (2, 10)
    assert incar["MAGMOM"] == [2.0, -2.0, 0.1, -0.1]
    assert (tmp_path / "POSCAR").read_text().splitlines()[5].split() == ["Ni", "O"]
    assert "MAGMOM = 1*2.0 1*-2.0 1*0.1 1*-0.1" in (tmp_path / "INCAR").read_text()
    ferromagnetic = incar_of(nickel_oxide(metals=("Ni", "Cr")), tmp_path, engine=engine, **how)
    assert ferromagnetic["MAGMOM"] == [5.0, 5.0, 0.6, 0.6]  # pymatgen's, said explicitly


def test_the_cells_moments_come_before_a_table(tmp_path):
    table = {"ISPIN": 2, "MAGMOM": {"Ni": 3.0, "O": 0}}
    incar = incar_of(
        nickel_oxide(moments=[2.0, 0.0, -2.0, 0.0]), tmp_path, user_incar_settings=table
    )
    assert incar["MAGMOM"] == [2.0, -2.0, 0.0, 0.0]
    assert incar_of(nickel_oxide(), tmp_path, user_incar_settings=table)["MAGMOM"] == [
        3.0,
        3.0,
        0.0,
        0.0,
    ]


def test_without_spin_there_are_no_moments(tmp_path):
    incar = incar_of(nickel_oxide(moments=[2.0, 0.0, -2.0, 0.0]), tmp_path)
    assert not {"ISPIN", "MAGMOM", "LORBIT"} & set(incar)


@pytest.mark.parametrize(
    ("metals", "anion", "u", "orbitals"),
    [
        (("Ni", "Ni"), "O", [6.2, 0], [2, 0]),
        (("Ni", "Ni"), "S", [6.2, 0], [2, 0]),  # pymatgen's own tables know oxides and fluorides
        (("Ni", "Ce"), "O", [4.5, 6.2, 0], [3, 2, 0]),  # POSCAR's order
        (("Al", "Mg"), "O", None, None),  # no element with U
    ],
)
@pytest.mark.parametrize("as_tags", [False, True])
def test_u_follows_the_species(tmp_path, metals, anion, u, orbitals, as_tags):
    values = {"Ni": 6.2, "Ce": 4.5, "Fe": 5.3}
    options = {"hubbard_u": values}
    if as_tags:
        options = {"user_incar_settings": {"LDAU": True, "LDAUU": values}}
    incar = incar_of(nickel_oxide(metals, anion), tmp_path, spin=True, **options)
    assert (incar.get("LDAUU"), incar.get("LDAUL")) == (u, orbitals)
    if u is not None:
        assert (incar["LDAU"], incar["LDAUTYPE"], incar["LASPH"]) == (True, 2, True)
        assert incar["LDAUJ"] == [0] * len(u)
        assert incar["LMAXMIX"] == (6 if "Ce" in metals else 4)


def test_settings_know_spin_and_u_but_no_cells_moments():
    hashes = [
        engine_of(make_static_maker(LabelParams(**options))).hash
        for options in (
            {},
            {"spin": True},
            {"spin": True, "hubbard_u": {"Ni": 6.2}},
            {"hubbard_u": {"Ni": 6.2}},
        )
    ]
    assert len(set(hashes)) == 4
    by_tag = make_static_maker(LabelParams(user_incar_settings={"ISPIN": 2}))
    assert engine_of(by_tag).hash == hashes[1]
    assert deciding_tags({"ISPIN": 2, "MAGMOM": [2.0, -2.0]}) == deciding_tags({"ISPIN": 2})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hubbard_u": {"Nl": 6.2}}, "'Nl' is not a chemical symbol"),
        ({"hubbard_u": {"Ni": -1}}, "U of Ni is -1 eV"),
        (
            {"engine": "forcefield", "model": "SevenNet", "spin": True},
            "spin would have no effect with engine 'forcefield'",
        ),
    ],
)
def test_what_cannot_be_is_refused(options, reason):
    with pytest.raises(ValidationError, match=reason):
        LabelParams(**options)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ISPIN": 2, "MAGMOM": [2, -2]}, "moments atom by atom are `magmoms` of a phase"),
        ({"ISPIN": 2, "MAGMOM": "2*2.0"}, "MAGMOM '2.2.0': expected a value for each element"),
        ({"LDAUU": [6.2, 0]}, "LDAUU .* expected a value for each element"),
        ({"LSORBIT": True}, "only collinear moments"),
    ],
)
def test_what_cannot_follow_the_atoms_is_the_engines_fault(tags, reason):
    with pytest.raises(EngineError, match=reason):
        make_static_maker(LabelParams(user_incar_settings=tags))


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
