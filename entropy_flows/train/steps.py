"""Steps of every training around its program.

They check cells, write the data, identify the inputs, report epochs and keep the result.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows import progress as job_progress
from entropy_flows.digest import digest, file_sha256
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import evaluate_ahead
from entropy_flows.train.base import Progress, TrainResult
from entropy_flows.train.dataset import (
    count_reasons,
    has_stress,
    loss_weights,
    with_a_pair,
    within_edge_limit,
    write_extxyz,
)
from entropy_flows.train.folder import State
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError

LOCK_SECONDS = 120.0
"""Longest wait for another process to leave the folder.

A worker whose job was given to another one learns it within a heartbeat.
"""


@dataclass(frozen=True)
class Data:
    """The data of a training, written to its folder."""

    frames: dict[str, list[Atoms]]
    """Cells by split: train, val and, if there is one, test."""
    files: dict[str, Path]
    """Extxyz files of the cells by split, relative to the folder."""
    stress: bool
    """True if there are stresses to train on."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells that were left out, by split: position in the list given, and the reason."""


def write_data(
    splits: Mapping[str, Sequence[Atoms]],
    params: TrainParams,
    workdir: Path,
    pair_cutoff: float | None = None,
) -> Data:
    """Leave out cells with too many edges, or none, and write the rest with its loss weights.

    Parameters
    ----------
    splits
        Cells of train, val and test; without val, those of train take their place.
    params
        Edge limit and weights.
    workdir
        The training's folder.
    pair_cutoff
        Cells of train and val without a neighbour pair within this distance (Å) are left out: for a
        program that cannot take them. None keeps them.

    Raises
    ------
    ValueError
        If no cell is left to train on.
    """
    (workdir / "data").mkdir(parents=True, exist_ok=True)
    cells: dict[str, list[Atoms]] = {}
    left_out: dict[str, list[tuple[int, str]]] = {}
    for split, frames in splits.items():
        cutoff = None if split == "test" else pair_cutoff
        left_out[split] = sorted(_rejections(frames, params, cutoff))
        positions = {position for position, _ in left_out[split]}
        cells[split] = [atoms for index, atoms in enumerate(frames) if index not in positions]
    if not cells["train"]:
        counts = count_reasons(left_out["train"]).items()
        reasons = [f"{count} × {reason}" for reason, count in counts]
        message = ", ".join([f"{len(splits['train'])} given", *reasons])
        raise ValueError(f"no cell to train on: {message}")
    cells["val"] = cells["val"] or cells["train"]
    cells = {split: frames for split, frames in cells.items() if frames}
    files = {split: Path("data") / f"{split}.extxyz" for split in cells}
    for split, frames in cells.items():
        write_extxyz(workdir / files[split], frames, loss_weights(frames, params.weight_bins))
    stress = any(has_stress(atoms) for atoms in cells["train"])
    return Data(cells, files, stress, left_out)


def _rejections(
    frames: Sequence[Atoms], params: TrainParams, pair_cutoff: float | None
) -> list[tuple[int, str]]:
    """Return position and reason of the cells that the program cannot take."""
    _, large = within_edge_limit(frames, params.max_edges, params.edge_cutoff)
    lonely = [] if pair_cutoff is None else with_a_pair(frames, pair_cutoff)[1]
    return [(item.position, item.reason) for item in [*large, *lonely]]


def check_cells(frames: Iterable[Atoms], elements: Sequence[str] | None) -> None:
    """Refuse cells with an element that is none of the base model's; None stands for all."""
    if elements is None:
        return
    symbols = {symbol for atoms in frames for symbol in atoms.get_chemical_symbols()}
    unknown = sorted(symbols - set(elements))
    if unknown:
        raise ValueError(
            f"the base model knows {', '.join(elements)}, the cells also hold {', '.join(unknown)}"
        )


def inputs_sha256(
    base: Any, data: Data, params: TrainParams, workdir: Path, versions: Mapping[str, str]
) -> str:
    """Return the checksum of all that decides the result.

    The files' paths and the device do not.

    Parameters
    ----------
    base
        The base model's checksum, or a new model's description.
    data, params, workdir
        Data, recipe and folder.
    versions
        Versions of the packages that compute, by name: half a training with one and half with
        another is that of neither.
    """
    files = {split: file_sha256(workdir / path) for split, path in data.files.items()}
    facts = {"base": base, "data": files, "params": params.identity(), "versions": dict(versions)}
    return digest(facts)


def finished_result(workdir: Path, inputs: str, name: str) -> TrainResult | None:
    """Return the result of an earlier call with the same inputs.

    None if there is none, or its file `name` is not there as a whole.
    """
    try:
        stored: dict[str, Any] = json.loads((workdir / "result.json").read_text())
        model = workdir / name
        if stored["inputs_sha256"] != inputs or stored["sha256"] != file_sha256(model):
            return None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    left_out = {
        split: [(position, reason) for position, reason in cells]
        for split, cells in stored["left_out"].items()
    }
    return TrainResult(**{**stored, "model": model, "left_out": left_out, "reused": True})


def save_result(result: TrainResult, workdir: Path) -> TrainResult:
    """Write the result's record, last of all, and return it."""
    write_json(workdir / "result.json", {**asdict(result), "model": result.model.name})
    return result


def reporter(
    workdir: Path, params: TrainParams, on_progress: Callable[[Progress], None] | None
) -> Callable[[], None]:
    """Return a function that reports the epochs gained by `history.json` since its last call.

    A training that goes on is shown from its epoch on, before it has finished another.
    """
    file = workdir / "run" / "history.json"
    reported = len(read_json(file, []))
    job_progress.report(reported, params.max_epochs, "epochs")

    def report_new_epochs() -> None:
        nonlocal reported
        history = read_json(file, [])
        for row in history[reported:]:
            reported += 1
            if on_progress is not None:
                progress = Progress(
                    epoch=int(row["epoch"]),
                    max_epochs=params.max_epochs,
                    train_loss=row["train_loss"],
                    val_loss=row["val_loss"],
                    learning_rate=row["learning_rate"],
                )
                on_progress(progress)

    return report_new_epochs


def mean_errors(frames: Sequence[Atoms], calculator: Calculator) -> dict[str, float]:
    """Return the MAEs of a model on labelled cells, in the history's names and units.

    Empty without cells.
    """
    if not frames:
        return {}
    evaluate_ahead(calculator, frames)
    errors: dict[str, list[Any]] = defaultdict(list)
    for label in frames:
        atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
        atoms.calc = calculator
        energy_error = atoms.get_potential_energy() - label.get_potential_energy()
        errors["energy_mae"].append([energy_error / len(label)])
        forces_error = atoms.get_forces() - label.get_forces(apply_constraint=False)
        errors["forces_mae"].append(forces_error.ravel())
        if has_stress(label):
            errors["stress_mae"].append(atoms.get_stress() - label.get_stress())
    return {name: float(np.abs(np.concatenate(values)).mean()) for name, values in errors.items()}


def smaller_batches(state: State, err: GpuMemoryError) -> State:
    """Return the state to try next when the GPU's memory did not suffice.

    Raises
    ------
    GpuMemoryError
        If a batch is one structure already.
    """
    smaller = state.with_smaller_batches()
    if smaller is None:
        raise GpuMemoryError(
            f"one structure a batch, of at most max_edges edges, is too much: {err}"
        ) from None
    return smaller
