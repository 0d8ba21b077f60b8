"""Refinement: more gain than before or the same cell, within the limits given."""

import numpy as np
import pytest
from cells import Spring, rattled
from pydantic import ValidationError

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import shortest_distance
from entropy_flows.potentials import OneByOne
from entropy_flows.refine import RefineParams
from entropy_flows.refine import refine as refine_all

GOM_SI = GOM(cutoff=4.0, natx=6, elements=("Si",))


def refine(atoms, base, fingerprint, statistics, params):
    """Refine one cell."""
    (refined,) = refine_all([atoms], OneByOne(base), fingerprint, statistics, params)
    return refined


def known(mode, n=12):
    """Statistics of a dozen thermal cells."""
    statistics = SufficientStatistics(GOM_SI.dim, 1e-3, mode)
    for seed in range(n):
        statistics.add(GOM_SI(rattled("Si", stdev=0.12, seed=seed)))
    return statistics


def near(statistics):
    """A cell like those of the data set, that adds little to it."""
    cells = [rattled("Si", stdev=0.1, seed=100 + seed) for seed in range(6)]
    return min(cells, key=lambda atoms: abs(statistics.gain(GOM_SI(atoms))))


@pytest.mark.parametrize("gradient", ["exact", "paper"])
@pytest.mark.parametrize("mode", ["atom", "config"])
def test_a_near_candidate_gains(mode, gradient):
    statistics = known(mode)
    atoms = near(statistics)
    before, checksum = atoms.copy(), statistics.checksum()
    refined = refine(atoms, Spring(), GOM_SI, statistics, RefineParams(gradient=gradient))
    assert refined.gain_before == pytest.approx(statistics.gain(GOM_SI(atoms)), abs=1e-12)
    assert refined.gain_after > refined.gain_before + 0.05
    assert refined.gain_after == pytest.approx(statistics.gain(GOM_SI(refined.atoms)), abs=1e-9)
    assert statistics.checksum() == checksum
    assert atoms == before
    assert atoms.calc is None
    np.testing.assert_array_equal(refined.atoms.cell[:], atoms.cell[:])
    np.testing.assert_array_equal(refined.atoms.numbers, atoms.numbers)


@pytest.mark.parametrize("k", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("mode", ["atom", "config"])
def test_never_less(mode, k):
    statistics = known(mode)
    for seed in range(3):
        atoms = rattled("Si", stdev=0.3, seed=seed)  # the model pulls it back to what is known
        refined = refine(
            atoms, Spring(), GOM_SI, statistics, RefineParams(k=k, max_steps=5, max_step=0.3)
        )
        assert refined.gain_after >= refined.gain_before
        assert refined.gain_after == pytest.approx(statistics.gain(GOM_SI(refined.atoms)), abs=1e-9)


@pytest.mark.parametrize("steps", [1, 4])
def test_no_more_steps_than_allowed(steps):
    statistics, base = known("atom"), Spring()
    refined = refine(
        near(statistics), base, GOM_SI, statistics, RefineParams(max_steps=steps, fmax=1e-9)
    )
    assert refined.steps == steps
    assert base.calls == steps + 1
    moved = refined.atoms.positions - near(statistics).positions
    assert 0 < np.linalg.norm(moved, axis=1).max() <= steps * 0.1 + 1e-9


def test_a_converged_cell_is_left():
    statistics = known("atom")
    atoms = near(statistics)
    refined = refine(atoms, Spring(), GOM_SI, statistics, RefineParams(fmax=1e6))
    assert refined.steps == 0
    assert refined.gain_after == pytest.approx(refined.gain_before, abs=1e-12)
    np.testing.assert_array_equal(refined.atoms.positions, atoms.positions)


def test_atoms_do_not_come_too_close():
    statistics = known("atom")
    atoms = near(statistics)
    start = shortest_distance(atoms)[1]
    free = refine(
        atoms, Spring(), GOM_SI, statistics, RefineParams(k=50.0, min_distance_fraction=0.1)
    )
    assert shortest_distance(free.atoms)[1] < start - 0.1
    limit = start - 0.05
    guarded = refine(
        atoms, Spring(), GOM_SI, statistics, RefineParams(k=50.0, min_distance_fraction=limit)
    )
    assert shortest_distance(guarded.atoms)[1] >= limit
    assert guarded.steps < free.steps
    assert guarded.gain_before <= guarded.gain_after < free.gain_after


class Counted:
    """A model that counts its calls, has room for four cells and refuses those of two atoms."""

    device = "cpu"

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        if len(batch) > 4:
            raise MemoryError(f"{len(batch)} cells")
        if 2 in batch.cells.sizes:
            raise ValueError("two atoms")
        self.calls += 1
        return OneByOne(Spring())(batch)


def test_cells_that_move_together_go_where_each_goes_alone():
    statistics, model = known("atom"), Counted()
    params = RefineParams(max_steps=4)
    cells = [rattled("Si", stdev=0.05 * (1 + seed % 3), seed=seed) for seed in range(6)]
    strange = rattled("Si", repeat=1, seed=7)
    together = refine_all([*cells, strange], model, GOM_SI, statistics, params)
    assert "two atoms" in together.pop().refused
    alone = [refine(atoms, Spring(), GOM_SI, statistics, params) for atoms in cells]
    for one, other in zip(together, alone, strict=True):
        assert one.steps == other.steps
        assert one.gain_after == pytest.approx(other.gain_after, abs=1e-10)
        np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-9)
    assert model.calls < sum(refined.steps for refined in alone) / 2


def test_parameters():
    with pytest.raises(ValidationError, match="did you mean 'max_steps'"):
        RefineParams(max_step_s=3)
    for wrong in ({"k": 0}, {"max_steps": 0}, {"max_step": 0}, {"min_distance_fraction": 1}):
        with pytest.raises(ValidationError):
            RefineParams(**wrong)
