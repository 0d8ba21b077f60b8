"""Trajectories: reproducible, complete, on the intended surface, and cut short without losing
what was good.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.geometry import get_distances
from ase_langevin import reference
from cells import Spring

from entropy_flows.entropy import (
    BiasedSurface,
    ExploreSurface,
    GlobalBias,
    LocalBias,
    RefineSurface,
    SoftBias,
    SufficientStatistics,
)
from entropy_flows.explore import (
    Condition,
    Ensemble,
    ExploreParams,
    Run,
    explore,
    keep_near_equilibrium,
)
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import OneByOne

LOCAL = GOM(cutoff=3.0, natx=8)
SHORT = ExploreParams(steps=20, warm_up=3, ramp=5, snapshot_every=5)
AT_ONCE = ExploreParams(steps=12, warm_up=0, ramp=0, snapshot_every=2)


def copper(repeat=2):
    return bulk("Cu") * (repeat, repeat, repeat)


def a_run(index=0, temperature=600.0, k=2.0, seed=7, mode="atom"):
    return Run(index, Condition("fcc", temperature, k, 0.0), mode, seed)


def trajectory(run, params, base=None, atoms=None, fingerprint=LOCAL):
    return explore(
        [run], [atoms or copper()], OneByOne(base or EMT()), LocalBias(fingerprint), params
    )[0]


def mixed(count):
    """Runs of three temperatures, with and without bias, from cells of two sizes."""
    runs = [
        a_run(i, 300.0 + 100 * (i % 3), (0.0, 1.0, 3.0, 5.0)[i % 4], 100 + i) for i in range(count)
    ]
    return runs, [copper() if i % 5 else bulk("Cu") * (2, 2, 1) for i in range(count)]


def assert_same(first, second):
    """Equal to the last bit, but for the time it took."""
    for name in (*first.PER_SNAPSHOT, "numbers", "cell", "mean_temperature", "min_distance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.reason == second.reason


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


class Small(OneByOne):
    """A model with room for so many cells only, that cannot take cells of one atom at all; notes
    what it is given.
    """

    def __init__(self, room):
        super().__init__(Spring())
        self.room, self.given = room, []

    def __call__(self, batch):
        self.given.append(len(batch))
        if len(batch) > self.room:
            raise MemoryError("too many cells")
        if 1 in batch.cells.sizes:
            raise ValueError("a lone atom")
        return super().__call__(batch)


class CountingBias(LocalBias):
    """Notes how many cells it was asked about."""

    def __init__(self, fingerprint):
        super().__init__(fingerprint)
        self.seen = []

    def __call__(self, batch, modes):
        self.seen.append(len(batch))
        return super().__call__(batch, modes)


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
    closest = min(
        get_distances(c.positions, cell=c.cell, pbc=True)[1][np.triu_indices(8, 1)].min()
        for c in cells
    )
    assert result.min_distance == pytest.approx(closest)


def test_energies_and_forces_are_the_models_own():
    result = trajectory(a_run(k=5.0), SHORT)
    for number, (_, atoms) in enumerate(result.snapshots()):
        atoms.calc = EMT()
        assert result.energies[number] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert result.max_forces[number] == pytest.approx(
            np.linalg.norm(atoms.get_forces(), axis=1).max(), abs=1e-9
        )


@pytest.mark.parametrize("surface", ["local", "soft", "global"])
def test_equals_ase_step_by_step(surface):
    """The engine is ASE's Langevin integrator on the surface of the ASE calculator, given the
    same random numbers.
    """
    gom = GOM(cutoff=3.5, natx=6, elements=("Cu",))
    statistics = SufficientStatistics(gom.dim, mode="config")
    rattled = copper()
    rattled.rattle(0.1, seed=1)
    for atoms in (copper(), rattled):
        statistics.add(gom(atoms))
    soft = SoftBias(gom, floor=0.02)
    bias, make = {
        "local": (LocalBias(gom), lambda: ExploreSurface(EMT(), gom, 0.0)),
        "soft": (soft, lambda: BiasedSurface(EMT(), soft, 0.0)),
        "global": (
            GlobalBias(gom, {"config": statistics}),
            lambda: RefineSurface(EMT(), gom, statistics, 0.0),
        ),
    }[surface]
    run = a_run(k=0.5 if surface == "global" else 2.0, mode="config")
    params = SHORT.model_copy(update={"snapshot_every": 1, "steps": 40})
    ours = explore([run], [copper()], OneByOne(EMT()), bias, params)[0]
    positions, velocities = reference(run, copper(), make(), params)
    warm = params.warm_up + params.ramp
    assert ours.reason is None
    np.testing.assert_allclose(ours.positions, positions[warm:], atol=1e-8)
    atoms = copper()
    temperatures = []
    for speeds in velocities[warm:]:
        atoms.set_velocities(speeds)
        temperatures.append(
            atoms.get_temperature() * 8 / 7
        )  # the centre of mass is no degree of freedom
    np.testing.assert_allclose(ours.temperatures, temperatures, rtol=1e-6)
    assert ours.mean_temperature == pytest.approx(np.mean(temperatures), rel=1e-6)


def test_the_same_alone_and_in_a_batch_of_32():
    runs, starts = mixed(32)
    params = SHORT.model_copy(update={"steps": 10})
    together = explore(runs, starts, OneByOne(Spring()), LocalBias(LOCAL), params)
    assert [result.run for result in together] == runs
    for run, start, result in list(zip(runs, starts, together, strict=True))[:6]:
        alone = explore([run], [start], OneByOne(Spring()), LocalBias(LOCAL), params)
        assert_same(result, alone[0])


def test_another_seed_is_another_trajectory():
    first, second = (trajectory(a_run(seed=seed), SHORT) for seed in (1, 2))
    assert np.abs(first.positions - second.positions).max() > 1e-3


RESUMED_AT = [-7, -2, 0, 9, 20]


@pytest.fixture(scope="module")
def uninterrupted():
    """What an exploration takes, what it gives, and its states at some steps."""
    runs, starts = mixed(6)
    starts[3] = bulk("Cu", a=1.2) * (2, 2, 2)  # collapses at the first snapshot
    states = {}

    def keep(ensemble):
        if ensemble.step in RESUMED_AT:
            states[ensemble.step] = ensemble.state()

    args = runs, starts, OneByOne(Spring()), LocalBias(LOCAL), SHORT
    return args, explore(*args, on_step=keep), states


@pytest.mark.parametrize("at", RESUMED_AT)
def test_resumes_as_if_nothing_had_happened(uninterrupted, at):
    """From any step, in the warm-up, on the ramp and after; also when a run has left by then."""
    args, whole, states = uninterrupted
    assert whole[3].reason.startswith("collapsed at step 5")
    for first, second in zip(whole, explore(*args, resume=states[at]), strict=True):
        assert_same(first, second)


def test_k_rises_after_the_warm_up():
    params = ExploreParams(steps=3, warm_up=4, ramp=5, snapshot_every=2)
    ensemble = Ensemble([a_run(k=2.0)], [copper()], OneByOne(EMT()), LocalBias(LOCAL), params)
    share = []
    while ensemble.step < params.steps:
        share.append(float(ensemble._weights(ensemble.step + 1)[0]) / 2)
        ensemble.advance()
    np.testing.assert_allclose(share, [0, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1])


def test_one_fingerprint_a_step_and_none_without_bias():
    bias = CountingBias(LOCAL)
    explore([a_run(0), a_run(1, k=0.0), a_run(2)], [copper()] * 3, OneByOne(EMT()), bias, AT_ONCE)
    assert bias.seen == [2] * (AT_ONCE.steps + 1)  # the run with k = 0 is left out
    bias = CountingBias(LOCAL)
    explore([a_run(k=0.0)], [copper()], OneByOne(EMT()), bias, AT_ONCE)
    assert bias.seen == []


def test_no_bias_for_runs_with_k_is_an_error():
    with pytest.raises(ValueError, match="k > 0"):
        explore([a_run()], [copper()], OneByOne(EMT()), None, SHORT)


def test_a_batch_that_is_too_large_is_halved_and_a_bad_cell_leaves():
    runs = [a_run(index, seed=index) for index in range(5)]
    starts = [copper() if index != 2 else bulk("Cu") for index in range(5)]
    model, ended = Small(room=2), []
    results = explore(runs, starts, model, LocalBias(LOCAL), SHORT, on_done=ended.append)
    assert results[2].reason == "calculator: ValueError: a lone atom"
    assert len(results[2]) == 0
    assert ended[0].run.index == 2
    assert sorted(result.run.index for result in ended) == [0, 1, 2, 3, 4]
    assert max(model.given[10:]) <= 2  # it has learned how much fits
    for index in (0, 1, 3, 4):
        alone = explore(
            [runs[index]], [starts[index]], OneByOne(Spring()), LocalBias(LOCAL), SHORT
        )[0]
        assert results[index].reason is None
        assert_same(results[index], alone)


def test_a_cell_too_large_for_the_memory_is_the_machines():
    runs = [a_run(index, seed=index) for index in range(3)]
    model = Small(room=0)
    with pytest.raises(MemoryError, match="too many cells"):
        explore(runs, [copper()] * 3, model, LocalBias(LOCAL), SHORT)
    assert model.given == [3, 2, 1]


def test_a_full_disk_is_raised_at_once_and_no_cell_is_blamed():
    class Full(Small):
        def __call__(self, batch):
            self.given.append(len(batch))
            raise OSError(28, "No space left on device")

    model = Full(room=3)
    with pytest.raises(OSError, match="No space left"):
        explore([a_run(0), a_run(1)], [copper()] * 2, model, LocalBias(LOCAL), SHORT)
    assert model.given == [2]


def test_the_bias_raises_the_entropy():
    params = ExploreParams(steps=60, warm_up=30, ramp=50, snapshot_every=5)
    plain, driven = (trajectory(a_run(k=k, temperature=300), params) for k in (0.0, 1.0))
    entropy = [
        np.mean(
            [
                ExploreSurface(EMT(), LOCAL, 1.0).get_property("entropy", atoms)
                for _, atoms in result.snapshots()
            ]
        )
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


def test_a_collapsed_run_stops():
    hot = a_run(k=0.0, temperature=3000.0)
    assert trajectory(hot, AT_ONCE).reason is None
    result = trajectory(hot, AT_ONCE.model_copy(update={"min_distance_fraction": 0.95}))
    assert result.reason.startswith("collapsed at step ")
    assert len(result) < 6
    assert not result.min_distance < 0.95 * 2 * 1.32


def test_mean_temperature():
    params = ExploreParams(
        steps=300, warm_up=200, ramp=0, snapshot_every=100, timestep=2.0, friction=0.02
    )
    result = trajectory(a_run(k=0.0, temperature=500.0), params, atoms=copper(3))
    assert result.mean_temperature == pytest.approx(500, rel=0.15)


def test_centre_of_mass_stays():
    atoms = copper()
    result = trajectory(a_run(), SHORT, atoms=atoms)
    np.testing.assert_allclose(
        result.positions.mean(axis=1), np.tile(atoms.positions.mean(axis=0), (4, 1)), atol=1e-9
    )


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
    atoms = Atoms(
        "Cu8", scaled_positions=copper().get_scaled_positions(), cell=1.02 * copper().cell, pbc=True
    )
    params = ExploreParams(steps=1, warm_up=0, ramp=0, snapshot_every=1)
    result = trajectory(a_run(k=0.0, temperature=1e-6), params, atoms=atoms)
    np.testing.assert_allclose(result.positions[0], atoms.positions, atol=1e-4)
    np.testing.assert_allclose(result.cell, 1.02 * copper().cell[:])
