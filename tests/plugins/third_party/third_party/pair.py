"""A family of models and its trainer: a pair potential that is linear in its weights.

    E = Σ_i b_t(i) + ½ Σ_(i,j) Σ_k w_k φ_k(r_ij)
    φ_k(r) = exp(−(r − c_k)²/2s²) (1 − (r/r_c)²)²

b is an energy per element. Energies, forces and stresses are linear in (b, w), so training is one
ridge regression, of the differences to the base model's labels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.digest import file_sha256
from entropy_flows.files import write_json
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials import BatchOfOne, Evaluation, ModelFamily, existing_file, split_model
from entropy_flows.train import Progress, TrainParams, TrainResult, steps
from entropy_flows.train.python import HERE

SUFFIX = ".pair.json"
CENTERS = 12
"""Number of radial functions."""


class PairModel:
    """The pair potential of a file, for many cells at once."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        content = json.loads(path.read_text())
        self.device = device
        self.elements: list[int] = content["elements"]
        self.cutoff: float = content["cutoff"]
        self.coefficients = torch.tensor(content["coefficients"], dtype=torch.float64)

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        energy, forces, stress = self.design(batch)
        coefficients = self.coefficients.to(batch.positions.device)
        return Evaluation(energy @ coefficients, forces @ coefficients, stress @ coefficients)

    def design(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return energies (B, M), forces (n, 3, M) and stresses (B, 3, 3, M) by coefficient."""
        pairs = neighbors(batch, self.cutoff)
        owner = batch.cells.owner
        values, slopes = self._radial(pairs.vectors.norm(dim=1))
        directed = slopes[:, None, :] * pairs.vectors[:, :, None]  # φ' d / r
        cell = owner[pairs.centers]
        species = batch.cells.species[:, None] == torch.tensor(self.elements, device=owner.device)
        pad = len(self.elements)

        pair_energy = _sum_by(cell, 0.5 * values, len(batch))
        energy = torch.cat([_sum_by(owner, species.double(), len(batch)), pair_energy], dim=1)
        forces = _sum_by(pairs.centers, directed, len(batch.positions))
        virial = 0.5 * pairs.vectors[:, :, None, None] * directed[:, None, :, :]
        stress = _sum_by(cell, virial, len(batch)) / batch.cells.volumes[:, None, None, None]
        padding = torch.nn.functional.pad
        return energy, padding(forces, (pad, 0)), padding(stress, (pad, 0))

    def _radial(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ_k(r) and φ_k'(r)/r of all distances."""
        centers = torch.linspace(1.5, self.cutoff, CENTERS, dtype=torch.float64)
        width = centers[1] - centers[0]
        r = distance[:, None]
        offset = r - centers.to(r.device)
        gauss = torch.exp(-(offset**2) / (2 * width**2))
        inside = 1 - (r / self.cutoff) ** 2
        value = gauss * inside**2
        slope = -offset / width**2 * value - gauss * 4 * r / self.cutoff**2 * inside
        return value, slope / r


def _sum_by(owner: Tensor, rows: Tensor, count: int) -> Tensor:
    sums = torch.zeros((count, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
    return sums.index_add(0, owner, rows)


def write_pair_model(path: Path, elements: Sequence[int], cutoff: float) -> Path:
    """Write a pair potential without forces, to start from."""
    coefficients = [0.0] * (len(elements) + CENTERS)
    write_json(path, {"elements": list(elements), "cutoff": cutoff, "coefficients": coefficients})
    return path


class PairFamily(ModelFamily):
    """Pair potentials in files `*.pair.json`."""

    name = "pair"
    suffixes = (SUFFIX,)
    trainer = f"{__name__}:PairTrainer"

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load one as an ASE calculator."""
        return BatchOfOne(self.load_batch_model(name, arguments, device))

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> PairModel:
        """Load one that evaluates many cells."""
        return PairModel(existing_file(name), device)

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Read the elements from the file."""
        numbers = json.loads(existing_file(name).read_text())["elements"]
        return tuple(Atoms(numbers=numbers).get_chemical_symbols())


class PairParams(TrainParams):
    """The section `train` of this trainer: the package's keys, and one of its own."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"pair": {"max_epochs": 1}}
    preset: Literal["pair"] = "pair"  # type: ignore[assignment]
    """Recipe that gives the values not named."""
    ridge: float = Field(1e-8, gt=0.0)
    """Weight of the coefficients' change in the sum of squares."""


class PairTrainer:
    """Fits pair potentials."""

    takes = PairParams

    def accepts(self, model: Any) -> bool:
        """Return whether it is a pair potential's file."""
        return not isinstance(model, dict) and split_model(model)[0].endswith(SUFFIX)

    def check(self, params: TrainParams) -> None:
        """Refuse weights by energy, which the fit does not have."""
        if params.weight_bins:
            raise ValueError("a pair potential is fitted without weight_bins")

    def fine_tune(
        self,
        train: Sequence[Atoms],
        val: Sequence[Atoms],
        test: Sequence[Atoms],
        base_model: Any,
        params: TrainParams,
        workdir: Path,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> TrainResult:
        """Fit the coefficients' change to what the base model leaves of the labels."""
        started = time.monotonic()
        assert isinstance(params, PairParams)
        source = existing_file(split_model(base_model)[0])
        steps.check_cells([*train, *val, *test], PairFamily().elements(str(source), {}))
        data = steps.write_data({"train": train, "val": val, "test": test}, params, workdir)
        inputs = steps.inputs_sha256(
            file_sha256(source), data, params, workdir, HERE.versions(("torch",))
        )
        path = workdir / f"model{SUFFIX}"
        finished = steps.finished_result(workdir, inputs, path.name)
        if finished is not None:
            return finished
        model = PairModel(source, params.runs_on)
        change, loss = _fit(model, data.frames["train"], params)
        content = json.loads(source.read_text())
        content["coefficients"] = (model.coefficients + change).tolist()
        write_json(path, content)
        calculator = BatchOfOne(PairModel(path, params.runs_on))
        errors = steps.mean_errors(data.frames["val"], calculator)
        losses = {"train_loss": loss, "val_loss": errors["energy_mae"]}
        row = {"epoch": 1, "learning_rate": 0.0, **losses}
        if on_progress is not None:
            on_progress(Progress(1, 1, loss, row["val_loss"], 0.0))
        result = TrainResult(
            model=path,
            sha256=file_sha256(path),
            inputs_sha256=inputs,
            epochs=1,
            best_epoch=1,
            history=[{**row, **errors}],
            test=steps.mean_errors(data.frames.get("test", []), calculator),
            left_out=data.left_out,
            batch_size=len(data.frames["train"]),
            accumulate=1,
            attempts=1,
            wall_seconds=time.monotonic() - started,
        )
        return steps.save_result(result, workdir)


def _fit(model: PairModel, frames: list[Atoms], params: PairParams) -> tuple[Tensor, float]:
    """Return the change of the coefficients, and the mean square that it leaves."""
    energy, forces, _ = model.design(Batch.of(frames, model.device))
    sizes = torch.tensor([len(atoms) for atoms in frames], dtype=torch.float64)
    labelled = np.array([atoms.get_potential_energy() for atoms in frames])
    label_forces = np.concatenate([atoms.get_forces() for atoms in frames])
    rows = torch.cat([energy / sizes[:, None], forces.reshape(-1, energy.shape[1])])
    labels = torch.cat([torch.tensor(labelled) / sizes, torch.tensor(label_forces).reshape(-1)])
    left = labels - rows @ model.coefficients
    normal = rows.mT @ rows + params.ridge * torch.eye(rows.shape[1], dtype=torch.float64)
    change = torch.linalg.solve(normal, rows.mT @ left)
    return change, float((left - rows @ change).square().mean())
