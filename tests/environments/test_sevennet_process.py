"""SevenNet here and in an environment: the same bits, in dynamics too, after a kill too."""

import os
import signal
from importlib.metadata import version

import numpy as np
import pytest
from ase.build import bulk
from cells import rattled, skewed
from small_models import small_sevennet

from entropy_flows.batch import Batch
from entropy_flows.entropy import LocalBias
from entropy_flows.explore import Condition, ExploreParams, Run, explore
from entropy_flows.fingerprints import GOM
from entropy_flows.label import LabelParams, engine_of
from entropy_flows.potentials import (
    environment_of,
    load_batch_model,
    load_calculator,
    locate_model,
    with_arguments,
    with_family_of,
)

pytest.importorskip("sevenn")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return small_sevennet(tmp_path_factory.mktemp("model") / "small.pth", ("Si", "O"))


@pytest.fixture(scope="module")
def name(file, environment):
    return with_arguments(file, {"environment": str(environment)})


@pytest.fixture(scope="module")
def models(file, name):
    return load_batch_model(file), load_batch_model(name)


def trajectories(model):
    runs = [Run(i, Condition("a", 600.0, (0.0, 2.0)[i % 2], 0.0), "atom", 7 + i) for i in range(3)]
    starts = [rattled(repeat=1, seed=i) for i in range(3)]
    params = ExploreParams(steps=12, warm_up=2, ramp=2, snapshot_every=2)
    return explore(runs, starts, model, LocalBias(GOM(cutoff=3.0, natx=8)), params)


def test_energies_forces_and_stresses_are_the_same(models):
    here, there = models
    molecule = bulk("Si")
    molecule.pbc = False
    batch = Batch.of([rattled(repeat=1), skewed("SiO2", seed=1), molecule])
    first, second = here(batch), there(batch)
    for quantity in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(getattr(first, quantity), getattr(second, quantity))


def test_the_calculators_are_the_same(file, name):
    atoms = rattled(repeat=1)
    other = atoms.copy()
    atoms.calc, other.calc = load_calculator(file), load_calculator(name)
    assert atoms.get_potential_energy() == other.get_potential_energy()
    np.testing.assert_array_equal(atoms.get_forces(), other.get_forces())
    np.testing.assert_array_equal(atoms.get_stress(), other.get_stress())


def test_an_exploration_is_the_same_also_if_the_process_is_killed(models):
    here, there = models

    class Killing:
        """The model in the environment, whose process is killed before the sixth step."""

        device = "cpu"
        calls = kills = 0

        def __call__(self, batch):
            self.calls += 1
            if self.calls == 6:
                os.kill(there.process.pid, signal.SIGKILL)
                self.kills += 1
            return there(batch)

    killing = Killing()
    expected = trajectories(here)
    for results in (trajectories(there), trajectories(killing)):
        for first, second in zip(expected, results, strict=True):
            assert second.reason is None
            for field in (*first.PER_SNAPSHOT, "mean_temperature", "min_distance"):
                np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
    assert killing.kills == 1


def test_a_teacher_in_an_environment_labels_as_one_here(file, name, tmp_path):
    teacher = LabelParams.model_validate(
        {"engine": "forcefield", "model": {"name": str(file), "environment": environment_of(name)}}
    )
    engine = teacher.make_engine()
    assert engine.name == "small.pth (teacher, not DFT)"
    assert engine_of(teacher.make_maker()).hash == engine.hash
    versions = engine.hash_input()["versions"]
    assert versions["sevenn"] == version("sevenn")
    assert versions["torch"] == version("torch")
    elsewhere = tmp_path / "elsewhere.pth"
    elsewhere.write_bytes(file.read_bytes())
    moved = teacher.model_copy(
        update={"model": with_arguments(elsewhere, {"environment": environment_of(name)})}
    )
    assert moved.make_engine().hash == engine.hash, "a model is its weights"
    atoms = rattled(repeat=1)
    other = atoms.copy()
    atoms.calc, other.calc = engine.calculator(), load_calculator(file)
    np.testing.assert_array_equal(atoms.get_forces(), other.get_forces())


def test_a_trained_model_stays_in_its_base_models_environment(name):
    assert with_family_of(name, "new.pth") == with_arguments(
        "new.pth", {"environment": environment_of(name)}
    )


def test_a_path_is_relative_to_the_campaign_file(file, tmp_path):
    (tmp_path / "small.pth").write_bytes(file.read_bytes())
    located = locate_model('small.pth?{"environment": "envs/mace"}', tmp_path)
    assert environment_of(located) == str(tmp_path / "envs" / "mace")
    assert environment_of(locate_model('small.pth?{"environment": "mace"}', tmp_path)) == "mace"
