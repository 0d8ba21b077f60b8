"""Evaluate base model and bias of a batch: single cells may fail, the whole may be too large."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.entropy import Bias, Mode
from entropy_flows.faults import error_line, is_machine_fault, is_out_of_memory
from entropy_flows.potentials import BatchModel
from entropy_flows.settings import BiasDevice
from entropy_flows.skin import Skin

logger = logging.getLogger(__name__)

TRIALS = 3
"""Calls of model and bias with the bias on each; the first one compiles and allocates."""
SKIN = 0.5
"""Width (Å) of the skin in which pairs are kept for a bias on a GPU: at 1000 K they last for some
ten steps of a femtosecond, and seldom make a matrix larger.
"""
MAX_DISPLACEMENT = SKIN / 2
"""Displacement (Å) of an atom up to which such pairs are complete."""


@dataclass(frozen=True)
class Evaluation:
    """Energies and gradients of a batch where its atoms are now.

    Attributes
    ----------
    energy, forces
        The base model's energies (B,) in eV and forces (n, 3) in eV/Å; nan for a failed cell.
    gradient
        ∂B/∂r (n, 3) of the cells that are biased, zero for others; None if it was not asked for.
    failures
        Index in the batch → why the model refused the cell.
    displacement
        Largest one of an atom (Å) since the pairs behind `gradient` were found; None if they were
        found where the atoms are now. Beyond `MAX_DISPLACEMENT` the gradient may be wrong, and
        `without_bias` is to be given to `Evaluator.with_bias`.
    """

    energy: Tensor
    forces: Tensor
    gradient: Tensor | None = None
    failures: dict[int, str] = field(default_factory=dict)
    displacement: Tensor | None = None

    def without_bias(self) -> Evaluation:
        """Return what the model alone has found."""
        return replace(self, gradient=None, displacement=None)

    def arrays(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        named = {"energy": self.energy, "forces": self.forces, "gradient": self.gradient}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def of(cls, arrays: dict[str, Tensor]) -> Self:
        """Build an evaluation from its tensors by name; the inverse of `arrays`."""
        return cls(arrays["energy"], arrays["forces"], arrays.get("gradient"))

    def take(self, cells: Sequence[int], atoms: Tensor) -> Evaluation:
        """Return the evaluation of some of the cells, which have these atoms."""
        gradient = None if self.gradient is None else self.gradient[atoms]
        return Evaluation(self.energy[list(cells)], self.forces[atoms], gradient)


class Evaluator:
    """Call a model and a bias.

    Parameters
    ----------
    model, bias
        What to call.
    modes
        Covariance mode of each run.
    bias_on
        Where the bias of a model on a GPU is computed: on the "device", or on the "host", whose
        core computes it while the GPU has the model. "fastest" times both with the first cells that
        have a bias, three calls each.

    Attributes
    ----------
    bias_on
        Where it is; None before that is known.
    largest_batch
        Most cells for which the model is known to have room.
    """

    def __init__(
        self,
        model: BatchModel,
        bias: Bias | None,
        modes: Sequence[Mode],
        bias_on: BiasDevice = "fastest",
    ) -> None:
        self.model = model
        self.bias = bias
        self.modes = modes
        self.bias_on: Literal["device", "host"] | None = None if bias_on == "fastest" else bias_on
        if torch.device(model.device).type == "cpu":
            self.bias_on = "device"
        elif bias is not None and getattr(bias.fingerprint, "is_bound", False):
            self.bias_on = "host" if bias.fingerprint.device == "cpu" else "device"
        self.largest_batch = 2**31
        self._subsets: WeakKeyDictionary[Cells, dict[tuple[int, ...], tuple[Cells, Tensor]]]
        self._subsets = WeakKeyDictionary()
        self._hosted: WeakKeyDictionary[Cells, Cells] = WeakKeyDictionary()

    def __call__(self, batch: Batch, runs: Sequence[int], k: Sequence[float]) -> Evaluation:
        """Evaluate the model, and the bias of the cells with k ≠ 0.

        `runs` has the number of each cell's run, `k` their weights (eV).
        """
        is_biased = self.bias is not None and any(k)
        if is_biased and self.bias_on is None:
            self._choose(batch, runs, k)
        # copied before the model occupies the GPU: the copy would wait for the model
        where = self._bias_batch(batch) if is_biased else batch
        return self._with_bias(batch, where, runs, self._model(batch), k)

    def with_bias(
        self, batch: Batch, runs: Sequence[int], now: Evaluation, k: Sequence[float]
    ) -> Evaluation:
        """Add the bias to an evaluation, if it is needed and not there; pairs are found anew."""
        if self.bias is None or now.gradient is not None or not any(k):
            return now
        return self._with_bias(batch, self._bias_batch(batch), runs, now, k, anew=True)

    def _with_bias(
        self,
        batch: Batch,
        where: Batch,
        runs: Sequence[int],
        now: Evaluation,
        k: Sequence[float],
        anew: bool = False,
    ) -> Evaluation:
        """Add the bias, computed with the same cells on the device of `where`."""
        biased = tuple(
            index for index, weight in enumerate(k) if weight and index not in now.failures
        )
        if self.bias is None or not biased:
            return now
        modes = [self.modes[runs[index]] for index in biased]
        everything = len(biased) == len(batch)
        subset, atoms = (where, None) if everything else self._subset(where, biased)
        skin = _skin(subset.cells)
        if skin is not None and anew:
            skin.forget()
        gradient = self.bias(subset, modes).gradient
        if atoms is not None:
            gradient = torch.zeros_like(where.positions).index_copy_(0, atoms, gradient)
        if where is not batch:
            gradient = gradient.to(batch.positions.device, non_blocking=True)
        displacement = None if skin is None else skin.displacement(subset.positions)
        return replace(now, gradient=gradient, displacement=displacement)

    def _bias_batch(self, batch: Batch) -> Batch:
        """Return the cells where their bias is computed."""
        if self.bias_on != "host":
            return batch
        cells = self._hosted.get(batch.cells)
        if cells is None:
            cells = self._hosted[batch.cells] = batch.cells.on("cpu")
        return Batch(cells, batch.positions.cpu())

    def _choose(self, batch: Batch, runs: Sequence[int], k: Sequence[float]) -> None:
        """Time model and bias with the bias on either, and keep the faster one."""
        seconds: dict[Literal["device", "host"], float] = {}
        sides: tuple[Literal["device", "host"], ...] = ("device", "host")
        for side in sides:
            self.bias_on = side
            for _ in range(TRIALS):
                started = time.perf_counter()
                result = self(batch, runs, k)
                # reading a number back waits for all that was started
                float(result.forces[0, 0] if result.gradient is None else result.gradient[0, 0])
                elapsed = time.perf_counter() - started
                seconds[side] = min(elapsed, seconds.get(side, elapsed))
        self.bias_on = "host" if seconds["host"] < seconds["device"] else "device"
        logger.info("bias on the %s: %s", self.bias_on, seconds)

    def _subset(self, batch: Batch, indices: tuple[int, ...]) -> tuple[Batch, Tensor]:
        """Return some of the cells, and the numbers of their atoms."""
        # what does not change while the atoms move is computed once, as for the whole batch
        subsets = self._subsets.setdefault(batch.cells, {})
        if indices not in subsets:
            atoms = torch.from_numpy(batch.cells.atoms(indices)).to(batch.positions.device)
            subsets[indices] = (batch.cells.take(indices), atoms)
        cells, atoms = subsets[indices]
        return Batch(cells, batch.positions[atoms]), atoms

    def _model(self, batch: Batch) -> Evaluation:
        """Call the model, in halves if it refuses the whole.

        The batch may be too large for the memory, or the model may not take one of its cells. What
        the machine did wrong is raised, a lack of memory too if it is for one cell.
        """
        if len(batch) > self.largest_batch:
            return self._halves(batch)
        try:
            result = self.model(batch)
        # a model may refuse in many ways; which cell is to blame shows when it is alone
        except Exception as err:
            may_be_size = len(batch) > 1 and is_out_of_memory(err)
            if is_machine_fault(err) and not may_be_size:
                raise
            reason = f"calculator: {error_line(err)}"[:300]
        else:
            return Evaluation(result.energy, result.forces)
        # outside of the handler: the exception has let go of what the failed call held in memory
        if len(batch) == 1:
            nothing = torch.full_like(batch.positions, torch.nan)
            return Evaluation(nothing[:1, 0], nothing, None, {0: reason})
        joined = self._halves(batch)
        if not joined.failures:  # no cell is to blame: it was the size
            self.largest_batch = (len(batch) + 1) // 2
        return joined

    def _halves(self, batch: Batch) -> Evaluation:
        """Call the model for either half of the batch."""
        middle = (len(batch) + 1) // 2
        left = self._model(self._subset(batch, tuple(range(middle)))[0])
        right = self._model(self._subset(batch, tuple(range(middle, len(batch))))[0])
        shifted = {middle + index: reason for index, reason in right.failures.items()}
        failures = {**left.failures, **shifted}
        energy = torch.cat([left.energy, right.energy])
        forces = torch.cat([left.forces, right.forces])
        return Evaluation(energy, forces, None, failures)


def _skin(cells: Cells) -> Skin | None:
    """Return the cells' skin, which they have on a GPU."""
    if cells.skin is None and cells.device.type != "cpu":
        cells.skin = Skin(SKIN)
    return cells.skin
