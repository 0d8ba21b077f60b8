"""The recipe as SevenNet's input: its `input.yaml`, its lists of cells, and its base model.

The loss is that of `TrainParams`, multiplied by `LOSS_FACTOR`, for the program writes six digits
after the point. Its terms are

    Σ_q  LOSS_FACTOR w c_q / (c_E + c_F + c_σ)  ⟨h_q(Δ_q)⟩

    q     energy per atom (eV), force (eV/Å), stress (kbar; so c_σ is divided by kbar per eV/Å³)
    w     weight of the structure: a list of files for each value, with its `data_weight`
    h_q   Huber's function with its corner at `huber_delta`, for the stress in kbar; where errors
          are larger than that, the slope of the stress term is c_σ `huber_delta` as for the other
          quantities
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from entropy_flows.files import whole_file
from entropy_flows.train.dataset import loss_weights, write_extxyz
from entropy_flows.train.params import TrainParams
from entropy_flows.train.sevennet_epochs import KILOBAR, LOSS_FACTOR, METRICS, checkpoint_name
from entropy_flows.train.steps import Data

if TYPE_CHECKING:
    from sevenn.checkpoint import SevenNetCheckpoint

RUN = Path("run")
BASE = RUN / "base.pth"


def sevennet_config(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    stress: bool,
    params: TrainParams,
    epochs: int,
) -> dict[str, Any]:
    """Assemble `input.yaml` for a training that goes on after a number of epochs.

    Parameters
    ----------
    model
        SevenNet's section on the model, as its checkpoint gives it.
    data
        Section on data, from `data_section`.
    stress
        Whether the training cells have stresses.
    params
        Recipe.
    epochs
        Epochs that are done.
    """
    is_new = epochs == 0
    errors = [[name, "MAE"] for name in METRICS if stress or name != "Stress"]
    train = {
        # The program draws the order of the data from here on, so the seed moves with the epochs.
        "random_seed": params.seed + epochs,
        "device": params.runs_on,
        "is_train_stress": stress,
        "epoch": params.max_epochs,
        "loss": "huber",
        "loss_param": {"delta": params.huber_delta},
        # The coefficients are in `data_weight`, which has one for each quantity and structure.
        "use_weight": True,
        "force_loss_weight": 1.0,
        "stress_loss_weight": 1.0,
        "optimizer": "adam",
        "optim_param": {"lr": params.learning_rate},
        "scheduler": "reducelronplateau",
        "scheduler_param": {"factor": params.lr_factor, "patience": params.lr_patience},
        "per_epoch": 1,
        "error_record": [*errors, ["TotalLoss", "None"]],
        "continue": {
            "checkpoint": str(BASE if is_new else RUN / checkpoint_name(epochs)),
            "reset_optimizer": is_new,
            "reset_scheduler": is_new,
            "reset_epoch": is_new,
        },
    }
    return {
        "model": dict(model),
        "train": train,
        "data": {**data, "batch_size": params.batch_size},
    }


def data_section(data: Data, params: TrainParams, workdir: Path) -> dict[str, Any]:
    """Write the cells by loss weight and return SevenNet's section on data."""
    return {
        "load_trainset_path": _weighted_lists("train", data, params, workdir),
        "load_validset_path": _weighted_lists("val", data, params, workdir),
        # Graphs that a killed run has left behind are not trusted.
        "data_format_args": {"force_reload": True},
    }


def _weighted_lists(
    split: str, data: Data, params: TrainParams, workdir: Path
) -> list[dict[str, Any]]:
    """Write a list of files for each loss weight: SevenNet has weights by such lists."""
    frames = data.frames[split]
    weights = loss_weights(frames, params.weight_bins)
    coefficients = {"energy": params.energy_coefficient, "force": params.forces_coefficient}
    if data.stress:
        coefficients["stress"] = params.stress_coefficient
    total = sum(coefficients.values())
    units = {"energy": 1.0, "force": 1.0, "stress": KILOBAR}
    lists = []
    for number, weight in enumerate(np.unique(weights)):
        rows = np.flatnonzero(weights == weight)
        file = RUN / f"{split}-{number}.extxyz"
        write_extxyz(workdir / file, [frames[row] for row in rows], weights[rows])
        data_weight = {
            quantity: float(LOSS_FACTOR * weight * coefficient / total / units[quantity])
            for quantity, coefficient in coefficients.items()
        }
        lists.append({"file_list": [{"file": str(file)}], "data_weight": data_weight})
    return lists


def write_base(
    checkpoint: SevenNetCheckpoint, modal: str | None, shifts: Mapping[str, float], path: Path
) -> None:
    """Write the model to start from, of one modality, each element's energy shifted (eV)."""
    import torch

    from entropy_flows.potentials.sevennet_checkpoint import trainable_content

    content = trainable_content(checkpoint, modal)
    types = content["config"]["_type_map"]
    weights = content["model_state_dict"]
    for name in ("shift", "scale"):
        values = weights[f"rescale_atomic_energy.{name}"].reshape(-1).expand(len(types)).clone()
        if name == "shift":
            for element, shift in shifts.items():
                values[types[atomic_numbers[element]]] += shift
        # One value an element, also where the base model has one for all.
        weights[f"rescale_atomic_energy.{name}"] = values
        content["config"][name] = values.tolist()
    with whole_file(path) as file:
        torch.save({**content, "optimizer_state_dict": {}, "scheduler_state_dict": {}}, file)
