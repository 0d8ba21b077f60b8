"""The folder of a training: its lock, its state, and the files that can be trusted after a kill.

    workdir/
      lock                     held by the process that trains here, and by the program below it
      data/                    train.extxyz, val.extxyz and test.extxyz
      base.nequip.zip          link to the model to start from
      state.json               inputs, present batch size, number of starts
      run/                     NequIP's configuration and console logs
        epoch-0012.ckpt        all after an epoch: the last two, and the best as of each of them
        zero.json              shifts of the base model's energies per element
        history.json           losses and errors of the epochs so far
        test.json              errors on the test set
      model.nequip.zip         the result
      result.json              its record, written last

This is NequIP's folder. SevenNet's has `base.pth`, `checkpoint_12.pth` and `model.pth` at the same
positions. Programs are run in `workdir` and know these names only, so checkpoints and result do not
depend on the folder's path. A file that is read again is written under another name and then
renamed: it is there as a whole or not at all.
"""

from __future__ import annotations

import logging
import math
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from entropy_flows.files import delete_unfinished, read_json, write_json

logger = logging.getLogger(__name__)

Row = dict[str, float]


@dataclass(frozen=True)
class State:
    """State of a training beside its epochs."""

    inputs: str
    """Checksum of its inputs; a training of other inputs starts anew."""
    batch_size: int
    """Structures in a batch; falls when the GPU's memory does not suffice."""
    accumulate: int
    """Batches whose gradients are accumulated before a step; grows as the batch size falls."""
    attempts: int = 0
    """Number of times it was started."""

    def with_smaller_batches(self) -> State | None:
        """Return the state with smaller batches; None if a batch is one structure.

        The batch size becomes its largest divisor up to half of it. `accumulate` grows by the same
        factor, so the structures in a step stay as many.
        """
        smaller = [
            size for size in range(1, self.batch_size // 2 + 1) if self.batch_size % size == 0
        ]
        if not smaller:
            return None
        factor = self.batch_size // smaller[-1]
        return replace(self, batch_size=smaller[-1], accumulate=self.accumulate * factor)

    def save(self, workdir: Path) -> None:
        """Write the state to its file."""
        write_json(workdir / "state.json", asdict(self))


def take_up(workdir: Path, fresh: State) -> State:
    """Return the state that a training was left in, or a fresh one in an empty folder `run`.

    Parameters
    ----------
    workdir
        Folder of the training.
    fresh
        The state to begin with, if the folder's has other inputs.

    Returns
    -------
    State
        The state to go on from.
    """
    delete_unfinished(workdir)
    stored = read_json(workdir / "state.json", {})
    if stored.get("inputs") == fresh.inputs and (workdir / "run").is_dir():
        return State(**stored)
    # The state goes first and is written again last, so that half a folder has none.
    (workdir / "state.json").unlink(missing_ok=True)
    if (workdir / "run").exists():
        shutil.rmtree(workdir / "run")
    (workdir / "run").mkdir()
    fresh.save(workdir)
    return fresh


def finished_epochs(workdir: Path) -> int:
    """Return how many epochs a training has finished that has this folder; 0 without one."""
    return len(read_json(workdir / "run" / "history.json", []))


def checkpoint_file(folder: Path, epoch: int) -> Path:
    """Return the path of the checkpoint after an epoch (from 1)."""
    return folder / f"epoch-{epoch:04d}.ckpt"


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that is whole; damaged and unfinished ones are deleted."""
    delete_unfinished(folder)
    for path in sorted(folder.glob("epoch-*.ckpt"), reverse=True):
        if is_whole(path):
            return path
        logger.warning("%s is damaged, going on from the one before", path)
        path.unlink()
    return None


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint is there as a whole.

    It is a zip archive, whose table is at its end and whose members have checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, FileNotFoundError):
        return False


def kept_epochs(history: Sequence[Row]) -> set[int]:
    """Return the epochs whose checkpoints stay: the last two, and the best as of each of them."""
    epochs = set()
    for rows in (history, history[:-1]):
        if rows:
            epochs |= {len(rows), best_epoch(rows)}
    return epochs


def best_epoch(history: Sequence[Row]) -> int:
    """Return the epoch (from 1) with the lowest validation loss, the first of equals."""
    best = min(history, key=lambda row: (math.isnan(row["val_loss"]), row["val_loss"]))
    return int(best["epoch"])
