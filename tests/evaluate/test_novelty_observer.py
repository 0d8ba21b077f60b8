"""An observed run: what is recorded and harvested, where it ends, and that it is undisturbed."""

import gc

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.novelty import Novelty
from entropy_flows.evaluate.novelty_observer import NoveltyObserver
from entropy_flows.fingerprints import GOMParams

COPPER = DatasetParams(fingerprint=GOMParams(cutoff=3.5, natx=24, elements=("Cu",)))
FS = units.fs


@pytest.fixture(scope="module")
def cold():
    """Copper, a little displaced."""
    cells = []
    for seed in range(12):
        cell = bulk("Cu", cubic=True) * (2, 2, 2)
        cell.rattle(0.05, seed=seed)
        cells.append(cell)
    return Novelty.of(cells, COPPER)


def langevin(atoms, temperature=300.0):
    return Langevin(
        atoms,
        4 * FS,
        temperature_K=temperature,
        friction=0.05 / FS,
        rng=np.random.default_rng(4),
    )


def npt(atoms):
    return IsotropicMTKNPT(
        atoms, 2 * FS, temperature_K=300, pressure_au=0.0, tdamp=100 * FS, pdamp=500 * FS
    )


def melchionna(atoms):
    return MelchionnaNPT(
        atoms, 2 * FS, temperature_K=300, externalstress=0.0, ttime=25 * FS, pfactor=None
    )


def verlet(atoms):
    return VelocityVerlet(atoms, 2 * FS)


def started(make, temperature=300.0):
    """A crystal of copper and its dynamics, the same each time."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=np.random.default_rng(1))
    return atoms, make(atoms)


def hot():
    return started(lambda atoms: langevin(atoms, 4000.0), 4000.0)


@pytest.mark.parametrize("make", [langevin, verlet, npt, melchionna])
def test_the_run_is_the_same_bit_by_bit(cold, make, tmp_path):
    alone, dynamics = started(make)
    dynamics.run(20)
    watched, dynamics = started(make)
    observer = NoveltyObserver(
        dynamics, cold, harvest_above=0.1, harvest_file=tmp_path / "new.extxyz", spacing=5
    )
    dynamics.attach(observer, interval=2)
    dynamics.run(20)
    assert observer.harvested
    assert [record.step for record in observer.records] == list(range(0, 21, 2))
    np.testing.assert_array_equal(watched.positions, alone.positions)
    np.testing.assert_array_equal(watched.get_momenta(), alone.get_momenta())
    np.testing.assert_array_equal(watched.cell[:], alone.cell[:])


def test_records_are_the_grades_of_the_frames(cold, tmp_path):
    atoms, dynamics = started(langevin)
    log = tmp_path / "grades.log"
    observer = NoveltyObserver(dynamics, cold, logfile=log)
    dynamics.attach(observer, interval=5)
    expected = []
    dynamics.attach(lambda: expected.append(cold.grades(atoms)), interval=5)
    dynamics.run(20)
    assert [record.grade for record in observer.records] == [grades.max() for grades in expected]
    assert [record.atom for record in observer.records] == [grades.argmax() for grades in expected]
    assert observer.records[-1].time == pytest.approx(0.08)
    assert observer.worst == max(grades.max() for grades in expected)
    rows = np.loadtxt(log)
    np.testing.assert_allclose(rows[:, 2], [record.grade for record in observer.records], atol=1e-4)
    assert rows[:, 0].tolist() == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("make", [langevin, verlet, npt, melchionna])
def test_a_run_ends_above_a_grade(cold, make):
    atoms, dynamics = started(make)
    observer = NoveltyObserver(dynamics, cold, stop_above=0.3)
    seen = []
    dynamics.attach(observer, interval=3)
    dynamics.attach(lambda: seen.append(atoms.positions.copy()), interval=1)
    dynamics.run(500)
    assert observer.stopped == dynamics.nsteps == observer.records[-1].step
    assert observer.records[-1].grade > 0.3
    assert all(record.grade <= 0.3 for record in observer.records[:-1])
    # observers after this one have seen the last step too
    np.testing.assert_array_equal(seen[-1], atoms.positions)
    step = dynamics.nsteps
    observer.stop_above = None
    dynamics.run(6)
    assert dynamics.nsteps == step + 6


def test_a_run_that_stays_is_not_ended(cold):
    _, dynamics = started(langevin)
    observer = NoveltyObserver(dynamics, cold, stop_above=50.0)
    dynamics.attach(observer, interval=5)
    dynamics.run(20)
    assert observer.stopped is None
    assert dynamics.nsteps == 20


def test_frames_are_harvested_far_apart_and_marked(cold, tmp_path):
    _, dynamics = hot()
    path = tmp_path / "new.extxyz"
    observer = NoveltyObserver(
        dynamics, cold, harvest_above=1.0, harvest_file=path, spacing=20, learn=False
    )
    dynamics.attach(observer, interval=2)
    dynamics.run(70)
    frames = read(path, ":")
    assert [frame.info["step"] for frame in frames] == observer.harvested
    assert len(frames) >= 3
    assert np.diff(observer.harvested).min() >= 20
    grades = {record.step: record for record in observer.records}
    for frame in frames:
        record = grades[frame.info["step"]]
        assert frame.calc is None  # no energies of the model, which somebody could take for labels
        assert frame.info["novelty"] == pytest.approx(record.grade)
        assert frame.info["worst_atom"] == record.atom
        np.testing.assert_allclose(frame.arrays["novelty"], cold.grades(frame), rtol=1e-4)
        assert frame.arrays["novel"].sum() == (cold.grades(frame) > 1).sum()


def test_what_was_harvested_is_known_also_to_the_next_run(cold, tmp_path):
    counts = {}
    edge = dict(cold.edges)
    before = cold.statistics["Cu"].checksum()
    for learn in (False, True):
        _, dynamics = hot()
        path = tmp_path / f"{learn}.extxyz"
        observer = NoveltyObserver(
            dynamics, cold, harvest_above=1.5, harvest_file=path, spacing=1, learn=learn
        )
        dynamics.attach(observer, interval=1)
        dynamics.run(40)
        counts[learn] = len(observer.harvested)
    assert 1 <= counts[True] < counts[False] / 2
    assert (cold.edges, cold.statistics["Cu"].checksum()) == (edge, before)
    _, dynamics = hot()
    again = NoveltyObserver(
        dynamics, cold, harvest_above=1.5, harvest_file=tmp_path / "True.extxyz", spacing=1
    )
    dynamics.attach(again, interval=1)
    dynamics.run(40)
    assert again.harvested == []  # the same run: nothing of it is new any more
    assert [record.grade for record in again.records] == [
        record.grade for record in observer.records
    ]


def test_no_more_frames_than_asked_for(cold, tmp_path):
    path = tmp_path / "new.extxyz"
    for _ in range(2):
        _, dynamics = hot()
        observer = NoveltyObserver(
            dynamics,
            cold,
            harvest_above=0.5,
            harvest_file=path,
            spacing=1,
            max_harvested=3,
            learn=False,
        )
        dynamics.attach(observer, interval=1)
        dynamics.run(30)
    assert len(read(path, ":")) == 3


def test_it_does_not_keep_the_run_alive(cold):
    atoms, dynamics = started(langevin)
    observer = NoveltyObserver(dynamics, cold)
    dynamics.attach(observer)
    del dynamics, atoms
    gc.collect()
    with pytest.raises(ReferenceError):
        observer()


def test_arguments_that_make_no_sense(cold):
    atoms, dynamics = started(langevin)
    with pytest.raises(ValueError, match=r"harvest_above is 1\.0 and harvest_file None"):
        NoveltyObserver(dynamics, cold, harvest_above=1.0)
    atoms.symbols[0] = "Au"
    with pytest.raises(ValueError, match="has Au, of which the data set has no atom"):
        NoveltyObserver(dynamics, cold)
