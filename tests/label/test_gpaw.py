"""GPAW as label engine: its own numbers, from scratch each time, and one line if it is missing."""

import gzip
import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cells import strained
from pydantic import ValidationError
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.label import (
    EngineError,
    LabelParams,
    Reason,
    engine_of,
    label_one,
    labels_per_job,
    make_static_maker,
)
from entropy_flows.label.gpaw import GPAWStaticMaker

needs_gpaw = pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed")
CHEAP = {"cutoff": 200.0, "kpoint_length": 1.0, "smearing": 0.2}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def distorted(scale=1.0, seed=1):
    """Two silicon atoms, sheared, their order and cell unlike what a code would choose."""
    atoms = bulk("Si", "diamond", a=5.43 * scale)
    atoms.set_cell(
        atoms.cell[:] @ np.array([[1, 0.04, 0], [0, 1.02, 0], [0.01, 0, 1]]), scale_atoms=True
    )
    atoms.rattle(0.1, seed=seed)
    return atoms


def maker(**changed):
    return GPAWStaticMaker(**{**CHEAP, **changed})


def label_of(atoms, static_maker=None, folder=None):
    return label_one(static_maker or maker(), AseAtomsAdaptor.get_structure(atoms), folder)


def direct(atoms, **changed):
    """The same calculation without this package."""
    from gpaw import GPAW, PW, MethfesselPaxton

    convergence = {"energy": 1e-6, "density": 1e-5, "eigenstates": 1e-9}
    arguments = {
        "mode": PW(200),
        "xc": "PBE",
        "kpts": (1, 1, 1),
        "occupations": MethfesselPaxton(0.2),
    }
    atoms = atoms.copy()
    atoms.calc = GPAW(convergence=convergence, txt=None, **{**arguments, **changed})
    return atoms


@needs_gpaw
def test_numbers_are_gpaws(in_tmp):
    atoms = distorted()
    label = label_of(atoms, folder="run")
    expected = direct(atoms)
    assert label.converged
    assert label.energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)
    assert label.free_energy == pytest.approx(
        expected.get_potential_energy(force_consistent=True), abs=1e-6
    )
    assert label.free_energy < label.energy - 1e-4
    np.testing.assert_allclose(label.forces, expected.get_forces(), atol=1e-5)
    np.testing.assert_allclose(label.stress, expected.get_stress(voigt=False), atol=1e-6)
    assert label.provenance["engine"] == "GPAW PBE"
    assert (in_tmp / "run" / "gpaw.txt").stat().st_size > 0


@needs_gpaw
def test_the_mesh_is_centred_at_gamma():
    static_maker = maker(kpoint_length=6.0)  # 6/3.8: 2, 2, 2
    label = label_of(distorted(), static_maker)
    expected = direct(distorted(), kpts={"size": (2, 2, 2), "gamma": True})
    assert label.energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)


@needs_gpaw
def test_a_cell_has_the_same_numbers_whatever_was_calculated_before():
    used = maker()
    first, _, again = (label_of(distorted(seed=seed), used) for seed in (1, 2, 1))
    fresh = label_of(distorted(seed=1))
    for other in (again, fresh):
        assert (first.energy, first.free_energy) == (other.energy, other.free_energy)
        np.testing.assert_array_equal(first.forces, other.forces)
        np.testing.assert_array_equal(first.stress, other.stress)


@needs_gpaw
def test_atoms_left_handed_cells_and_moments_as_submitted():
    atoms = distorted()
    label = label_of(atoms)
    swapped = atoms[[1, 0]]
    swapped.set_cell(atoms.cell[[1, 0, 2]])  # left-handed
    structure = AseAtomsAdaptor.get_structure(swapped)
    structure.add_site_property("magmom", [3.0, 3.0])
    other = label_one(maker(), structure)
    assert other.converged, other.evidence
    assert other.free_energy == pytest.approx(label.free_energy, abs=1e-3)
    np.testing.assert_allclose(other.forces[::-1], label.forces, atol=5e-3)
    np.testing.assert_allclose(other.stress, label.stress, atol=1e-3)


@needs_gpaw
@pytest.mark.parametrize(
    ("changed", "reason", "words"),
    [
        ({"calculator_kwargs": {"maxiter": 2}}, Reason.SCF_NOT_CONVERGED, "in 2 electronic steps"),
        ({"walltime": 1e-3}, Reason.WALLTIME, "in electronic step 1,"),
    ],
)
def test_failures_have_their_reason(changed, reason, words):
    label = label_of(distorted(), maker(**changed))
    assert (label.converged, label.reason) == (False, reason)
    assert words in label.evidence
    assert label.provenance == {
        "engine": "GPAW PBE",
        "engine_settings": maker(**changed).deciding_parameters(),
    }


# --- settings


@needs_gpaw
def test_the_engine_in_a_campaign():
    params = LabelParams(engine="gpaw-pbe", walltime=60, **CHEAP)
    static_maker = make_static_maker(params)
    assert static_maker == maker(walltime=60)
    assert engine_of(static_maker).name == "GPAW PBE"
    assert labels_per_job(params, static_maker) == 1
    assert engine_of(static_maker).hash == engine_of(maker()).hash


@needs_gpaw
def test_hash_changes_with_the_physics_alone(monkeypatch, in_tmp):
    import gpaw

    same = [
        maker(),
        maker(name="x", walltime=5.0),
        maker(calculator_kwargs={"maxiter": 9, "mixer": {"beta": 0.1}}),
    ]
    same.append(GPAWStaticMaker.from_dict(json.loads(json.dumps(maker().as_dict(), default=str))))
    others = [maker(cutoff=210.0), maker(kpoint_length=2.0), maker(smearing=0.1)]
    others.append(maker(calculator_kwargs={"xc": "RPBE"}))
    assert engine_of(others[-1]).name == "GPAW RPBE"
    hashes = [engine_of(one).hash for one in (maker(), *others)]
    assert {engine_of(one).hash for one in same} == {hashes[0]}
    with monkeypatch.context() as patch:
        patch.setattr(gpaw, "__version__", "0.1")
        hashes.append(engine_of(maker()).hash)
    (in_tmp / "Si.PBE.gz").write_bytes(gzip.compress(b"another setup"))
    monkeypatch.setattr(gpaw, "setup_paths", [str(in_tmp)])
    hashes.append(engine_of(maker()).hash)
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    "wrong", [{"user_incar_settings": {"ENCUT": 1}}, {"model": "EMT"}, {"cutoff": -1}]
)
def test_wrong_parameters_die_early(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LabelParams(engine="gpaw-pbe", **wrong)
    with pytest.raises(ValidationError, match="cutoff"):
        LabelParams(engine="vasp-pbe", cutoff=500)


# --- what is not installed


def test_no_gpaw_is_said_before_anything_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpaw", None)
    for attempt in (
        lambda: make_static_maker(LabelParams(engine="gpaw-pbe")),
        lambda: engine_of(maker()).hash,
    ):
        with pytest.raises(EngineError, match=r"libxc-dev.*entropy_flows\[gpaw\]"):
            attempt()
    with pytest.raises(EngineError, match="GPAW is not installed"):
        label_of(distorted())


@needs_gpaw
def test_no_setups_blame_no_structure(monkeypatch):
    import gpaw

    with monkeypatch.context() as patch:
        patch.setattr(gpaw, "setup_paths", [])
        with pytest.raises(EngineError, match="pip install gpaw-data"):
            make_static_maker(LabelParams(engine="gpaw-pbe"))
    plutonium = Structure(np.eye(3) * 8, ["Pu"], [[0, 0, 0]])
    with pytest.raises(EngineError, match=r"Pu\.PBE"):
        label_one(maker(), plutonium)


# --- laws


@needs_gpaw
@pytest.mark.slow
def test_forces_and_stress_are_derivatives_of_the_free_energy():
    """Along a random displacement and a random strain, each by four-point central differences."""
    atoms = distorted()
    static_maker = maker(cutoff=400.0)
    rng = np.random.default_rng(5)
    label = label_of(atoms, static_maker)
    direction = rng.normal(size=(2, 3))
    strain = rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2

    def moved(x):
        return Atoms(atoms, positions=atoms.positions + x * direction)

    def derivative(changed, step):
        energies = [label_of(changed(n * step), static_maker).free_energy for n in (-2, -1, 1, 2)]
        return np.dot((1, -8, 8, -1), energies) / (12 * step)

    assert derivative(moved, 0.01) == pytest.approx(-(label.forces * direction).sum(), abs=5e-3)
    along = derivative(lambda x: strained(atoms, x * strain), 0.005) / atoms.get_volume()
    assert along == pytest.approx((label.stress * strain).sum(), abs=5e-3)


@needs_gpaw
def test_hydrogen_atoms_keep_their_moments_with_spin_alone():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0.1, 0, 2.5]], cell=[2.6, 2.6, 5.0], pbc=True)
    atoms.set_initial_magnetic_moments([1, 1])
    label = label_of(atoms, maker(spin=True, kpoint_length=3.0))
    assert label.converged, label.evidence
    assert label.total_magmom == pytest.approx(2, abs=0.01)
    assert np.sign(label.magmoms).tolist() == [1, 1]
    without = label_of(atoms, maker(kpoint_length=3.0))
    assert (without.magmoms, without.total_magmom) == (None, None)
    assert abs(label.free_energy - without.free_energy) > 0.1


@needs_gpaw
def test_squeezed_silicon_pushes_back():
    squeezed, stretched = (
        label_of(distorted(scale), maker(kpoint_length=8.0)) for scale in (0.93, 1.07)
    )
    assert stretched.pressure < -2 < 20 < squeezed.pressure
    assert np.trace(squeezed.stress) < 0
