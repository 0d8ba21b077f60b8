"""Trajectories: reproducible, complete, on the intended surface, and cut short without losing what was good."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.geometry import get_distances

from entropy_flows.entropy import ExploreSurface, RefineSurface, SufficientStatistics
from entropy_flows.explore import Condition, ExploreParams, Run, explore, keep_near_equilibrium
from entropy_flows.fingerprints import GOM

LOCAL = GOM(cutoff=3.0, natx=8)
SHORT = ExploreParams(steps=20, warm_up=3, ramp=5, snapshot_every=5)
AT_ONCE = ExploreParams(steps=12, warm_up=0, ramp=0, snapshot_every=2)


def copper(repeat=2):
    return bulk("Cu") * (repeat, repeat, repeat)


def a_run(index=0, temperature=600.0, k=2.0, seed=7):
    return Run(index, Condition("fcc", temperature, k, 0.0), "atom", seed)


def trajectory(run, params, base=None, atoms=None, fingerprint=LOCAL):
    base = base or EMT()
    return explore(
        [run],
        lambda run: (atoms or copper()).copy(),
        lambda run: ExploreSurface(base, fingerprint, run.condition.k),
        params,
    )[0]


class Recording(EMT):
    """EMT that notes the surface's k at each evaluation."""

    def __init__(self):
        super().__init__()
        self.surface, self.seen = None, []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.seen.append(self.surface.k)


class Breaking(EMT):
    """EMT whose evaluation number `last` + 1 goes wrong."""

    def __init__(self, last, how):
        super().__init__()
        self.left, self.how = last, how

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        if self.left < 0:
            if self.how == "raise":
                raise RuntimeError("no convergence\nin this cell")
            self.results["forces"] = np.full((len(atoms), 3), np.nan if self.how == "nan" else 2e5)
            self.results["forces"][0] *= -1


class CountingGOM(GOM):
    calls = 0

    def vjp(self, atoms):
        self.calls += 1
        return super().vjp(atoms)


def test_snapshots():
    result = trajectory(a_run(), SHORT)
    assert result.reason is None
    assert len(result) == 4
    np.testing.assert_array_equal(result.steps, [5, 10, 15, 20])
    assert result.positions.shape == (4, 8, 3)
    for name in ("energies", "temperatures", "max_forces"):
        assert getattr(result, name).shape == (4,)
    np.testing.assert_array_equal(result.numbers, [29] * 8)
    np.testing.assert_allclose(result.cell, copper().cell[:])
    assert result.wall_seconds > 0
    steps, cells = zip(*result.snapshots(), strict=True)
    assert steps == (5, 10, 15, 20)
    assert all(cell.pbc.all() and len(cell) == 8 for cell in cells)
    closest = min(get_distances(c.positions, cell=c.cell, pbc=True)[1][np.triu_indices(8, 1)].min() for c in cells)
    assert result.min_distance == pytest.approx(closest)


def test_energies_and_forces_are_the_models_own():
    result = trajectory(a_run(k=5.0), SHORT)
    for number, (_, atoms) in enumerate(result.snapshots()):
        atoms.calc = EMT()
        assert result.energies[number] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert result.max_forces[number] == pytest.approx(np.linalg.norm(atoms.get_forces(), axis=1).max(), abs=1e-9)


@pytest.mark.parametrize("surface", ["local", "global"])
def test_same_seed_same_trajectory(surface):
    gom = GOM(cutoff=3.5, natx=6, elements=("Cu",))

    def once(seed, base):
        statistics = SufficientStatistics(gom.dim)
        statistics.add(gom(copper()))
        make = {
            "local": lambda run: ExploreSurface(base, LOCAL, run.condition.k),
            "global": lambda run: RefineSurface(base, gom, statistics, run.condition.k),
        }[surface]
        return explore([a_run(seed=seed)], lambda run: copper(), make, SHORT)[0]

    base = EMT()
    first, other, second = once(1, base), once(2, base), once(1, base)
    for name in (*first.PER_SNAPSHOT, "mean_temperature", "min_distance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert np.abs(first.positions - other.positions).max() > 1e-3


def test_a_run_does_not_depend_on_the_one_before():
    base, done = EMT(), []
    runs = [a_run(0, k=5.0, seed=1), a_run(1, k=2.0, seed=2)]
    together = explore(
        runs, lambda run: copper(), lambda run: ExploreSurface(base, LOCAL, run.condition.k), SHORT, done.append
    )
    assert done == together
    assert [result.run for result in together] == runs
    np.testing.assert_array_equal(together[1].positions, trajectory(runs[1], SHORT).positions)


def test_k_rises_after_the_warm_up():
    base = Recording()
    base.surface = ExploreSurface(base, LOCAL, 0.0)
    params = ExploreParams(steps=6, warm_up=4, ramp=5, snapshot_every=2)
    explore([a_run(k=1.0)], lambda run: copper(), lambda run: base.surface, params)
    at_start, *after_each_step = base.seen
    assert at_start == 0
    np.testing.assert_allclose(after_each_step, [0, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, *[1.0] * 6])


def test_without_warm_up_and_ramp_k_is_full_at_once():
    base = Recording()
    base.surface = ExploreSurface(base, LOCAL, 0.0)
    explore([a_run(k=1.0)], lambda run: copper(), lambda run: base.surface, AT_ONCE)
    assert base.seen == [1.0] * 13  # the start and 12 steps


def test_one_fingerprint_a_step():
    gom = CountingGOM(cutoff=3.0, natx=8)
    trajectory(a_run(), AT_ONCE, fingerprint=gom)
    assert gom.calls == AT_ONCE.steps + 1


def test_the_bias_raises_the_entropy():
    params = ExploreParams(steps=60, warm_up=30, ramp=50, snapshot_every=5)
    plain, driven = (trajectory(a_run(k=k, temperature=300), params) for k in (0.0, 1.0))
    entropy = [
        np.mean([ExploreSurface(EMT(), LOCAL, 1.0).get_property("entropy", atoms) for _, atoms in result.snapshots()])
        for result in (plain, driven)
    ]
    assert [len(plain), len(driven)] == [12, 12]
    assert entropy[1] > entropy[0] + 1


@pytest.mark.parametrize(
    ("how", "limits", "reason"),
    [
        ("raise", {}, "calculator: RuntimeError: no convergence in this cell"),
        ("nan", {}, "exploded: positions are not finite"),
        ("huge", {}, "exploded: temperature "),
        ("huge", {"max_temperature": 1e20}, "exploded: force 200000 eV/Å"),
    ],
)
def test_a_failing_model_ends_the_run(how, limits, reason):
    params = AT_ONCE.model_copy(update=limits)
    result = trajectory(a_run(k=0.0), params, Breaking(7, how))  # the start and six good steps
    assert result.reason.startswith(reason)
    np.testing.assert_array_equal(result.steps, [2, 4, 6])
    assert result.positions.shape == (3, 8, 3)
    good = trajectory(a_run(k=0.0), params)
    np.testing.assert_array_equal(result.positions, good.positions[:3])
    assert np.isfinite(result.mean_temperature)


def test_a_model_that_fails_at_once_leaves_an_empty_trajectory():
    result = trajectory(a_run(), SHORT, Breaking(0, "raise"))
    assert result.reason.startswith("calculator: ")
    assert len(result) == 0
    assert result.positions.shape == (0, 8, 3)
    assert np.isnan(result.mean_temperature)
    assert np.isnan(result.min_distance)


def test_the_next_run_goes_on_after_a_failed_one():
    bases = iter([Breaking(3, "raise"), EMT()])
    results = explore(
        [a_run(0), a_run(1)], lambda run: copper(), lambda run: ExploreSurface(next(bases), LOCAL, 0.0), AT_ONCE
    )
    assert [result.reason is None for result in results] == [False, True]


def test_a_collapsed_run_stops():
    hot = a_run(k=0.0, temperature=3000.0)
    assert trajectory(hot, AT_ONCE).reason is None
    result = trajectory(hot, AT_ONCE.model_copy(update={"min_distance": 0.95}))
    assert result.reason.startswith("collapsed at step ")
    assert len(result) < 6
    assert not result.min_distance < 0.95 * 2 * 1.32


def test_mean_temperature():
    params = ExploreParams(steps=300, warm_up=200, ramp=0, snapshot_every=100, timestep=2.0, friction=0.02)
    result = trajectory(a_run(k=0.0, temperature=500.0), params, atoms=copper(3))
    assert result.mean_temperature == pytest.approx(500, rel=0.15)


def test_centre_of_mass_stays():
    atoms = copper()
    result = trajectory(a_run(), SHORT, atoms=atoms)
    np.testing.assert_allclose(result.positions.mean(axis=1), np.tile(atoms.positions.mean(axis=0), (4, 1)), atol=1e-9)


def test_one_atom():
    result = trajectory(a_run(k=5.0), SHORT, atoms=bulk("Cu"))
    assert result.reason is None
    assert result.positions.shape == (4, 1, 3)
    assert result.min_distance == pytest.approx(3.61 / 2**0.5)
    assert np.abs(np.diff(result.positions, axis=0)).max() > 1e-4


def test_anchors_are_near_equilibrium():
    result = trajectory(a_run(k=0.0, temperature=2000.0), AT_ONCE)
    limit = float(np.median(result.max_forces))
    kept = keep_near_equilibrium(result, limit)
    below = result.max_forces < limit
    assert 0 < len(kept) < len(result)
    for name in kept.PER_SNAPSHOT:
        np.testing.assert_array_equal(getattr(kept, name), getattr(result, name)[below])
    assert kept.run == result.run
    assert len(keep_near_equilibrium(result, 0.0)) == 0


def test_seeds_are_started_from_as_they_are():
    """Nothing but the dynamics moves the atoms: the first step of a cold run stays at the seed."""
    atoms = Atoms("Cu8", scaled_positions=copper().get_scaled_positions(), cell=1.02 * copper().cell, pbc=True)
    params = ExploreParams(steps=1, warm_up=0, ramp=0, snapshot_every=1)
    result = trajectory(a_run(k=0.0, temperature=1e-6), params, atoms=atoms)
    np.testing.assert_allclose(result.positions[0], atoms.positions, atol=1e-4)
    np.testing.assert_allclose(result.cell, 1.02 * copper().cell[:])
