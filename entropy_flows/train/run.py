"""One training: write the files, run `nequip-train` in a process of its own, package the best model.

A process of its own, because a second training in one process fails and a training that runs out of memory must not
take a workflow with it. A training that was interrupted starts again from nothing: with its seed it gives the same
model (bit by bit on one CPU thread), and a finished one is recognised by its inputs and not repeated.

    workdir/
      data/{train,val,test}.extxyz   what is trained on
      run/                           NequIP's configuration, console.log, metrics.csv, best.ckpt
      model.nequip.zip               the result
      result.json                    written last: inputs' checksum, history, time
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from entropy_flows.potentials import local_package, model_elements, model_sha256
from entropy_flows.train.dataset import energy_weights, has_stress, within_edge_limit, write_extxyz
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import run_nequip
from entropy_flows.train.recipe import Config, nequip_config, packaged_model


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
    """Checksum of data, recipe and base model: the same inputs are not trained twice in one folder."""
    epochs: int
    """Epochs run."""
    best_epoch: int
    """Epoch (from 1) with the lowest validation loss, whose averaged weights the model has."""
    history: list[dict[str, float]]
    """One row an epoch: epoch, train_loss, val_loss, learning_rate, and the validation MAEs energy_mae (eV/atom),
    forces_mae (eV/Å), stress_mae (eV/Å³)."""
    test: dict[str, float]
    """MAEs on the test set, named as in the history; empty without one."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells over the edge limit, by part: position in the list given, and the reason."""
    wall_seconds: float
    """Time taken, packaging included, s."""
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
        Folder of this training; must not be shared with another one.
    on_progress
        Called after each epoch.

    Returns
    -------
    TrainResult
        The packaged model and its history.

    Raises
    ------
    TrainingError
        If NequIP fails.
    ValueError
        If there is nothing to train on, or an element the base model does not know.
    """
    started = time.monotonic()
    workdir = Path(workdir).resolve()
    model = dict(base_model) if isinstance(base_model, dict) else packaged_model(local_package(base_model))
    files, stress, left_out = _write_data({"train": train, "val": val, "test": test}, model, params, workdir / "data")
    inputs = _inputs_sha256(model, files, params)
    if (done := _finished(workdir, inputs)) is not None:
        return done

    folder = workdir / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = nequip_config(model, files, params, folder, stress)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    last_line = f"{config['run'][-1].upper()} RUN END"
    watch = _watcher(folder, params, on_progress)
    run_nequip("train", ["-cp", str(folder), "-cn", "config"], folder, last_line, watch)
    package = workdir / "model.nequip.zip"
    package.unlink(missing_ok=True)
    run_nequip("package", ["build", str(folder / "best.ckpt"), str(package)], folder, "Packaged model saved")

    history, test_errors = read_metrics(folder / "metrics.csv")
    result = TrainResult(
        model=package,
        sha256=model_sha256(package),
        inputs_sha256=inputs,
        epochs=len(history),
        best_epoch=int(min(history, key=lambda row: (math.isnan(row["val_loss"]), row["val_loss"]))["epoch"]),
        history=history,
        test=test_errors,
        left_out=left_out,
        wall_seconds=time.monotonic() - started,
    )
    _save(result, workdir)
    return result


def read_metrics(path: Path) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Read a run's history and test errors from its metrics file, which may be still growing.

    Parameters
    ----------
    path
        `metrics.csv`.

    Returns
    -------
    history, test
        As in `TrainResult`; only complete epochs.
    """
    names = {"train_loss_epoch/weighted_sum": "train_loss", "val0_epoch/weighted_sum": "val_loss"}
    names |= {f"val0_epoch/{name}_mae": f"{name}_mae" for name in ("energy", "forces", "stress")}
    epochs: dict[int, dict[str, float]] = {}
    test: dict[str, float] = {}
    rates: list[float] = []
    for row in _rows(path):
        if row.get("lr-Adam"):  # logged at each epoch's start, in a row of its own that does not name the epoch
            rates.append(float(row["lr-Adam"]))
        test |= {k.removeprefix("test0_epoch/"): float(v) for k, v in row.items() if k.startswith("test0_epoch/") and v}
        if values := {names[key]: float(value) for key, value in row.items() if key in names and value}:
            epochs.setdefault(int(row["epoch"]), {}).update(values)
    complete = [
        {"epoch": epoch + 1, "learning_rate": rate, **row}
        for (epoch, row), rate in zip(sorted(epochs.items()), rates, strict=False)
        if {"train_loss", "val_loss"} <= set(row)
    ]
    return complete, test


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    return [row for row in rows if None not in row and None not in row.values()]  # no row that is still being written


def _write_data(
    parts: dict[str, Sequence[Atoms]], model: Config, params: TrainParams, folder: Path
) -> tuple[dict[str, Path], bool, dict[str, list[tuple[int, str]]]]:
    folder.mkdir(parents=True, exist_ok=True)
    _check_elements([atoms for frames in parts.values() for atoms in frames], model)
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
            files[part] = folder / f"{part}.extxyz"
            write_extxyz(files[part], frames, energy_weights(frames, params.weight_bins))
    return files, any(has_stress(atoms) for atoms in cells["train"]), left_out


def _check_elements(frames: Sequence[Atoms], model: Config) -> None:
    known = model["type_names"] if "type_names" in model else model_elements(model["package_path"])
    found = {symbol for atoms in frames for symbol in atoms.get_chemical_symbols()}
    if known is not None and not found <= set(known):
        raise ValueError(
            f"the base model knows {', '.join(known)}, the cells also hold {', '.join(found - set(known))}"
        )


def _inputs_sha256(model: Config, files: dict[str, Path], params: TrainParams) -> str:
    """Checksum of all that decides the result; the paths do not."""
    base = model_sha256(model["package_path"]) if "package_path" in model else json.dumps(model, sort_keys=True)
    data = {part: model_sha256(path) for part, path in files.items()}
    facts = {"base": base, "data": data, "params": params.model_dump(mode="json"), "nequip": version("nequip")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _finished(workdir: Path, inputs: str) -> TrainResult | None:
    try:
        stored: dict[str, Any] = json.loads((workdir / "result.json").read_text())
        model = workdir / "model.nequip.zip"
        if stored["inputs_sha256"] != inputs or stored["sha256"] != model_sha256(model):
            return None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    left_out = {part: [(position, reason) for position, reason in cells] for part, cells in stored["left_out"].items()}
    return TrainResult(**{**stored, "model": model, "left_out": left_out, "reused": True})


def _save(result: TrainResult, workdir: Path) -> None:
    temporary = workdir / "result.json.tmp"
    temporary.write_text(json.dumps({**asdict(result), "model": result.model.name}, indent=1))
    temporary.replace(workdir / "result.json")


def _watcher(
    folder: Path, params: TrainParams, on_progress: Callable[[Progress], None] | None
) -> Callable[[], None] | None:
    if on_progress is None:
        return None
    reported = 0

    def report_new_epochs() -> None:
        nonlocal reported
        history, _ = read_metrics(folder / "metrics.csv")
        for row in history[reported:]:
            losses = (row["train_loss"], row["val_loss"])
            on_progress(Progress(int(row["epoch"]), params.max_epochs, *losses, row["learning_rate"]))
        reported = max(reported, len(history))

    return report_new_epochs
