"""SevenNet: run its own program, `sevenn train`, in a process of its own, from a checkpoint of it.

The loss is that of `TrainParams`, multiplied by `DIGITS`, for the program writes six digits after
the point. Told as

    Σ_q  DIGITS w c_q / (c_E + c_F + c_σ)  ⟨h_q(Δ_q)⟩

    q     energy per atom (eV), force (eV/Å), stress (kbar; so c_σ is divided by kbar per eV/Å³)
    w     weight of the structure: a list of files for each value, with its `data_weight`
    h_q   Huber's function with its corner at `huber_delta`, for the stress in kbar; where errors are larger than that,
          the slope of the stress term is c_σ `huber_delta` as for the other quantities

The program has no average of the weights, no accumulation of gradients, no clipping of them
(`check` refuses those), no early stopping (it is ended when nothing improves), and it shuffles by a
generator whose state it does not keep: a training gone on with after a kill sees other batches from
there, and ends elsewhere than an undisturbed one. A list of cells without a neighbour pair ends it
in an error of torch's, so such cells are left out of training and validation.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from ase import Atoms
from ase.data import atomic_numbers

from entropy_flows.digest import file_sha256
from entropy_flows.files import read_json, whole_file, write_json
from entropy_flows.potentials import find_model, match_model
from entropy_flows.potentials.sevennet import SevenNetFamily
from entropy_flows.processes import locked
from entropy_flows.train.align import shifts_of
from entropy_flows.train.base import Model, Progress, TrainResult
from entropy_flows.train.dataset import energy_weights, write_extxyz
from entropy_flows.train.folder import Row, State, best_epoch, is_whole, kept_epochs, take_up
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_program
from entropy_flows.train.steps import (
    LOCK_SECONDS,
    Data,
    check_cells,
    finished,
    inputs_sha256,
    keep,
    mean_errors,
    reporter,
    smaller_batches,
    write_data,
)

if TYPE_CHECKING:
    from sevenn.checkpoint import SevenNetCheckpoint

RESULT = "model.pth"
RUN = Path("run")
BASE = RUN / "base.pth"
DECISIVE = ("sevenn", "torch", "entropy_flows")
DIGITS = 1e6
"""What the loss is multiplied by."""
KILOBAR = 1602.1766208
"""kbar in an eV/Å³, as SevenNet has it."""
METRICS = {
    "Energy": ("energy_mae", 1.0),
    "Force": ("forces_mae", 1.0),
    "Stress": ("stress_mae", KILOBAR),
}
"""SevenNet's name of an error → ours, and how many of its units are one of ours."""


def takes(model: Model) -> bool:
    """Whether it is a name SevenNet knows, or a checkpoint of it, and of one modality."""
    if isinstance(model, dict):
        return False
    match = match_model(model)
    return (
        match is not None
        and isinstance(match.family, SevenNetFamily)
        and "modal" not in match.arguments
    )


def check(params: TrainParams) -> None:
    """Refuse what SevenNet's program does not have."""
    if find_spec("sevenn") is None:
        raise ValueError(
            "training a SevenNet model needs its package: pip install 'entropy_flows[teacher]'"
        )
    for name, off, what in (
        ("ema_decay", 0.0, "average of the weights"),
        ("accumulate", 1, "accumulation of gradients"),
        ("clip", None, "clipping of gradients"),
    ):
        if (value := getattr(params, name)) != off:
            raise ValueError(
                f"train: {name} is {value} (preset {params.preset}), but SevenNet's program has no {what}: set {name}: "
                f"{'null' if off is None else off}, or preset: sevennet-0"
            )


def fine_tune(
    train: Sequence[Atoms],
    val: Sequence[Atoms],
    test: Sequence[Atoms],
    base_model: Model,
    params: TrainParams,
    workdir: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a SevenNet model; see `train.fine_tune`."""
    from entropy_flows.potentials.sevennet_checkpoint import (
        checkpoint_elements,
        checkpoint_file,
        checkpoint_of,
    )

    started = time.monotonic()
    workdir = Path(workdir).resolve()
    source = checkpoint_file(find_model(str(base_model)).name)
    checkpoint = checkpoint_of(source)
    if checkpoint.config.get("use_modality"):
        raise ValueError(f"{base_model} has several modalities; expected a SevenNet model with one")
    check_cells([*train, *val, *test], checkpoint_elements(checkpoint))
    with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
        parts = {"train": train, "val": val, "test": test}
        data = write_data(parts, params, workdir, pair_cutoff=float(checkpoint.config["cutoff"]))
        inputs = inputs_sha256(file_sha256(source), data, params, workdir, DECISIVE)
        if (done := finished(workdir, inputs, RESULT)) is not None:
            return done
        state = take_up(workdir, State(inputs, params.batch_size, accumulate=1))
        shifts = (
            shifts_of(workdir / RUN, train, source, params.runs_on) if params.align_energies else {}
        )
        _write_base(checkpoint, shifts, workdir / BASE)
        settings = partial(
            _settings,
            checkpoint.yaml_dict("continue")["model"],
            _data(data, params, workdir),
            data.stress,
        )
        state = _train(
            settings, params, state, workdir, lock, reporter(workdir, params, on_progress)
        )
        result = _result(state, data, params, workdir)
        return keep(replace(result, wall_seconds=time.monotonic() - started), workdir)


def _train(
    settings: Callable[[TrainParams, int], dict[str, Any]],
    params: TrainParams,
    state: State,
    workdir: Path,
    lock: int,
    report: Callable[[], None],
) -> State:
    """Train to the end, from the last finished epoch, in smaller batches as often as the GPU's memory asks for it."""
    while True:
        history = _taken_up(workdir / RUN)
        if _over(history, params):
            return state
        state = replace(state, attempts=state.attempts + 1)
        state.save(workdir)
        told = settings(params.model_copy(update={"batch_size": state.batch_size}), len(history))
        (workdir / RUN / "input.yaml").write_text(yaml.safe_dump(told, sort_keys=False))

        def watch(history: list[Row] = history) -> bool:
            _add_finished(history, workdir / RUN, params)
            report()
            return _over(history, params)

        arguments = ["train", str(RUN / "input.yaml"), "-w", str(RUN), "-s"]
        try:
            run_program(
                "sevenn-train",
                "sevenn.main.sevenn",
                arguments,
                workdir,
                "Total wall time",
                lock,
                watch,
            )
            return state
        except GpuMemoryError as err:
            state = replace(smaller_batches(state, err), accumulate=1)


def _settings(
    model: dict[str, Any], data: dict[str, Any], stress: bool, params: TrainParams, epochs: int
) -> dict[str, Any]:
    """SevenNet's input.yaml, going on after so many epochs."""
    fresh = epochs == 0
    errors = [[name, "MAE"] for name in METRICS if stress or name != "Stress"]
    train = {
        "random_seed": params.seed + epochs,  # of the order of the data, which starts anew
        "device": params.runs_on,
        "is_train_stress": stress,
        "epoch": params.max_epochs,
        "loss": "huber",
        "loss_param": {"delta": params.huber_delta},
        "use_weight": True,
        "force_loss_weight": 1.0,  # all of it is in data_weight
        "stress_loss_weight": 1.0,
        "optimizer": "adam",
        "optim_param": {"lr": params.learning_rate},
        "scheduler": "reducelronplateau",
        "scheduler_param": {"factor": params.lr_factor, "patience": params.lr_patience},
        "per_epoch": 1,
        "error_record": [*errors, ["TotalLoss", "None"]],
        "continue": {
            "checkpoint": str(BASE if fresh else RUN / _name(epochs)),
            **dict.fromkeys(("reset_optimizer", "reset_scheduler", "reset_epoch"), fresh),
        },
    }
    return {"model": model, "train": train, "data": {**data, "batch_size": params.batch_size}}


def _data(data: Data, params: TrainParams, workdir: Path) -> dict[str, Any]:
    """SevenNet's section on data; graphs that a killed run has left are not trusted."""
    return {
        "load_trainset_path": _weighted("train", data, params, workdir),
        "load_validset_path": _weighted("val", data, params, workdir),
        "data_format_args": {"force_reload": True},
    }


def _weighted(part: str, data: Data, params: TrainParams, workdir: Path) -> list[dict[str, Any]]:
    """A list of files for each loss weight: SevenNet has weights by such lists."""
    frames = data.frames[part]
    weights = energy_weights(frames, params.weight_bins)
    coefficients = {"energy": params.energy_coefficient, "force": params.forces_coefficient}
    if data.stress:
        coefficients["stress"] = params.stress_coefficient
    total, lists = sum(coefficients.values()), []
    units = {"energy": 1.0, "force": 1.0, "stress": KILOBAR}
    for number, weight in enumerate(np.unique(weights)):
        chosen, file = np.flatnonzero(weights == weight), RUN / f"{part}-{number}.extxyz"
        write_extxyz(workdir / file, [frames[place] for place in chosen], weights[chosen])
        told = {
            name: float(DIGITS * weight * c / total / units[name])
            for name, c in coefficients.items()
        }
        lists.append({"file_list": [{"file": str(file)}], "data_weight": told})
    return lists


def _write_base(checkpoint: SevenNetCheckpoint, shifts: dict[str, float], path: Path) -> None:
    """The model to start from, each element's energy shifted (eV)."""
    import torch

    content = checkpoint.get_checkpoint_dict()
    types, weights = content["config"]["_type_map"], content["model_state_dict"]
    for name in ("shift", "scale"):
        values = weights[f"rescale_atomic_energy.{name}"].reshape(-1).expand(len(types)).clone()
        for element, shift in shifts.items() if name == "shift" else ():
            values[types[atomic_numbers[element]]] += shift
        weights[f"rescale_atomic_energy.{name}"] = values
        content["config"][name] = values.tolist()
    with whole_file(path) as file:
        torch.save({**content, "optimizer_state_dict": {}, "scheduler_state_dict": {}}, file)


def _taken_up(folder: Path) -> list[Row]:
    """The epochs to go on from: those known up to the last one whose checkpoint is whole."""
    history = read_json(folder / "history.json", [])
    _add_finished(history, folder, None)
    while history and not is_whole(folder / _name(len(history))):
        history.pop()
    for old in folder.glob("lc*.csv"):
        old.unlink()
    for path in folder.glob("checkpoint_*.pth"):
        if path.name not in {_name(epoch) for epoch in kept_epochs(history)}:
            path.unlink()
    write_json(folder / "history.json", history)
    return history


def _add_finished(history: list[Row], folder: Path, params: TrainParams | None) -> None:
    """Add the epochs whose checkpoint the program has finished since, and delete those no longer needed."""
    before = len(history)
    try:
        with open(folder / "lc.csv", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        return
    for line in lines:  # the checkpoint is written after the line
        over = params is not None and _over(history, params)
        if (
            line["epoch"] == str(len(history) + 1)
            and not over
            and is_whole(folder / _name(len(history) + 1))
        ):
            history.append(_row(line))
    if len(history) > before:
        write_json(folder / "history.json", history)
        for epoch in set(range(len(history))) - kept_epochs(history):
            (folder / _name(epoch)).unlink(missing_ok=True)


def _row(line: dict[str, str]) -> Row:
    """An epoch in our names and units."""
    losses = {
        "train_loss": float(line["trainset_TotalLoss"]),
        "val_loss": float(line["validset_TotalLoss"]),
    }
    errors = {
        ours: float(line[f"validset_{name}_MAE"]) / unit
        for name, (ours, unit) in METRICS.items()
        if f"validset_{name}_MAE" in line
    }
    losses = {name: value / DIGITS for name, value in losses.items()}
    return {"epoch": int(line["epoch"]), "learning_rate": float(line["lr"]), **losses, **errors}


def _over(history: list[Row], params: TrainParams) -> bool:
    if not history:
        return False
    idle = len(history) - best_epoch(history)
    return len(history) >= params.max_epochs or idle >= params.early_stopping_patience


def _result(state: State, data: Data, params: TrainParams, workdir: Path) -> TrainResult:
    """The best epoch's weights, without what only this training needs."""
    import torch

    from entropy_flows.potentials.sevennet_checkpoint import checkpoint_of

    history = read_json(workdir / RUN / "history.json", [])
    best = best_epoch(history)
    content = checkpoint_of(workdir / RUN / _name(best)).get_checkpoint_dict()
    config = {
        key: value
        for key, value in content["config"].items()
        if not key.startswith(("load_", "continue", "when"))
    }
    states: dict[str, Any] = {"optimizer_state_dict": {}, "scheduler_state_dict": {}}
    with whole_file(workdir / RESULT) as file:
        torch.save({**content, "config": config, **states, "time": "", "hash": state.inputs}, file)
    test = data.frames.get("test", [])
    return TrainResult(
        model=workdir / RESULT,
        sha256=file_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best,
        history=history,
        test=mean_errors(test, workdir / RESULT, params.runs_on),
        left_out=data.left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )


def _name(epoch: int) -> str:
    """SevenNet's name of the checkpoint after an epoch."""
    return f"checkpoint_{epoch}.pth"
