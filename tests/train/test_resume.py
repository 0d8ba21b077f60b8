"""A training that is killed again and again gives the same bytes as an undisturbed one."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from forks import forked

from entropy_flows.faults import MachineError, Terminated
from entropy_flows.files import UNFINISHED
from entropy_flows.processes import locked
from entropy_flows.train import process
from entropy_flows.train.folder import State, checkpoint_file, kept_epochs, last_checkpoint, take_up
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, TrainingError, fault
from entropy_flows.train.recipe import small_allegro
from entropy_flows.train.run import fine_tune

# At this step length the loss goes up and down: the learning rate falls after epochs 5 and 13,
# epoch 11 is the best, early stopping ends it after 14. There are three batches, two to a step, so
# that each epoch ends within a step.
PATIENCE = {"lr_patience": 1, "early_stopping_patience": 3}
PARAMS = TrainParams(
    preset="small", learning_rate=0.3, max_epochs=20, batch_size=2, accumulate=2, **PATIENCE
)
NETWORK = small_allegro(["Cu"], cutoff=4.0, scalars=4, tensors=2)


def labelled(seed):
    atoms = bulk("Cu", cubic=True)
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    source = atoms.copy()
    source.calc = EMT()
    atoms.calc = SinglePointCalculator(
        atoms, energy=source.get_potential_energy(), forces=source.get_forces()
    )
    return atoms


TRAIN, VAL, TEST = [[labelled(seed) for seed in seeds] for seeds in (range(6), (10, 11), (20,))]


def train(workdir, params=PARAMS, on_progress=None):
    return fine_tune(TRAIN, VAL, TEST, NETWORK, params, workdir, on_progress=on_progress)


@pytest.fixture(scope="module")
def undisturbed(imported_programs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "child", forked)
        return train(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def strike(tmp_path, monkeypatch):
    """Have NequIP's next process struck by a fault of `struck/sitecustomize.py`."""
    file = tmp_path / "fault.json"
    monkeypatch.setenv("NEQUIP_FAULT", str(file))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("struck")), prepend=os.pathsep)

    def write(*faults):
        file.write_text(json.dumps(faults))

    return write


def kill(epoch):
    return {"kind": "kill_in_the_second_batch", "epoch": epoch}


def assert_same(result, undisturbed, attempts):
    assert result.history == undisturbed.history
    assert result.test == undisturbed.test
    assert result.best_epoch == undisturbed.best_epoch
    assert result.inputs_sha256 == undisturbed.inputs_sha256
    assert result.model.read_bytes() == undisturbed.model.read_bytes()
    assert (result.attempts, undisturbed.attempts) == (attempts, 1)
    assert not result.reused


def test_the_training_goes_through_what_has_to_be_restored(undisturbed):
    rates = [row["learning_rate"] for row in undisturbed.history]

    assert len(set(rates)) > 2
    assert undisturbed.best_epoch < undisturbed.epochs < PARAMS.max_epochs


def test_killed_in_an_epoch_and_the_last_checkpoint_damaged(
    undisturbed, strike, tmp_path, monkeypatch
):
    seen = []
    strike(kill(7))
    with pytest.raises(MachineError, match="nequip-train was killed by signal 9"):
        train(tmp_path / "t", on_progress=lambda progress: seen.append(progress.epoch))
    newest = checkpoint_file(tmp_path / "t" / "run", 6)
    newest.write_bytes(newest.read_bytes()[:-1000])
    (tmp_path / "t").rename(tmp_path / "moved")
    monkeypatch.setattr(process, "child", forked)  # nothing strikes a fork
    result = train(tmp_path / "moved", on_progress=lambda progress: seen.append(progress.epoch))

    assert_same(result, undisturbed, attempts=2)
    assert seen == list(range(1, result.epochs + 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "epoch"),
    [
        ("kill_in_the_second_batch", 1),  # nothing finished yet
        ("kill_while_writing_a_checkpoint", 6),
        ("kill_after_writing_a_checkpoint", 11),  # the best, and the history's file does not know
        ("kill_after_writing_a_checkpoint", 14),  # the decision to stop
        ("kill_before_the_test", 0),
    ],
)
def test_killed_anywhere(undisturbed, strike, tmp_path, kind, epoch):
    strike({"kind": kind, "epoch": epoch})
    with pytest.raises(MachineError, match="killed by signal 9"):
        train(tmp_path / "t")

    assert_same(train(tmp_path / "t"), undisturbed, attempts=2)
    assert not list((tmp_path / "t").rglob(f"{UNFINISHED}*"))


@pytest.mark.slow
def test_killed_while_packaging(undisturbed, strike, tmp_path):
    strike({"kind": "kill_while_packaging"})
    with pytest.raises(MachineError, match="nequip-train was killed by signal 9"):
        train(tmp_path / "t")

    assert_same(train(tmp_path / "t"), undisturbed, attempts=2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_killed_with_all_its_processes_at_any_time(undisturbed, strike, tmp_path, number):
    """Four times: twice all of them at once, as a queue does it, and twice the parent alone."""
    code = (
        "import sys, test_resume as t\n"
        "t.train(t.Path(sys.argv[1]), on_progress=lambda _: print(flush=True))"
    )
    strike({"kind": "slow_batches"})
    rng = random.Random(number)
    for send in (os.killpg, os.kill, os.killpg, os.kill):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "t")],
            cwd=Path(__file__).parent, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        child.stdout.readline()  # after an epoch
        time.sleep(rng.uniform(0.0, 1.0))
        send(child.pid, number)
        assert child.wait() == -number
    strike()

    assert_same(train(tmp_path / "t"), undisturbed, attempts=5)


@pytest.mark.slow
def test_an_exception_in_the_caller_ends_nequip_and_keeps_what_was_done(undisturbed, tmp_path):
    def terminated(progress):
        if progress.epoch >= 5:
            raise Terminated("asked to end")

    with pytest.raises(Terminated):
        train(tmp_path / "t", on_progress=terminated)
    with open(tmp_path / "t" / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more

    assert_same(train(tmp_path / "t"), undisturbed, attempts=2)


@pytest.mark.slow
def test_gpu_memory_that_does_not_suffice_makes_batches_smaller_for_good(strike, tmp_path):
    params = PARAMS.model_copy(update={"batch_size": 4, "accumulate": 1, "max_epochs": 8})
    little = {"kind": "little_gpu_memory", "epoch": 3, "fits": 2}
    strike(little)
    reduced = train(tmp_path / "once", params)
    strike(little, kill(5))
    with pytest.raises(MachineError, match="killed by signal 9"):
        train(tmp_path / "killed", params)
    killed = train(tmp_path / "killed", params)

    assert (reduced.batch_size, reduced.accumulate, reduced.attempts) == (2, 2, 2)
    assert (killed.batch_size, killed.accumulate, killed.attempts) == (2, 2, 3)
    assert [row["epoch"] for row in reduced.history] == list(range(1, 9))
    assert killed.history == reduced.history
    assert killed.sha256 == reduced.sha256


@pytest.mark.slow
def test_gpu_memory_for_less_than_one_structure_is_told(strike, tmp_path):
    strike({"kind": "little_gpu_memory", "epoch": 1, "fits": 0})

    with pytest.raises(GpuMemoryError, match=r"one structure a batch(.|\n)*CUDA out of memory"):
        train(tmp_path, PARAMS.model_copy(update={"batch_size": 1}))


@pytest.mark.slow
def test_a_full_disk_is_the_machines_fault(undisturbed, strike, tmp_path):
    strike({"kind": "full_disk", "epoch": 5})
    with pytest.raises(MachineError, match="No space left on device"):
        train(tmp_path / "t")
    assert not list((tmp_path / "t").rglob(f"{UNFINISHED}*"))

    assert_same(train(tmp_path / "t"), undisturbed, attempts=2)


@pytest.mark.slow
def test_a_training_is_one_process_in_any_slurm_job(undisturbed, tmp_path, monkeypatch):
    for name, value in {
        "NTASKS": "4",
        "JOB_NAME": "worker",
        "JOB_ID": "1",
        "PROCID": "3",
        "LOCALID": "3",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)

    assert_same(train(tmp_path / "t"), undisturbed, attempts=1)


@pytest.mark.slow
def test_other_inputs_start_from_nothing(undisturbed, strike, tmp_path):
    strike(kill(4))
    with pytest.raises(MachineError):
        train(tmp_path / "t", PARAMS.model_copy(update={"seed": 1}))

    assert_same(train(tmp_path / "t"), undisturbed, attempts=1)


def test_other_inputs_empty_the_folder(tmp_path):
    first = take_up(tmp_path, State("a", 2, 1))
    first.with_smaller_batches().save(tmp_path)
    (tmp_path / "run" / "epoch-0001.ckpt").write_bytes(b"")

    assert take_up(tmp_path, State("a", 2, 1)) == State("a", 1, 2)
    assert (tmp_path / "run" / "epoch-0001.ckpt").exists()
    assert take_up(tmp_path, State("b", 2, 1)) == State("b", 2, 1)
    assert list((tmp_path / "run").iterdir()) == []
    assert take_up(tmp_path, State("b", 8, 8)) == State("b", 2, 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 9, 12, 64])
def test_smaller_batches_keep_the_structures_of_a_step(size):
    smaller = State("", size, 3).with_smaller_batches()

    if size == 1:
        assert smaller is None
    else:
        assert smaller.batch_size <= size // 2
        assert smaller.batch_size * smaller.accumulate == size * 3
        assert size % 2 or smaller.batch_size == size // 2


def test_the_newest_checkpoint_that_is_whole(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for epoch in (9, 10, 11, 12):
        torch.save({"weights": torch.arange(1000.0) + epoch}, checkpoint_file(tmp_path, epoch))
    (tmp_path / f"{UNFINISHED}0-epoch-0013.ckpt").write_bytes(b"half")
    cut, changed = checkpoint_file(tmp_path, 12), checkpoint_file(tmp_path, 11)
    cut.write_bytes(cut.read_bytes()[:2000])
    data = bytearray(changed.read_bytes())
    data[data.index(np.float32(500.0 + 11).tobytes())] ^= 1
    changed.write_bytes(data)

    assert zipfile.is_zipfile(changed)
    assert last_checkpoint(tmp_path) == checkpoint_file(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0009.ckpt",
        "epoch-0010.ckpt",
    ]


def test_whoever_has_to_go_on_from_an_epoch_finds_its_best():
    losses = [3.0, 1.0, float("nan"), 2.0, 1.0, 0.5, 0.7, 0.4]
    history = [{"epoch": n + 1, "val_loss": loss} for n, loss in enumerate(losses)]

    epochs = [kept_epochs(history[:n]) for n in range(1, 9)]
    assert epochs == [{1}, {1, 2}, {2, 3}, {2, 3, 4}, {2, 4, 5}, {2, 5, 6}, {6, 7}, {6, 7, 8}]


def test_a_folder_is_one_trainings_alone(tmp_path):
    with locked(tmp_path / "lock", tmp_path, 0.3) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    try:  # let go here, still held by the child
        with (
            pytest.raises(MachineError, match=f"{tmp_path} is in use by another process"),
            locked(tmp_path / "lock", tmp_path, 0.3),
        ):
            pass
    finally:
        child.communicate(b"\n")
    with locked(tmp_path / "lock", tmp_path, 0.3):
        pass


def test_the_order_follows_from_seed_and_epoch():
    from entropy_flows.train.resume import shuffled_loader

    def order(seed, epoch, batch_size=3):
        loader = shuffled_loader(
            range(11), seed=seed, generator=torch.Generator(), batch_size=batch_size
        )
        # Lightning makes the iterator before it gives the epoch.
        iterator = iter(loader)
        loader.sampler.set_epoch(epoch)
        return torch.cat(list(iterator)).tolist()

    orders = [order(seed, epoch) for seed in (7, 8) for epoch in range(5)]
    assert all(sorted(indices) == list(range(11)) for indices in orders)
    assert len(set(map(tuple, orders))) == 10
    assert order(8, 3, batch_size=1) == orders[8]


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (
            1,
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            GpuMemoryError,
        ),
        (
            1,
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
            "`cublasCreate(handle)`",
            GpuMemoryError,
        ),
        (1, "OSError: [Errno 28] No space left on device", MachineError),
        (1, "OSError: [Errno 122] Disk quota exceeded", MachineError),
        (1, "RuntimeError: CUDA error: uncorrectable ECC error encountered", MachineError),
        (
            1,
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate",
            MachineError,
        ),
        (-9, "", MachineError),
        (0, "[rank: 0] Received SIGTERM: 15", MachineError),
        (0, "The model was saved, NequIP says in other words", TrainingError),
        (1, "ModuleNotFoundError: No module named 'allegro'", MachineError),
        (1, "RuntimeError: shape '[3]' is invalid for input of size 4", TrainingError),
    ],
)
def test_whose_fault_it_is(code, text, kind):
    assert fault(code, text) is kind
