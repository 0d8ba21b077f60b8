"""Run one training, by the trainer that takes the model.

A training that was killed at any moment goes on from its last finished epoch when it is called
again with the same inputs and folder. A finished one is recognised by its inputs and not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms

from entropy_flows import progress as job_progress
from entropy_flows.settings import settings
from entropy_flows.train.base import Model, Progress, TrainResult
from entropy_flows.train.params import TrainParams
from entropy_flows.train.replay import replay_cells
from entropy_flows.train.trainers import recipe_for, trainer_for

__all__ = ["Progress", "TrainResult", "fine_tune"]


def fine_tune(
    train: Sequence[Atoms],
    val: Sequence[Atoms],
    test: Sequence[Atoms],
    base_model: Model,
    params: TrainParams,
    workdir: Path,
    on_progress: Callable[[Progress], None] | None = None,
    replay: Sequence[Atoms] = (),
) -> TrainResult:
    """Train a model on labelled cells, and on replay cells if the recipe gives them a weight.

    Cells without stress contribute no stress term; if no training cell has one, stress is left out
    altogether. Without validation cells (a data set of one or two) the training cells take their
    place in scheduler and early stopping.

    Parameters
    ----------
    train, val, test
        Cells with energy, forces and maybe stress in a single-point calculator. The test set never
        influences the model; it is evaluated once at the end.
    base_model
        A model of a family that has a trainer: a `.nequip.zip`, a `nequip.net:` id, a name SevenNet
        knows, a SevenNet checkpoint (`.pth`). Or, for a new model, a model section such as
        `recipe.small_allegro` gives.
    params
        Recipe. `params.trainer` names the trainer; None takes the one of the base model. Without
        `params.device` it is this machine's.
    workdir
        Folder of this training. What another process began there goes on if it had the same
        inputs, and is deleted if it had others. The folder and the base model have to be at the
        same paths then, or the training starts again.
    on_progress
        Called after each epoch that this call has trained.
    replay
        Cells labelled by the first model, their energies on the zero of the labels; see
        `train.replay`. In the result's `left_out` they follow the cells of `train`.

    Returns
    -------
    TrainResult
        The model's file and its training's history.

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
    recipe = recipe_for(trainer, params)
    recipe = recipe.model_copy(update={"device": params.device or settings().device})

    def report(epoch: Progress) -> None:
        note = f"loss {epoch.val_loss:.4g}"
        job_progress.report(epoch.epoch, epoch.max_epochs, "epochs", note)
        if on_progress is not None:
            on_progress(epoch)

    cells = [*train, *replay_cells(replay, recipe.replay_weight, train)]
    return trainer.fine_tune(cells, val, test, base_model, recipe, workdir, report)
