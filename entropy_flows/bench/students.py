"""The students: what is trained on the chosen cells, with the same settings whoever chose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from entropy_flows.bench.network import Networks
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.conventions import Array
from entropy_flows.evaluate import errors
from entropy_flows.evaluate.committee import Calibration, Committee
from entropy_flows.potentials import load_calculator, with_family_of
from entropy_flows.select.committee import Quantity
from entropy_flows.train import fine_tune


class Student(Protocol):
    """A trained student, or a committee of them."""

    def spread(self, places: Sequence[int]) -> Array:
        """Uncertainty (n,) of cells of the pool."""
        ...

    def tested(self, places: Sequence[int]) -> dict[str, Any]:
        """`errors` on labelled cells of the pool, and `calibration` of a committee."""
        ...


@dataclass(frozen=True)
class NetworkStudent:
    """Small networks on fingerprints; their mean is tested."""

    pool: LabelledPool
    networks: Networks

    @classmethod
    def trained(
        cls, pool: LabelledPool, params: BenchParams, places: Sequence[int], seed: int
    ) -> NetworkStudent:
        """Train on these cells."""
        chosen = list(places)
        networks = Networks.trained(
            [pool.prints[k] for k in chosen], pool.targets[chosen], params.network, seed
        )
        return cls(pool, networks)

    def spread(self, places: Sequence[int]) -> Array:
        """Standard deviation (n,) of the networks' predictions."""
        return self._predict(places).std(axis=0, ddof=1)

    def tested(self, places: Sequence[int]) -> dict[str, Any]:
        """Errors of the networks' mean, and their calibration."""
        label, predicted = self.pool.targets[list(places)], self._predict(places)
        off = predicted.mean(axis=0) - label
        scatter = float(np.sum((label - label.mean()) ** 2))
        found = {
            "n": len(label),
            "energy_mae": float(np.abs(off).mean()),
            "energy_rmse": float(np.sqrt(np.mean(off**2))),
            "energy_r2": 1 - float(np.sum(off**2)) / scatter if scatter > 0 else None,
        }
        calibration = Calibration.of(predicted.std(axis=0, ddof=1), np.abs(off))
        return {"errors": found, "calibration": {"energy": calibration.as_dict()}}

    def _predict(self, places: Sequence[int]) -> Array:
        return self.networks.predict([self.pool.prints[place] for place in places])


@dataclass(frozen=True)
class ModelStudent:
    """A fine-tuned base model; of a committee the first member is tested, so that all selectors have the same student.

    Attributes
    ----------
    pool
        The labelled pool.
    params
        Parameters of the benchmark; those of training count, and whether forces do.
    models
        The trained files.
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
        places: Sequence[int],
        seed: int,
        members: int,
        folder: Path,
        quantity: Quantity = "forces",
    ) -> ModelStudent:
        """Fine-tune as many models as a committee has; killed and called again, goes on in its folder."""
        assert params.base_model is not None, "without one the networks are the student"
        changes = {} if params.forces else {"forces_coefficient": 0.0}
        cells = {
            "train": [pool.frames[place] for place in places],
            "val": [pool.frames[k] for k in pool.parts["val"]],
        }
        models = []
        for member in range(members):
            recipe = type(params.train).model_validate(
                {**params.train.model_dump(), **changes, "seed": seed + member}
            )
            done = fine_tune(
                cells["train"],
                cells["val"],
                [],
                params.base_model,
                recipe,
                folder / f"{member + 1}",
            )
            models.append(with_family_of(params.base_model, done.model))
        return cls(pool, params, models, quantity)

    def spread(self, places: Sequence[int]) -> Array:
        """Spread (n,) of the committee's forces or energies."""
        of = self.quantity if self.params.forces else "energy"
        return Committee(self.models).spread([self.pool.frames[place] for place in places], of)

    def tested(self, places: Sequence[int]) -> dict[str, Any]:
        """Errors of the first member, and a committee's calibration."""
        frames = [self.pool.frames[place] for place in places]
        found = errors(frames, load_calculator(self.models[0])).as_dict()
        parts: dict[str, Any] = {}
        if len(self.models) > 1:
            parts = {
                name: part.as_dict()
                for name, part in Committee(self.models).calibration(frames).items()
            }
        if not self.params.forces:
            found = {
                name: value
                for name, value in found.items()
                if name == "n" or name.startswith("energy")
            }
            parts.pop("forces", None)
        return {"errors": found, "calibration": parts}
