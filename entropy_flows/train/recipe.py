"""The recipe as NequIP's configuration: model, data, loss, optimiser, stopping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entropy_flows.train.params import TrainParams

MONITOR = "val0_epoch/weighted_sum"
EXTENSION = "entropy_flows.train.nequip_extension"
RESUME = "entropy_flows.train.resume"

Config = dict[str, Any]


def packaged_model(package: Path, shifts: dict[str, float] | None = None) -> Config:
    """Model section that starts from a packaged model, every parameter trainable.

    Parameters
    ----------
    package
        Path of a `.nequip.zip`, which must stay there until the result is packaged.
    shifts
        Addition to the energy of each atom, by element (eV); None leaves the model as it is.

    Returns
    -------
    dict
        `training_module.model`.
    """
    section: Config = {"package_path": str(package), "compile_mode": "eager"}
    if shifts is None:
        return {"_target_": "nequip.model.ModelFromPackage", **section}
    return {"_target_": f"{EXTENSION}.shifted_package", **section, "shifts": dict(shifts)}


def small_allegro(
    elements: Sequence[str],
    cutoff: float = 5.0,
    l_max: int = 1,
    layers: int = 1,
    scalars: int = 16,
    tensors: int = 8,
    seed: int = 42,
    energies: Mapping[str, float] | None = None,
) -> Config:
    """Model section of a new Allegro model small enough to train on a CPU.

    A screened nuclear repulsion (ZBL) is part of it, so that atoms cannot collapse where no label
    has been seen.

    Parameters
    ----------
    elements
        Chemical symbols.
    cutoff
        Distance up to which atoms interact, Å.
    l_max, layers, scalars, tensors
        Angular resolution, number of Allegro layers, of scalar and of tensor features.
    seed
        Seed of the initial weights.
    energies
        Energy (eV) of an atom of each element to count from; None takes the mean of the training
        set for all of them.

    Returns
    -------
    dict
        `training_module.model`; averages of the training set enter by interpolation.
    """
    return {
        "_target_": "allegro.model.AllegroModel",
        **_new_model(elements, cutoff, seed, energies),
        "l_max": l_max,
        "parity": False,
        "num_layers": layers,
        "num_scalar_features": scalars,
        "num_tensor_features": tensors,
        "radial_chemical_embed": {
            "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
            "num_bessels": 8,
            "bessel_trainable": False,
            "polynomial_cutoff_p": 6,
        },
        "scalar_embed_mlp_hidden_layers_depth": 1,
        "scalar_embed_mlp_hidden_layers_width": 2 * scalars,
        "allegro_mlp_hidden_layers_depth": 1,
        "allegro_mlp_hidden_layers_width": 2 * scalars,
        "readout_mlp_hidden_layers_depth": 1,
        "readout_mlp_hidden_layers_width": scalars,
    }


def small_nequip(
    elements: Sequence[str],
    cutoff: float = 5.0,
    l_max: int = 1,
    layers: int = 2,
    features: int = 16,
    seed: int = 42,
    energies: Mapping[str, float] | None = None,
) -> Config:
    """Model section of a new NequIP model small enough to train on a CPU.

    Like `small_allegro`, it has a screened nuclear repulsion.

    Parameters
    ----------
    elements, cutoff, seed, energies
        As of `small_allegro`.
    l_max, layers, features
        Angular resolution, number of message-passing layers, of features of each degree.

    Returns
    -------
    dict
        `training_module.model`; averages of the training set enter by interpolation.
    """
    return {
        "_target_": "nequip.model.NequIPGNNModel",
        **_new_model(elements, cutoff, seed, energies),
        "l_max": l_max,
        "parity": False,
        "num_layers": layers,
        "num_features": features,
        "radial_mlp_depth": 1,
        "radial_mlp_width": 2 * features,
        "num_bessels": 8,
        "bessel_trainable": False,
        "polynomial_cutoff_p": 6,
    }


def _new_model(
    elements: Sequence[str], cutoff: float, seed: int, energies: Mapping[str, float] | None
) -> Config:
    """Return what all new models have: elements, cutoff, scales, and the nuclear repulsion."""
    shifts: Any = "${training_data_stats:per_atom_energy_mean}"
    if energies is not None:
        shifts = {symbol: energies[symbol] for symbol in elements}
    return {
        "seed": seed,
        "model_dtype": "float32",
        "type_names": list(elements),
        "r_max": cutoff,
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_shifts": shifts,
        "per_type_energy_scales": "${training_data_stats:forces_rms}",
        "pair_potential": {
            "_target_": "nequip.nn.pair_potential.ZBL",
            "units": "metal",
            "chemical_species": list(elements),
        },
    }


def nequip_config(
    model: Config, files: dict[str, Path], params: TrainParams, folder: Path, stress: bool
) -> Config:
    """Assemble the configuration of one `nequip-train` run.

    Checkpoints and result hold the paths. Relative to the folder that NequIP is run in, they do
    not depend on where that folder is.

    Parameters
    ----------
    model
        Model section, from `packaged_model` or `small_allegro`.
    files
        Extxyz paths `train`, `val` and, if there is a test set, `test`.
    params
        Recipe.
    folder
        Folder of the run's log, history and checkpoints.
    stress
        Whether the training cells have stresses; without, the stress is left out of loss and
        metrics.

    Returns
    -------
    dict
        The whole configuration, of plain types.
    """
    return {
        "hydra": {"run": {"dir": str(folder)}, "output_subdir": None},
        "run": ["train", "test"] if "test" in files else ["train"],
        "data": _data(model, files, params),
        "trainer": _trainer(params, folder),
        "training_module": {
            "_target_": f"{EXTENSION}.EpochsLightningModule",
            "ema_decay": params.ema_decay,
            "model": model,
            "loss": _metrics(_loss_terms(params, stress)),
            "val_metrics": _metrics(_loss_terms(params, stress) + _error_terms(stress)),
            "test_metrics": _metrics(_error_terms(stress)),
            "optimizer": _optimizer(params),
            "lr_scheduler": {
                "scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "factor": params.lr_factor,
                    "patience": params.lr_patience,
                },
                "monitor": MONITOR,
                "interval": "epoch",
                "frequency": 1,
            },
        },
    }


def _optimizer(params: TrainParams) -> Config:
    section: Config = {"_target_": "torch.optim.Adam", "lr": params.learning_rate}
    if params.freeze == "backbone":
        section["param_groups"] = {"_target_": f"{EXTENSION}.readout_parameters"}
    return section


def _data(model: Config, files: dict[str, Path], params: TrainParams) -> Config:
    if "package_path" in model:
        package = model["package_path"]
        types: Any = f"${{type_names_from_package:'{package}'}}"
        cutoff: Any = f"${{cutoff_radius_from_package:'{package}'}}"
    else:
        types, cutoff = model["type_names"], model["r_max"]
    plain_loader = {
        "_target_": "torch.utils.data.DataLoader",
        "batch_size": params.batch_size,
    }
    data: Config = {
        "_target_": f"{EXTENSION}.WeightedDataModule",
        "seed": params.seed,
        **{f"{split}_file_path": str(path) for split, path in files.items()},
        "transforms": [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": types,
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": cutoff},
        ],
        "train_dataloader": {
            "_target_": f"{RESUME}.shuffled_loader",
            "batch_size": params.batch_size,
            "seed": params.seed,
        },
        "val_dataloader": dict(plain_loader),
        "test_dataloader": dict(plain_loader),
    }
    if "package_path" not in model:
        # A new model is scaled by averages of its training set.
        data["stats_manager"] = {
            "_target_": "nequip.data.CommonDataStatisticsManager",
            "type_names": types,
        }
    return data


def _trainer(params: TrainParams, folder: Path) -> Config:
    device, _, number = params.runs_on.partition(":")
    return {
        "_target_": "lightning.Trainer",
        "accelerator": "cpu" if device == "cpu" else "gpu",
        "devices": [int(number)] if number else 1,
        "max_epochs": params.max_epochs,
        # The moving average needs validation after every epoch.
        "check_val_every_n_epoch": 1,
        "num_sanity_val_steps": 0,
        "accumulate_grad_batches": params.accumulate,
        "gradient_clip_val": params.clip,
        "gradient_clip_algorithm": "norm",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "plugins": [{"_target_": f"{RESUME}.WholeFiles"}],
        "callbacks": [
            {"_target_": f"{RESUME}.EpochFiles", "folder": str(folder)},
            {
                "_target_": "lightning.pytorch.callbacks.EarlyStopping",
                "monitor": MONITOR,
                "patience": params.early_stopping_patience,
            },
        ],
    }


def _metrics(terms: list[Config]) -> Config:
    return {"_target_": "nequip.train.MetricsManager", "metrics": terms}


def _loss_terms(params: TrainParams, stress: bool) -> list[Config]:
    coefficients = {"total_energy": params.energy_coefficient, "forces": params.forces_coefficient}
    if stress:
        coefficients["stress"] = params.stress_coefficient
    return [
        {
            "name": f"{field}_loss",
            # NequIP divides the coefficients by their sum.
            "coeff": coefficient,
            "metric": {
                "_target_": f"{EXTENSION}.WeightedHuber",
                "field": field,
                "delta": params.huber_delta,
            },
        }
        for field, coefficient in coefficients.items()
        if coefficient > 0.0
    ]


def _error_terms(stress: bool) -> list[Config]:
    error = {"_target_": "nequip.train.MeanAbsoluteError"}
    per_atom = {"_target_": "nequip.data.PerAtomModifier", "field": "total_energy"}
    terms: list[Config] = [
        {"name": "energy_mae", "field": per_atom, "metric": error},
        {"name": "forces_mae", "field": "forces", "metric": error},
    ]
    if stress:
        terms.append({"name": "stress_mae", "field": "stress", "ignore_nan": True, "metric": error})
    return terms
