"""Rev-EM: the objective's gradient, its rules, its results, and that it goes on after a stop."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from cells import numerical_gradient, skewed

from entropy_flows.batch import Batch
from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.explore.ascent import AscentParams, Objective, ascend, repulsion
from entropy_flows.explore.cells import ShapeParams, random_cell, windows
from entropy_flows.explore.core import core_repulsion
from entropy_flows.explore.revem import RevEM, random_cells
from entropy_flows.explore.revem_params import RevEMParams, StrengthParams
from entropy_flows.fingerprints import GOM

GOM_W = GOM(cutoff=4.0, natx=24, elements=("W",))
WINDOWS = windows(15.8)
SHORT = RevEMParams(iterations=24, lockstep=8, shape={"atoms": (2, 8)}, ascent={"max_steps": 25})


def statistics(mode, cells=()):
    found = SufficientStatistics(GOM_W.dim, 1e-6, mode)
    for atoms in cells:
        found.add(GOM_W(atoms))
    return found


def a_run(window=WINDOWS[2], mode="atom", params=SHORT, seed=0):
    return RevEM("W", window, statistics(mode), GOM_W, params, np.random.default_rng(seed))


def core(atoms, r_core):
    return float(core_repulsion(Batch.of([atoms]), r_core).value[0])


@pytest.mark.parametrize(
    "edge", [2.0, 3.6]
)  # in the smaller one an atom meets several images of itself
def test_core_is_the_sum_over_pairs_and_its_gradient_the_derivative(edge):
    atoms = skewed("W3", seed=1, edge=3.6)
    atoms.set_cell(atoms.cell.array * edge / 3.6, scale_atoms=True)
    i, d = neighbor_list("id", atoms, 2.9)
    assert len(i) > 0
    assert core(atoms, 2.9) == pytest.approx(0.5 * (1 + np.cos(np.pi * d / 2.9)).sum())
    found = core_repulsion(Batch.of([atoms]), 2.9)
    np.testing.assert_allclose(
        found.gradient, numerical_gradient(lambda a: core(a, 2.9), atoms), atol=1e-7
    )
    assert float(found.closest[0]) == pytest.approx(d.min())


def test_core_and_its_slope_end_at_its_radius():
    pair = Atoms("W2", positions=[[0, 0, 0], [0, 0, 2.0 - 1e-4]], cell=[9] * 3, pbc=True)
    close = core_repulsion(Batch.of([pair]), 2.0)
    assert 0 < float(close.value[0]) < 1e-7
    assert float(close.gradient.abs().max()) < 1e-3
    pair.positions[1, 2] = 2.0 + 1e-9
    beyond = core_repulsion(Batch.of([pair]), 2.0)
    assert float(beyond.value[0]) == 0.0
    assert float(beyond.closest[0]) == np.inf


def test_core_of_atoms_on_top_of_each_other_is_finite():
    on_top = Atoms("W2", positions=np.zeros((2, 3)), cell=[5] * 3, pbc=True)
    found = core_repulsion(Batch.of([on_top]), 1.5)
    assert float(found.value[0]) == pytest.approx(2.0)
    assert bool((found.gradient == 0).all())


@pytest.mark.parametrize("mode", MODES)
def test_gradient_of_the_objective(mode):
    rng = np.random.default_rng(4)
    data = [random_cell("W", WINDOWS[0], ShapeParams(atoms=(2, 6)), rng) for _ in range(30)]
    hill = Objective(2.0, WINDOWS[0].r_core, GOM_W, statistics(mode, data))
    cells = [random_cell("W", WINDOWS[0], ShapeParams(atoms=(3, 3)), rng) for _ in range(2)]
    values, gradient = hill(Batch.of(cells))
    for place, atoms in enumerate(cells):
        alone = numerical_gradient(lambda a: float(hill(Batch.of([a]))[0][0]), atoms)
        scale = np.abs(alone).max()
        np.testing.assert_allclose(
            gradient[3 * place : 3 * place + 3] / scale, alone / scale, atol=1e-6
        )
        gain = hill.statistics.gain(GOM_W(atoms))
        assert float(values[place]) == pytest.approx(2.0 * gain - core(atoms, WINDOWS[0].r_core))


def test_ascent_never_ends_below_where_it_began_and_leaves_the_cells_alone():
    rng = np.random.default_rng(5)
    data = [random_cell("W", WINDOWS[1], ShapeParams(atoms=(2, 6)), rng) for _ in range(20)]
    hill = Objective(5.0, WINDOWS[1].r_core, GOM_W, statistics("atom", data))
    cells = [random_cell("W", WINDOWS[1], ShapeParams(atoms=(2, 10)), rng) for _ in range(6)]
    before, places = hill(Batch.of(cells))[0], [atoms.positions.copy() for atoms in cells]
    raised = ascend(cells, hill, AscentParams(max_steps=20))
    after = hill(Batch.of(raised))[0]
    assert bool((after >= before).all())
    assert float((after - before).max()) > 0.5
    for atoms, position, moved in zip(cells, places, raised, strict=True):
        np.testing.assert_array_equal(atoms.positions, position)
        np.testing.assert_array_equal(atoms.cell.array, moved.cell.array)
        assert moved.calc is None


def test_a_cell_climbs_alike_alone_and_in_company():
    rng = np.random.default_rng(6)
    cells = [random_cell("W", WINDOWS[1], ShapeParams(atoms=(2, 10)), rng) for _ in range(5)]
    hill = Objective(3.0, WINDOWS[1].r_core, GOM_W, statistics("config", cells[:3]))
    together = ascend(cells, hill, AscentParams(max_steps=10))
    alone = ascend(cells[3:4], hill, AscentParams(max_steps=10))
    np.testing.assert_array_equal(together[3].positions, alone[0].positions)


def test_repulsion_ends_where_nobody_touches():
    window = WINDOWS[5]
    cells = random_cells("W", window, 12, SHORT, np.random.default_rng(7))
    assert len(cells) == 12
    for atoms in cells:
        d = neighbor_list("d", atoms, window.r_core)
        assert len(d) == 0 or d.min() >= window.r_min
    drawn = random_cell("W", window, ShapeParams(atoms=(8, 8)), np.random.default_rng(8))
    relaxed = ascend([drawn], repulsion(window.r_core), AscentParams(max_steps=300))
    assert core(relaxed[0], window.r_core) < 0.05 * core(drawn, window.r_core)


def test_too_large_an_exclusion_radius_is_an_error():
    params = RevEMParams(shape={"atoms": (8, 8)}, ascent={"max_steps": 2})
    with pytest.raises(ValueError, match=r"window 0: .* expected a smaller R_core"):
        random_cells("W", windows(15.8, core=1.15)[0], 3, params, np.random.default_rng(0))


def test_strength_rises_after_failures_and_falls_after_close_pairs():
    rule = StrengthParams(start=1.0, patience=3, rise=1.5, fall=0.5, lowest=0.2, highest=2.0)
    k, failures, seen = 1.0, 0, []
    for verdict in (
        "entropy",
        "entropy",
        "close",
        "entropy",
        "entropy",
        "accepted",
        "entropy",
        "entropy",
        "entropy",
    ):
        k, failures = rule.after(k, failures, verdict)
        seen.append((round(k, 6), failures))
    assert seen == [
        (1, 1),
        (1, 2),
        (0.5, 2),
        (0.75, 0),
        (0.75, 1),
        (0.75, 0),
        (0.75, 1),
        (0.75, 2),
        (1.125, 0),
    ]
    assert rule.after(0.3, 0, "close") == (0.2, 0)
    assert rule.after(1.8, 2, "entropy") == (2.0, 0)


@pytest.mark.parametrize(
    ("verdict", "start", "end"), [("close", 100.0, 50.0), ("entropy", 1e-2, 2e-2)]
)
def test_strength_changes_by_two_at_most_in_a_batch(monkeypatch, verdict, start, end):
    monkeypatch.setattr(
        "entropy_flows.explore.revem.has_no_close_contacts",
        lambda cells, _: [verdict != "close"] * len(cells),
    )
    monkeypatch.setattr(
        "entropy_flows.explore.revem.random_cells", lambda *_: [skewed("W2"), skewed("W3")]
    )
    monkeypatch.setattr(RevEM, "_judge", lambda *_: verdict)
    run = a_run(
        params=SHORT.model_copy(update={"lockstep": 24, "strength": StrengthParams(start=start)})
    )
    run.run()
    assert run.counts == {verdict: 24}
    assert run.k == pytest.approx(end)


@pytest.mark.parametrize("mode", MODES)
def test_every_cell_obeys_and_the_statistics_are_theirs(mode):
    run = a_run(mode=mode)
    run.run()
    assert run.counts.total() == run.done == 24
    assert len(run.accepted) == 10 + run.counts["accepted"]
    assert run.counts["accepted"] > 2
    again = statistics(mode)
    for number, cell in enumerate(run.accepted):
        d = neighbor_list("d", cell.atoms, run.window.r_core)
        assert len(d) == 0 or d.min() >= run.window.r_min
        assert run.window.low <= cell.atoms.get_volume() / len(cell.atoms) <= run.window.high
        assert again.gain(GOM_W(cell.atoms)) == pytest.approx(cell.gain, abs=1e-8)
        again.add(GOM_W(cell.atoms))
        assert (cell.candidate, cell.k) == (0, 0.0) if number < 10 else cell.gain > 0
    assert again.entropy() == pytest.approx(run.statistics.entropy(), abs=1e-6)
    assert run.accepted[-1].entropy == pytest.approx(run.statistics.entropy(), abs=1e-6)


def test_one_at_a_time_it_is_the_papers_loop(monkeypatch):
    """Each candidate is moved with the K that those before it left, on the data set that they
    left.
    """
    run = a_run(params=SHORT.model_copy(update={"lockstep": 1, "iterations": 8}))
    moved = []

    def noting(cells, hill, params):
        moved.append((len(cells), hill.k, hill.statistics.n))
        return ascend(cells, hill, params)

    k, failures, rule = run.params.strength.start, 0, run.params.strength
    run.advance()
    monkeypatch.setattr("entropy_flows.explore.revem.ascend", noting)
    before = run.counts.copy()
    (verdict,) = before
    k, failures = rule.after(k, failures, verdict)
    while not run.finished:
        n = run.statistics.n
        run.advance()
        (verdict,) = run.counts - before
        assert moved.pop() == (1, k, n)
        k, failures = rule.after(k, failures, verdict)
        before = run.counts.copy()
    assert (run.k, run.failures, run.done) == (k, failures, 8)


@pytest.mark.parametrize("mode", MODES)
def test_its_information_is_above_that_of_random_cells(mode):
    run = a_run(mode=mode, params=SHORT.model_copy(update={"iterations": 32}))
    run.run()
    for seed in (1, 2):
        plain = random_cells("W", run.window, len(run.accepted), SHORT, np.random.default_rng(seed))
        assert run.statistics.entropy() > statistics(mode, plain).entropy() + 3


def test_resumed_run_has_the_same_bits():
    whole, stopped = a_run(), a_run()
    whole.run()
    stopped.advance()
    state = stopped.state()
    stopped.advance()  # goes on, and is lost
    resumed = a_run(seed=99)
    resumed.resume(state)
    resumed.run()
    assert resumed.statistics.to_bytes() == whole.statistics.to_bytes()
    assert (resumed.k, resumed.failures, resumed.counts) == (whole.k, whole.failures, whole.counts)
    assert resumed.rng.bit_generator.state == whole.rng.bit_generator.state
    for one, other in zip(resumed.accepted, whole.accepted, strict=True):
        np.testing.assert_array_equal(one.atoms.positions, other.atoms.positions)
        assert (one.candidate, one.k, one.gain, one.entropy) == (
            other.candidate,
            other.k,
            other.gain,
            other.entropy,
        )
