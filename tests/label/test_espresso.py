"""Quantum ESPRESSO as label engine: its numbers and signs, and failures that end as rows."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Ry
from cells import strained
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.label import (
    EngineError,
    LabelParams,
    Reason,
    engine_of,
    label_one,
    make_static_maker,
)

FILE = Path("/usr/share/espresso/pseudo/Si.pbe-rrkj.UPF")
needs_espresso = pytest.mark.skipif(
    shutil.which("pw.x") is None or not FILE.is_file(),
    reason="Quantum ESPRESSO is not installed: make cp2k",
)
CHEAP = {"cutoff": 150.0, "kpoint_length": 1.0, "smearing": 0.3}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def distorted():
    """Two silicon atoms, sheared and displaced."""
    atoms = bulk("Si", "diamond", a=5.43)
    shear = np.array([[1, 0.04, 0], [0, 1.02, 0], [0.01, 0, 1]])
    atoms.set_cell(atoms.cell[:] @ shear, scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def maker(**changed):
    silicon = {"pseudopotentials": {"Si": FILE.name}}
    return make_static_maker(LabelParams(engine="qe-pbe", **{**CHEAP, **silicon, **changed}))


def label_of(atoms, static_maker=None, folder="run"):
    return label_one(static_maker or maker(), AseAtomsAdaptor.get_structure(atoms), folder)


@pytest.fixture
def files(in_tmp):
    """A folder of pseudopotentials that nothing reads."""
    (in_tmp / FILE.name).write_text("one")
    return {"pseudo_dir": str(in_tmp)}


def test_the_hash_is_of_what_decides_the_numbers(files, in_tmp):
    engine = engine_of(maker(**files))
    assert (engine.name, engine.has_spin) == ("Quantum ESPRESSO PBE", False)
    mixing = {"input_data": {"electrons": {"mixing_beta": 0.2}}}
    same = [{"walltime": 9}, {"command": "mpirun pw.x"}, {"calculator_kwargs": mixing}]
    unchanged = engine.hash
    assert {engine_of(maker(**files, **one)).hash for one in same} == {unchanged}
    solids = {"input_data": {"system": {"input_dft": "pbesol"}}}
    others = [{"cutoff": 160}, {"kpoint_length": 2}, {"smearing": 0.1}, {"density_cutoff": 900}]
    others.append({"calculator_kwargs": solids})
    hashes = {engine_of(maker(**files, **one)).hash for one in others}
    (in_tmp / FILE.name).write_text("another")
    hashes.add(engine_of(maker(**files)).hash)
    assert len(hashes | {unchanged}) == len(others) + 2
    assert engine_of(maker(**files, calculator_kwargs=solids)).name == "Quantum ESPRESSO PBESOL"


def test_what_is_missing_is_named_before_anything_runs(files):
    with pytest.raises(EngineError, match=r"no pseudopotential of Si: .*nowhere"):
        maker(pseudo_dir="/nowhere")
    engine = engine_of(maker(**files, command="no-such-pw.x"))
    assert "no 'no-such-pw.x'" in engine.missing_here()
    carbon = Structure(Lattice.cubic(4), ["C"], [[0, 0, 0]])
    with pytest.raises(EngineError, match="names no file for C"):
        engine.check({"seed": carbon})
    with pytest.raises(EngineError, match=r"no-such-pw\.x"):
        label_of(distorted(), engine.maker)


@needs_espresso
def test_numbers_are_those_of_the_output(in_tmp):
    label = label_of(distorted())
    assert label.converged, label.evidence
    text = (in_tmp / "run" / "espresso.pwo").read_text()
    energy = float(text.split("!    total energy")[1].split()[1]) * Ry
    term = float(text.split("smearing contrib. (-TS)")[1].split()[1]) * Ry
    pressure = float(text.split("P=")[1].split()[0]) / 10  # kbar
    assert label.free_energy == pytest.approx(energy, abs=1e-4)
    assert label.energy == pytest.approx(energy - term / 2, abs=1e-4)
    assert label.energy > label.free_energy + 1e-3
    assert label.pressure == pytest.approx(pressure, abs=0.01)
    assert label.provenance["version"] in text
    assert label.provenance["engine_settings"]["pseudopotentials"].keys() == {"Si"}


@needs_espresso
@pytest.mark.parametrize(
    ("changed", "reason", "words"),
    [
        (
            {"calculator_kwargs": {"input_data": {"electrons": {"electron_maxstep": 2}}}},
            Reason.SCF_NOT_CONVERGED,
            "NOT achieved",
        ),
        ({"walltime": 0.01}, Reason.WALLTIME, "CPU time exceeded"),
        (
            {"calculator_kwargs": {"input_data": {"system": {"nbnd": 1}}}},
            Reason.CRASH,
            "too few bands",
        ),
    ],
)
def test_failures_have_their_reason(changed, reason, words):
    label = label_of(distorted(), maker(**changed))
    assert (label.converged, label.reason, label.energy) == (False, reason, None)
    assert words in label.evidence


@needs_espresso
@pytest.mark.slow
def test_forces_and_stress_are_derivatives_of_the_free_energy():
    """Along a random displacement and a random strain, each by four-point central differences."""
    atoms = distorted()
    static_maker = maker(cutoff=400.0)
    label = label_of(atoms, static_maker)
    rng = np.random.default_rng(5)
    direction = rng.normal(size=(2, 3))
    strain = rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2

    def moved(x):
        copied = atoms.copy()
        copied.positions += x * direction
        return copied

    def slope(changed, step):
        energies = [label_of(changed(n * step), static_maker).free_energy for n in (-2, -1, 1, 2)]
        return np.dot((1, -8, 8, -1), energies) / (12 * step)

    assert slope(moved, 0.01) == pytest.approx(-(label.forces * direction).sum(), abs=1e-2)
    along = slope(lambda x: strained(atoms, x * strain), 0.005) / atoms.get_volume()
    assert along == pytest.approx((label.stress * strain).sum(), abs=5e-3)


IRON = Path("/usr/share/espresso/pseudo/Fe.pbe-nd-rrkjus.UPF")
needs_iron = pytest.mark.skipif(
    shutil.which("pw.x") is None or not IRON.is_file(),
    reason="Quantum ESPRESSO is not installed: make cp2k",
)


def iron(moments, shift=0.1):
    """bcc iron, one of whose two atoms is displaced."""
    atoms = bulk("Fe", a=2.85, cubic=True)
    atoms.positions[1, 0] += shift
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def iron_maker(**changed):
    given = {"pseudopotentials": {"Fe": IRON.name}, "cutoff": 300.0, "density_cutoff": 1800.0}
    return maker(**{**given, "kpoint_length": 2.0, "spin": True, **changed})


@needs_iron
def test_iron_ends_with_the_moments_of_its_atoms_and_of_the_cell(in_tmp):
    assert engine_of(iron_maker()).has_spin
    label = label_of(iron([3.0, 3.0]), iron_maker())
    assert label.converged, label.evidence
    assert "starting_magnetization(1) = 0.375" in (in_tmp / "run/espresso.pwi").read_text()
    assert "Fe           0.375" in (in_tmp / "run/espresso.pwo").read_text()
    assert label.magmoms == pytest.approx([label.magmoms.mean()] * 2, abs=0.01)
    assert 1.5 < label.magmoms.mean() < 4.0  # of a coarse mesh
    assert label.total_magmom == pytest.approx(label.magmoms.sum(), rel=0.2)
    without = label_of(iron([3.0, 3.0]), iron_maker(spin=False), "without")
    assert (without.magmoms, without.total_magmom) == (None, None)
    assert label.free_energy < without.free_energy - 0.1
