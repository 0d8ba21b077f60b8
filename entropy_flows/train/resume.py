"""Additions to NequIP and Lightning: a training that is killed at any moment goes on bit for bit.

Left to themselves, they have five gaps.

- A continued training sees the data in the order of the first epochs. `EpochOrder` makes the order
  follow from (seed, epoch).
- A checkpoint lacks the scheduler's step after its epoch, and the decision to stop. `EpochFiles`
  makes up for both.
- Best model and last state are two files, and a kill may come between them. `EpochFiles` writes one
  file an epoch, and the best one's stays.
- A continued training deletes the metrics of the one before. The history is part of the checkpoint.
- A checkpoint comes from the folder for temporary files, and half may arrive from another disk.
  `WholeFiles` writes it beside its destination.

All are named in the configuration (`_target_`), like those of `nequip_extension`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from torch.utils.data import DataLoader, Sampler

from entropy_flows.files import whole_file, write_json
from entropy_flows.train.folder import Row, best_epoch, checkpoint_file, kept_epochs

COLUMNS = {"train_loss_epoch/weighted_sum": "train_loss", "val0_epoch/weighted_sum": "val_loss"}
COLUMNS |= {f"val0_epoch/{name}_mae": f"{name}_mae" for name in ("energy", "forces", "stress")}
"""NequIP's name of a metric → column of the history."""
TEST_PREFIX = "test0_epoch/"


class EpochOrder(Sampler[int]):
    """A random order of the data in an epoch that follows from (seed, epoch) alone.

    Parameters
    ----------
    size
        Number of structures.
    seed
        Seed of the order.
    """

    def __init__(self, size: int, seed: int):
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch (from 0), which Lightning gives before it asks for the first batch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.size).tolist()


def shuffled_loader(
    dataset: Sized, seed: int, generator: torch.Generator, **options: Any
) -> DataLoader:
    """Return a DataLoader with an `EpochOrder`.

    NequIP's generator is not used, for its state would have to be restored.
    """
    del generator
    order = EpochOrder(len(dataset), seed)
    return DataLoader(dataset, sampler=order, **options)  # type: ignore[arg-type]


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints that are there as a whole or not at all."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside the file, and rename."""
        with whole_file(Path(path)) as file:
            torch.save(checkpoint, file)


class EpochFiles(Checkpoint):
    """Writes the state, and the history up to it, after each epoch.

    Lightning writes a checkpoint at the end of an epoch, before the learning rate's scheduler makes
    its step. The decision to stop is not in it either. Both are made up for when a training goes on
    from it.

    Parameters
    ----------
    folder
        Folder to write to.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.history: list[Row] = []
        self.stop = False

    @property
    def best_model_path(self) -> str:
        """Return the checkpoint that Lightning tests after training."""
        return str(checkpoint_file(self.folder, best_epoch(self.history)))

    def state_dict(self) -> dict[str, Any]:
        """Return the part of a checkpoint that is this callback's."""
        return {"history": self.history, "stop": self.stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over that part of a checkpoint."""
        self.history = state_dict["history"]
        self.stop = state_dict["stop"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint's history: the file may have more epochs, or fewer."""
        write_json(self.folder / "history.json", self.history)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Repeat what was done after the checkpoint was written."""
        if self.history:
            for config in trainer.lr_scheduler_configs:
                pl_module.lr_scheduler_step(config.scheduler, self.history[-1]["val_loss"])
            trainer.should_stop = self.stop

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write this epoch; called after early stopping has decided."""
        metrics = trainer.callback_metrics
        row = {name: float(metrics[key]) for key, name in COLUMNS.items() if key in metrics}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append({"epoch": trainer.current_epoch + 1, "learning_rate": rate, **row})
        self.stop = trainer.should_stop
        trainer.save_checkpoint(checkpoint_file(self.folder, len(self.history)))
        write_json(self.folder / "history.json", self.history)
        needed = {checkpoint_file(self.folder, epoch) for epoch in kept_epochs(self.history)}
        for path in self.folder.glob("epoch-*.ckpt"):
            if path not in needed:
                path.unlink()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the errors on the test set."""
        errors = {
            name.removeprefix(TEST_PREFIX): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(TEST_PREFIX)
        }
        write_json(self.folder / "test.json", errors)
