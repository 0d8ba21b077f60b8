"""Fine-tuning: the data set's files, the recipe, and a trainer for each family of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.train.base import Progress, Trainer, TrainResult
    from entropy_flows.train.dataset import assign_splits, energy_per_atom, stratified_split
    from entropy_flows.train.params import AnyTrainParams, TrainParams
    from entropy_flows.train.process import TrainingError
    from entropy_flows.train.run import fine_tune
    from entropy_flows.train.trainers import TRAINERS, check_recipe, recipe_for, trainer_for
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "TRAINERS",
    "AnyTrainParams",
    "Progress",
    "TrainParams",
    "TrainResult",
    "Trainer",
    "TrainingError",
    "assign_splits",
    "check_recipe",
    "energy_per_atom",
    "fine_tune",
    "recipe_for",
    "stratified_split",
    "trainer_for",
]
