"""NequIP and Allegro: train and package the best model in a process of its own.

The process is its own because a second training in one process fails, and because a training that
runs out of memory must not take a workflow with it. A training that was killed at any moment goes
on from its last finished epoch when it is called again with the same inputs and folder. It gives
the same model as an undisturbed one, bit by bit on one CPU thread of one kind of processor.
`folder.py` lists the files of the folder, `resume.py` the additions to NequIP that this needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from ase import Atoms

from entropy_flows.digest import file_sha256
from entropy_flows.files import read_json
from entropy_flows.potentials import split_model
from entropy_flows.potentials.nequip import (
    PACKAGE_SUFFIX,
    is_published,
    local_package,
    package_elements,
)
from entropy_flows.processes import locked
from entropy_flows.train.align import base_shifts
from entropy_flows.train.base import Model, Progress, TrainResult
from entropy_flows.train.dataset import with_a_pair
from entropy_flows.train.folder import State, best_epoch, last_checkpoint, take_up
from entropy_flows.train.nequip_program import PACKAGED, RESULT
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_program
from entropy_flows.train.python import HERE
from entropy_flows.train.recipe import Config, nequip_config, packaged_model
from entropy_flows.train.steps import (
    LOCK_SECONDS,
    Data,
    check_cells,
    finished_result,
    inputs_sha256,
    reporter,
    save_result,
    smaller_batches,
    write_data,
)

BASE = "base.nequip.zip"
NAME = "nequip-train"
"""Name of the program in messages."""
PROGRAM = "entropy_flows.train.nequip_program"
PROGRAMS = ("nequip", "nequip-allegro", "torch", "lightning", "entropy_flows")
"""Packages whose versions decide the result."""


class NequIPTrainer:
    """The trainer of NequIP and Allegro models, packaged or new."""

    takes = TrainParams
    offers = frozenset({"freeze", "replay", "weights"})

    def accepts(self, model: Model) -> bool:
        """Return whether it is a package, or the description of a new model."""
        if isinstance(model, dict):
            return True
        name, _ = split_model(model)
        return name.endswith(PACKAGE_SUFFIX) or is_published(name)

    def check(self, params: TrainParams) -> None:
        """Take any recipe, for NequIP has all there is in one."""

    def fine_tune(
        self,
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
        splits = {"train": train, "val": val, "test": test}
        package, model = _base(base_model, splits, params)
        with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
            data = write_data(splits, params, workdir)
            base = model if package is None else file_sha256(package)
            inputs = inputs_sha256(base, data, params, workdir, HERE.versions(PROGRAMS))
            finished = finished_result(workdir, inputs, RESULT)
            if finished is not None:
                return finished
            state = take_up(workdir, State(inputs, params.batch_size, params.accumulate))
            # The base model may be at another path than when this training began.
            (workdir / BASE).unlink(missing_ok=True)
            if package is not None:
                (workdir / BASE).symlink_to(package)
            if package is not None and params.align_energies:
                shifts = base_shifts(workdir / "run", train, package, params.runs_on)
                model = packaged_model(Path(BASE), shifts)
            config = partial(
                nequip_config, model, data.files, folder=Path("run"), stress=data.stress
            )
            report = reporter(workdir, params, on_progress)
            state = _train(config, params, state, workdir, lock, report)
            result = _result(state, data, workdir)
            return save_result(replace(result, wall_seconds=time.monotonic() - started), workdir)


def _base(
    base_model: Model, splits: Mapping[str, Sequence[Atoms]], params: TrainParams
) -> tuple[Path | None, Config]:
    """Return the package to start from, None for a new model, and the model's section.

    Cells that the model cannot be trained on are refused, and a new model with a frozen part.
    """
    cells = [atoms for frames in splits.values() for atoms in frames]
    if isinstance(base_model, dict):
        if params.freeze is not None:
            raise ValueError(
                f"train: freeze is {params.freeze}, but a new model has learnt nothing"
            )
        check_cells(cells, base_model["type_names"])
        _check_pairs(splits["train"], float(base_model["r_max"]))
        return None, base_model
    package = local_package(split_model(base_model)[0])
    check_cells(cells, package_elements(package))
    return package, packaged_model(Path(BASE))


def _check_pairs(train: Sequence[Atoms], cutoff: float) -> None:
    """Refuse cells without any neighbour pair: a new model is scaled by their mean number."""
    _, lonely = with_a_pair(train, cutoff)
    if len(lonely) == len(train):
        raise ValueError(
            f"none of {len(train)} training cells has a neighbour pair "
            f"within the new model's cutoff of {cutoff:g} Å"
        )


def _train(
    config: Callable[[TrainParams], Config],
    params: TrainParams,
    state: State,
    workdir: Path,
    lock: int,
    report: Callable[[], None],
) -> State:
    """Train to the end, from the last finished epoch, and package the best epoch's weights.

    Batches become smaller as often as the GPU's memory does not suffice.
    """
    while True:
        state = replace(state, attempts=state.attempts + 1)
        state.save(workdir)
        update = {"batch_size": state.batch_size, "accumulate": state.accumulate}
        settings = config(params.model_copy(update=update))
        checkpoint = last_checkpoint(workdir / "run")
        if checkpoint is not None:
            settings["ckpt_path"] = str(checkpoint.relative_to(workdir))
        (workdir / "run" / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        (workdir / RESULT).unlink(missing_ok=True)
        log = f"run/{NAME}.console.log"
        last_line = f"{settings['run'][-1].upper()} RUN END"
        arguments = [log, last_line, "-cp", str(workdir / "run"), "-cn", "config"]
        try:
            run_program(NAME, PROGRAM, arguments, workdir, PACKAGED, lock, report)
            return state
        except GpuMemoryError as err:
            state = smaller_batches(state, err)


def _result(state: State, data: Data, workdir: Path) -> TrainResult:
    """Describe the packaged model and its training."""
    history = read_json(workdir / "run" / "history.json", [])
    return TrainResult(
        model=workdir / RESULT,
        sha256=file_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best_epoch(history),
        history=history,
        test=read_json(workdir / "run" / "test.json", {}),
        left_out=data.left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )
