"""Fine-tuning of a NequIP or Allegro model: the data set's files, the recipe, the run."""

from entropy_flows.train.dataset import assign_splits, energy_per_atom, stratified_split
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import TrainingError
from entropy_flows.train.run import TrainResult, fine_tune

__all__ = [
    "TrainParams",
    "TrainResult",
    "TrainingError",
    "assign_splits",
    "energy_per_atom",
    "fine_tune",
    "stratified_split",
]
