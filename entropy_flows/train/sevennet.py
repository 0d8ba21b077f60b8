"""SevenNet: run its own program, `sevenn train`, in a process of its own, from a checkpoint of it.

The program has no average of the weights, no accumulation of gradients and no clipping of them;
`check` refuses those. It has no early stopping: it is ended when nothing improves. It shuffles by a
generator whose state it does not keep, so a training that goes on after a kill sees other batches
from there, and ends elsewhere than an undisturbed one. A list of cells without a neighbour pair
ends it in an error of torch's, so such cells are left out of training and validation.

A model of several modalities becomes one of the modality that is named, and is trained as such: a
campaign has labels of one kind. The result has no modality to name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ase import Atoms

from entropy_flows.digest import file_sha256
from entropy_flows.environments.foreign import adapter_file
from entropy_flows.files import read_json, whole_file
from entropy_flows.potentials import find_model, load_many, with_family_of
from entropy_flows.potentials.sevennet import SevenNetFamily
from entropy_flows.processes import locked
from entropy_flows.train.align import base_shifts
from entropy_flows.train.base import Model, Progress, TrainResult, is_of_family
from entropy_flows.train.folder import Row, State, best_epoch, take_up
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_program
from entropy_flows.train.python import TrainingPython
from entropy_flows.train.sevennet_epochs import (
    add_finished_epochs,
    checkpoint_name,
    is_over,
    resume_history,
)
from entropy_flows.train.sevennet_input import (
    BASE,
    RUN,
    data_section,
    sevennet_config,
    write_base,
)
from entropy_flows.train.steps import (
    LOCK_SECONDS,
    Data,
    check_cells,
    finished_result,
    inputs_sha256,
    mean_errors,
    reporter,
    save_result,
    smaller_batches,
    write_data,
)

if TYPE_CHECKING:
    from sevenn.checkpoint import SevenNetCheckpoint

RESULT = "model.pth"
PROGRAM = {None: "sevenn.main.sevenn", "backbone": adapter_file("sevennet_readout")}
"""Part of the model that is frozen → module or script that is run."""
PROGRAMS = ("sevenn", "torch", "entropy_flows")
"""Packages whose versions decide the result."""
MISSING = (
    ("ema_decay", 0.0, "average of the weights"),
    ("accumulate", 1, "accumulation of gradients"),
    ("clip", None, "clipping of gradients"),
)
"""Keys of a recipe that the program lacks: the value that turns each off, and its name."""


class SevenNetTrainer:
    """The trainer of SevenNet's models; of several modalities it trains the one that is named."""

    takes = TrainParams
    offers = frozenset({"freeze", "replay", "weights"})

    def accepts(self, model: Model) -> bool:
        """Return whether it is a model of SevenNet's."""
        return is_of_family(model, SevenNetFamily.name)

    def check(self, params: TrainParams) -> None:
        """Refuse keys of a recipe that SevenNet's program does not have."""
        environment = SevenNetFamily.environment
        if not environment.is_complete:
            raise ValueError(f"training a SevenNet model needs its package: {environment.install}")
        for key, off, title in MISSING:
            value = getattr(params, key)
            if value != off:
                raise ValueError(
                    f"train: {key} is {value} (preset {params.preset}), but SevenNet's program has "
                    f"no {title}: set {key}: {'null' if off is None else off}, "
                    "or preset: sevennet-0"
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
        """Train a SevenNet model; see `train.fine_tune`."""
        from entropy_flows.potentials import sevennet_checkpoint as checkpoints

        started = time.monotonic()
        workdir = Path(workdir).resolve()
        checkpoint, modal = _base_checkpoint(str(base_model))
        check_cells([*train, *val, *test], checkpoints.checkpoint_elements(checkpoint))
        with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
            splits = {"train": train, "val": val, "test": test}
            cutoff = float(checkpoint.config["cutoff"])
            data = write_data(splits, params, workdir, pair_cutoff=cutoff)
            python = TrainingPython.of(base_model)
            versions = python.versions(PROGRAMS)
            identity = _identity(checkpoint, modal)
            inputs = inputs_sha256(identity, data, params, workdir, versions)
            finished = finished_result(workdir, inputs, RESULT)
            if finished is not None:
                return finished
            state = take_up(workdir, State(inputs, params.batch_size, accumulate=1))
            shifts: dict[str, float] = {}
            if params.align_energies:
                shifts = base_shifts(workdir / RUN, train, str(base_model), params.runs_on)
            write_base(checkpoint, modal, shifts, workdir / BASE)
            base = checkpoints.checkpoint_of(workdir / BASE)
            model_section = base.yaml_dict("continue")["model"]
            data_part = data_section(data, params, workdir)
            config = partial(sevennet_config, model_section, data_part, data.stress)
            report = reporter(workdir, params, on_progress)
            program = partial(run_program, lock=lock, python=python)
            state = _train(config, params, state, workdir, program, report)
            model = with_family_of(str(base_model), workdir / RESULT)
            result = _result(state, data, params, workdir, model)
            return save_result(replace(result, wall_seconds=time.monotonic() - started), workdir)


def _base_checkpoint(base_model: str) -> tuple[SevenNetCheckpoint, str | None]:
    """Open a base model's checkpoint, and return the modality that is named with it.

    Raises
    ------
    ValueError
        If it has several modalities and none is named, or another one is.
    """
    from entropy_flows.potentials import sevennet_checkpoint as checkpoints

    _, name, arguments = find_model(base_model)
    checkpoint = checkpoints.checkpoint_of(checkpoints.checkpoint_file(name))
    checkpoints.check_modality(name, checkpoint, arguments)
    return checkpoint, arguments.get("modal")


def _identity(checkpoint: SevenNetCheckpoint, modal: str | None) -> str:
    """Return what identifies a base model: its file's checksum, and its modality if it has some."""
    sha256 = file_sha256(checkpoint.checkpoint_path)
    return sha256 if modal is None else f"{sha256} {modal}"


def _train(
    config: Callable[[TrainParams, int], dict[str, Any]],
    params: TrainParams,
    state: State,
    workdir: Path,
    program: Callable[..., None],
    report: Callable[[], None],
) -> State:
    """Train to the end, from the last finished epoch.

    Batches become smaller as often as the GPU's memory does not suffice.
    """
    input_file = RUN / "input.yaml"
    arguments = ["train", str(input_file), "-w", str(RUN), "-s"]
    while True:
        history = resume_history(workdir / RUN)
        if is_over(history, params):
            return state
        state = replace(state, attempts=state.attempts + 1)
        state.save(workdir)
        recipe = params.model_copy(update={"batch_size": state.batch_size})
        text = yaml.safe_dump(config(recipe, len(history)), sort_keys=False)
        (workdir / input_file).write_text(text)

        def watch(history: list[Row] = history) -> bool:
            add_finished_epochs(history, workdir / RUN, params)
            report()
            return is_over(history, params)

        try:
            program(
                "sevenn-train",
                PROGRAM[params.freeze],
                arguments,
                workdir,
                "Total wall time",
                watch=watch,
            )
            return state
        except GpuMemoryError as err:
            # The program cannot accumulate, so its steps become smaller.
            state = replace(smaller_batches(state, err), accumulate=1)


def _result(
    state: State, data: Data, params: TrainParams, workdir: Path, model: str
) -> TrainResult:
    """Write the best epoch's weights, without what only this training needs.

    `model` is the file's name with the environment that it is loaded in, if there is one.
    """
    import torch

    from entropy_flows.potentials.sevennet_checkpoint import checkpoint_of

    history = read_json(workdir / RUN / "history.json", [])
    best = best_epoch(history)
    content = checkpoint_of(workdir / RUN / checkpoint_name(best)).get_checkpoint_dict()
    config = {
        key: value
        for key, value in content["config"].items()
        # Paths and times of this training: with them, equal trainings would differ.
        if not key.startswith(("load_", "continue", "when"))
    }
    states: dict[str, Any] = {"optimizer_state_dict": {}, "scheduler_state_dict": {}}
    with whole_file(workdir / RESULT) as file:
        torch.save({**content, "config": config, **states, "time": "", "hash": state.inputs}, file)
    test = data.frames.get("test", [])
    test_errors: dict[str, float] = {}
    if test:
        calculator = load_many(model, device=params.runs_on)
        test_errors = mean_errors(test, calculator)
    return TrainResult(
        model=workdir / RESULT,
        sha256=file_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best,
        history=history,
        test=test_errors,
        left_out=data.left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )
