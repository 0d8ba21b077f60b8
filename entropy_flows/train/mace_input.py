"""The recipe as the input of MACE's program: its configuration and its files of cells.

The program's `universal` loss is

    L = Σ_q c_q / (c_E + c_F + c_σ) ⟨h(√w_s Δ_q)⟩

    q     energy per atom (eV), force components (eV/Å), stress components (eV/Å³)
    w_s   weight of structure s; √w_s is what a cell's `config_…_weight` is given. A cell without
          stress has 0 for it.
    h     Huber's function with its corner at `huber_delta`, and nearer for forces above 100 eV/Å

Below the corner that is the loss of `TrainParams`. The program's loss `huber` is not used: it has
no weights, and takes a cell without stress for one without pressure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write

from entropy_flows.train.dataset import has_stress, is_replay, loss_weights
from entropy_flows.train.mace_params import MaceParams
from entropy_flows.train.steps import Data

RUN = Path("run")
BASE = RUN / "base.model"
FOLDERS = ("work_dir", "log_dir", "model_dir", "checkpoints_dir", "results_dir", "downloads_dir")
"""Keys of the folders that the program writes to."""
FREEZE = {None: 0, "backbone": 6}
"""The program's number of the layers that stay: embedding, interactions and products."""


def mace_config(params: MaceParams, stress: bool, multihead: bool) -> dict[str, Any]:
    """Assemble the configuration of MACE's program.

    Parameters
    ----------
    params
        Recipe.
    stress
        Whether the training cells have stresses.
    multihead
        Whether the replay cells have a readout of their own.
    """
    return {
        "name": "model",
        **dict.fromkeys(FOLDERS, str(RUN)),
        **_model_and_data(multihead),
        **_loss(params, stress),
        "batch_size": params.batch_size,
        "valid_batch_size": params.batch_size,
        "lr": params.learning_rate,
        "weight_decay": 0.0,
        "scheduler": "ReduceLROnPlateau",
        "lr_factor": params.lr_factor,
        "scheduler_patience": params.lr_patience,
        "patience": params.early_stopping_patience,
        "ema": params.ema_decay > 0.0,
        "ema_decay": params.ema_decay,
        "clip_grad": params.clip,
        "freeze": FREEZE[params.freeze],
        "max_num_epochs": params.max_epochs,
        "seed": params.seed,
        "device": params.runs_on.partition(":")[0],
        "default_dtype": params.dtype,
        "restart_latest": True,
        "error_table": "PerAtomMAE",
        "plot": False,
    }


def _model_and_data(multihead: bool) -> dict[str, Any]:
    """Return the part on the model to start from and the files of cells."""
    files = {"train_file": _file("train"), "valid_file": _file("val")}
    if multihead:
        # the program wants a validation set of the old head, which decides nothing
        files |= {"pt_train_file": _file("replay"), "pt_valid_file": _file("replay-val")}
    return {
        **files,
        "foundation_model": str(BASE),
        "foundation_model_elements": True,
        "E0s": "foundation",
        "scaling": "no_scaling",
        "multiheads_finetuning": multihead,
        # the recipe's learning rate and average hold for several heads, too
        "force_mh_ft_lr": True,
        # no cell is repeated where replay cells are many: weights say what counts
        "real_pt_data_ratio_threshold": 0.0,
    }


def _loss(params: MaceParams, stress: bool) -> dict[str, Any]:
    coefficients = {
        "energy": params.energy_coefficient,
        "forces": params.forces_coefficient,
        "stress": params.stress_coefficient if stress else 0.0,
    }
    total = sum(coefficients.values())
    weights = {f"{name}_weight": value / total for name, value in coefficients.items()}
    return {"loss": "universal", **weights, "huber_delta": params.huber_delta}


def _file(name: str) -> str:
    return str(RUN / f"{name}.extxyz")


def write_cells(data: Data, params: MaceParams, workdir: Path, multihead: bool) -> None:
    """Write the cells to train and validate on, with the names that the program reads."""
    frames = data.frames["train"]
    is_old = [multihead and is_replay(atoms) for atoms in frames]
    parts = {
        "train": [atoms for atoms, old in zip(frames, is_old, strict=True) if not old],
        "replay": [atoms for atoms, old in zip(frames, is_old, strict=True) if old],
        "val": data.frames["val"],
    }
    if multihead:
        parts["replay-val"] = parts["replay"][:1]
    for name, cells in parts.items():
        if cells:
            weights = loss_weights(cells, params.weight_bins)
            write_file(workdir / _file(name), cells, weights)


def write_file(path: Path, frames: Sequence[Atoms], weights: Sequence[float] | np.ndarray) -> None:
    """Write labelled cells for MACE's program, with their loss weights."""
    cells = []
    for label, weight in zip(frames, weights, strict=True):
        cell = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
        root = float(np.sqrt(weight))
        cell.info = {
            "REF_energy": label.get_potential_energy(),
            "config_energy_weight": root,
            "config_forces_weight": root,
            "config_stress_weight": root if has_stress(label) else 0.0,
        }
        if has_stress(label):
            cell.info["REF_stress"] = label.get_stress()
        cell.arrays["REF_forces"] = label.get_forces(apply_constraint=False)
        cells.append(cell)
    write(path, cells, format="extxyz")
