"""SevenNet on many cells at once: one graph whose edges are our neighbour pairs.

    edge (i, j):  d = r_j + s L − r_i,   |d| < r_c

SevenNet computes in float32 and derives forces and stress from d, so positions and lattice vectors
are only needed, in float64, for d itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
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
from entropy_flows.potentials.files import local_package
from entropy_flows.potentials.names import CHECKPOINT_SUFFIX, SEVENNET, check_sevennet, sevennet_key
from entropy_flows.potentials.scope import default_dtype
from entropy_flows.yaml_text import shortened

_RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
_ARRAYS: list[Any] = [
    *(np.ndarray, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType),
    *((_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
"""What SevenNet's checkpoints hold beside tensors and plain values."""
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
    if name.endswith(CHECKPOINT_SUFFIX):
        return local_package(name)
    check_sevennet(name)
    return Path(pretrained_name_to_path(str(sevennet_key(name))))


def local_checkpoint(name: str) -> Path | None:
    """A SevenNet model's checkpoint if it is on this machine already; errors as of `checkpoint_file`."""
    if name.endswith(CHECKPOINT_SUFFIX):
        return local_package(name)
    check_sevennet(name)
    in_wheel = str(sevennet_key(name)).removeprefix("7net-") in SEVENNET
    return checkpoint_file(name) if in_wheel else None


def checkpoint_of(path: Path) -> SevenNetCheckpoint:
    """Open a checkpoint.

    SevenNet unpickles whatever is in it, so the file is read before as weights alone: tensors,
    arrays and plain values. What passes can be unpickled without running anything.

    Raises
    ------
    ValueError
        If it is not one of SevenNet's, or holds anything else.
    """
    checkpoint = SevenNetCheckpoint(path)
    try:
        with torch.serialization.safe_globals(_ARRAYS):
            torch.load(path, map_location="cpu", weights_only=True)
        checkpoint.config[key.TYPE_MAP]
    except Exception as error:  # whatever unpickling something else leads to
        if is_machine_fault(error):
            raise
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = shortened(str(error).partition("\n")[0], 200)
        what = (
            f"it names {named[1]}, which is not called"
            if named
            else f"{type(error).__name__}: {reason}"
        )
        raise ValueError(f"{path} is not a checkpoint of SevenNet: {what}") from None
    return checkpoint


def check_modality(name: str, checkpoint: SevenNetCheckpoint, arguments: Mapping[str, Any]) -> None:
    """Refuse a modality that a model does not have, or a model of several without one.

    Raises
    ------
    ValueError
        Naming those it has.
    """
    known = (
        list(checkpoint.config.get(key.MODAL_MAP) or {})
        if checkpoint.config.get(key.USE_MODALITY)
        else []
    )
    modal = arguments.get("modal")
    if known and modal not in known:
        chosen = "which is not given" if modal is None else f"which is not {modal!r}"
        raise ValueError(
            f"model '{name}' needs one of its modalities {', '.join(known)}, {chosen}; write {{name: {name}, modal: "
            f"{known[0]}}}"
        )
    if modal is not None and not known:
        raise ValueError(f"model '{name}' has no modalities, got modal {modal!r}")


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
        self.modality = (
            None if calculator.modal is None else int(calculator.model.modal_map[calculator.modal])
        )
        self.elements = tuple(int(number) for number in calculator.type_map)
        self.model.set_is_batch_data(True)
        self.model.requires_grad_(False)
        self.model.eval_modal_map = False  # its number is given
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
        modality = {}
        if self.modality is not None:
            modality[key.MODAL_TYPE] = torch.full((len(cells),), self.modality, device=cells.device)
        return {
            **modality,
            key.NODE_FEATURE: cells.species,  # replaced by the model
            key.ATOMIC_NUMBERS: cells.species,
            key.BATCH: cells.owner,
            key.NUM_ATOMS: torch.tensor(cells.sizes, device=cells.device),
            key.CELL_VOLUME: volumes.to(torch.float32),
        }
