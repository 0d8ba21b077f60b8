"""MACE: run its own program, `mace_run_train`, by the Python of the model's environment.

`environments/foreign/mace_training.py` is what that Python runs: the program, with additions by
which a training that was killed goes on bit for bit. Replay cells are trained on as MACE's
*multihead* fine-tuning does it, on a readout of their own, or with the others (*naive*).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms
from ase.data import atomic_numbers

from entropy_flows.digest import file_sha256
from entropy_flows.environments.foreign import adapter_file
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import load_many, match_model, with_family_of
from entropy_flows.potentials.mace import FILE_SUFFIX, MaceFamily
from entropy_flows.potentials.names import existing_file
from entropy_flows.processes import locked
from entropy_flows.train.align import base_shifts
from entropy_flows.train.base import Model, Progress, TrainResult, is_of_family
from entropy_flows.train.dataset import is_replay
from entropy_flows.train.folder import State, best_epoch, last_checkpoint, take_up
from entropy_flows.train.mace_input import BASE, RUN, mace_config, write_cells
from entropy_flows.train.mace_params import MaceParams
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_program
from entropy_flows.train.python import HERE, TrainingPython
from entropy_flows.train.steps import (
    LOCK_SECONDS,
    Data,
    finished_result,
    inputs_sha256,
    mean_errors,
    reporter,
    save_result,
    smaller_batches,
    write_data,
)

RESULT = f"mace{FILE_SUFFIX}"
SCRIPT = adapter_file("mace_training")
PROGRAMS = ("mace-torch", "e3nn", "torch", "entropy_flows")
"""Packages whose versions decide the result."""
END = "MACE TRAINING END"


class MaceTrainer:
    """The trainer of MACE's models."""

    takes = MaceParams
    offers = frozenset({"freeze", "replay", "weights"})

    def accepts(self, model: Model) -> bool:
        """Return whether it is a model of MACE's."""
        return is_of_family(model, MaceFamily.name)

    def check(self, params: TrainParams) -> None:
        """Refuse the key of a recipe that MACE's program does not have."""
        if params.accumulate != 1:
            raise ValueError(
                f"train: accumulate is {params.accumulate} (preset {params.preset}), but MACE's "
                "program has no accumulation of gradients: set accumulate: 1, or preset: mace-mp"
            )

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
        """Train a MACE model; see `train.fine_tune`."""
        assert isinstance(params, MaceParams)
        started = time.monotonic()
        workdir = Path(workdir).resolve()
        model = str(base_model)
        python = TrainingPython.of(model)
        if python == HERE:
            MaceFamily.environment.require(f"training '{model}'")
        splits = {"train": train, "val": val, "test": test}
        with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
            data = write_data(splits, params, workdir)
            versions = python.versions(PROGRAMS)
            inputs = inputs_sha256(_identity(model), data, params, workdir, versions)
            finished = finished_result(workdir, inputs, RESULT)
            if finished is not None:
                return finished
            state = take_up(workdir, State(inputs, params.batch_size, accumulate=1))
            shifts: dict[str, float] = {}
            if params.align_energies:
                shifts = base_shifts(workdir / RUN, train, model, params.runs_on)
            write_json(workdir / RUN / "base.json", _base_settings(model, shifts))
            report = reporter(workdir, params, on_progress)
            program = partial(run_program, lock=lock, python=python, watch=report)
            state = _train(data, params, state, workdir, program)
            result = _result(state, data, params, model, workdir)
            return save_result(replace(result, wall_seconds=time.monotonic() - started), workdir)


def _identity(model: str) -> str:
    """Return the checksum of a model's file, or the published model's name."""
    match = match_model(model)
    assert match is not None
    if match.family.is_file(match.name):
        return file_sha256(existing_file(match.name))
    return match.family.canonical_name(match.name)


def _base_settings(model: str, shifts: dict[str, float]) -> dict[str, Any]:
    """Return what the model to start from is made of: the base model, its elements' energies moved.

    Parameters
    ----------
    model
        The base model.
    shifts
        Element → addition to the energy of each atom (eV).
    """
    match = match_model(model)
    assert match is not None
    is_file = match.family.is_file(match.name)
    name = MaceFamily().program_name(match.name)
    return {
        "model": str(existing_file(match.name)) if is_file else name,
        "head": match.arguments.get("head"),
        "shifts": {atomic_numbers[element]: shift for element, shift in shifts.items()},
        "output": str(BASE),
    }


def _train(
    data: Data,
    params: MaceParams,
    state: State,
    workdir: Path,
    program: Callable[..., None],
) -> State:
    """Train to the end, from the last finished epoch.

    Batches become smaller as often as the GPU's memory does not suffice.
    """
    multihead = params.multihead and any(map(is_replay, data.frames["train"]))
    write_cells(data, params, workdir, multihead)
    while True:
        last_checkpoint(workdir / RUN)  # a damaged one is deleted
        state = replace(state, attempts=state.attempts + 1)
        state.save(workdir)
        recipe = params.model_copy(update={"batch_size": state.batch_size})
        text = yaml.safe_dump(mace_config(recipe, data.stress, multihead), sort_keys=False)
        (workdir / RUN / "config.yaml").write_text(text)
        files = [str(RUN / "base.json"), params.runs_on, RESULT]
        arguments = [*files, "--config", str(RUN / "config.yaml")]
        try:
            program("mace-train", SCRIPT, arguments, workdir, END)
            return state
        except GpuMemoryError as err:
            # The program cannot accumulate, so its steps become smaller.
            state = replace(smaller_batches(state, err), accumulate=1)


def _result(state: State, data: Data, params: MaceParams, model: str, workdir: Path) -> TrainResult:
    """Test the best epoch's model, and record it."""
    history: list[dict[str, Any]] = read_json(workdir / RUN / "history.json", [])
    test = data.frames.get("test", [])
    errors: dict[str, float] = {}
    if test:
        trained = with_family_of(model, workdir / RESULT)
        errors = mean_errors(test, load_many(trained, device=params.runs_on))
    return TrainResult(
        model=workdir / RESULT,
        sha256=file_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best_epoch(history),
        history=history,
        test=errors,
        left_out=data.left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )
