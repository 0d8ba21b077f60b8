"""The cells of the independent test."""

from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

import entropy_flows
from entropy_flows.explore import (
    ExploreParams,
    IndependentParams,
    compressed,
    equation_of_state,
    equilibrium,
    relaxed,
)
from entropy_flows.explore.trajectory import Trajectory
from entropy_flows.potentials import BatchOfOne, load_batch_model

MODEL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
PARAMS = IndependentParams(steps=40, late=20, snapshots=4)


@pytest.fixture(scope="module")
def model():
    return load_batch_model(MODEL)


def test_a_relaxed_crystal_has_the_pressure_and_no_forces(model):
    seed = bulk("Si", "diamond", a=5.5)
    eos = equation_of_state(seed, model)
    start = compressed(seed, 10.0, eos)
    cell = relaxed(start, 10.0, BatchOfOne(model), PARAMS)
    assert cell.get_volume() < start.get_volume() * 1.1
    assert -np.trace(cell.get_stress(voigt=False)) / 3 / units.GPa == pytest.approx(
        10.0, abs=0.3
    )  # fmax in 40 Å³
    assert np.abs(cell.get_forces()).max() < PARAMS.fmax
    snapshot = equilibrium(7, "diamond", 10.0, cell)
    assert (len(snapshot), snapshot.run.index, snapshot.run.condition.temperature) == (1, 7, 0.0)
    assert snapshot.energies[0] == pytest.approx(cell.get_potential_energy())
    assert snapshot.min_distance == pytest.approx(
        np.sqrt(3) / 4 * (4 * cell.get_volume()) ** (1 / 3), rel=1e-3
    )


def test_what_does_not_relax_is_told(model):
    seed = bulk("Si", "diamond", a=5.5)
    seed.positions[1] += 0.3
    with pytest.raises(ValueError, match="not relaxed at 0 GPa in 1 steps"):
        relaxed(seed, 0.0, BatchOfOne(model), PARAMS.model_copy(update={"relax_steps": 1}))


def test_compression_never_ends(model):
    """Murnaghan's volume falls with pressure and stays positive, where the linear formula has
    nothing to say.
    """
    seed = bulk("Si", "diamond", a=5.5)
    eos = equation_of_state(seed, model)
    volumes = [
        compressed(seed, pressure, eos).get_volume() / 2 for pressure in (0, 1, 10, 100, 1000)
    ]
    assert volumes[0] == pytest.approx(eos.volume)
    assert (np.diff(volumes) < 0).all()
    assert (volumes[0] - volumes[1]) / volumes[0] == pytest.approx(1 / eos.bulk_modulus, rel=0.05)


def test_the_dynamics_are_plain_and_late_snapshots_even():
    params = PARAMS.explore_params(ExploreParams(pressures=(0.0, 5.0), entropy_weights=(2.0, 5.0)))
    assert (params.entropy_weights, params.pressures, params.temperatures) == (
        (0.0,),
        (0.0, 5.0),
        (1000.0, 3000.0),
    )
    assert (params.steps, params.snapshot_every, params.all_steps) == (40, 5, 40)
    run = run_of(params.steps // params.snapshot_every)
    kept = PARAMS.late_snapshots(run)
    assert kept.steps.tolist() == [25, 30, 35, 40]
    assert len(PARAMS.late_snapshots(run_of(8, reason="exploded"))) == 0


def run_of(n, reason=None):
    steps = 5 * np.arange(1, n + 1)
    many = np.zeros(n)
    return Trajectory(
        None,
        np.array([14]),
        np.eye(3),
        steps,
        np.zeros((n, 1, 3)),
        many,
        many,
        many,
        0.0,
        1.0,
        reason,
        0.0,
    )
