"""NequIP and Allegro: run `nequip-train` in a process of its own, package the best model.

A process of its own, because a second training in one process fails and a training that runs out of
memory must not take a workflow with it. A training that was killed, at whatever moment, is gone on
with from its last finished epoch when it is called again with the same inputs and folder, and gives
the same model as if it had not been (bit by bit on one CPU thread of one kind of processor).
`folder.py` says what is in the folder, `resume.py` what it takes in NequIP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from ase import Atoms

from entropy_flows.digest import file_sha256
from entropy_flows.files import read_json
from entropy_flows.potentials import model_elements
from entropy_flows.potentials.nequip import PACKAGE_SUFFIX, is_published, local_package
from entropy_flows.processes import locked
from entropy_flows.train.align import shifts_of
from entropy_flows.train.base import Model, Progress, TrainResult
from entropy_flows.train.dataset import with_a_pair
from entropy_flows.train.folder import State, best_epoch, checkpoint_file, last_checkpoint, take_up
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_program
from entropy_flows.train.recipe import Config, nequip_config, packaged_model
from entropy_flows.train.steps import (
    LOCK_SECONDS,
    Data,
    check_cells,
    finished,
    inputs_sha256,
    keep,
    reporter,
    smaller_batches,
    write_data,
)

BASE, RESULT = "base.nequip.zip", "model.nequip.zip"
DECISIVE = ("nequip", "nequip-allegro", "torch", "lightning", "entropy_flows")


def takes(model: Model) -> bool:
    """Whether it is a NequIP or Allegro package, or a model section."""
    return (
        isinstance(model, dict) or str(model).endswith(PACKAGE_SUFFIX) or is_published(str(model))
    )


def check(params: TrainParams) -> None:
    """NequIP has all there is in a recipe."""


def fine_tune(
    train: Sequence[Atoms],
    val: Sequence[Atoms],
    test: Sequence[Atoms],
    base_model: Model,
    params: TrainParams,
    workdir: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a NequIP or Allegro model; see `train.fine_tune`."""
    started = time.monotonic()
    workdir = Path(workdir).resolve()
    package = None if isinstance(base_model, dict) else local_package(base_model)
    model = base_model if isinstance(base_model, dict) else packaged_model(Path(BASE))
    check_cells(
        [*train, *val, *test], model["type_names"] if package is None else model_elements(package)
    )
    if package is None:
        _check_pairs(train, float(model["r_max"]))
    with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
        data = write_data({"train": train, "val": val, "test": test}, params, workdir)
        base = model if package is None else file_sha256(package)
        inputs = inputs_sha256(base, data, params, workdir, DECISIVE)
        if (done := finished(workdir, inputs, RESULT)) is not None:
            return done
        state = take_up(workdir, State(inputs, params.batch_size, params.accumulate))
        (workdir / BASE).unlink(missing_ok=True)
        if package is not None:
            (workdir / BASE).symlink_to(package)
        if package is not None and params.align_energies:
            model = packaged_model(
                Path(BASE), shifts_of(workdir / "run", train, package, params.runs_on)
            )
        config = partial(nequip_config, model, data.files, folder=Path("run"), stress=data.stress)
        state = _train(config, params, state, workdir, lock, reporter(workdir, params, on_progress))
        result = _package(state, data, workdir, lock)
        return keep(replace(result, wall_seconds=time.monotonic() - started), workdir)


def _check_pairs(train: Sequence[Atoms], cutoff: float) -> None:
    """Refuse a new model none of whose training cells has a neighbour pair: it is scaled by their mean number."""
    _, lonely = with_a_pair(train, cutoff)
    if len(lonely) == len(train):
        raise ValueError(
            f"none of {len(train)} training cells has a neighbour pair within the new model's cutoff of {cutoff:g} Å"
        )


def _train(
    config: Callable[[TrainParams], Config],
    params: TrainParams,
    state: State,
    workdir: Path,
    lock: int,
    report: Callable[[], None],
) -> State:
    """Train to the end, from the last finished epoch, in smaller batches as often as the GPU's memory asks for it."""
    while True:
        state = replace(state, attempts=state.attempts + 1)
        state.save(workdir)
        update = {"batch_size": state.batch_size, "accumulate": state.accumulate}
        settings = config(params.model_copy(update=update))
        if (last := last_checkpoint(workdir / "run")) is not None:
            settings["ckpt_path"] = str(last.relative_to(workdir))
        (workdir / "run" / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        arguments = ["-cp", str(workdir / "run"), "-cn", "config"]
        last_line = f"{settings['run'][-1].upper()} RUN END"
        try:
            run_program(
                "nequip-train", "nequip.scripts.train", arguments, workdir, last_line, lock, report
            )
            return state
        except GpuMemoryError as err:
            state = smaller_batches(state, err)


def _package(state: State, data: Data, workdir: Path, lock: int) -> TrainResult:
    """Package the best epoch's averaged weights."""
    history = read_json(workdir / "run" / "history.json", [])
    best = best_epoch(history)
    (workdir / RESULT).unlink(missing_ok=True)
    arguments = ["build", str(checkpoint_file(Path("run"), best)), RESULT]
    run_program(
        "nequip-package", "nequip.scripts.package", arguments, workdir, "Packaged model saved", lock
    )
    return TrainResult(
        model=workdir / RESULT,
        sha256=file_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best,
        history=history,
        test=read_json(workdir / "run" / "test.json", {}),
        left_out=data.left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )
