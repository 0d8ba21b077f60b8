"""Presets of published data sets: the sets' own inputs, with the changes that a file asks for."""

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import sets
from pymatgen.io.vasp.sets import MatPESStaticSet, MPStaticSet

from entropy_flows.label import EngineError, LabelParams, engine_of, make_static_maker

NIO = Structure(
    Lattice([[2.08, 2.08, 4.17], [2.08, 4.17, 2.08], [4.17, 2.08, 2.08]]),
    ["Ni", "Ni", "O", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
    site_properties={"magmom": [2.0, -2.0, 0.0, 0.0]},
)
SETS = {
    "vasp-matpes-pbe": MatPESStaticSet(NIO),
    "vasp-matpes-r2scan": MatPESStaticSet(NIO, xc_functional="R2SCAN"),
    "vasp-mp": MPStaticSet(NIO),
}


def planned(engine, **options):
    maker = make_static_maker(LabelParams(engine=engine, **options))
    return engine_of(maker), engine_of(maker).planned_inputs(NIO)


@pytest.mark.parametrize("engine", SETS)
def test_the_inputs_are_those_of_the_set(engine):
    _, inputs = planned(engine)
    expected = SETS[engine].incar
    assert {k: str(v) for k, v in inputs.incar.items()} == {
        k: str(v) for k, v in type(expected).from_str(str(expected)).items()
    }
    assert inputs.potcar == SETS[engine].potcar_symbols
    assert inputs.incar["MAGMOM"] == [2.0, -2.0, 0.0, 0.0]


def test_names_say_functional_u_and_set():
    names = {
        planned(engine, **options)[0].name
        for engine in SETS
        for options in ({}, {"hubbard_u": True}, {"hubbard_u": False})
    }
    assert names == {
        *("VASP PBE as MatPES", "VASP PBE+U as MatPES"),
        *("VASP r2SCAN as MatPES", "VASP r2SCAN+U as MatPES"),
        *("VASP PBE as MP", "VASP PBE+U as MP"),
    }


@pytest.mark.parametrize("engine", SETS)
def test_spin_and_u_can_be_turned_on_and_off(engine):
    with_u, inputs = planned(engine, hubbard_u=True)
    assert inputs.incar["LDAUU"] == [6.2, 0]
    without_u, inputs = planned(engine, hubbard_u=False)
    assert "LDAUU" not in inputs.incar
    assert with_u.has_spin
    no_spin, inputs = planned(engine, spin=False)
    assert not no_spin.has_spin
    assert "MAGMOM" not in inputs.incar
    assert len({with_u.hash, without_u.hash, no_spin.hash}) == 3


def test_a_hash_for_each_setting_of_a_file():
    hashes = [planned(engine)[0].hash for engine in SETS]
    changed = {"user_incar_settings": {"ENCUT": 700}}
    hashes.append(planned("vasp-mp", **changed)[0].hash)
    hashes.append(planned("vasp-mp", user_potcar_functional="PBE_54")[0].hash)
    assert len(set(hashes)) == len(hashes)
    idle = {"user_incar_settings": {"NCORE": 4, "LAECHG": False}}
    assert planned("vasp-matpes-pbe", **idle)[0].hash == hashes[0]


def test_omat_is_the_sets_own_or_says_how_to_get_it():
    folder = sets.MODULE_DIR
    try:
        engine, inputs = planned("vasp-omat")
    except EngineError as error:
        assert "entropy_flows[omat]" in str(error)  # noqa: PT017
    else:
        assert engine.name == "VASP PBE+U as OMat24"
        assert inputs.incar["LDAUU"] == [6.2, 0]
        assert inputs.potcar_functional.startswith("PBE_54")
    assert folder == sets.MODULE_DIR


def test_keys_of_another_preset_are_refused():
    with pytest.raises(ValueError, match="kpoint_length"):
        LabelParams(engine="vasp-mp", kpoint_length=40)
    with pytest.raises(ValueError, match="hubbard_u"):
        LabelParams(engine="vasp-mp", hubbard_u={"Ni": 6.2})
    with pytest.raises(EngineError, match="MAGMOM"):
        make_static_maker(LabelParams(engine="vasp-mp", user_incar_settings={"MAGMOM": [1.0, 2.0]}))
