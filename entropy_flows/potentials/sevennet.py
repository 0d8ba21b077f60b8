"""SevenNet on many cells at once: one graph whose edges are our neighbour pairs.

    edge (i, j):  d = r_j + s L − r_i,   |d| < r_c

SevenNet computes in float32 and derives forces and stress from d, so positions and lattice vectors are only needed, in
float64, for d itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import sevenn._keys as key
import torch
from ase.data import chemical_symbols
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.util import pretrained_name_to_path
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.faults import is_machine_fault
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials.batch import Evaluation
from entropy_flows.potentials.elements import atom_types
from entropy_flows.potentials.files import CHECKPOINT_SUFFIX, local_package
from entropy_flows.potentials.scope import default_dtype

SMALLEST_VOLUME = 1e-3
"""Å³; SevenNet takes what is smaller for no volume and divides by this instead."""

VOIGT = [0, 3, 5, 3, 1, 4, 5, 4, 2]
"""Where the components of a 3 × 3 stress are in SevenNet's order xx yy zz xy yz zx."""


def checkpoint_file(name: str) -> Path:
    """Where a SevenNet model's checkpoint is on this machine.

    Parameters
    ----------
    name
        A name SevenNet knows, fetched by it if it is not in its wheel, or a path.

    Raises
    ------
    FileNotFoundError
        If it is a path without a file.
    """
    return local_package(name) if name.endswith(CHECKPOINT_SUFFIX) else Path(pretrained_name_to_path(name))


def checkpoint_of(path: Path) -> SevenNetCheckpoint:
    """Open a checkpoint.

    Raises
    ------
    ValueError
        If it is not one of SevenNet's.
    """
    checkpoint = SevenNetCheckpoint(path)
    try:
        checkpoint.config[key.TYPE_MAP]
    except Exception as error:  # whatever unpickling something else leads to
        if is_machine_fault(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else ""
        raise ValueError(f"{path} is not a checkpoint of SevenNet: {type(error).__name__}: {reason}") from None
    return checkpoint


def known_elements(checkpoint: SevenNetCheckpoint) -> tuple[str, ...]:
    """Chemical symbols a checkpoint's model knows."""
    return tuple(chemical_symbols[number] for number in checkpoint.config[key.TYPE_MAP] if number)


class SevenNetModel:
    """A SevenNet model.

    Parameters
    ----------
    calculator
        SevenNet's ASE calculator. Its model is taken over: the calculator is of no use afterwards.
    device
        Torch device of the calculator.
    """

    def __init__(self, calculator: Any, device: str = "cpu") -> None:
        self.model, self.device, self.cutoff = calculator.model, device, float(calculator.cutoff)
        self.elements = tuple(int(number) for number in calculator.type_map)
        self.model.set_is_batch_data(True)
        self.model.requires_grad_(False)
        self._known: WeakKeyDictionary[Cells, dict[str, Tensor]] = WeakKeyDictionary()

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells."""
        with torch.enable_grad(), default_dtype("float32"):
            result = self.model(self._graph(batch.at(batch.positions.detach())))
        return Evaluation(
            result[key.PRED_TOTAL_ENERGY].detach().double(),
            result[key.PRED_FORCE].detach().double(),
            -result[key.PRED_STRESS].detach().double()[:, VOIGT].view(-1, 3, 3),
        )

    def _graph(self, batch: Batch) -> dict[str, Tensor]:
        fixed = self._known.get(batch.cells)
        if fixed is None:
            fixed = self._known[batch.cells] = self._fixed(batch.cells)
        pairs = neighbors(batch, self.cutoff)
        return {
            **fixed,
            key.EDGE_IDX: torch.stack([pairs.centers, pairs.members]),
            key.EDGE_VEC: pairs.vectors.to(torch.float32),
        }

    def _fixed(self, cells: Cells) -> dict[str, Tensor]:
        """What stays while atoms move."""
        atom_types(cells, self.elements, self.device)
        volumes = torch.where(cells.volumes < SMALLEST_VOLUME, torch.nan, cells.volumes)
        return {
            key.NODE_FEATURE: cells.species,  # replaced by the model
            key.ATOMIC_NUMBERS: cells.species,
            key.BATCH: cells.owner,
            key.NUM_ATOMS: torch.tensor(cells.sizes, device=cells.device),
            key.CELL_VOLUME: volumes.to(torch.float32),
        }
