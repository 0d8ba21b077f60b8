"""The choice among frames: what is known, what is left out, and the law of each selector."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from cells import Spring, rattled, rotated

from entropy_flows import choose_frames
from entropy_flows.entropy import SufficientStatistics
from entropy_flows.fingerprints import GOM
from entropy_flows.frames import fingerprinted, judge, target
from entropy_flows.frames.choice import INFO_KEYS
from entropy_flows.select import cell_table

SMALL = {"natx": 12, "cutoff": 3.5}


@pytest.fixture(scope="module")
def cells():
    """Cold, warm and hot cells in turn."""
    return [rattled("Si", 1, stdev=(0.01, 0.05, 0.3)[seed % 3], seed=seed) for seed in range(60)]


@pytest.fixture(scope="module")
def file(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "md.extxyz"
    labelled = []
    for atoms in cells:
        atoms = atoms.copy()
        atoms.calc = Spring()
        atoms.get_stress()
        labelled.append(atoms)
    write(path, labelled)
    return path


@pytest.mark.parametrize(
    "selector", ["kmeans", "farthest", "kcentres", "greedy", "logdet", "random", "variance"]
)
def test_each_selector_takes_new_frames_with_their_gains(cells, file, selector):
    choice = choose_frames(file, 8, cells[:12], selector, fingerprint=SMALL)
    numbers = [frame.frame for frame in choice.frames]
    assert 0 < len(set(numbers)) == len(numbers) <= 8
    assert bool(choice.reason) == (len(numbers) < 8)
    assert min(numbers) >= 12, "the first twelve are known"
    (source,) = choice.sources
    assert (source.frames, source.copies, source.chosen) == (60, 12, len(numbers))
    # gains by the definition, one cell after the other
    gom = GOM(elements=("Si",), **SMALL)
    statistics = SufficientStatistics(gom.dim, 1e-3, "config")
    for atoms in cells[:12]:
        statistics.add(gom(atoms))
    for frame in choice.frames:
        q = gom(cells[frame.frame])
        assert frame.gain == pytest.approx(statistics.gain(q), abs=1e-4)
        statistics.add(q)
    after = choice.coverage.entropy_after["config"]
    assert after == pytest.approx(statistics.entropy(), abs=1e-6)
    assert choice.coverage.before.mean() > choice.coverage.after.mean()


@pytest.mark.parametrize("selector", ["kmeans", "logdet", "random", "variance"])
def test_files_and_cells_in_memory_give_one_choice(cells, file, selector, monkeypatch):
    whole = choose_frames(file, 6, cells[:5], selector, fingerprint=SMALL)
    in_memory = choose_frames(cells, 6, cells[:5], selector, fingerprint=SMALL)
    assert [frame.frame for frame in whole.frames] == [frame.frame for frame in in_memory.frames]
    again = choose_frames(file, 6, cells[:5], selector, fingerprint=SMALL)
    assert [frame.frame for frame in again.frames] == [frame.frame for frame in whole.frames]
    other = choose_frames(file, 6, cells[:5], selector, fingerprint=SMALL, seed=1)
    assert [frame.frame for frame in other.frames] != [frame.frame for frame in whole.frames]


def test_known_cells_are_known_however_they_stand(cells, file):
    turned = [rotated(atoms, seed=3) for atoms in cells[:4]]
    for atoms in turned:
        atoms.positions = atoms.positions[::-1] + 0.3
    choice = choose_frames(file, 4, turned, fingerprint=SMALL)
    assert choice.sources[0].copies == 4
    assert choice.dataset_size == 4


def test_the_budget_of_one_pass_is_spread_over_the_pool(cells, monkeypatch):
    """The first frames would take all of it, as each of them gains enough."""
    monkeypatch.setattr(fingerprinted, "BATCH_CELLS", 8)
    hot = [rattled("Si", 1, stdev=0.3, seed=seed) for seed in range(400)]
    choice = choose_frames(hot, 40, selector="logdet", fingerprint=SMALL)
    numbers = np.array([frame.frame for frame in choice.frames])
    halves = np.histogram(numbers, bins=[0, 200, 400])[0]
    assert halves.min() > 8
    assert sum(halves) == len(numbers)


def test_random_choice_is_a_draw_without_replacement(cells, monkeypatch):
    monkeypatch.setattr(fingerprinted, "BATCH_CELLS", 7)
    counts = np.zeros(60)
    for seed in range(20):
        choice = choose_frames(cells, 15, selector="random", fingerprint=SMALL, seed=seed)
        assert len(choice.frames) == 15
        counts[[frame.frame for frame in choice.frames]] += 1
    # 20 draws of 15 of 60: each frame 5 times, standard deviation 1.9
    assert counts.max() < 14
    assert (counts == 0).sum() < 6
    halves = counts.reshape(2, 30).sum(axis=1)
    assert abs(halves[0] - halves[1]) < 70


def test_one_pass_needs_the_memory_of_a_batch(monkeypatch):
    """Nothing but a sample of the pool is held."""
    monkeypatch.setattr(judge, "SAMPLE_SIZE", 50)
    monkeypatch.setattr(fingerprinted, "BATCH_CELLS", 16)
    pool = [rattled("Si", 1, stdev=0.1, seed=seed) for seed in range(200)]
    one_pass = choose_frames(pool, 5, selector="logdet", fingerprint=SMALL)
    assert one_pass.kept_bytes == 0
    assert len(one_pass.coverage.points) == 50
    judgement = judge.Judgement()
    dataset = fingerprinted.DataSetSummary({}, np.empty((0, 3)), np.empty(0))
    frames = judge.NewFrames(judgement, dataset, total=4, seed=0)
    frames.of(fingerprinted.FingerprintBatch([0, 1, 2, 3], [np.ones((2, 3))] * 4))
    assert all(mean.base is None for mean in judgement.sample.values())
    held = choose_frames(pool, 5, selector="kmeans", fingerprint=SMALL)
    assert held.kept_bytes == 200 * 12 * 12


def test_bad_frames_are_counted_with_their_reason(cells, tmp_path):
    pool = [*cells[:6], Atoms("Si", positions=[[0, 0, 0]]), bulk("Si", a=0.5)]
    choice = choose_frames(pool, 3, fingerprint=SMALL)
    assert choice.sources[0].unusable == 2
    assert "cells[6]: not periodic in three directions: it has 0 cell vectors" in choice.left_out[0]
    assert "cells[7]: no fingerprint: 2 atoms in" in choice.left_out[1]
    with pytest.raises(ValueError, match=r"none of 1 frames can be used; cells\[0\]: not per"):
        choose_frames(pool[6:7], 1)


def test_elements_that_come_late_are_taken_in(cells, file, tmp_path):
    carbide = bulk("SiC", "zincblende", a=4.36)
    write(tmp_path / "mixed.extxyz", [*cells[:10], carbide, *cells[10:20]])
    choice = choose_frames(tmp_path / "mixed.extxyz", 5, fingerprint=SMALL)
    assert choice.fingerprint.params.elements == ("C", "Si")
    gom = GOM(elements=("Si",), **SMALL)
    with pytest.raises(ValueError, match="there is C; the fingerprint lists Si"):
        choose_frames(tmp_path / "mixed.extxyz", 5, fingerprint=gom)


def test_what_is_written_comes_back_with_its_label(file, cells, tmp_path):
    choice = choose_frames(file, 5, cells[:3], fingerprint=SMALL)
    path = tmp_path / "picked.extxyz"
    choice.write(path)
    for frame, atoms in zip(choice.frames, read(path, ":"), strict=True):
        values = [atoms.info[key] for key in INFO_KEYS]
        assert values == [str(file), frame.frame, frame.rank, pytest.approx(frame.gain)]
        pool = read(file, frame.frame)
        assert atoms.get_potential_energy() == pytest.approx(pool.get_potential_energy())
        np.testing.assert_allclose(atoms.get_forces(), pool.get_forces(), atol=1e-7)
        np.testing.assert_allclose(atoms.get_stress(), pool.get_stress(), atol=1e-9)
    with pytest.raises(ValueError, match="exists; give --force"):
        choice.write(path)
    choice.write(path, overwrite=True)
    assert not list(tmp_path.glob(".part*"))


def test_a_choice_without_known_cells(file):
    choice = choose_frames(file, 1, fingerprint=SMALL)
    assert choice.coverage.entropy_before is None
    assert choice.coverage.before is None
    assert choice.gains == [0.0], "one cell has no covariance"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selector": "committee"}, "needs a committee of models"),
        ({"selector": "best"}, "unknown selector 'best'"),
        ({"selector": {"selector": "kmeans", "cluster": 3}}, "did you mean 'clusters'"),
        ({"n": 0}, "0 frames are to be chosen"),
        ({"pool": "none/*.traj"}, "matches no file"),
        ({"pool": []}, "the pool is empty"),
    ],
)
def test_choices_that_cannot_be_made(file, changes, message):
    arguments = {"pool": file, "n": 3, "fingerprint": SMALL} | changes
    with pytest.raises(ValueError, match=message):
        choose_frames(**arguments)


def test_more_is_wanted_than_there_is(cells):
    choice = choose_frames(cells[:5], 9, fingerprint=SMALL)
    assert len(choice.frames) == 5
    assert "9 were wanted" in choice.reason


def test_a_target_is_what_is_chosen_for(cells, tmp_path):
    """Hot cells are in a third of the pool, and in all of the target."""
    hot = [rattled("Si", 1, stdev=0.3, seed=1000 + seed) for seed in range(30)]
    path = tmp_path / "production.extxyz"
    write(path, hot)
    rule = {"selector": "variance", "target": str(path)}
    choice = choose_frames(cells, 10, cells[:3], rule, fingerprint=SMALL)
    assert [frame.frame % 3 for frame in choice.frames] == [2] * 10
    before, after = choice.unknown
    assert 0 < after < before < 1
    for_itself = choose_frames(cells, 10, cells[:3], "variance", fingerprint=SMALL)
    assert {frame.frame % 3 for frame in for_itself.frames} == {0, 1, 2}
    with pytest.raises(ValueError, match="target 'plain' is a campaign's dynamics"):
        choose_frames(cells, 5, selector={"selector": "variance", "target": "plain"})
    rule = {"selector": "variance", "target": str(tmp_path / "nothing.extxyz")}
    with pytest.raises(ValueError, match=r"nothing\.extxyz"):
        choose_frames(cells, 5, selector=rule)


def test_a_large_pool_is_read_in_blocks_and_known_as_well(cells, file, monkeypatch):
    whole = choose_frames(file, 8, cells[:4], "variance", fingerprint=SMALL)
    assert whole.kept_bytes > 0
    for module in (cell_table, target):
        monkeypatch.setattr(module, "LARGEST_TABLE", 20)
    monkeypatch.setattr(cell_table, "BLOCK", 10)
    monkeypatch.setattr(target, "SAMPLE_SIZE", 40)
    monkeypatch.setattr(fingerprinted, "BATCH_CELLS", 7)
    blocks = choose_frames(file, 8, cells[:4], "variance", fingerprint=SMALL)
    assert blocks.kept_bytes == 0
    numbers = [frame.frame for frame in blocks.frames]
    assert len(set(numbers)) == 8
    assert min(numbers) >= 4
    assert blocks.sources[0].copies == 4
    # the target is a sample there, and V of the choice is nearly that of the whole pool
    assert blocks.unknown[1] == pytest.approx(whole.unknown[1], rel=0.25)
    again = choose_frames(file, 8, cells[:4], "variance", fingerprint=SMALL)
    assert [frame.frame for frame in again.frames] == numbers
