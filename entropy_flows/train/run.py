"""One training: write the files, run `nequip-train` in a process of its own, package the best model.

A process of its own, because a second training in one process fails and a training that runs out of memory must not
take a workflow with it. A training that was killed, at whatever moment, is gone on with from its last finished epoch
when it is called again with the same inputs and folder, and gives the same model as if it had not been (bit by bit on
one CPU thread of one kind of processor). A finished one is recognised by its inputs and not repeated. `folder.py` says
what is in the folder, `resume.py` what it takes inside NequIP.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from entropy_flows.potentials import local_package, model_elements, model_sha256
from entropy_flows.processes import locked
from entropy_flows.train.align import shifts_of
from entropy_flows.train.dataset import energy_weights, has_stress, within_edge_limit, write_extxyz
from entropy_flows.train.folder import (
    Row,
    State,
    best_epoch,
    checkpoint_file,
    last_checkpoint,
    read_json,
    take_up,
    write_json,
)
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError, run_nequip
from entropy_flows.train.recipe import Config, nequip_config, packaged_model

BASE, RESULT = "base.nequip.zip", "model.nequip.zip"
LOCK_SECONDS = 120.0
"""How long to wait for another process to leave: a worker whose job was given away sees it within a heartbeat."""
DECISIVE = ("nequip", "nequip-allegro", "torch", "lightning", "entropy_flows")
"""Packages whose version is part of the inputs: half a training with one and half with another is that of neither."""


@dataclass(frozen=True)
class Progress:
    """Where a training is, after an epoch."""

    epoch: int
    """Epochs finished."""
    max_epochs: int
    """Epochs it takes at most."""
    train_loss: float
    """Weighted loss over the epoch, of the weights as they moved."""
    val_loss: float
    """Weighted loss of the averaged weights on the validation set."""
    learning_rate: float
    """Adam's step length in this epoch."""


@dataclass(frozen=True)
class TrainResult:
    """A trained model and how it came about."""

    model: Path
    """The packaged model."""
    sha256: str
    """Its checksum."""
    inputs_sha256: str
    """Checksum of data, recipe, base model and versions: the same inputs are not trained twice in one folder."""
    epochs: int
    """Epochs run."""
    best_epoch: int
    """Epoch (from 1) with the lowest validation loss, whose averaged weights the model has."""
    history: list[Row]
    """One row an epoch: epoch, train_loss, val_loss, learning_rate, and the validation MAEs energy_mae (eV/atom),
    forces_mae (eV/Å), stress_mae (eV/Å³)."""
    test: dict[str, float]
    """MAEs on the test set, named as in the history; empty without one."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells over the edge limit, by part: position in the list given, and the reason."""
    batch_size: int
    """Structures in a batch, less than the recipe's if the GPU's memory did not suffice."""
    accumulate: int
    """Batches a step, more than the recipe's by as much."""
    attempts: int = field(compare=False)
    """Times it was started: 1 if nothing happened to it."""
    wall_seconds: float = field(default=math.nan, compare=False)
    """Time taken by the last attempt, packaging included, s."""
    reused: bool = field(default=False, compare=False)
    """Whether an earlier result was returned."""


def fine_tune(
    train: Sequence[Atoms],
    val: Sequence[Atoms],
    test: Sequence[Atoms],
    base_model: str | Path | Config,
    params: TrainParams,
    workdir: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a model on labelled cells.

    Cells without stress contribute no stress term; if no training cell has one, stress is left out altogether. Without
    validation cells (a data set of one or two) the training cells take their place in scheduler and early stopping.

    Parameters
    ----------
    train, val, test
        Cells with energy, forces and maybe stress in a single-point calculator. The test set never influences the
        model; it is evaluated once at the end.
    base_model
        Path of a `.nequip.zip` or a `nequip.net:` id to start from, or a model section such as
        `recipe.small_allegro` gives, for a new model.
    params
        Recipe.
    workdir
        Folder of this training. What another process began there with the same inputs is gone on with; of other inputs
        it is deleted. It and the base model have to be at the same path then, or the training starts again.
    on_progress
        Called after each epoch that this call has trained.

    Returns
    -------
    TrainResult
        The packaged model and its history.

    Raises
    ------
    TrainingError
        If NequIP fails.
    MachineError
        If it was killed, the disk or memory did not suffice, or another process trains in this folder: call again.
    ValueError
        If there is nothing to train on, or an element the base model does not know.
    """
    started = time.monotonic()
    workdir = Path(workdir).resolve()
    package = None if isinstance(base_model, dict) else local_package(base_model)
    model = base_model if isinstance(base_model, dict) else packaged_model(Path(BASE))
    _check_elements([*train, *val, *test], model["type_names"] if package is None else model_elements(package))
    with locked(workdir / "lock", workdir, LOCK_SECONDS) as lock:
        files, stress, left_out = _write_data({"train": train, "val": val, "test": test}, params, workdir)
        inputs = _inputs_sha256(model if package is None else model_sha256(package), files, params, workdir)
        if (done := _finished(workdir, inputs)) is not None:
            return done
        state = take_up(workdir, State(inputs, params.batch_size, params.accumulate))
        (workdir / BASE).unlink(missing_ok=True)
        if package is not None:
            (workdir / BASE).symlink_to(package)
        if package is not None and params.align_energies:
            model = packaged_model(Path(BASE), shifts_of(workdir / "run", train, package, params.device))
        config = partial(nequip_config, model, files, folder=Path("run"), stress=stress)
        state = _train(config, params, state, workdir, lock, _watcher(workdir, params, on_progress))
        result = _package(state, left_out, workdir, lock)
        result = replace(result, wall_seconds=time.monotonic() - started)
        write_json(workdir / "result.json", {**asdict(result), "model": RESULT})
    return result


def _train(
    config: Callable[[TrainParams], Config],
    params: TrainParams,
    state: State,
    workdir: Path,
    lock: int,
    watch: Callable[[], None] | None,
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
        last_line = f"{settings['run'][-1].upper()} RUN END"
        try:
            run_nequip("train", ["-cp", str(workdir / "run"), "-cn", "config"], workdir, last_line, lock, watch)
            return state
        except GpuMemoryError as err:
            if (smaller := state.with_smaller_batches()) is None:
                raise GpuMemoryError(f"one structure a batch, of at most max_edges edges, is too much: {err}") from None
            state = smaller


def _package(state: State, left_out: dict[str, list[tuple[int, str]]], workdir: Path, lock: int) -> TrainResult:
    """Package the best epoch's averaged weights."""
    history = read_json(workdir / "run" / "history.json", [])
    best = best_epoch(history)
    (workdir / RESULT).unlink(missing_ok=True)
    arguments = ["build", str(checkpoint_file(Path("run"), best)), RESULT]
    run_nequip("package", arguments, workdir, "Packaged model saved", lock)
    return TrainResult(
        model=workdir / RESULT,
        sha256=model_sha256(workdir / RESULT),
        inputs_sha256=state.inputs,
        epochs=len(history),
        best_epoch=best,
        history=history,
        test=read_json(workdir / "run" / "test.json", {}),
        left_out=left_out,
        batch_size=state.batch_size,
        accumulate=state.accumulate,
        attempts=state.attempts,
    )


def _write_data(
    parts: dict[str, Sequence[Atoms]], params: TrainParams, workdir: Path
) -> tuple[dict[str, Path], bool, dict[str, list[tuple[int, str]]]]:
    """The files' paths, as seen from `workdir`, whether there are stresses to train on, and the cells left out."""
    (workdir / "data").mkdir(exist_ok=True)
    left_out: dict[str, list[tuple[int, str]]] = {}
    cells: dict[str, list[Atoms]] = {}
    files: dict[str, Path] = {}
    for part, frames in parts.items():
        cells[part], out = within_edge_limit(frames, params.max_edges, params.edge_cutoff)
        left_out[part] = [(item.position, item.reason) for item in out]
    if not cells["train"]:
        raise ValueError(
            f"no cell to train on: {len(parts['train'])} given, {len(left_out['train'])} over the edge limit"
        )
    for part in parts:
        frames = cells["train"] if part == "val" and not cells["val"] else cells[part]
        if frames:
            files[part] = Path("data") / f"{part}.extxyz"
            write_extxyz(workdir / files[part], frames, energy_weights(frames, params.weight_bins))
    return files, any(has_stress(atoms) for atoms in cells["train"]), left_out


def _check_elements(frames: Sequence[Atoms], known: Sequence[str] | None) -> None:
    found = {symbol for atoms in frames for symbol in atoms.get_chemical_symbols()}
    if known is not None and not found <= set(known):
        raise ValueError(
            f"the base model knows {', '.join(known)}, the cells also hold {', '.join(found - set(known))}"
        )


def _inputs_sha256(base: Config | str, files: dict[str, Path], params: TrainParams, workdir: Path) -> str:
    """Checksum of all that decides the result; where the files are does not."""
    data = {part: model_sha256(workdir / path) for part, path in files.items()}
    versions = {name: version(name) for name in DECISIVE}
    facts = {"base": base, "data": data, "params": params.model_dump(mode="json"), "versions": versions}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _finished(workdir: Path, inputs: str) -> TrainResult | None:
    try:
        stored: dict[str, Any] = json.loads((workdir / "result.json").read_text())
        model = workdir / RESULT
        if stored["inputs_sha256"] != inputs or stored["sha256"] != model_sha256(model):
            return None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    left_out = {part: [(position, reason) for position, reason in cells] for part, cells in stored["left_out"].items()}
    return TrainResult(**{**stored, "model": model, "left_out": left_out, "reused": True})


def _watcher(
    workdir: Path, params: TrainParams, on_progress: Callable[[Progress], None] | None
) -> Callable[[], None] | None:
    file = workdir / "run" / "history.json"
    if on_progress is None:
        return None
    reported = len(read_json(file, []))

    def report_new_epochs() -> None:
        nonlocal reported
        history = read_json(file, [])
        for row in history[reported:]:
            losses = (row["train_loss"], row["val_loss"])
            on_progress(Progress(int(row["epoch"]), params.max_epochs, *losses, row["learning_rate"]))
        reported = max(reported, len(history))

    return report_new_epochs
