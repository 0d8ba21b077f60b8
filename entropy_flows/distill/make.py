"""Make a small model: label cells by its teacher, train a network, and measure both.

Killed at any moment and called again with the same task and folder, it goes on behind the last
piece of labels, or behind the last epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from entropy_flows.distill.labelling import read_or_make
from entropy_flows.distill.measure import equilibria, milliseconds_per_step, repulsion
from entropy_flows.distill.networks import new_network
from entropy_flows.distill.pieces import StudentTask, pieces_of
from entropy_flows.distill.surroundings import longest_bond
from entropy_flows.evaluate.errors import errors
from entropy_flows.files import delete_unfinished, write_json
from entropy_flows.potentials import load_batch_model, load_calculator
from entropy_flows.processes import locked
from entropy_flows.train import Progress, TrainParams, TrainResult, fine_tune, stratified_split

Report = Callable[[str], None]
"""Called with a sentence on how far it is."""
FRACTIONS = (0.8, 0.1, 0.1)
"""Shares of training, validation and test among all cells but the hot ones."""
RECORD = "student.json"
"""Name of the record beside the labels."""


@dataclass(frozen=True)
class Student:
    """A small model, and how good and how fast it is."""

    model: Path
    """File of the model."""
    record: dict[str, Any]
    """What it was made of, its errors against the teacher, and measures of both; plain values."""


def make_student(task: StudentTask, folder: Path, report: Report = lambda _: None) -> Student:
    """Make a small model of a teacher.

    Parameters
    ----------
    task
        What is to be made.
    folder
        Folder of labels, training and record. Another task may use the same one.
    report
        Called with a sentence on how far it is.

    Raises
    ------
    ValueError
        If the teacher labels too few cells to train on.
    MachineError
        If another process works in this folder.
    TrainingError
        If the training program fails.
    """
    folder = folder.resolve()
    with locked(folder / "lock", folder, patience=3.0):
        regular, hot = label_cells(task, folder / f"labels-{task.labels_key()}", report)
        splits = _split(regular, task.seed)
        bond = max(longest_bond(seed) for seed in task.seeds.values())
        network = new_network(
            task.architecture, task.size, task.elements, splits["train"], bond, task.seed
        )
        report(f"training: {len(splits['train'])} cells, epoch 1 begins")
        result = fine_tune(
            splits["train"],
            splits["val"],
            [],
            network,
            training_params(task),
            folder / f"{task.architecture}-{task.size}",
            on_progress=lambda epoch: report(_epoch_line(epoch)),
        )
        report("measuring")
        record = _record(task, result, splits, hot)
        write_json(folder / RECORD, record)
    return Student(result.model, record)


def label_cells(task: StudentTask, folder: Path, report: Report) -> tuple[list[Atoms], list[Atoms]]:
    """Return the labelled cells to train on, and the hot ones to test on.

    What the folder has is read, the rest is made.

    Raises
    ------
    ValueError
        If fewer than ten cells to train on, or none to test on, have a label.
    """
    regular: list[Atoms] = []
    hot: list[Atoms] = []
    pieces = list(pieces_of(task))
    total = sum(piece.count for piece in pieces)
    if folder.is_dir():
        delete_unfinished(folder)
    for piece in pieces:
        report(f"labels: {len(regular) + len(hot)} of {total} cells ({piece.title})")
        frames = read_or_make(folder / f"{piece.name}.extxyz", piece.make)
        (hot if piece.held_out else regular).extend(frames)
    if len(regular) < 10 or not hot:
        raise ValueError(
            f"{task.teacher} gives {len(regular)} cells to train on and {len(hot)} of hot "
            f"dynamics with forces below the limit; it seems not to describe these crystals"
        )
    return regular, hot


def training_params(task: StudentTask) -> TrainParams:
    """Return the recipe of a new small network."""
    return TrainParams(
        preset="small",
        learning_rate=5e-3,
        max_epochs=task.epochs,
        energy_coefficient=1.0,
        stress_coefficient=1.0,
        ema_decay=0.99,
        lr_patience=15,
        early_stopping_patience=60,
        seed=task.seed,
        device=task.device,
    )


def _split(frames: Sequence[Atoms], seed: int) -> dict[str, list[Atoms]]:
    """Split cells for training, validation and test, stratified by energy."""
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in frames]
    assigned = stratified_split(energies, range(len(frames)), FRACTIONS, seed)
    splits: dict[str, list[Atoms]] = {"train": [], "val": [], "test": []}
    for index, name in assigned.items():
        splits[name].append(frames[index])
    return splits


def _record(
    task: StudentTask, result: TrainResult, splits: dict[str, list[Atoms]], hot: list[Atoms]
) -> dict[str, Any]:
    """Measure the model beside its teacher."""
    student = load_calculator(result.model, task.device)
    teacher = load_calculator(task.teacher, task.device)
    first = next(iter(task.seeds.values()))
    on_cpu = task.device == "cpu"
    return {
        "teacher": task.teacher,
        "elements": list(task.elements),
        "architecture": task.architecture,
        "size": task.size,
        "sha256": result.sha256,
        "bytes": result.model.stat().st_size,
        "cells": {**{name: len(frames) for name, frames in splits.items()}, "hot": len(hot)},
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "training_seconds": round(result.wall_seconds),
        "test": errors(splits["test"], student).as_dict(),
        "hot": errors(hot, student).as_dict(),
        "equation_of_state": {
            "student": equilibria(task.seeds, load_batch_model(result.model, task.device)),
            "teacher": equilibria(task.seeds, task.model),
        },
        "squeezed": repulsion(first, student),
        "milliseconds_per_step": {
            "student": round(milliseconds_per_step(first, student, on_cpu), 2),
            "teacher": round(milliseconds_per_step(first, teacher, on_cpu), 2),
        },
    }


def _epoch_line(progress: Progress) -> str:
    return (
        f"training: epoch {progress.epoch} of at most {progress.max_epochs}, "
        f"validation loss {progress.val_loss:.3g}"
    )
