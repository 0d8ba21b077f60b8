"""Both surfaces: forces and stress are derivatives of the energy, and caches know what they
depend on.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from cells import Spring, numerical_gradient, numerical_strain_gradient, rattled, skewed

from entropy_flows.conventions import GPA, KBAR, pressure, stress_from_vasp, to_matrix, to_voigt
from entropy_flows.entropy import ExploreSurface, RefineSurface, SufficientStatistics, local_entropy
from entropy_flows.fingerprints import GOM

CELLS = [skewed("Si4", 1), skewed("Si2C2", 2), skewed("NaCl2O", 3)]
LOCAL = GOM(cutoff=3.0, natx=30)


def dataset(mode, atoms, gom, n=6):
    """Statistics of a few distorted copies of a cell."""
    statistics = None
    for seed in range(n):
        copy = atoms.copy()
        copy.rattle(0.15, seed=seed)
        q = gom(copy)
        statistics = statistics or SufficientStatistics(q.shape[1], mode=mode)
        statistics.add(q)
    return statistics


def assert_consistent(atoms, make):
    """Forces and stress against central differences of the energy."""
    energy = lambda moved: make().get_potential_energy(moved)  # noqa: E731
    calculator = make()
    forces, stress = calculator.get_forces(atoms), calculator.get_stress(atoms)
    np.testing.assert_allclose(forces, -numerical_gradient(energy, atoms), atol=2e-6, rtol=2e-6)
    numerical = numerical_strain_gradient(energy, atoms) / atoms.get_volume()
    np.testing.assert_allclose(to_matrix(stress), numerical, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("atoms", CELLS)
def test_explore_forces_and_stress(atoms):
    assert_consistent(atoms, lambda: ExploreSurface(Spring(), LOCAL, k=2.0))


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("atoms", CELLS)
def test_refine_forces_and_stress(atoms, mode):
    gom = GOM(cutoff=3.0, natx=8)
    statistics = dataset(mode, atoms, gom)
    assert_consistent(atoms, lambda: RefineSurface(Spring(), gom, statistics, k=0.5))


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_refine_with_the_papers_gradient(mode):
    """Same energy, forces of the printed formula, stress from the same weights."""
    atoms, gom = CELLS[0], GOM(cutoff=3.0, natx=8)
    statistics = dataset(mode, atoms, gom)
    surface = RefineSurface(Spring(), gom, statistics, k=0.5, gradient="paper")
    exact = RefineSurface(Spring(), gom, statistics, k=0.5)
    assert surface.get_potential_energy(atoms) == exact.get_potential_energy(atoms)
    q = gom(atoms)
    mean = q if mode == "atom" else np.repeat(q.mean(axis=0, keepdims=True), len(q), axis=0)
    w = np.linalg.solve(
        statistics.covariance(), (mean - statistics.mean).T
    ).T  # of D alone, held fixed
    scale = 2 / statistics.n / (1 if mode == "atom" else len(q))
    frozen = lambda moved: scale * float((w * gom(moved)).sum())  # noqa: E731
    forces = surface.get_forces(atoms) - surface.results["base_forces"]
    np.testing.assert_allclose(
        forces, 0.5 * numerical_gradient(frozen, atoms), atol=1e-6, rtol=1e-6
    )
    stress = (surface.get_stress(atoms) - Spring().get_stress(atoms)) * atoms.get_volume()
    np.testing.assert_allclose(
        to_matrix(stress), -0.5 * numerical_strain_gradient(frozen, atoms), atol=1e-6
    )
    assert np.abs(surface.get_forces(atoms) - exact.get_forces(atoms)).max() > 1e-3


def test_results():
    atoms = CELLS[0]
    surface = ExploreSurface(Spring(), LOCAL, k=3.0)
    atoms = atoms.copy()
    atoms.calc = surface
    S, _ = local_entropy(LOCAL(atoms))
    base = Spring().get_potential_energy(atoms)
    assert atoms.get_potential_energy() == pytest.approx(base - 3.0 * S)
    assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(base - 3.0 * S)
    assert surface.results["entropy"] == pytest.approx(S)
    assert surface.results["base_energy"] == pytest.approx(base)
    np.testing.assert_allclose(surface.results["base_forces"], Spring().get_forces(atoms))
    statistics = dataset("atom", atoms, LOCAL)
    refine = RefineSurface(Spring(), LOCAL, statistics, k=1.0)
    grown = statistics.copy()
    grown.add(LOCAL(atoms))
    assert refine.get_potential_energy(atoms) == pytest.approx(base - grown.entropy(), abs=1e-8)
    assert refine.results["gain"] == pytest.approx(statistics.gain(LOCAL(atoms)))


def test_changing_k_counts_at_once():
    atoms, base = CELLS[0].copy(), Spring()
    atoms.calc = ExploreSurface(base, LOCAL, k=0.0)
    plain, S = atoms.get_potential_energy(), local_entropy(LOCAL(atoms))[0]
    for k in (1.0, 7.5, 0.0):
        atoms.calc.k = k
        assert atoms.get_potential_energy() == pytest.approx(plain - k * S)
    assert base.calls == 1  # the base model keeps its own results


def test_a_growing_dataset_counts_at_once():
    atoms, gom = CELLS[0].copy(), GOM(cutoff=3.0, natx=8)
    statistics = dataset("atom", atoms, gom)
    atoms.calc = RefineSurface(Spring(), gom, statistics, k=1.0)
    atoms.get_potential_energy()
    statistics.add(gom(CELLS[0] * (2, 1, 1)))
    fresh = RefineSurface(Spring(), gom, statistics, k=1.0).get_potential_energy(atoms)
    assert atoms.get_potential_energy() == pytest.approx(fresh)


def test_without_bias_the_fingerprint_is_left_alone():
    def forbidden(*_):
        raise AssertionError("fingerprint used at k = 0")

    atoms = CELLS[0].copy()
    fingerprint = type("Forbidden", (), {"__call__": forbidden, "vjp": forbidden})()
    surface = ExploreSurface(Spring(), fingerprint, k=0.0)
    np.testing.assert_array_equal(surface.get_forces(atoms), Spring().get_forces(atoms))
    np.testing.assert_array_equal(surface.get_stress(atoms), Spring().get_stress(atoms))
    assert "entropy" not in surface.results
    asked = ExploreSurface(Spring(), LOCAL, k=0.0)
    assert asked.get_property("entropy", atoms) == pytest.approx(local_entropy(LOCAL(atoms))[0])


def test_stress_only_where_there_is_one():
    with pytest.raises(PropertyNotImplementedError):
        ExploreSurface(Spring(), LOCAL, k=1.0).get_stress(Atoms("Si2", [[0, 0, 0], [0, 0, 2]]))
    base = Spring()
    base.implemented_properties = ("energy", "forces")
    assert "stress" not in ExploreSurface(base, LOCAL, k=1.0).implemented_properties


def test_emt_base():
    atoms = bulk("Cu") * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    gom = GOM(cutoff=3.0, natx=20)
    assert_consistent(atoms, lambda: ExploreSurface(EMT(), gom, k=1.0))


def test_perfect_crystal_feels_nothing():
    atoms = bulk("Si", "diamond", a=5.43) * (2, 2, 2)
    surface = ExploreSurface(Spring(), LOCAL, k=20.0)
    assert np.abs(surface.get_forces(atoms)).max() < 1e-4


def test_entropy_rises_downhill():
    atoms = rattled("Si")
    surface = ExploreSurface(Spring(), LOCAL, k=1.0)
    before = surface.get_property("entropy", atoms)
    force = surface.get_forces(atoms) - surface.results["base_forces"]
    atoms.positions += 1e-4 * force / np.abs(force).max()
    assert surface.get_property("entropy", atoms) > before


def test_wrong_settings():
    with pytest.raises(ValueError, match="k is nan"):
        ExploreSurface(Spring(), LOCAL, k=np.nan)
    with pytest.raises(ValueError, match="gradient is 'papers'"):
        RefineSurface(Spring(), LOCAL, SufficientStatistics(30), k=1.0, gradient="papers")


def test_conventions():
    assert pytest.approx(160.21766, abs=1e-5) == GPA
    voigt = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    matrix = to_matrix(voigt)
    assert matrix[1, 2] == matrix[2, 1] == 4.0
    np.testing.assert_array_equal(to_voigt(matrix), voigt)
    squeezed = stress_from_vasp(100.0 * np.eye(3))  # VASP: +100 kBar on a compressed cell
    assert pressure(squeezed) * GPA == pytest.approx(10.0)
    assert pressure(to_voigt(squeezed)) * KBAR == pytest.approx(100.0)
    for function, wrong in ((to_voigt, voigt), (to_matrix, matrix), (stress_from_vasp, voigt)):
        with pytest.raises(ValueError, match="shape"):
            function(wrong)
