"""What a training gives, and what a trainer is.

A trainer fine-tunes the models of one family. It is a class without arguments, found by the name
that the model's family gives, or by the key `train: {trainer: …}` of a campaign file.
`docs/extending.md` shows one of another package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ase import Atoms

from entropy_flows.potentials import match_model
from entropy_flows.train.folder import Row
from entropy_flows.train.params import TrainParams

Model = str | Path | dict[str, Any]
"""A path, a name, or the description of a new model where a trainer takes one."""


def is_of_family(model: Model, family: str) -> bool:
    """Return whether a model is a path or name that belongs to a family; no description does."""
    match = None if isinstance(model, dict) else match_model(model)
    return match is not None and match.family.name == family


@dataclass(frozen=True)
class Progress:
    """Progress of a training after an epoch."""

    epoch: int
    """Epochs finished."""
    max_epochs: int
    """Most epochs that it may run."""
    train_loss: float
    """Weighted loss over the epoch, of the weights as they moved."""
    val_loss: float
    """Weighted loss on the validation set, of the averaged weights where they are averaged."""
    learning_rate: float
    """Adam's step length in this epoch."""


@dataclass(frozen=True)
class TrainResult:
    """A trained model and the record of its training."""

    model: Path
    """File of the model."""
    sha256: str
    """SHA-256 of the file."""
    inputs_sha256: str
    """Checksum of data, recipe, base model and versions.

    The same inputs are not trained twice in one folder.
    """
    epochs: int
    """Epochs run."""
    best_epoch: int
    """Epoch (from 1) with the lowest validation loss; the model has its weights."""
    history: list[Row]
    """One row an epoch: epoch, train_loss, val_loss, learning_rate, and the validation MAEs.

    These are energy_mae (eV/atom), forces_mae (eV/Å) and stress_mae (eV/Å³). NequIP's stress_mae
    is over nine components, SevenNet's over six.
    """
    test: dict[str, float]
    """MAEs on the test set, named as in the history; empty without one."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells that were left out, by split: position in the list given, and the reason.

    The kind of reason stands before a colon.
    """
    batch_size: int
    """Structures in a batch; fewer than the recipe's if the GPU's memory did not suffice."""
    accumulate: int
    """Batches in a step; more than the recipe's by as much where the trainer accumulates."""
    attempts: int = field(compare=False)
    """Number of times it was started: 1 if nothing happened to it."""
    wall_seconds: float = field(default=math.nan, compare=False)
    """Time taken by the last attempt, packaging included, in s."""
    reused: bool = field(default=False, compare=False)
    """True if an earlier result was returned."""


class Trainer(Protocol):
    """Fine-tunes the models of one family.

    Attributes
    ----------
    takes
        Class of its section `train`: `TrainParams`, or one derived from it with keys of its own.

    A class may have another attribute, `offers`: which of the keys `freeze`, `replay` and `weights`
    it takes. With the last two it gives each structure the weight that `train.dataset.loss_weights`
    returns. A recipe with a key that its trainer does not offer is refused.
    """

    takes: type[TrainParams]

    def accepts(self, model: Model) -> bool:
        """Return whether it can start from a model, by its name or its file's name alone."""
        ...

    def check(self, params: TrainParams) -> None:
        """Refuse parameters that the family's program has no equivalent for.

        Raises
        ------
        ValueError
            Naming them.
        """
        ...

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
        """Train; arguments, result and errors are those of `train.fine_tune`.

        The result is a file whose name tells `potentials.load_calculator` how to load it.
        """
        ...
