"""An exploration goes on from its checkpoint with the same bits, and from nothing else."""

import os
import signal

import numpy as np
import pytest
from ase.build import bulk
from cells import Spring

from entropy_flows.entropy import LocalBias
from entropy_flows.explore import ExploreParams, condition_grid, draw_runs, explore
from entropy_flows.faults import Terminated, defer_sigterm, handle_sigterm
from entropy_flows.fingerprints import GOM
from entropy_flows.jobs.checkpoint import (
    CheckpointFile,
    ExploreCheckpoint,
    checkpoint_folder,
    forget_iteration,
    iteration_folder,
)
from entropy_flows.launch.launchpad import FireworkLaunch
from entropy_flows.potentials import OneByOne
from entropy_flows.processes import locked
from entropy_flows.settings import settings
from entropy_flows.store.fence import running

PARAMS = ExploreParams(
    temperatures=(600.0,), entropy_weights=(2.0, 5.0), steps=12, warm_up=2, ramp=2, snapshot_every=3
)
BIAS = LocalBias(GOM(cutoff=3.0, natx=8))


@pytest.fixture
def batch():
    runs = draw_runs(condition_grid(PARAMS, ["fcc"]), 0.5, (1, 2))
    starts = [bulk("Cu", cubic=True) * (2, 1, 1) for _ in runs]
    for seed, atoms in enumerate(starts):
        atoms.rattle(0.05, seed=seed)
    return runs, starts


def checkpoint(path, batch, params=PARAMS, model="emt"):
    return ExploreCheckpoint(path, *batch, params, model)


def run(batch, **options):
    return explore(*batch, OneByOne(Spring()), BIAS, PARAMS, **options)


def same(one, other):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one, other, strict=True)
        for name in ("positions", "energies", "temperatures", "max_forces", "steps")
    )


@pytest.mark.parametrize("at", [-3, 0, 5, 12])
def test_the_same_bits_from_any_step(batch, tmp_path, at):
    whole = run(batch)
    file = checkpoint(tmp_path / "explore.checkpoint", batch)

    def stop(ensemble):
        if ensemble.step == at:
            file.save(ensemble.state())
            raise Terminated

    with pytest.raises(Terminated):
        run(batch, on_step=stop)
    resumed = run(batch, resume=checkpoint(tmp_path / "explore.checkpoint", batch).load())
    assert same(whole, resumed)


def test_sigterm_is_answered_by_saving(batch, tmp_path):
    file = checkpoint(tmp_path / "explore.checkpoint", batch)
    steps = []

    def step(ensemble):
        steps.append(ensemble.step)
        if ensemble.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        file.step(ensemble)

    before = signal.getsignal(signal.SIGTERM)
    with handle_sigterm(), pytest.raises(Terminated, match="saved at step 4"), defer_sigterm():
        run(batch, on_step=step)
    assert signal.getsignal(signal.SIGTERM) is before
    assert steps[-1] == 4
    assert file.load()["step"] == 4


def test_sigterm_elsewhere_ends_at_once():
    with handle_sigterm(), pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)


def test_saved_from_time_to_time(batch, tmp_path, monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_CHECKPOINT", "0")
    settings.cache_clear()
    file, seen = checkpoint(tmp_path / "explore.checkpoint", batch), []
    run(batch, on_step=lambda ensemble: (file.step(ensemble), seen.append(file.load()["step"])))
    settings.cache_clear()
    assert seen == list(range(-3, 13))
    assert [path.name for path in tmp_path.iterdir()] == ["explore.checkpoint"]


def test_what_is_damaged_or_belongs_to_other_inputs_is_ignored(batch, tmp_path):
    path = tmp_path / "explore.checkpoint"
    assert checkpoint(path, batch).load() is None
    run(batch, on_step=lambda ensemble: checkpoint(path, batch).save(ensemble.state()))
    assert checkpoint(path, batch).load()["step"] == 12
    assert checkpoint(path, batch, model="another").load() is None
    assert checkpoint(path, batch, PARAMS.model_copy(update={"friction": 0.02})).load() is None
    moved = [atoms.copy() for atoms in batch[1]]
    moved[0].positions[0, 0] += 1e-12
    assert checkpoint(path, (batch[0], moved)).load() is None
    whole = path.read_bytes()
    for damaged in (
        whole[:-1],
        whole[:40],
        b"",
        whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
    ):
        path.write_bytes(damaged)
        assert checkpoint(path, batch).load() is None


def test_a_write_that_fails_leaves_the_last_one(batch, tmp_path, monkeypatch):
    file, states = checkpoint(tmp_path / "explore.checkpoint", batch), []
    run(batch, on_step=lambda ensemble: states.append(ensemble.state()))
    file.save(states[3])
    monkeypatch.setattr(
        os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space left"):
        file.save(states[4])
    assert file.load()["step"] == states[3]["step"]
    assert len(list(tmp_path.iterdir())) == 1


def test_an_iterations_checkpoints_are_deleted_with_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path))
    settings.cache_clear()
    for number in (1, 2):
        (iteration_folder("ours", number) / "job").mkdir(parents=True)
    forget_iteration("ours", 1)
    forget_iteration("ours", 3)
    assert [path.name for path in (tmp_path / "checkpoints" / "ours").iterdir()] == ["002"]
    settings.cache_clear()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def folder_of(launch):
    with running(FireworkLaunch(7, launch)):
        return checkpoint_folder("ours", 1, "job")


def test_the_next_launch_takes_a_jobs_checkpoints_over(cache):
    first = folder_of(3)
    old = CheckpointFile(first / "explore.checkpoint", b"i" * 32)
    old.write(b"step 10")
    assert folder_of(3) == first
    second = folder_of(4)
    assert not first.exists()
    new = CheckpointFile(second / "explore.checkpoint", b"i" * 32)
    assert new.read() == b"step 10"
    new.write(b"step 20")
    old.write(b"step 11")  # the worker of the first launch wakes up
    assert new.read() == b"step 20"
    assert folder_of(4) == second
    forget_iteration("ours", 1)
    assert not list((cache / "checkpoints" / "ours").iterdir())


def test_a_folder_whose_lock_is_held_stays_with_its_launch(cache):
    """A stopped worker holds it, and so does its training program, which goes on without it."""
    first = folder_of(3)
    with locked(first / "training" / "lock", "a training", patience=0):
        second = folder_of(4)
        assert first.exists()
        assert not second.exists()
        with locked(second / "training" / "lock", "the training again", patience=0):
            pass
    assert folder_of(5) != second
    assert folder_of(5).exists()
