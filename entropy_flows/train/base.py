"""What a trainer is, and which one takes a model.

A trainer is one file for one family of models, with the three functions of `Trainer`. A name
without a dot is that of a file in this folder; a name with dots is a module of one's own, imported
as it is:

==================  ==========================================================================
`nequip`            `.nequip.zip` packages and `nequip.net:` ids, or a new model's description
`sevennet`          `SevenNet-0` and other names SevenNet knows, and its checkpoints `.pth`
`my_package.mine`   what its `takes` says
==================  ==========================================================================

The result is a file whose name tells `potentials.load_calculator` how to load it.
`docs/training.md` shows how to write a trainer.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from ase import Atoms

from entropy_flows.train.folder import Row
from entropy_flows.train.params import TrainParams

TRAINERS = ("nequip", "sevennet")
"""Those asked in turn when none is named."""

Model = str | Path | dict[str, Any]
"""What to start from: a path, a name, or a description of a new model where a trainer knows one."""


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
    """Weighted loss on the validation set, of the averaged weights where they are averaged."""
    learning_rate: float
    """Adam's step length in this epoch."""


@dataclass(frozen=True)
class TrainResult:
    """A trained model and how it came about."""

    model: Path
    """Its file."""
    sha256: str
    """Its checksum."""
    inputs_sha256: str
    """Checksum of data, recipe, base model and versions: the same inputs are not trained twice
    in one folder.
    """
    epochs: int
    """Epochs run."""
    best_epoch: int
    """Epoch (from 1) with the lowest validation loss, whose weights the model has."""
    history: list[Row]
    """One row an epoch: epoch, train_loss, val_loss, learning_rate, and the validation MAEs energy_mae (eV/atom),
    forces_mae (eV/Å), stress_mae (eV/Å³; NequIP's is over nine components, SevenNet's over six)."""
    test: dict[str, float]
    """MAEs on the test set, named as in the history; empty without one."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells that were left out, by part: position in the list given, and the reason, its kind
    before a colon.
    """
    batch_size: int
    """Structures in a batch, less than the recipe's if the GPU's memory did not suffice."""
    accumulate: int
    """Batches a step, more than the recipe's by as much where the trainer accumulates."""
    attempts: int = field(compare=False)
    """Times it was started: 1 if nothing happened to it."""
    wall_seconds: float = field(default=math.nan, compare=False)
    """Time taken by the last attempt, packaging included, s."""
    reused: bool = field(default=False, compare=False)
    """Whether an earlier result was returned."""


class Trainer(Protocol):
    """A module that fine-tunes one family of models."""

    def takes(self, model: Model) -> bool:
        """Whether this is a model of the family, by its name or its file's name alone."""
        ...

    def check(self, params: TrainParams) -> None:
        """Refuse, with a ValueError that names them, parameters the family's program has nothing for."""
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
        """Train; arguments, result and errors are those of `train.fine_tune`."""
        ...


def trainer_for(model: Model, name: str | None = None) -> Trainer:
    """Find the trainer of a model.

    Parameters
    ----------
    model
        What to start from.
    name
        The trainer's name; None asks all of `TRAINERS` in turn.

    Returns
    -------
    Trainer
        The one named, or the first that takes the model.

    Raises
    ------
    ValueError
        If there is none of this name, or it does not take the model.
    """
    known = f"trainers: {', '.join(TRAINERS)}, or the import path of your own"
    if name is not None:
        if (trainer := _load(name)) is None:
            raise ValueError(f"trainer {name!r} is not known or cannot be imported; {known}")
        if not trainer.takes(model):
            raise ValueError(f"trainer {name!r} does not take {_shown(model)}; {known}")
        return trainer
    for candidate in TRAINERS:
        trainer = _load(candidate)
        if trainer is not None and trainer.takes(model):
            return trainer
    raise ValueError(
        f"{_shown(model)} cannot be fine-tuned: expected a .nequip.zip, a nequip.net: id, a SevenNet name or a .pth "
        f"checkpoint of SevenNet, of one modality; {known}"
    )


def _load(name: str) -> Trainer | None:
    if "." not in name and name not in TRAINERS:
        return None
    try:
        return cast(
            Trainer, importlib.import_module(name if "." in name else f"{__package__}.{name}")
        )
    except ImportError as error:
        if error.name is not None and name.startswith(
            error.name
        ):  # it is not there; what it lacks itself is told
            return None
        raise


def _shown(model: Model) -> str:
    return "a new model's description" if isinstance(model, dict) else str(model)
