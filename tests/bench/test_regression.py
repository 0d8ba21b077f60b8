"""The students linear and gp: exact derivatives, a strength that labels decide, and learning."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from cells import numerical_gradient, skewed
from scipy.stats import multivariate_normal

from entropy_flows.bench import BenchParams, LabelledPool
from entropy_flows.bench.design import CONSTANT, Design, cell_rows, feature_maps, store_design
from entropy_flows.bench.params import RegressionParams
from entropy_flows.bench.power_spectrum import PowerSpectrum
from entropy_flows.bench.regression import RegressionStudent
from entropy_flows.bench.ridge import STRENGTHS, Moments, Ridge
from entropy_flows.entropy.landmarks import pivoted_cholesky

pytest.importorskip("featomic")
SMALL = RegressionParams(
    power_spectrum={"cutoff": 3.5, "radial": 3, "angular": 2, "directions": 12}, landmarks=20
)


def moments_of(x, y):
    moments = Moments.none(x.shape[1])
    moments.add(x, y)
    return moments


def rows_of(frames, kind, folder, forces=True):
    store_design(folder / "rows.npy", frames, SMALL, kind, forces)
    return Design.load(folder / "rows.npy")


@pytest.mark.parametrize("kind", ["linear", "gp"])
@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_rows_of_forces_are_derivatives_of_those_of_energies(kind, pbc):
    cell = skewed("Cu3Au2", edge=4.0)
    cell.pbc = pbc
    others = [skewed("Cu2Au", seed, edge=4.0) for seed in range(1, 8)]
    spectrum = PowerSpectrum(SMALL.power_spectrum, [cell, *others])
    maps = feature_maps(spectrum, SMALL, kind)
    rows = cell_rows(cell, spectrum, maps, forces=True)
    weights = np.random.default_rng(0).normal(size=rows.shape[1])

    def energy(atoms):
        return len(atoms) * float(cell_rows(atoms, spectrum, maps, forces=False)[0] @ weights)

    expected = -numerical_gradient(energy, cell, step=1e-3)
    forces = (rows[1:] @ weights).reshape(-1, 3)
    np.testing.assert_allclose(forces, expected, atol=1e-4 * np.abs(forces).max())


def test_a_row_is_a_mean_over_atoms_and_tells_the_composition(tmp_path):
    cell = skewed("Cu3Au2", edge=4.0)
    design = rows_of([cell, cell * (1, 2, 1), skewed("Cu")], "gp", tmp_path, forces=False)
    single, double, copper = design.energies([0, 1, 2])
    np.testing.assert_allclose(double, single, atol=2e-5)
    np.testing.assert_allclose(single[-2:], np.array([3, 2]) * CONSTANT / 5, rtol=1e-6)
    np.testing.assert_allclose(copper[-2:], [CONSTANT, 0], rtol=1e-6)
    assert design.forces(0).shape == (0, len(single))


def test_the_strength_has_the_largest_evidence():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 6)) * [5, 3, 1, 0.3, 0.1, 0.03]
    y = x @ rng.normal(size=6) + 0.3 * rng.normal(size=30)
    fit = Ridge.of([moments_of(x, y)])

    def evidence(strength):
        covariance = x @ x.T / strength + np.eye(30)
        noise = float(y @ np.linalg.solve(covariance, y)) / 30
        return multivariate_normal(np.zeros(30), noise * covariance).logpdf(y)

    # Below these covariances of labels are singular in double precision.
    strengths = [share for share in STRENGTHS if share > 1e-9]
    best = max(np.array(strengths) * np.linalg.eigvalsh(x.T @ x)[-1], key=evidence)
    assert fit.strength == pytest.approx(best)
    inverse = np.linalg.inv(x.T @ x + fit.strength * np.eye(6))
    np.testing.assert_allclose(fit.coefficients, inverse @ x.T @ y, rtol=1e-9)
    variances = fit.noise * np.einsum("nm,mk,nk->n", x, inverse, x)
    np.testing.assert_allclose(fit.spread(x) ** 2, variances, rtol=1e-9)


def test_the_strength_has_the_least_error_on_what_is_left_out():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 6)) * [5, 3, 1, 0.3, 0.1, 0.03]
    y = x @ rng.normal(size=6) + rng.normal(size=40)
    parts = [slice(start, start + 10) for start in range(0, 40, 10)]
    fit = Ridge.of([moments_of(x[part], y[part]) for part in parts], by_folds=True)

    def error(strength):
        total = 0.0
        for part in parts:
            left, right = np.delete(x, part, axis=0), np.delete(y, part)
            coefficients = np.linalg.solve(left.T @ left + strength * np.eye(6), left.T @ right)
            total += np.sum((y[part] - x[part] @ coefficients) ** 2)
        return total

    assert fit.strength == pytest.approx(
        min(STRENGTHS * np.linalg.eigvalsh(x.T @ x)[-1], key=error)
    )
    whole = np.linalg.solve(x.T @ x + fit.strength * np.eye(6), x.T @ y)
    np.testing.assert_allclose(fit.coefficients, whole, rtol=1e-9)


def test_landmarks_are_those_that_are_least_known():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(60, 2))
    kernel = np.exp(-np.square(points[:, None] - points).sum(axis=2) / 2)
    found = pivoted_cholesky(lambda index: kernel[index], np.diag(kernel), 12)
    chosen = []
    for index in found:
        left = np.diag(kernel).copy()
        if chosen:
            cross = kernel[:, chosen]
            inverse = np.linalg.inv(kernel[np.ix_(chosen, chosen)])
            left -= np.einsum("nm,mk,nk->n", cross, inverse, cross)
        assert left[index] >= left.max() - 1e-9
        chosen.append(index)
    copies = np.zeros((5, 2))
    ones = np.exp(-np.square(copies[:, None] - copies).sum(axis=2))
    assert len(pivoted_cholesky(lambda index: ones[index], np.ones(5), 5)) == 1


@pytest.fixture(scope="module")
def alloy(tmp_path_factory):
    """Rattled cells of copper and gold, labelled by EMT."""
    rng = np.random.default_rng(3)
    frames = []
    for index in range(40):
        atoms = bulk("Cu", a=3.8, cubic=True)
        atoms.numbers[rng.permutation(4)[: index % 3]] = 79
        atoms.set_cell(atoms.cell * rng.uniform(0.97, 1.05), scale_atoms=True)
        atoms.rattle(0.1, seed=index)
        source = atoms.copy()
        source.calc = EMT()
        energy, forces = source.get_potential_energy(), source.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    energies = np.array([atoms.get_potential_energy() / 4 for atoms in frames])
    forces = [atoms.get_forces() for atoms in frames]
    split = {"train": list(range(32)), "val": [], "test": list(range(32, 40))}
    folder = tmp_path_factory.mktemp("alloy")
    return LabelledPool([], energies, split, ("energy", "meV/atom"), frames, forces), folder


@pytest.mark.parametrize("kind", ["linear", "gp"])
def test_it_learns_energies_and_forces(alloy, kind):
    pool, folder = alloy
    params = BenchParams(pool="alloy.extxyz", students=(kind,), regression={"landmarks": 200})
    store_design(folder / "rows.npy", pool.frames, params.regression, kind, forces=True)
    design = Design.load(folder / "rows.npy")
    few, many = (
        RegressionStudent.trained(pool, design, params, pool.split["train"][:n]) for n in (6, 32)
    )
    test = pool.split["test"]
    errors = many.test(test)["errors"]
    scatter = np.abs(pool.targets[test] - pool.targets[test].mean()).mean()
    mean_force = np.abs(np.concatenate([pool.forces[cell] for cell in test])).mean()
    assert errors["energy_mae"] < 0.2 * scatter
    assert errors["forces_mae"] < 0.4 * mean_force
    assert errors["energy_mae"] <= errors["energy_p95"]
    assert errors["energy_mae"] < few.test(test)["errors"]["energy_mae"]
    assert many.spread(test).mean() < few.spread(test).mean()


def test_weights_stand_for_less_noise_of_a_cell(alloy):
    pool, folder = alloy
    noise = {"energy_noise": 0.01, "force_noise": 0.2}
    loud = {name: 2 * value for name, value in noise.items()}
    params, louder = (
        BenchParams(pool="alloy.extxyz", students=("gp",), regression={"landmarks": 100, **values})
        for values in (noise, loud)
    )
    store_design(folder / "weighted.npy", pool.frames, params.regression, "gp", forces=True)
    design = Design.load(folder / "weighted.npy")
    cells = pool.split["train"][:12]

    def trained(settings, weights=None):
        return RegressionStudent.trained(pool, design, settings, cells, weights)

    same = trained(louder, np.full(12, 4.0)).fit.coefficients
    np.testing.assert_allclose(same, trained(params).fit.coefficients, rtol=1e-7, atol=1e-12)
    one = np.ones(12)
    one[3] = 100.0
    errors = [
        student.test([cells[3]])["errors"]["energy_mae"]
        for student in (trained(params), trained(params, one))
    ]
    assert errors[1] < 0.5 * errors[0]
