"""One training, by the trainer that takes the model.

A training that was killed, at whatever moment, is gone on with from its last finished epoch when it
is called again with the same inputs and folder; a finished one is recognised by its inputs and not
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms

from entropy_flows.settings import settings
from entropy_flows.train.base import Model, Progress, TrainResult, trainer_for
from entropy_flows.train.params import TrainParams

__all__ = ["Progress", "TrainResult", "fine_tune"]


def fine_tune(
    train: Sequence[Atoms],
    val: Sequence[Atoms],
    test: Sequence[Atoms],
    base_model: Model,
    params: TrainParams,
    workdir: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a model on labelled cells.

    Cells without stress contribute no stress term; if no training cell has one, stress is left out
    altogether. Without validation cells (a data set of one or two) the training cells take their
    place in scheduler and early stopping.

    Parameters
    ----------
    train, val, test
        Cells with energy, forces and maybe stress in a single-point calculator. The test set never
        influences the model; it is evaluated once at the end.
    base_model
        What to start from: path of a `.nequip.zip`, a `nequip.net:` id, a name SevenNet knows, path
        of a SevenNet checkpoint (`.pth`); or, for a new model, a model section such as
        `recipe.small_allegro` gives.
    params
        Recipe; `params.trainer` names the trainer, None takes the one of the base model. Without
        `params.device` it is this machine's.
    workdir
        Folder of this training. What another process began there with the same inputs is gone on
        with; of other inputs it is deleted. It and the base model have to be at the same path then,
        or the training starts again.
    on_progress
        Called after each epoch that this call has trained.

    Returns
    -------
    TrainResult
        The model's file and its history.

    Raises
    ------
    TrainingError
        If the training program fails.
    MachineError
        If it was killed, the disk or memory did not suffice, or another process trains in this
        folder: call again.
    ValueError
        If there is nothing to train on, an element the base model does not know, no trainer takes
        the model, or it has nothing for one of the parameters.
    """
    trainer = trainer_for(base_model, params.trainer)
    trainer.check(params)
    params = params.model_copy(update={"device": params.device or settings().device})
    return trainer.fine_tune(train, val, test, base_model, params, workdir, on_progress)
