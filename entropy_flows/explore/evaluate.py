"""Base model and bias of a batch in which some cells may fail, or which may be too large for one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.entropy import Bias, Mode
from entropy_flows.faults import is_machine_fault, is_out_of_memory
from entropy_flows.potentials import BatchModel


@dataclass(frozen=True)
class Evaluation:
    """What is known of a batch where its atoms are now.

    Attributes
    ----------
    energy, forces
        Of the base model: (B,) in eV, (n, 3) in eV/Å; nan for a cell that failed.
    gradient
        ∂B/∂r (n, 3) of the cells that are biased, zero for others; None if it was not asked for.
    failures
        Place in the batch → why the model refused the cell.
    """

    energy: Tensor
    forces: Tensor
    gradient: Tensor | None = None
    failures: dict[int, str] = field(default_factory=dict)

    def arrays(self) -> dict[str, Tensor]:
        """The tensors by name."""
        named = {"energy": self.energy, "forces": self.forces, "gradient": self.gradient}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def of(cls, arrays: dict[str, Tensor]) -> Self:
        """Inverse of `arrays`."""
        return cls(arrays["energy"], arrays["forces"], arrays.get("gradient"))

    def take(self, cells: Sequence[int], atoms: Tensor) -> Evaluation:
        """Of some of the cells, which have these atoms."""
        gradient = None if self.gradient is None else self.gradient[atoms]
        return Evaluation(self.energy[list(cells)], self.forces[atoms], gradient)


class Evaluator:
    """Calls model and bias.

    Parameters
    ----------
    model, bias
        What to call.
    modes
        Covariance mode of each run.
    """

    def __init__(self, model: BatchModel, bias: Bias | None, modes: Sequence[Mode]) -> None:
        self.model, self.bias, self.modes = model, bias, modes
        self._most = 2**31
        self._parts: WeakKeyDictionary[Cells, dict[tuple[int, ...], tuple[Cells, Tensor]]] = (
            WeakKeyDictionary()
        )

    def __call__(self, batch: Batch, runs: Sequence[int], k: Tensor) -> Evaluation:
        """Model, and bias of the cells with k ≠ 0; `runs` numbers the runs that the cells belong to."""
        return self.with_bias(batch, runs, self._model(batch), k)

    def with_bias(
        self, batch: Batch, runs: Sequence[int], now: Evaluation, k: Tensor
    ) -> Evaluation:
        """The same with the bias, if it is needed and not there yet."""
        places = tuple(
            place for place, weight in enumerate(k.tolist()) if weight and place not in now.failures
        )
        if self.bias is None or not places or now.gradient is not None:
            return now
        modes = [self.modes[runs[place]] for place in places]
        if len(places) == len(batch):
            return replace(now, gradient=self.bias(batch, modes).gradient)
        part, atoms = self._part(batch, places)
        gradient = torch.zeros_like(batch.positions)
        gradient[atoms] = self.bias(part, modes).gradient
        return replace(now, gradient=gradient)

    def _part(self, batch: Batch, places: tuple[int, ...]) -> tuple[Batch, Tensor]:
        """Some of the cells, and their atoms; what stays while these move is kept, as for the whole batch."""
        known = self._parts.setdefault(batch.cells, {})
        if places not in known:
            atoms = torch.from_numpy(batch.cells.atoms(places)).to(batch.positions.device)
            known[places] = (batch.cells.take(places), atoms)
        cells, atoms = known[places]
        return Batch(cells, batch.positions[atoms]), atoms

    def _model(self, batch: Batch) -> Evaluation:
        """Call the model, in parts if it refuses the whole: too much for the memory, or one cell it cannot take.

        What the machine did wrong is raised, a lack of memory too if it is for one cell.
        """
        if len(batch) > self._most:
            return self._halves(batch)
        try:
            result = self.model(batch)
        except (
            Exception
        ) as err:  # a model may refuse in many ways; who is to blame shows when cells are alone
            may_be_size = len(batch) > 1 and is_out_of_memory(err)
            if is_machine_fault(err) and not may_be_size:
                raise
            reason = f"calculator: {type(err).__name__}: {' '.join(str(err).split())}"[:300]
        else:
            return Evaluation(result.energy, result.forces)
        # outside of the handler: the exception has let go of what the failed call held in memory
        if len(batch) == 1:
            nothing = torch.full_like(batch.positions, torch.nan)
            return Evaluation(nothing[:1, 0], nothing, None, {0: reason})
        parts = self._halves(batch)
        if not parts.failures:  # no cell is to blame: it was the size
            self._most = (len(batch) + 1) // 2
        return parts

    def _halves(self, batch: Batch) -> Evaluation:
        middle = (len(batch) + 1) // 2
        parts = tuple(range(middle)), tuple(range(middle, len(batch)))
        left, right = (self._model(self._part(batch, places)[0]) for places in parts)
        failures = {
            **left.failures,
            **{middle + place: reason for place, reason in right.failures.items()},
        }
        energy, forces = (
            torch.cat([left.energy, right.energy]),
            torch.cat([left.forces, right.forces]),
        )
        return Evaluation(energy, forces, None, failures)
