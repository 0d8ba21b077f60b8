"""Parameters of fine-tuning that MACE's trainer has beside those of all trainers."""

from __future__ import annotations

from typing import Literal

from entropy_flows.train.params import TrainParams


class MaceParams(TrainParams):
    """Recipe of fine-tuning a MACE model.

    The loss is that of `TrainParams`, with MACE's own Huber function (its `universal` loss): forces
    of more than 100, 200 and 300 eV/Å have their corner at 0.7, 0.4 and 0.1 of `huber_delta`, and a
    weight w multiplies w Δ²/2 below the corner and √w |Δ| above it.
    """

    multihead: bool = True
    """Train replay cells, where they have a weight, on a readout of their own; the model keeps that
    of the labelled cells. False trains all cells on one.
    """
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of the training and of the model that comes out of it."""
