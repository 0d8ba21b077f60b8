"""The epochs of a SevenNet training: its table of losses, its checkpoints, and when it ends."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from entropy_flows.files import read_json, write_json
from entropy_flows.train.folder import Row, best_epoch, is_whole, kept_epochs
from entropy_flows.train.params import TrainParams

LOSS_FACTOR = 1e6
"""Factor of the loss, for the program's table has six digits after the point."""
KILOBAR = 1602.1766208
"""kbar in an eV/Å³, as SevenNet has it."""
METRICS = {
    "Energy": ("energy_mae", 1.0),
    "Force": ("forces_mae", 1.0),
    "Stress": ("stress_mae", KILOBAR),
}
"""SevenNet's name of an error → the history's name, and how many of its units are one there."""


def checkpoint_name(epoch: int) -> str:
    """Return SevenNet's name of the checkpoint after an epoch."""
    return f"checkpoint_{epoch}.pth"


def resume_history(folder: Path) -> list[Row]:
    """Return the epochs to go on from: those up to the last one whose checkpoint is whole.

    Checkpoints and tables that are not needed any more are deleted.
    """
    history = read_json(folder / "history.json", [])
    add_finished_epochs(history, folder, None)
    while history and not is_whole(folder / checkpoint_name(len(history))):
        history.pop()
    for table in folder.glob("lc*.csv"):
        table.unlink()
    names = {checkpoint_name(epoch) for epoch in kept_epochs(history)}
    for path in folder.glob("checkpoint_*.pth"):
        if path.name not in names:
            path.unlink()
    write_json(folder / "history.json", history)
    return history


def add_finished_epochs(history: list[Row], folder: Path, params: TrainParams | None) -> None:
    """Add the epochs whose checkpoint the program has written since the last call.

    Checkpoints that are not needed any more are deleted.

    Parameters
    ----------
    history
        Epochs so far; new ones are appended.
    folder
        Folder of the program's run.
    params
        Recipe, with which no epoch is added after its end; None adds all.
    """
    before = len(history)
    try:
        with open(folder / "lc.csv", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        return
    for line in lines:
        if params is not None and is_over(history, params):
            break
        epoch = len(history) + 1
        # The checkpoint is written after the line, so a line alone is no finished epoch.
        if line["epoch"] == str(epoch) and is_whole(folder / checkpoint_name(epoch)):
            history.append(_history_row(line))
    if len(history) > before:
        write_json(folder / "history.json", history)
        for epoch in set(range(len(history))) - kept_epochs(history):
            (folder / checkpoint_name(epoch)).unlink(missing_ok=True)


def is_over(history: Sequence[Row], params: TrainParams) -> bool:
    """Return whether a training has run all its epochs, or has not improved for too many."""
    if not history:
        return False
    idle = len(history) - best_epoch(history)
    return len(history) >= params.max_epochs or idle >= params.early_stopping_patience


def _history_row(line: dict[str, str]) -> Row:
    """Convert a line of SevenNet's table to the history's names and units."""
    row = {
        "epoch": int(line["epoch"]),
        "learning_rate": float(line["lr"]),
        "train_loss": float(line["trainset_TotalLoss"]) / LOSS_FACTOR,
        "val_loss": float(line["validset_TotalLoss"]) / LOSS_FACTOR,
    }
    for sevennet_name, (name, unit) in METRICS.items():
        column = f"validset_{sevennet_name}_MAE"
        if column in line:
            row[name] = float(line[column]) / unit
    return row
