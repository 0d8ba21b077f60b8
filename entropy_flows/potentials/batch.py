"""Models that evaluate many cells at once, and how a name becomes one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from entropy_flows.potentials.calculators import check_name, load_calculator, make
from entropy_flows.potentials.files import compiled_for_batches, local_package
from entropy_flows.potentials.names import (
    COMPILED_SUFFIX,
    is_dotted,
    is_nequip,
    is_sevennet,
    split_model,
)
from entropy_flows.potentials.onebyone import OneByOne
from entropy_flows.potentials.scope import generators_untouched

if TYPE_CHECKING:
    from torch import Tensor

    from entropy_flows.batch import Batch


@dataclass(frozen=True)
class Evaluation:
    """What a model says of B cells with n atoms in all: float64, on the batch's device, without gradients."""

    energy: Tensor
    """(B,) in eV."""
    forces: Tensor
    """(n, 3) in eV/Å."""
    stress: Tensor | None
    """(B, 3, 3) in eV/Å³, ASE's sign; nan for a cell without a volume; None if the model gives
    no stress.
    """


class BatchModel(Protocol):
    """A model of many cells.

    Attributes
    ----------
    device
        Torch device on which it expects its batches.
    """

    device: str

    def __call__(self, batch: Batch) -> Evaluation:
        """Evaluate all cells; positions are not changed.

        Raises
        ------
        ValueError
            For an element the model does not know, or a batch on another device.
        """
        ...


@generators_untouched()
def load_batch_model(model: str | Path, device: str = "cpu") -> BatchModel:
    """Build the model of many cells that a name stands for.

    NequIP and Allegro models, eager or compiled with `--target batch`, SevenNet and torch-sim's
    models evaluate a batch in one call; anything else is an ASE calculator, called cell after cell.
    Torch's default dtype and random generators are left as they were found.

    Parameters
    ----------
    model
        A name from the table of this package.
    device
        Torch device, `cpu` or `cuda`.

    Raises
    ------
    ValueError, FileNotFoundError, ConnectionError
        As `load_calculator`.
    """
    check_name(str(model))
    name, arguments = split_model(model)
    if is_nequip(name):
        return _load_nequip(local_package(name), device)
    if is_sevennet(name):
        from entropy_flows.potentials.sevennet import SevenNetModel

        return SevenNetModel(load_calculator(model, device), device)
    if is_dotted(name):
        return _load_dotted(name, device, arguments)
    return OneByOne(load_calculator(model, device), device)


def _load_nequip(path: Path, device: str) -> BatchModel:
    from entropy_flows.potentials.nequip import NequIPModel

    if not path.name.endswith(COMPILED_SUFFIX):
        return NequIPModel.from_package(path, device)
    if compiled_for_batches(path):
        return NequIPModel.from_compiled(path, device)
    warnings.warn(
        f"{path} was compiled for one cell at a time (--target ase) and is called cell after cell; "
        "`entropy-flows compile` makes one for many cells",
        stacklevel=3,
    )
    return OneByOne(load_calculator(path, device), device)


def _load_dotted(name: str, device: str, arguments: dict[str, Any]) -> BatchModel:
    from entropy_flows.potentials.torchsim import TorchSimModel, is_torchsim

    made = make(name, device, arguments)
    if is_torchsim(made):
        return TorchSimModel(made)
    if not hasattr(made, "get_property"):
        raise ValueError(
            f"model '{name}' gives a {type(made).__name__}, expected an ASE calculator or a model of torch-sim"
        )
    return OneByOne(made, device)
