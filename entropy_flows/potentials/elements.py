"""The check that a model of many cells makes of the cells that it is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from entropy_flows.batch import Cells


def atom_types(cells: Cells, elements: Sequence[int], device: str) -> Tensor:
    """Return the index of each atom's element in a model's list of elements.

    Parameters
    ----------
    cells
        n atoms.
    elements
        Atomic numbers of the model's elements, in its own order.
    device
        Where the model is.

    Returns
    -------
    Tensor
        Indices (n,), int64, on the device.

    Raises
    ------
    ValueError
        For an element that the model does not know, or cells on another device.
    """
    if cells.device.type != torch.device(device).type:
        raise ValueError(f"the batch is on {cells.device}, the model on {device}")
    table = np.full(len(chemical_symbols), -1)
    table[list(elements)] = np.arange(len(elements))
    types = table[cells.numbers]
    if (types < 0).any():
        unknown = _symbols(sorted(set(cells.numbers[types < 0])))
        raise ValueError(
            f"the model does not know {unknown}; its elements are {_symbols(elements)}"
        )
    return torch.from_numpy(types).to(cells.device)


def _symbols(numbers: Sequence[int]) -> str:
    return ", ".join(chemical_symbols[number] for number in numbers)
