"""Load a model by its name: as an ASE calculator, or to evaluate many cells at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.potentials.base import BatchModel, FeatureModel
from entropy_flows.potentials.families import find_model
from entropy_flows.potentials.loaded_models import shared_calculator, shared_model
from entropy_flows.potentials.onebyone import BatchOfOne, OneByOne
from entropy_flows.potentials.scope import generators_untouched

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@generators_untouched()
def load_calculator(model: str | Path, device: str = "cpu") -> Calculator:
    """Build the calculator that a model's name stands for.

    Torch's default dtype and the random generators are left as they were. Each calculator computes
    under the default dtype that its model expects, so that NequIP (float64) and SevenNet (float32)
    can alternate in one process. Within a job it may be one that the process has kept.

    Parameters
    ----------
    model
        A name from the table of this package.
    device
        Torch device, `cpu` or `cuda`. A force field of atomate2 picks its device itself.

    Returns
    -------
    Calculator
        Energy in eV, forces in eV/Å, stress in eV/Å³.

    Raises
    ------
    ValueError
        If the name is none of those listed.
    FileNotFoundError
        If it is a path without a file.
    ConnectionError
        If a published model cannot be reached.
    """
    family, name, arguments = find_model(model)
    family.check(name, arguments)
    return shared_calculator(family, name, arguments, device)


@generators_untouched()
def load_batch_model(model: str | Path, device: str = "cpu") -> BatchModel:
    """Build the model of many cells that a name stands for.

    NequIP and Allegro models, eager or compiled with `--target batch`, SevenNet and torch-sim's
    models evaluate a batch in one call. Anything else is an ASE calculator, called cell after cell.
    Torch's default dtype and random generators are left as they were.

    Parameters
    ----------
    model
        A name from the table of this package.
    device
        Torch device, `cpu` or `cuda`.

    Raises
    ------
    ValueError, FileNotFoundError, ConnectionError
        As `load_calculator` does.
    """
    family, name, arguments = find_model(model)
    family.check(name, arguments)
    loaded: BatchModel = shared_model("batch_model", family, name, arguments, device)
    return loaded


def load_many(model: str | Path, device: str = "cpu") -> Calculator:
    """Build the ASE calculator for many cells: one that can evaluate them in batches (`ahead`).

    It is the model's own where it takes one cell after the other. Parameters and errors are those
    of `load_calculator`.
    """
    loaded = load_batch_model(model, device)
    return loaded.calculator if isinstance(loaded, OneByOne) else BatchOfOne(loaded)


@generators_untouched()
def load_feature_model(model: str | Path, device: str = "cpu") -> FeatureModel:
    """Build what gives the last-layer features of a model.

    Parameters
    ----------
    model
        A name from the table of this package: SevenNet's, or a package of NequIP or Allegro.
    device
        Torch device, `cpu` or `cuda`.

    Raises
    ------
    ValueError
        If the model's family, or its readout, gives no features.
    FileNotFoundError, ConnectionError
        As `load_calculator` does.
    """
    family, name, arguments = find_model(model)
    family.check(name, arguments)
    return family.load_feature_model(name, arguments, device)


def check_name(model: str) -> None:
    """Refuse a name that is none of those in this package's table; nothing is loaded or fetched.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    family, name, arguments = find_model(model)
    family.check(name, arguments)


def compile_model(model: str | Path, output: str | Path, device: str = "cpu") -> Path:
    """Write a model's faster form, bound to one kind of device and one version of torch.

    Parameters
    ----------
    model
        Name or path of a model whose family has such a form: NequIP's and Allegro's packages.
    output
        File to write; it is there as a whole or not at all.
    device
        "cpu" or "cuda", the only kind that the result will run on.

    Raises
    ------
    ValueError
        If the family has no such form, or the output's name does not end as it should.
    FileNotFoundError
        If the model's file does not exist.
    """
    family, name, _ = find_model(model)
    return family.compile(name, Path(output), device)


def write_lammps(model: str | Path, output: str | Path, elements: Sequence[str]) -> list[str]:
    """Write a model's form for LAMMPS, and return the lines of input that use it.

    Parameters
    ----------
    model
        Name or path of a model whose family has such a form: NequIP, Allegro and SevenNet.
    output
        File to write; it is there as a whole or not at all.
    elements
        Chemical symbols of LAMMPS's types of atoms, in their order.

    Raises
    ------
    ValueError
        If the family has no such form, what makes it is not installed, or the output's name does
        not end as it should.
    FileNotFoundError
        If the model's file does not exist.
    """
    family, name, arguments = find_model(model)
    if family.lammps_suffix and not str(output).endswith(family.lammps_suffix):
        raise ValueError(f"{output} must end in {family.lammps_suffix}")
    return family.write_lammps(name, arguments, Path(output), elements)


def ase_lines(model: str | Path) -> list[str]:
    """Write three lines of Python that give ASE's `atoms` a model as calculator."""
    return find_model(model).family.ase_lines(str(model))
