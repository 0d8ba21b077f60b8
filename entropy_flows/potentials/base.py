"""What a model of many cells gives, and what a family of models is."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from torch import Tensor

    from entropy_flows.batch import Batch, Cells
    from entropy_flows.neighbors import Pairs


@dataclass(frozen=True)
class Evaluation:
    """Energies, forces and stresses of B cells with n atoms in all.

    All are float64, on the batch's device and without gradients.
    """

    energy: Tensor
    """Energies (B,) in eV."""
    forces: Tensor
    """Forces (n, 3) in eV/Å."""
    stress: Tensor | None
    """Stresses (B, 3, 3) in eV/Å³ with ASE's sign; nan for a cell without a volume.

    None if the model gives no stress.
    """


class BatchModel(Protocol):
    """A model that evaluates many cells in one call.

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
            For an element that the model does not know, or a batch on another device.
        """
        ...


class FeatureModel(Protocol):
    """A model's features of atoms: what its readout is linear in, in double precision.

    Attributes
    ----------
    device
        Torch device on which it expects its cells.
    dim
        Number of features.
    """

    device: str
    dim: int

    def pairs(self, batch: Batch) -> Pairs:
        """Find the pairs of atoms within the model's cutoff."""
        ...

    def __call__(self, cells: Cells, pairs: Pairs) -> Tensor:
        """Compute the features (n, dim) of all atoms; autograd derives them by `pairs.vectors`.

        Raises
        ------
        ValueError
            For an element that the model does not know, or cells on another device.
        """
        ...


@dataclass(frozen=True)
class Environment:
    """The packages that a family's models need to be loaded and trained.

    A worker loads and trains in its own Python, so a family whose packages conflict with another
    family's is used by workers of another environment; docs/design.md says how.
    """

    packages: tuple[str, ...] = ()
    """Names under which the packages are imported."""
    title: str = ""
    """Name of the program, for messages."""
    install: str = ""
    """Command that installs them."""
    distributions: tuple[str, ...] = ()
    """Names under which they are installed, whose versions count, such as mace-torch."""

    @property
    def is_complete(self) -> bool:
        """Return whether all packages are installed here; none is imported to find out."""
        return all(importlib.util.find_spec(package) is not None for package in self.packages)

    def require(self, purpose: str) -> None:
        """Refuse a purpose whose packages are not installed.

        Raises
        ------
        ValueError
            Naming the purpose and the command that installs what it needs.
        """
        if not self.is_complete:
            raise ValueError(f"{purpose} needs {self.title}: {self.install}")


class ModelFamily(Protocol):
    """Models that are loaded, described, compiled and trained in one way.

    A family is a class without arguments. Subclassing this protocol gives it the methods that
    have an answer for every family; `recognizes` and `load_calculator` have none. An instance is
    made wherever a name is looked up, so making one imports no machine-learning package.

    Attributes
    ----------
    name
        The family's name, as `{name: …, family: NAME}` in a campaign file has it.
    suffixes
        Ends of the family's file names.
    compiled_suffix, lammps_suffix
        Ends of the names of a model's faster form and of its form for LAMMPS; "" where the family
        has none.
    trainer
        Name or import path of the trainer of its models; None if they are not trained.
    environment
        Packages that it needs.
    has_features
        Whether its models give their last-layer features (`load_feature_model`).
    may_be_kept
        Whether a process may keep a loaded model for its next jobs; False where it is bound to a
        job, or a name may stand for other code by then.
    adapter
        File that loads its models in an environment of their own, without this package;
        docs/environments.md has its rules. None if they can be loaded here only.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    compiled_suffix: str = ""
    lammps_suffix: str = ""
    trainer: str | None = None
    environment: Environment = Environment()
    has_features: bool = False
    may_be_kept: bool = True
    adapter: Path | None = None

    def describe_names(self) -> str:
        """Describe the names of its models, for the message about an unknown name."""
        return f"a path ending in {' or '.join(self.suffixes)}" if self.suffixes else self.name

    def recognizes(self, name: str) -> bool:
        """Return whether a name, or the name of a file, is that of a model of this family."""
        return self.is_file(name)

    def is_file(self, name: str) -> bool:
        """Return whether a name is that of a file, rather than of a published model."""
        return bool(self.suffixes) and name.endswith(self.suffixes)

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load one model as an ASE calculator.

        Parameters
        ----------
        name
            Its name or path.
        arguments
            Keyword arguments that the campaign file gives with the name.
        device
            Torch device, such as `cpu` or `cuda`.
        """
        ...

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Load one model that evaluates many cells; arguments are those of `load_calculator`.

        Without a method of the family's own, its calculator is called cell after cell.
        """
        from entropy_flows.potentials.loaded_models import shared_calculator
        from entropy_flows.potentials.onebyone import OneByOne

        return OneByOne(shared_calculator(self, name, arguments, device), device)

    def load_feature_model(
        self, name: str, arguments: Mapping[str, Any], device: str
    ) -> FeatureModel:
        """Load one model for its last-layer features; arguments are those of `load_calculator`.

        Raises
        ------
        ValueError
            If the model has no readout that is linear in features of atoms.
        """
        raise ValueError(f"models of the family {self.name} give no features")

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse a name or arguments that cannot be a model's; nothing is loaded or fetched.

        Raises
        ------
        ValueError
            Saying what was expected.
        """

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the chemical symbols that a model was made for, in its own order.

        None if that is not known without loading or fetching it.

        Raises
        ------
        ValueError
            If the file is not of this family.
        """
        return None

    def canonical_name(self, name: str) -> str:
        """Return the one spelling of a published model's name that identifies it."""
        return name.lower()

    def program_name(self, name: str) -> str:
        """Return the name of a published model as the family's own package knows it."""
        return name

    def network_note(self, name: str) -> str | None:
        """Return what to do where the network that this model needs is missing.

        None if it needs no network.
        """
        return None

    def compile(self, name: str, output: Path, device: str) -> Path:
        """Write a faster form of a model, bound to one kind of device.

        Returns
        -------
        Path
            The file, which is there as a whole or not at all.

        Raises
        ------
        ValueError
            If the family has no such form, or the file names are not of the right kind.
        """
        raise ValueError(f"models of the family {self.name} are not compiled")

    def architecture(self, model: BatchModel) -> str | None:
        """Return a hash of all of a loaded model but its weights, which a compiled form is made of.

        None if the family has no compiled form that takes weights.
        """
        return None

    def load_compiled(self, model: BatchModel, path: Path) -> BatchModel:
        """Load a compiled form and give it the weights of a loaded model.

        Parameters
        ----------
        model
            The model, as `load_batch_model` loads it.
        path
            File that `compile` has written of a model of the same architecture.

        Raises
        ------
        ValueError
            If the form is of another architecture.
        """
        raise ValueError(f"models of the family {self.name} are not compiled")

    def ase_lines(self, model: str) -> list[str]:
        """Write three lines of Python that give ASE's `atoms` a model as calculator.

        Parameters
        ----------
        model
            Path of a file, or name, with its keyword arguments behind it.
        """
        return [
            "from entropy_flows.potentials import load_calculator",
            f"calculator = load_calculator({json.dumps(model, ensure_ascii=False)})",
            "atoms.calc = calculator",
        ]

    def write_lammps(
        self, name: str, arguments: Mapping[str, Any], output: Path, elements: Sequence[str]
    ) -> list[str]:
        """Write the form of a model that LAMMPS reads.

        Parameters
        ----------
        name, arguments
            The model, as `load_calculator` takes it.
        output
            File to write, ending in `lammps_suffix`; it is there as a whole or not at all.
        elements
            Chemical symbols of LAMMPS's types of atoms, in their order.

        Returns
        -------
        list of str
            Lines of LAMMPS's input, with which it is used.

        Raises
        ------
        ValueError
            If the family has no such form, or what makes it is not installed.
        """
        raise ValueError(f"models of the family {self.name} have no form for LAMMPS")
