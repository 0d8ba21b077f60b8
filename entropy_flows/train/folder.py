"""The folder of a training: who may use it, how far it is, what of it can be trusted after a kill.

    workdir/
      lock                           held by the process that trains here, and by the program below it
      data/{train,val,test}.extxyz   what is trained on
      base.nequip.zip                link to the model to start from
      state.json                     of what inputs `run` is, the batch size it has come to, how often it was started
      run/                           NequIP's configuration and console logs
        epoch-0012.ckpt              everything after an epoch: the last two are kept, and the best as of each of them
        zero.json                    what was added to the base model's energies per element
        history.json, test.json      losses and errors of the epochs so far, and those of the test set
      model.nequip.zip               the result
      result.json                    written last

So it is for NequIP; SevenNet's folder has its `base.pth`, `checkpoint_12.pth` and `model.pth` in
the same places. Programs are run in `workdir` and know these names only: checkpoints and result do
not depend on where the folder is. What is read again was written under another name and then
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
    """How far a training has come, apart from its epochs."""

    inputs: str
    """Checksum of what it was started with; of other inputs, nothing is gone on with."""
    batch_size: int
    """Structures in a batch; falls when the GPU's memory does not suffice."""
    accumulate: int
    """Batches whose gradients are accumulated before a step; grows by as much."""
    attempts: int = 0
    """Times it was started."""

    def with_smaller_batches(self) -> State | None:
        """The state with half the batch size and the same step, or None if a batch is one structure.

        If half is no whole number, it is the largest part of the batch size that leaves batch size
        times `accumulate`, the structures in a step, as it is.
        """
        smaller = [
            size for size in range(1, self.batch_size // 2 + 1) if self.batch_size % size == 0
        ]
        if not smaller:
            return None
        parts = self.batch_size // smaller[-1]
        return replace(self, batch_size=smaller[-1], accumulate=self.accumulate * parts)

    def save(self, workdir: Path) -> None:
        """Write it."""
        write_json(workdir / "state.json", asdict(self))


def take_up(workdir: Path, fresh: State) -> State:
    """The state a training was left in, or a fresh one in an empty folder `run`.

    Parameters
    ----------
    workdir
        Folder of the training.
    fresh
        The state to begin with, if what is there has other inputs.

    Returns
    -------
    State
        The state to go on from.
    """
    delete_unfinished(workdir)
    stored = read_json(workdir / "state.json", {})
    if stored.get("inputs") == fresh.inputs and (workdir / "run").is_dir():
        return State(**stored)
    # first, and written again last: half a folder has no state
    (workdir / "state.json").unlink(missing_ok=True)
    if (workdir / "run").exists():
        shutil.rmtree(workdir / "run")
    (workdir / "run").mkdir()
    fresh.save(workdir)
    return fresh


def checkpoint_file(folder: Path, epoch: int) -> Path:
    """Where the state after an epoch (from 1) is."""
    return folder / f"epoch-{epoch:04d}.ckpt"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; what is newer, or was not finished, is deleted."""
    delete_unfinished(folder)
    for path in sorted(folder.glob("epoch-*.ckpt"), reverse=True):
        if is_whole(path):
            return path
        logger.warning("%s is damaged, going on from the one before", path)
        path.unlink()
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there as a whole: a zip archive's table is at its end, every member has a checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, FileNotFoundError):
        return False


def kept_epochs(history: Sequence[Row]) -> set[int]:
    """Epochs whose checkpoints are kept: the last two, and the best as of each of them."""
    kept = set()
    for rows in (history, history[:-1]):
        if rows:
            kept |= {len(rows), best_epoch(rows)}
    return kept


def best_epoch(history: Sequence[Row]) -> int:
    """The epoch (from 1) with the lowest validation loss, the first of equals."""
    return int(
        min(history, key=lambda row: (math.isnan(row["val_loss"]), row["val_loss"]))["epoch"]
    )
