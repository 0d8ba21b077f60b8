"""What is written reads back: names, units and signs of every format."""

import gzip
import pickle

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from cells import skewed

from entropy_flows.conventions import to_matrix, to_voigt
from entropy_flows.formats import (
    PacemakerParams,
    labelled,
    write_deepmd,
    write_extxyz,
    write_mace,
    write_pacemaker,
)


def frame(symbols, seed, stress=True, **info):
    rng = np.random.default_rng(seed)
    atoms = skewed(symbols, seed)
    numbers = {"energy": rng.normal(), "forces": rng.normal(size=(len(atoms), 3))}
    atoms.calc = SinglePointCalculator(
        atoms, **numbers, **({"stress": rng.normal(size=6)} if stress else {})
    )
    atoms.info |= info
    return atoms


FRAMES = [
    frame("Si3", 1),
    frame("Si3", 2),
    frame("Si2C", 3, phase="wurtzite"),
    frame("CSi2", 4, config_type="other"),
]


@pytest.fixture
def frames():
    return [labelled(atoms) for atoms in FRAMES]


def test_a_label_is_energy_and_forces(frames):
    assert [one.stress.shape for one in frames] == [(3, 3)] * 4
    assert not frames[0].atoms.info
    assert labelled(bulk("Si")) is None
    half = bulk("Si")
    half.calc = SinglePointCalculator(half, energy=-1.0)
    assert labelled(half) is None
    half.calc = SinglePointCalculator(half, energy=np.nan, forces=np.zeros((2, 3)))
    assert labelled(half) is None
    half.calc = SinglePointCalculator(half, energy=-1.0, free_energy=-1.5, forces=np.zeros((2, 3)))
    assert labelled(half).energy == -1.5


def test_extended_xyz_keeps_what_there_is(tmp_path):
    write_extxyz([*FRAMES, bulk("Si")], tmp_path / "out.extxyz")
    again = read(tmp_path / "out.extxyz", ":", format="extxyz")
    assert len(again) == 5
    for old, new in zip(FRAMES, again, strict=False):
        assert new.get_potential_energy() == pytest.approx(old.get_potential_energy())
        np.testing.assert_allclose(new.get_forces(), old.get_forces(), atol=1e-8)
        np.testing.assert_allclose(new.get_stress(), old.get_stress(), atol=1e-8)
    assert again[2].info["phase"] == "wurtzite"
    assert again[4].calc is None


def test_mace_has_names_of_its_own(tmp_path, frames):
    write_mace(frames, tmp_path / "out.xyz")
    again = read(tmp_path / "out.xyz", ":", format="extxyz")
    for old, new in zip(frames, again, strict=True):
        assert new.calc is None
        assert new.info["REF_energy"] == pytest.approx(old.energy)
        np.testing.assert_allclose(new.arrays["REF_forces"], old.forces, atol=1e-8)
        np.testing.assert_allclose(new.info["REF_stress"], old.stress, atol=1e-8)
        np.testing.assert_allclose(new.positions, old.atoms.positions, atol=1e-8)
    assert [new.info["config_type"] for new in again] == ["Default", "Default", "wurtzite", "other"]


def read_systems(folder):
    """All frames of DeePMD's files, by name of their system's folder."""
    systems = {}
    for file in sorted(folder.rglob("type.raw")):
        system = file.parent
        kinds = np.loadtxt(file, dtype=int, ndmin=1)
        names = (system / "type_map.raw").read_text().split()
        data = {path.stem: np.load(path) for path in (system / "set.000").glob("*.npy")}
        systems[str(system.relative_to(folder))] = ([names[kind] for kind in kinds], data)
    return systems


def test_deepmd_has_virials_in_ev(tmp_path, frames):
    pytest.importorskip("dpdata")
    write_deepmd(frames, tmp_path / "out")
    systems = read_systems(tmp_path / "out")
    assert len(systems) == 2
    assert {(tmp_path / "out" / name / "type_map.raw").read_text() for name in systems} == {
        "C\nSi\n"
    }
    rows = []
    for symbols, data in systems.values():
        assert set(data) == {"coord", "box", "energy", "force", "virial"}
        rows += [
            (symbols, {name: value[k] for name, value in data.items()})
            for k in range(len(data["box"]))
        ]
    for one in frames:
        symbols, row = next((s, r) for s, r in rows if abs(r["energy"].item() - one.energy) < 1e-5)
        order = np.argsort(one.atoms.get_chemical_symbols(), kind="stable")
        assert symbols == sorted(one.atoms.get_chemical_symbols())
        virial = -one.atoms.get_volume() * one.stress
        np.testing.assert_allclose(row["virial"].reshape(3, 3), virial, rtol=1e-5)
        # dpdata may turn or shift a cell: what is compared stays what it is
        box = row["box"].reshape(3, 3)
        force = row["force"].reshape(-1, 3)
        np.testing.assert_allclose(box, one.atoms.cell.array, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(force, one.forces[order], rtol=1e-5, atol=1e-6)
        again = Atoms(symbols, row["coord"].reshape(-1, 3), cell=box, pbc=True)
        expected = one.atoms[order].get_all_distances(mic=True)
        np.testing.assert_allclose(again.get_all_distances(mic=True), expected, atol=1e-4)


def test_deepmd_virials_are_of_all_cells_of_a_system_or_none(tmp_path):
    pytest.importorskip("dpdata")
    molecule = Atoms("Si2", [[0, 0, 0], [0, 0, 2.2]])
    molecule.calc = SinglePointCalculator(molecule, energy=-1.0, forces=np.zeros((2, 3)))
    some = [labelled(atoms) for atoms in (*FRAMES, frame("Si3", 6, stress=False), molecule)]
    write_deepmd(some, tmp_path / "out")
    kinds = {
        name.split("/")[0]: set(data) for name, (_, data) in read_systems(tmp_path / "out").items()
    }
    assert set(kinds) == {"virial", "no_virial", "no_virial_open"}
    assert "virial" in kinds["virial"]
    assert "virial" not in kinds["no_virial"]
    assert list((tmp_path / "out" / "no_virial_open").rglob("nopbc"))


def test_pacemaker_has_a_dataframe_and_an_input(tmp_path, frames):
    pytest.importorskip("pandas")
    write_pacemaker(frames, tmp_path, PacemakerParams(atom_energies={"Si": -0.5, "C": -2.0}))
    with gzip.open(tmp_path / "data.pckl.gzip") as stream:
        table = pickle.load(stream)
    assert list(table.columns) == ["ase_atoms", "energy", "forces", "energy_corrected"]
    for one, (_, row) in zip(frames, table.iterrows(), strict=True):
        assert row["energy"] == one.energy
        shift = -0.5 * one.atoms.symbols.count("Si") - 2.0 * one.atoms.symbols.count("C")
        assert row["energy_corrected"] == pytest.approx(one.energy - shift)
        np.testing.assert_array_equal(row["forces"], one.forces)
        assert isinstance(row["ase_atoms"], Atoms)
        np.testing.assert_array_equal(row["ase_atoms"].positions, one.atoms.positions)
    settings = yaml.safe_load((tmp_path / "input.yaml").read_text())
    assert settings["data"] == {"filename": "data.pckl.gzip", "test_size": 0.2}
    assert settings["potential"]["elements"] == ["C", "Si"]


@pytest.mark.parametrize(
    ("symbol", "numbers"),
    [("Be", (4.5, 2.0, 10.0, 20.0)), ("C", (5.5, 3.0, 10.0, 25.0)), ("Al", (5.5, 2.0, 10.0, 20.0)),
     ("W", (6.0, 2.0, 20.0, 100.0)), ("Re", (6.0, 2.0, 20.0, 100.0)),
     ("Os", (6.0, 2.0, 40.0, 100.0))],
)  # fmt: skip
def test_pacemakers_input_is_the_papers(tmp_path, symbol, numbers):
    """Supplement S5 of Subramanyam and Perez."""
    pytest.importorskip("pandas")
    write_pacemaker([labelled(frame(f"{symbol}2", 1))], tmp_path)
    settings = yaml.safe_load((tmp_path / "input.yaml").read_text())
    weighting, loss = settings["fit"]["weighting"], settings["fit"]["loss"]
    assert (settings["cutoff"], *(weighting[name] for name in ("DElow", "DEup", "DFup"))) == numbers
    expected = {
        "type": "EnergyBasedWeightingPolicy",
        "nfit": 10000,
        "DE": 1.0,
        "DF": 1.0,
        "wlow": 0.75,
    }
    assert weighting.items() >= (expected | {"reftype": "all"}).items()
    assert (loss["kappa"], loss["L1_coeffs"], loss["L2_coeffs"]) == (0.1, 1e-9, 1e-11)
    assert settings["potential"]["functions"]["ALL"]["nradmax_by_orders"] == [20, 4, 4, 2, 1]
    assert settings["potential"]["bonds"]["ALL"]["rcut"] == settings["cutoff"]
    assert "repulsion" not in settings["fit"]


def test_pacemakers_input_can_be_changed(tmp_path):
    pytest.importorskip("pandas")
    write_pacemaker(
        [labelled(frame("Si2", 1))], tmp_path, PacemakerParams(cutoff=5.0, low=1.5, force_up=30.0)
    )
    settings = yaml.safe_load((tmp_path / "input.yaml").read_text())
    assert (
        settings["cutoff"],
        settings["fit"]["weighting"]["DElow"],
        settings["fit"]["weighting"]["DFup"],
    ) == (
        5,
        1.5,
        30,
    )
    assert settings["fit"]["repulsion"] == "auto"


def test_voigt_of_the_stress_is_the_calculators(frames):
    np.testing.assert_allclose(to_voigt(frames[0].stress), FRAMES[0].get_stress())
    np.testing.assert_allclose(to_matrix(FRAMES[0].get_stress()), frames[0].stress)
