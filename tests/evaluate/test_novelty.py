"""Grades against their definition, and the laws that they follow."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cells import rattled, rotated, skewed

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.evaluate.novelty import Novelty, batches_of, graded, quantile
from entropy_flows.evaluate.novelty_trajectory import (
    MAX_WORST,
    GradedTrajectory,
    binned,
    grade_trajectory,
)
from entropy_flows.fingerprints import GOMParams, make_fingerprint

LAMBDA = 1e-3
SILICON = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=40, elements=("Si",)))


def clouds(count=12, dim=6, seed=0):
    """Fingerprints of cells of one to nine atoms; one component is populated in one cell alone."""
    rng = np.random.default_rng(seed)
    cells = [3 + rng.normal(size=(rng.integers(1, 10), dim)) for _ in range(count)]
    for q in cells:
        q[:, -1] = 0
    cells[4][:, -1] = 2.0
    return cells


def statistics(cells, regularization=LAMBDA):
    stats = SufficientStatistics(cells[0].shape[1], regularization, "atom")
    for q in cells:
        stats.add(q)
    return stats


def leverages(rows, q, regularization=LAMBDA):
    """From the definition."""
    offset = q - rows.mean(axis=0)
    sigma = np.cov(rows.T, bias=True) + regularization * np.eye(rows.shape[1])
    return np.einsum("id,id->i", offset, np.linalg.solve(sigma, offset.T).T)


def test_leverages_are_those_of_the_definition():
    cells = clouds()
    stats = statistics(cells)
    q = 2 * clouds(seed=1)[4]
    np.testing.assert_allclose(stats.leverages(q), leverages(np.vstack(cells), q), rtol=1e-9)


def test_a_cell_of_the_data_is_judged_by_the_others():
    cells = clouds()
    stats = statistics(cells)
    before = stats.checksum()
    for index, q in enumerate(cells):
        others = np.vstack(cells[:index] + cells[index + 1 :])
        np.testing.assert_allclose(
            stats.leverages_by_others(q), leverages(others, q), rtol=1e-8, atol=1e-9
        )
    assert stats.checksum() == before
    # new to the others: far beyond anything that the data say with the cell among them
    assert stats.leverages_by_others(cells[4]).min() > 100 * stats.leverages(cells[4]).max()


def test_atoms_are_compared_with_the_means_of_cells_in_mode_config():
    cells = clouds(20)
    stats = SufficientStatistics(6, LAMBDA, "config")
    for q in cells:
        stats.add(q)
    means = np.array([q.mean(axis=0) for q in cells])
    q = 2 * clouds(seed=1)[4]
    np.testing.assert_allclose(stats.leverages(q), leverages(means, q), rtol=1e-9)
    for index, q in enumerate(cells):
        others = np.delete(means, index, axis=0)
        np.testing.assert_allclose(
            stats.leverages_by_others(q), leverages(others, q), rtol=1e-8, atol=1e-9
        )


def test_no_data_and_no_other_cell():
    stats = SufficientStatistics(6, LAMBDA, "atom")
    with pytest.raises(ValueError, match="no data"):
        stats.leverages(clouds()[0])
    stats.add(clouds()[0])
    with pytest.raises(ValueError, match="no other cell"):
        stats.leverages_by_others(clouds()[0])


def test_leverages_do_not_depend_on_axes_and_origin():
    """Rotations and shifts of feature space with any λ, every affine map without one."""
    rng = np.random.default_rng(3)
    cells = [rng.normal(size=(5, 4)) for _ in range(30)]
    q = 4 * rng.normal(size=(7, 4))
    expected = statistics(cells).leverages(q)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    moved = statistics([x @ turn + 5 for x in cells])
    np.testing.assert_allclose(moved.leverages(q @ turn + 5), expected, rtol=1e-9)
    stretch = rng.normal(size=(4, 4)) + 3 * np.eye(4)
    tiny = 1e-12
    expected = statistics(cells, tiny).leverages(q)
    moved = statistics([x @ stretch + 5 for x in cells], tiny)
    np.testing.assert_allclose(moved.leverages(q @ stretch + 5), expected, rtol=1e-6)


def silicon(count=24, stdev=0.05, first=0):
    return [rattled("Si", 2, stdev=stdev, seed=first + seed) for seed in range(count)]


@pytest.fixture(scope="module")
def cold():
    """Silicon, a little displaced."""
    return Novelty.of(silicon(), SILICON)


def test_the_edge_is_the_quantile_of_the_datas_own_atoms(cold):
    fingerprint = make_fingerprint(SILICON.fingerprint)
    prints = fingerprint(silicon())
    own = np.concatenate(
        [
            leverages(np.vstack(prints[:index] + prints[index + 1 :]), q)
            for index, q in enumerate(prints)
        ]
    )
    assert cold.edges["Si"] == pytest.approx(np.sort(own)[-1], rel=1e-6)  # 384 atoms: the largest
    half = Novelty.of(silicon(), SILICON, level=0.5)
    assert half.edges["Si"] == pytest.approx(np.sort(own)[192], rel=1e-6)
    q = prints[0]
    expected = np.sqrt(leverages(np.vstack(prints), q) / cold.edges["Si"])
    np.testing.assert_allclose(cold.grades(silicon()[0]), expected, rtol=1e-6)
    assert max(cold.grades(atoms).max() for atoms in silicon()) < 1


def test_more_of_the_same_is_within_and_other_things_are_beyond():
    """New atoms of the same kind pass the quantile as often as it says, for this is its law."""
    novelty = Novelty.of(silicon(60), SILICON, level=0.9)
    new = np.concatenate(novelty.grades_of(silicon(60, first=1000)))
    assert np.mean(new > 1) == pytest.approx(0.1, abs=0.03)  # 960 atoms: three standard errors
    hot = np.concatenate(novelty.grades_of(silicon(20, stdev=0.2, first=2000)))
    assert np.median(hot) > 1.5


def test_quantile_is_conformal():
    values = np.arange(1.0, 100.0)
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.9) == 90
    assert quantile(values, 0.999) == 99
    assert quantile(np.array([7.0]), 0.1) == 7


def test_rotation_translation_and_order_make_no_difference(cold):
    cell = silicon(1, 0.2)[0]
    grades = cold.grades(cell)
    np.testing.assert_allclose(cold.grades(rotated(cell)), grades, rtol=1e-6)
    moved = cell.copy()
    moved.positions += [0.3, -1.0, 7.0]
    np.testing.assert_allclose(cold.grades(moved), grades, rtol=1e-6)
    order = np.random.default_rng(0).permutation(len(cell))
    np.testing.assert_allclose(cold.grades(cell[order]), grades[order], rtol=1e-6)
    # the same crystal in a larger cell has the same environments
    np.testing.assert_allclose(cold.grades(cell * (1, 1, 2)), np.tile(grades, 2), rtol=1e-6)


def test_an_atom_off_its_site_is_the_worst(cold):
    cell = bulk("Si", cubic=True) * (2, 2, 2)
    cell.rattle(0.02, seed=1)
    assert cold.grades(cell).max() < 1
    cell.positions[17] += [0.9, 0.4, 0.0]
    grades = cold.grades(cell)
    assert np.argmax(grades) == 17
    assert grades[17] > 2
    far = np.argsort(cell.get_distances(17, range(len(cell)), mic=True))[-8:]
    assert grades[far].max() < 1  # nobody else's neighbourhood has changed there


def test_elements_have_edges_of_their_own():
    cells = [skewed("NaNaNaCl", seed=seed, edge=5.5) for seed in range(10)]
    novelty = Novelty.of(cells)
    assert list(novelty.edges) == ["Cl", "Na"]
    assert novelty.statistics["Na"].n == 30
    grades = novelty.grades(cells[0])
    swapped = cells[0][[3, 0, 1, 2]]
    np.testing.assert_allclose(novelty.grades(swapped), grades[[3, 0, 1, 2]], rtol=1e-9)
    with pytest.raises(ValueError, match="has K, of which the data set has no atom: it has Cl, Na"):
        novelty.grades(skewed("NaK", edge=5.5))


def test_last_layer_uncertainty_is_that_of_a_linear_model_of_cells():
    """Its posterior variance by the textbook, up to the constant's 1/N and the edge's unit."""
    dataset = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=8), regularization=1e-4)
    cells = [skewed("NaNaCl", seed=seed, edge=5.0) for seed in range(12)]
    novelty = Novelty.of(cells, dataset, measure="llpr")
    assert list(novelty.edges) == ["Cl", "Na"]
    assert novelty.counts == "12 cells of Cl, Na"
    means = np.array([q.mean(axis=0) for q in novelty.fingerprint(cells)])
    rows = np.column_stack([np.ones(12), means])
    ridge = 12 * 1e-4 * np.diag([0, *np.ones(means.shape[1])])
    new = skewed("NaCl", seed=99, edge=4.4)
    x = np.column_stack([np.ones(2), novelty.fingerprint(new)])
    variances = np.einsum("nd,de,ne->n", x, np.linalg.inv(rows.T @ rows + ridge), x)
    edges = np.array([novelty.edges["Na"], novelty.edges["Cl"]])
    expected = np.sqrt(12 * (variances - 1 / 12) / edges)
    np.testing.assert_allclose(novelty.grades(new), expected, rtol=1e-5)
    mean = x.mean(axis=0)
    variance = mean @ np.linalg.inv(rows.T @ rows + ridge) @ mean
    uncertainty = np.sqrt(12 * (variance - 1 / 12))
    assert novelty.cell_uncertainty(new) == pytest.approx(uncertainty, rel=1e-5)
    with pytest.raises(ValueError, match="a cell's uncertainty needs 'llpr'"):
        Novelty.of(cells, dataset).cell_uncertainty(new)


def test_last_layer_uncertainty_is_calibrated_kept_and_learns(tmp_path):
    novelty = Novelty.of(silicon(60), SILICON, level=0.9, measure="llpr")
    new = np.concatenate(novelty.grades_of(silicon(60, first=1000)))
    assert np.mean(new > 1) == pytest.approx(0.1, abs=0.03)
    hot = silicon(1, 0.3)[0]
    before = novelty.grades(hot)
    assert before.max() > 1
    novelty.save(tmp_path / "known.json")
    np.testing.assert_array_equal(Novelty.load(tmp_path / "known.json").grades(hot), before)
    twin = novelty.copy()
    twin.add(hot, twin.fingerprint(hot))
    assert twin.grades(hot).max() < before.max()
    np.testing.assert_array_equal(novelty.grades(hot), before)


def test_what_is_added_becomes_known_and_the_copy_does_not(cold):
    hot = silicon(1, 0.3)[0]
    before = cold.grades(hot).max()
    twin = cold.copy()
    twin.add(hot, twin.fingerprint(hot))
    assert twin.grades(hot).max() < 0.7 * before
    assert cold.grades(hot).max() == before
    # knowing more of one thing makes no other less known
    others = silicon(5, 0.2, first=500)
    for known, more in zip(cold.grades_of(others), twin.grades_of(others), strict=True):
        assert (more < 1.01 * known).all()


def test_saved_and_loaded_to_the_last_bit(cold, tmp_path):
    cold.save(tmp_path / "known.json")
    assert (tmp_path / "known.json").stat().st_size < 20_000
    again = Novelty.load(tmp_path / "known.json")
    hot = silicon(1, 0.3)[0]
    np.testing.assert_array_equal(again.grades(hot), cold.grades(hot))
    assert (again.level, again.edges) == (cold.level, cold.edges)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format="x"), "format is 'x'"),
        (lambda content: content.pop("edges"), "'edges'"),
        (lambda content: content["statistics"].update(Si="QUJD"), "no sufficient"),
        (lambda content: content.update(measure="x"), "measure is 'x', expected leverage or llpr"),
        (lambda content: content["dataset"].update(regularization=-1), "regularization"),
    ],
)
def test_files_that_are_none(cold, tmp_path, change, message):
    path = tmp_path / "known.json"
    cold.save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"known.json is no saved novelty: .*{message}"):
        Novelty.load(path)
    with pytest.raises(ValueError, match=r"none\.json does not exist"):
        Novelty.load(tmp_path / "none.json")


def test_data_without_an_edge():
    with pytest.raises(ValueError, match="no cells"):
        Novelty.of([])
    with pytest.raises(ValueError, match="Si is in one cell of the data set"):
        Novelty.of(silicon(1))
    with pytest.raises(ValueError, match="all environments of Si in the data set are the same"):
        Novelty.of([bulk("Si")] * 3)
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        Novelty.of(silicon(2), level=1.5)


def test_batches_have_about_so_many_atoms():
    cells = [Atoms("H" * n) for n in (3, 3, 3, 9, 1)]
    assert [len(batch) for batch in batches_of(cells, 6)] == [2, 2, 1]
    assert list(batches_of([], 6)) == []


def test_marks_of_a_frame():
    cell = bulk("Si", cubic=True)
    cell.info["energy"] = -1.0
    frame = graded(cell, np.array([0.1, 0.2, 1.5, 0.3, 0.1, 1.1, 0.0, 0.2]))
    assert frame.arrays["novel"].tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert frame.info == {"novelty": 1.5, "worst_atom": 2}
    assert frame.calc is None


def test_a_trajectory_in_numbers(cold):
    frames = [*silicon(30), *silicon(3, 0.3), *silicon(2)]
    written = []
    trajectory = grade_trajectory("run", iter(frames), cold, 1.0, written.append)
    assert len(written) == len(trajectory) == 35
    np.testing.assert_allclose(
        trajectory.grades, [cold.grades(atoms).max() for atoms in frames], rtol=1e-12
    )
    summary = trajectory.summary()
    above = [index for index, grade in enumerate(trajectory.grades) if grade > 1]
    assert {30, 31, 32} <= set(above)
    assert summary.first_above == above[0]
    assert summary.share_above == pytest.approx(len(above) / 35)
    assert summary.worst == max(trajectory.grades)
    assert summary.worst_frame in (30, 31, 32)
    atoms_above = sum(int(frame.arrays["novel"].sum()) for frame in written)
    assert summary.atoms_above == pytest.approx(atoms_above / (35 * 16))
    worst = trajectory.worst_frames
    assert len(worst) == MAX_WORST
    assert [frame.info["frame"] for frame in worst] == np.argsort(trajectory.grades)[::-1][
        :MAX_WORST
    ].tolist()
    with pytest.raises(ValueError, match="empty has no frames"):
        GradedTrajectory("empty", 1.0).summary()


def test_bins_lose_no_peak():
    values = np.zeros(1005)
    values[777] = 9.0
    starts, means, maxima = binned(values, 100)
    assert len(starts) <= 100
    assert maxima.max() == 9
    assert means @ np.diff(np.append(starts, 1005)) == pytest.approx(9)
    np.testing.assert_array_equal(binned(values, 2000)[1], values)
