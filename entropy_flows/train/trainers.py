"""The trainers there are, and which of them takes a model."""

from __future__ import annotations

from functools import cache

from pydantic import ValidationError

from entropy_flows.params import one_line
from entropy_flows.plugins import ExtensionPoint
from entropy_flows.potentials import match_model
from entropy_flows.train.base import Model, Trainer
from entropy_flows.train.params import OWN_TRAINERS, OtherTrainParams, TrainParams

TRAINERS = ExtensionPoint(
    noun="trainer",
    group="entropy_flows.trainers",
    base=Trainer,
    builtin=OWN_TRAINERS,
    key="trainer",
)
"""Where packages add trainers; each has what `Trainer` has."""


def trainer_for(model: Model, name: str | None = None) -> Trainer:
    """Find the trainer of a model.

    Parameters
    ----------
    model
        A path, a name, or the description of a new model.
    name
        The trainer's name or import path; None takes that of the model's family.

    Raises
    ------
    ValueError
        If there is none of this name, or it does not take the model.
    """
    name_or_default = name or _family_trainer(model)
    if name_or_default is not None:
        trainer = _instance(TRAINERS.resolve(name_or_default))
        if trainer.accepts(model):
            return trainer
    choices = f"trainers: {', '.join(TRAINERS.names())}, or the import path of your own"
    if name is not None:
        raise ValueError(f"trainer {name!r} does not take {_title(model)}; {choices}")
    raise ValueError(
        f"{_title(model)} cannot be fine-tuned: expected a .nequip.zip, a nequip.net: id, a "
        "SevenNet name or a .pth checkpoint of SevenNet, a model of MACE, or a model of another "
        f"family with a trainer; {choices}"
    )


def check_recipe(model: Model, params: TrainParams) -> None:
    """Refuse a model that no trainer takes, or a recipe that its trainer refuses.

    Raises
    ------
    ValueError
        As of `trainer_for` and `recipe_for`.
    """
    recipe_for(trainer_for(model, params.trainer), params)


def recipe_for(trainer: Trainer, params: TrainParams) -> TrainParams:
    """Return a recipe in the class that its trainer takes, checked by the trainer.

    Raises
    ------
    ValueError
        For a key that the trainer does not have, or a value that it refuses.
    """
    recipe = params
    if isinstance(params, OtherTrainParams) or not isinstance(params, trainer.takes):
        try:
            recipe = trainer.takes.model_validate(params.keys_given())
        except ValidationError as error:
            raise ValueError(f"train: {one_line(error)}") from None
    _refuse_missing(trainer, recipe)
    trainer.check(recipe)
    return recipe


def _refuse_missing(trainer: Trainer, recipe: TrainParams) -> None:
    """Refuse keys in use that not every trainer has, and this one does not offer."""
    missing = {
        "freeze": f"freeze is {recipe.freeze}, but {type(trainer).__name__} trains all parameters: "
        "leave the key out",
        "replay": f"replay has weight {recipe.replay_weight:g}, but {type(trainer).__name__} has "
        "no weights of structures: set replay: {weight: 0}",
    }
    for key in recipe.offered_keys():
        if key not in getattr(trainer, "offers", ()):
            raise ValueError(f"train: {missing[key]}")


def _family_trainer(model: Model) -> str | None:
    """Return the name of the trainer that a model's family has."""
    if isinstance(model, dict):
        return "nequip"  # whose trainer alone makes new models
    match = match_model(model)
    return None if match is None else match.family.trainer


@cache
def _instance(trainer: type[Trainer]) -> Trainer:
    return trainer()


def _title(model: Model) -> str:
    return "a new model's description" if isinstance(model, dict) else str(model)
