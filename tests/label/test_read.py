"""One convention out of every document, against a calculator and a VASP task made by hand."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from atomate2.forcefields.jobs import ForceFieldStaticMaker
from monty.json import jsanitize
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.label import InconsistentOutputError, Label, Reason, read_label, run_static


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def alloy(scale=0.94, seed=3):
    """Compressed, sheared CuAu whose species alternate, so that sorting would show."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_chemical_symbols(["Cu", "Au", "Cu", "Au"])
    strain = scale * (np.eye(3) + np.array([[0, 0.03, 0.01], [0, 0, -0.02], [0, 0, 0.01]]))
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


def emt_maker():
    return ForceFieldStaticMaker(
        force_field_name={"@module": "ase.calculators.emt", "@callable": "EMT"}
    )


@pytest.mark.parametrize("form", ["document", "dictionary", "json"])
def test_forcefield_numbers_are_the_calculators(form):
    atoms = alloy()
    structure = AseAtomsAdaptor.get_structure(atoms)
    doc = run_static(emt_maker(), structure)
    if form == "dictionary":
        doc = doc.model_dump()
    elif form == "json":
        doc = json.loads(json.dumps(jsanitize(doc, strict=True, enum_values=True)))
    label = read_label(doc, structure)
    atoms.calc = EMT()
    assert label.converged
    assert label.reason is None
    assert label.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert label.free_energy == pytest.approx(label.energy, abs=1e-10)
    np.testing.assert_allclose(label.forces, atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose(label.stress, atoms.get_stress(voigt=False), atol=1e-10)
    assert label.pressure == pytest.approx(
        -np.trace(atoms.get_stress(voigt=False)) / 3 / GPa, abs=1e-8
    )
    assert label.pressure > 0
    assert label.wall_seconds > 0
    assert label.provenance["code"] == "EMT"


def test_stress_is_the_strain_derivative_of_the_energy():
    structure = AseAtomsAdaptor.get_structure(alloy())
    maker = emt_maker()
    h = 1e-4
    label = read_label(run_static(maker, structure), structure)
    for i, j in [(0, 0), (1, 1), (0, 2)]:
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * h / 2
            strain[j, i] += sign * h / 2
            cell = Lattice(structure.lattice.matrix @ strain)
            strained = Structure(cell, structure.species, structure.frac_coords)
            energies.append(read_label(run_static(maker, strained)).energy)
        slope = (energies[0] - energies[1]) / (2 * h) / structure.volume
        assert slope == pytest.approx(label.stress[i, j], abs=1e-5)


def vasp_task(
    structure, forces, stress_kbar, e0=-10.0, free=-10.011, completed="successful", steps=12
):
    """Make the parts of emmet's TaskDoc that matter, as MongoDB gives them back."""
    calc = {
        "vasp_version": "6.4.2",
        "has_vasp_completed": completed,
        "run_type": "r2SCAN",
        "dir_name": "host:/scratch/1",
        "input": {
            "incar": {
                "METAGGA": "R2scan",
                "LUSE_VDW": True,
                "BPARAM": 11.95,
                "ENCUT": 600.0,
                "NELM": 200,
            },
            "parameters": {"ISMEAR": 0, "SIGMA": 0.05, "BPARAM": -1.0},
            "kpoints": {"generation_style": "Gamma", "kpoints": [[7, 7, 7]]},
            "nkpoints": 20,
            "potcar": ["C"],
            "potcar_spec": [{"titel": "PAW_PBE C 08Apr2002", "hash": "x"}],
        },
        "output": {
            "ionic_steps": [{"e_0_energy": e0, "e_fr_energy": free, "num_electronic_steps": steps}],
            "run_stats": {"elapsed_time": 321.0},
        },
    }
    output = {
        "energy": e0,
        "forces": forces,
        "stress": stress_kbar,
        "structure": structure.as_dict(),
    }
    return {"calcs_reversed": [calc], "output": output, "state": completed}


@pytest.fixture
def salt():
    """Interleaved NaCl, distorted: VASP writes it sorted by species."""
    s = Structure(
        Lattice.cubic(5.6),
        ["Na", "Cl", "Na", "Cl"],
        [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0]],
    )
    s.perturb(0.1)
    return s


def test_vasp_signs_energies_and_provenance(salt):
    forces = np.arange(12.0).reshape(4, 3)
    stress = [
        [100.0, 5.0, 0.0],
        [5.0, 200.0, 0.0],
        [0.0, 0.0, 300.0],
    ]  # kBar, VASP: positive is compressed
    label = read_label(vasp_task(salt, forces.tolist(), stress), salt)
    assert (label.energy, label.free_energy) == (-10.0, -10.011)
    assert label.pressure == pytest.approx(20.0)
    np.testing.assert_allclose(label.stress, -np.array(stress) / 1602.1766208, atol=1e-10)
    np.testing.assert_array_equal(label.forces, forces)
    assert label.wall_seconds == 321.0
    expected = {
        "code": "VASP",
        "version": "6.4.2",
        "run_type": "r2SCAN",
        "LUSE_VDW": True,
        "BPARAM": 11.95,
        "ENCUT": 600.0,
        "SIGMA": 0.05,
        "kpoints": {"style": "Gamma", "mesh": [7, 7, 7]},
        "potcar": ["C"],
        "potcar_titles": ["PAW_PBE C 08Apr2002"],
        "electronic_steps": 12,
    }
    assert expected.items() <= label.provenance.items()


def test_emmets_own_calculation_reads_like_its_dictionary(salt):
    from emmet.core.vasp.calculation import Calculation

    forces = np.arange(12.0).reshape(4, 3).tolist()
    doc = vasp_task(salt, forces, np.eye(3).tolist())
    calc = Calculation(
        vasp_version="6.4.2",
        has_vasp_completed="successful",
        output={"ionic_steps": [{"e_fr_energy": -10.5, "num_electronic_steps": 9}]},
        input={
            "incar": {"ENCUT": 600},
            "kpoints": {"generation_style": "Gamma", "kpoints": [[7, 7, 7]], "nkpoints": 0},
        },
    )
    label = read_label({**doc, "calcs_reversed": [calc]}, salt)
    assert label.converged
    assert label.free_energy == -10.5
    assert label.provenance["kpoints"]["mesh"] == [7, 7, 7]


def test_forces_come_back_in_the_submitted_order(salt):
    order = [0, 2, 1, 3]
    shuffled = Structure.from_sites([salt[i] for i in order])
    forces = np.arange(12.0).reshape(4, 3)
    label = read_label(vasp_task(shuffled, forces[order].tolist(), np.eye(3).tolist()), salt)
    np.testing.assert_array_equal(label.forces, forces)


def test_a_left_handed_cell_is_turned_back(salt):
    left = Structure(salt.lattice.matrix[[1, 0, 2]], salt.species, salt.frac_coords)
    turned = Structure(
        -left.lattice.matrix, left.species, left.frac_coords
    )  # as pymatgen's POSCAR does
    forces = np.arange(12.0).reshape(4, 3)
    stress = np.diag([1.0, 2.0, 3.0])
    label = read_label(vasp_task(turned, (-forces).tolist(), stress.tolist()), left)
    np.testing.assert_array_equal(label.forces, forces)
    np.testing.assert_allclose(label.stress, -stress / 1602.1766208, atol=1e-10)


def test_a_rotated_cell_is_turned_back():
    structure = AseAtomsAdaptor.get_structure(alloy())
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotated = Structure(
        structure.lattice.matrix @ rotation, structure.species, structure.frac_coords
    )
    maker = emt_maker()
    here = read_label(run_static(maker, structure))
    there = read_label(run_static(maker, rotated), structure)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-9)
    np.testing.assert_allclose(there.stress, here.stress, atol=1e-9)


def test_other_atoms_are_an_error(salt):
    doc = vasp_task(salt, np.zeros((4, 3)).tolist(), np.eye(3).tolist())
    fewer = Structure.from_sites(salt[:3])
    relaxed = Structure(Lattice.cubic(5.5), salt.species, salt.frac_coords)
    moved = salt.copy()
    moved.translate_sites([0], [0.05, 0, 0])
    other = salt.copy()
    other.replace(0, "K")
    for wrong, words in [
        (fewer, "has 4 atoms"),
        (relaxed, "cell"),
        (moved, "moved"),
        (other, "atoms are not"),
    ]:
        with pytest.raises(InconsistentOutputError, match=words):
            read_label(doc, wrong)


def test_documents_without_forces_are_an_error(salt):
    doc = vasp_task(salt, None, np.eye(3).tolist())
    with pytest.raises(InconsistentOutputError, match="no forces"):
        read_label(doc, salt)


def test_unconverged_and_absurd_numbers_are_failed_labels(salt):
    zeros = np.zeros((4, 3))
    eye = np.eye(3).tolist()
    out_of_steps = read_label(
        vasp_task(salt, zeros.tolist(), eye, completed="failed", steps=200), salt
    )
    assert (out_of_steps.converged, out_of_steps.reason) == (False, Reason.SCF_NOT_CONVERGED)
    assert "200" in out_of_steps.evidence
    huge = zeros.copy()
    huge[0, 0] = 1e5
    nan = zeros.copy()
    nan[0, 0] = np.nan
    for forces, energy in [(huge, -10.0), (nan, -10.0), (zeros, np.nan), (zeros, 1e9)]:
        label = read_label(vasp_task(salt, forces.tolist(), eye, e0=energy), salt)
        assert (label.converged, label.reason) == (False, Reason.INCONSISTENT_OUTPUT)
        assert label.energy is None
        assert label.provenance["code"] == "VASP"


def test_other_codes_give_energy_and_forces_but_no_guessed_stress(salt):
    output = {
        "energy": -1.0,
        "forces": np.ones((4, 3)).tolist(),
        "stress": np.eye(3).tolist(),
        "structure": salt,
    }
    label = read_label({"output": output, "state": "successful"}, salt)
    assert label.converged
    assert label.stress is None
    assert label.pressure is None
    assert "not read" in label.provenance["stress"]


def test_labels_survive_json(salt):
    label = read_label(vasp_task(salt, np.ones((4, 3)).tolist(), np.eye(3).tolist()), salt)
    for one in (label, Label.failed(4, Reason.CRASH, "segmentation fault")):
        row = json.loads(json.dumps(one.as_dict()))
        assert Label.from_dict(row).as_dict() == one.as_dict()


@pytest.mark.parametrize(
    ("state", "ok"),
    [
        *(
            ("successful", True),
            (True, True),
            ("true", True),
            ({"value": "successful"}, True),
            (None, True),
        ),
        *(
            ("failed", False),
            (False, False),
            ("unsuccessful", False),
            ("error", False),
            ("", False),
        ),
    ],
)
def test_how_a_task_says_that_it_went_well(salt, state, ok):
    doc = vasp_task(salt, np.zeros((4, 3)).tolist(), np.eye(3).tolist(), completed=state)
    assert read_label(doc, salt).converged is ok
    other = {
        "output": {"energy": -1.0, "forces": np.ones((4, 3)).tolist(), "structure": salt},
        "state": state,
    }
    assert read_label(other, salt).converged is ok


def test_the_state_of_a_run_that_moved_is_of_its_ions(salt):
    """emmet calls a relaxation failed that ran out of ionic steps; its steps have converged."""
    doc = vasp_task(
        salt, np.zeros((4, 3)).tolist(), np.eye(3).tolist(), completed="failed", steps=20
    )
    calc = doc["calcs_reversed"][0]
    calc["output"]["ionic_steps"][0]["structure"] = salt.as_dict()
    calc["input"]["incar"] |= {"NSW": 1, "IBRION": 2}
    assert read_label(doc, salt).converged
    calc["output"]["ionic_steps"][0]["num_electronic_steps"] = 200
    assert not read_label(doc, salt).converged


def test_electronic_steps_that_were_cut_short(salt):
    doc = vasp_task(salt, np.zeros((4, 3)).tolist(), np.eye(3).tolist())
    calc = doc["calcs_reversed"][0]
    calc["input"]["parameters"]["EDIFF"] = 1e-6
    step = calc["output"]["ionic_steps"][0]
    step["electronic_steps"] = [
        {"e_fr_energy": e, "e_0_energy": e + 0.011} for e in (-10.0, -10.011002, -10.011)
    ]
    assert read_label(doc, salt).converged
    step["electronic_steps"].pop()
    label = read_label(doc, salt)
    assert (label.reason, label.energy) == (Reason.SCF_NOT_CONVERGED, None)
    assert (
        "F changed by 0.011 eV in the last of 2 electronic steps, EDIFF is 1e-06" in label.evidence
    )


def test_cell_energies_and_forces_of_one_ionic_step(salt):
    """The document's output has the final cell, and an E₀ that some versions of VASP get wrong."""
    moved = salt.copy()
    moved.translate_sites([0], [0.2, 0, 0])
    forces = np.arange(12.0).reshape(4, 3)
    stress = np.diag([10.0, 20.0, 30.0])
    doc = vasp_task(moved, (forces + 1).tolist(), np.eye(3).tolist(), e0=-99.0)
    calc = doc["calcs_reversed"][0]
    calc["input"]["incar"] |= {"NSW": 2, "IBRION": 0}
    last = {
        "e_fr_energy": -10.2,
        "e_0_energy": -77.0,
        "forces": forces.tolist(),
        "stress": stress.tolist(),
    }
    electronic = [{"e_fr_energy": -10.2, "e_0_energy": -10.1}]
    calc["output"]["ionic_steps"] = [
        {**last, "e_fr_energy": -8.0, "structure": moved.as_dict(), "num_electronic_steps": 9},
        {**last, "electronic_steps": [*electronic, *electronic], "structure": salt.as_dict()},
    ]
    label = read_label(doc, salt)
    assert (label.free_energy, label.energy) == (-10.2, -10.1)
    np.testing.assert_array_equal(label.forces, forces)
    np.testing.assert_allclose(label.stress, -stress / 1602.1766208, atol=1e-10)
    assert read_label(doc, moved, step=0).free_energy == -8.0
    with pytest.raises(InconsistentOutputError, match="moved"):
        read_label(doc, moved)


def test_linear_response_comes_after_the_ground_state(salt):
    """Electronic steps of LEPSILON follow those of the energy, and converge to something else."""
    doc = vasp_task(salt, np.zeros((4, 3)).tolist(), np.eye(3).tolist(), free=-10.0)
    calc = doc["calcs_reversed"][0]
    calc["input"]["incar"] |= {"LEPSILON": True, "NELM": 5}
    pairs = [(-9.0, -8.9), (-10.0, -9.9), (-10.0, -9.9), (-30.0, -30.0), (-0.2, -0.2), (-0.3, -0.3)]
    steps = [{"e_fr_energy": free, "e_0_energy": energy} for free, energy in pairs]
    calc["output"]["ionic_steps"][0] = {"e_fr_energy": -10.0, "electronic_steps": steps}
    label = read_label(doc, salt)
    assert label.converged
    assert (label.free_energy, label.energy) == (-10.0, -9.9)
    assert label.provenance["electronic_steps"] == 3
