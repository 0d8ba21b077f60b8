"""Additions to NequIP: weights of structures, a base model with another zero, a frozen backbone.

Its training's module is one that logs epochs alone.

The configuration of a training names them (`_target_`), which is how NequIP comes to import this
module. The data module is built first, so the weight's field is registered before a data set is
read. No entry point is needed, and `import nequip` alone has nothing to do with this package. A
packaged model does not refer to it either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from nequip.data import AtomicDataDict, register_fields
from nequip.data.datamodule import ASEDataModule
from nequip.model import ModelFromPackage, modify
from nequip.train import EMALightningModule
from torchmetrics import Metric

from entropy_flows.train.dataset import WEIGHT_KEY

logger = logging.getLogger(__name__)
register_fields(graph_fields=[WEIGHT_KEY])


class WeightedDataModule(ASEDataModule):
    """NequIP's data module for extxyz files, with each structure's weight from its `info`."""

    def __init__(self, **kwargs: Any):
        super().__init__(include_keys=[WEIGHT_KEY], **kwargs)


class EpochsLightningModule(EMALightningModule):
    """NequIP's training with an average of the weights, which logs epochs and not steps.

    Nobody reads the losses of single steps here, and logging them is a sixth of a small model's
    step.
    """

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log what is of an epoch."""
        epochs = {}
        for name, value in dictionary.items():
            kind, _, _ = name.partition(self.logging_delimiter)
            if not kind.endswith("_step"):
                epochs[name] = value
        if epochs:
            super().log_dict(epochs, *args, **kwargs)


def shifted_package(
    package_path: str, shifts: dict[str, float], compile_mode: str = "eager"
) -> torch.nn.Module:
    """Load a packaged model and shift the energy of each atom.

    Parameters
    ----------
    package_path, compile_mode
        Arguments of NequIP's `ModelFromPackage`.
    shifts
        Element → addition to each of its atoms' energies (eV).

    Returns
    -------
    Module
        The model; its shifts are trainable if they were.
    """
    model = ModelFromPackage(package_path=package_path, compile_mode=compile_mode)
    modules = [m for m in model.modules() if type(m).__name__ == "PerTypeScaleShift"]
    if not modules or not modules[0].has_shifts:
        logger.warning(
            "%s has no energies per element to shift; its zero stays as it is", package_path
        )
        return model
    scale_shift = modules[0]
    names = scale_shift.type_names
    values = scale_shift.shifts.detach().reshape(-1).expand(len(names))
    old = dict(zip(names, values.tolist(), strict=True))
    change = {
        "modifier": "modify_PerTypeScaleShift",
        "shifts": {element: old[element] + shift for element, shift in shifts.items()},
        "scales_trainable": scale_shift.scales_trainable,
        "shifts_trainable": scale_shift.shifts_trainable,
    }
    return modify(model, [change])


READOUT = ("edge_readout", "per_atom_energy_readout", "per_type_energy_scale_shift")
"""Modules of Allegro and NequIP between a model's features and the energies of its atoms."""


def readout_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Freeze a model's backbone, and return the parameters of its readout.

    NequIP's optimiser asks for them (`param_groups`). Only this training's model is frozen: the
    package that is made of it has all its parameters trainable again.

    Raises
    ------
    ValueError
        If the model has no module with the name of a readout.
    """
    readout = []
    for name, parameter in model.named_parameters():
        if set(name.split(".")) & set(READOUT):
            readout.append(parameter)
        else:
            parameter.requires_grad_(False)
    if not readout:
        raise ValueError(
            f"train: freeze is backbone, but the model has none of {', '.join(READOUT)}: "
            "leave the key out"
        )
    return readout


class WeightedHuber(Metric):
    """Mean over components of Huber loss times the weight of the component's structure.

        ⟨w h(x)⟩ = (1/n) Σ_i w_s(i) h(x_i)
        h(x) = x²/2 for |x| < δ,   δ (|x| - δ/2) beyond

    The sum is divided by the number of components, not by the weights' sum: with one structure a
    batch the latter would cancel the weight. Components whose reference is NaN (a structure without
    stress) count for nothing.

    Parameters
    ----------
    field
        `total_energy` (compared per atom), `forces` or `stress`.
    delta
        δ, in the field's units.
    """

    total: torch.Tensor
    count: torch.Tensor

    def __init__(self, field: str, delta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.field = field
        self.delta = delta
        self.add_state("total", default=torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, preds: AtomicDataDict.Type, target: AtomicDataDict.Type) -> None:
        """Add a batch."""
        difference = preds[self.field] - target[self.field]
        if self.field == AtomicDataDict.TOTAL_ENERGY_KEY:
            difference = difference / target[AtomicDataDict.NUM_NODES_KEY].reshape(-1, 1)
        weights = target[WEIGHT_KEY].reshape(-1)
        if self.field == AtomicDataDict.FORCE_KEY:
            weights = weights[target[AtomicDataDict.BATCH_KEY]]
        weights = weights.reshape(-1, *[1] * (difference.ndim - 1)).expand_as(difference)
        labelled = ~torch.isnan(difference)
        loss = torch.nn.functional.huber_loss(
            difference[labelled],
            torch.zeros_like(difference[labelled]),
            reduction="none",
            delta=self.delta,
        )
        self.total = self.total + (weights[labelled] * loss).sum()
        self.count = self.count + labelled.sum()

    def compute(self) -> torch.Tensor:
        """Return the weighted loss of all batches; 0 if none had this field."""
        return self.total / self.count.clamp(min=1.0)

    def __str__(self) -> str:
        return f"weighted_huber_{self.field}"
