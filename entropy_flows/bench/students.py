"""The students that are trained on the chosen cells, with the same settings for all selectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from entropy_flows.bench.network import Networks
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.conventions import Array
from entropy_flows.evaluate.committee import Calibration, Committee
from entropy_flows.evaluate.errors import parity
from entropy_flows.potentials import load_many, with_family_of
from entropy_flows.select.committee import Quantity
from entropy_flows.train import fine_tune

TAIL = 95
"""Percentile of the energies' errors that is shown beside their mean."""


def energy_errors(predicted: Array, label: Array) -> dict[str, Any]:
    """Return number, MAE, 95th percentile, RMSE and R² of energies (n,).

    R² is None if all labels are equal.
    """
    difference = predicted - label
    scatter = float(np.sum((label - label.mean()) ** 2))
    return {
        "n": len(label),
        "energy_mae": float(np.abs(difference).mean()),
        "energy_p95": float(np.percentile(np.abs(difference), TAIL)),
        "energy_rmse": float(np.sqrt(np.mean(difference**2))),
        "energy_r2": 1 - float(np.sum(difference**2)) / scatter if scatter > 0 else None,
    }


class Student(Protocol):
    """A trained student, or a committee of them.

    Cells are named by their indices in the pool.
    """

    def spread(self, cells: Sequence[int]) -> Array:
        """Return the uncertainty (n,) of cells."""
        ...

    def test(self, cells: Sequence[int]) -> dict[str, Any]:
        """Return the `errors` on labelled cells, and the `calibration` of a committee."""
        ...


@dataclass(frozen=True)
class NetworkStudent:
    """Small networks on fingerprints; their mean is tested."""

    pool: LabelledPool
    networks: Networks

    @classmethod
    def trained(
        cls, pool: LabelledPool, params: BenchParams, cells: Sequence[int], seed: int
    ) -> NetworkStudent:
        """Train on some cells of the pool."""
        prints = [pool.prints[cell] for cell in cells]
        targets = pool.targets[list(cells)]
        return cls(pool, Networks.trained(prints, targets, params.network, seed))

    def spread(self, cells: Sequence[int]) -> Array:
        """Return the standard deviation (n,) of the networks' predictions."""
        return self._predict(cells).std(axis=0, ddof=1)

    def test(self, cells: Sequence[int]) -> dict[str, Any]:
        """Return the errors of the networks' mean, and their calibration."""
        label = self.pool.targets[list(cells)]
        predicted = self._predict(cells)
        mean = predicted.mean(axis=0)
        calibration = Calibration.of(predicted.std(axis=0, ddof=1), np.abs(mean - label))
        return {
            "errors": energy_errors(mean, label),
            "calibration": {"energy": calibration.as_dict()},
        }

    def _predict(self, cells: Sequence[int]) -> Array:
        return self.networks.predict([self.pool.prints[cell] for cell in cells])


@dataclass(frozen=True)
class ModelStudent:
    """A fine-tuned base model, or a committee of them.

    The first member of a committee is tested, so that all selectors have the same student.

    Attributes
    ----------
    pool
        The labelled pool.
    params
        Parameters of the benchmark; those of training count, and whether forces do.
    models
        The trained models' files.
    quantity
        Prediction whose spread is a cell's uncertainty.
    """

    pool: LabelledPool
    params: BenchParams
    models: list[str]
    quantity: Quantity = "forces"

    @classmethod
    def trained(
        cls,
        pool: LabelledPool,
        params: BenchParams,
        cells: Sequence[int],
        seed: int,
        members: int,
        folder: Path,
        quantity: Quantity = "forces",
    ) -> ModelStudent:
        """Fine-tune the members of a committee on some cells of the pool.

        A training that was killed goes on in its folder when it is called again.
        """
        assert params.base_model is not None, "without a base model the networks are the student"
        train = [pool.frames[cell] for cell in cells]
        val = [pool.frames[cell] for cell in pool.split["val"]]
        settings = params.train.model_dump()
        if not params.forces:
            settings["forces_coefficient"] = 0.0
        models = []
        for member in range(members):
            recipe = type(params.train).model_validate({**settings, "seed": seed + member})
            member_folder = folder / f"{member + 1}"
            result = fine_tune(train, val, [], params.base_model, recipe, member_folder)
            models.append(with_family_of(params.base_model, result.model))
        return cls(pool, params, models, quantity)

    def spread(self, cells: Sequence[int]) -> Array:
        """Return the spread (n,) of the committee's forces or energies."""
        quantity = self.quantity if self.params.forces else "energy"
        return Committee(self.models).spread(self._frames(cells), quantity)

    def test(self, cells: Sequence[int]) -> dict[str, Any]:
        """Return the errors of the first member, and a committee's calibration."""
        frames = self._frames(cells)
        predictions = parity(frames, load_many(self.models[0]))
        labels, predicted = predictions.energy
        model_errors = {**predictions.errors.as_dict(), **energy_errors(predicted, labels)}
        calibrations: dict[str, Any] = {}
        if len(self.models) > 1:
            by_quantity = Committee(self.models).calibration(frames)
            calibrations = {name: one.as_dict() for name, one in by_quantity.items()}
        if not self.params.forces:
            model_errors = {
                name: value
                for name, value in model_errors.items()
                if name == "n" or name.startswith("energy")
            }
            calibrations.pop("forces", None)
        return {"errors": model_errors, "calibration": calibrations}

    def _frames(self, cells: Sequence[int]) -> list[Atoms]:
        return [self.pool.frames[cell] for cell in cells]
