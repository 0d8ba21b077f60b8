"""A model's name, one string, becomes an ASE calculator.

Accepted names, in the order they are tried:

=============================  =========================================================================
`path/to/model.nequip.zip`     a packaged NequIP or Allegro model, run eagerly: works at once
`path/to/model.nequip.pt2`     the same model compiled for ASE: 3 times faster, bound to device and torch
`nequip.net:group/model:0.1`   a published package, fetched by NequIP: needs the network each time
`SevenNet-0`, `7net-l3i5`, …   a model SevenNet knows; SevenNet-0, l3i5 and MF-0 come inside its wheel
`CHGNet`, `MACE-MPA-0`, …      a force field atomate2 knows, if its package is installed
`some.module.Calculator`       any ASE calculator class that needs no arguments but a device
=============================  =========================================================================

Importing this module imports no machine-learning package; loading a model does.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers

if TYPE_CHECKING:
    import torch

PACKAGE_SUFFIX = ".nequip.zip"
COMPILED_SUFFIX = ".nequip.pt2"
NEQUIP_NET = "nequip.net:"


def load_calculator(model: str | Path, device: str = "cpu") -> Calculator:
    """Build the calculator a model's name stands for.

    Torch's default dtype and the random generators are left as they were found, and each calculator computes under
    the default dtype its model expects, so that NequIP (float64) and SevenNet (float32) can alternate in one process.

    Parameters
    ----------
    model
        A name from the table above.
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
    name = str(model)
    if name.endswith((PACKAGE_SUFFIX, COMPILED_SUFFIX)) or name.startswith(NEQUIP_NET):
        return _load_nequip(name, device)
    if name.lower().startswith(("sevennet-", "7net-")):
        return _load_sevennet(name, device)
    if name in _atomate2_names():
        return _load_atomate2(name)
    if "." in name and not Path(name).suffix.lstrip(".").islower():  # a class is capitalised, a file's suffix is not
        return _load_dotted(name, device)
    raise ValueError(
        f"model '{name}' is not known; expected a path ending in {PACKAGE_SUFFIX} or {COMPILED_SUFFIX}, an id "
        f"'{NEQUIP_NET}group/model:version', a SevenNet name such as 'SevenNet-0', an import path of an ASE calculator "
        f"class, or one of atomate2's force fields: {', '.join(_atomate2_names())}"
    )


def local_package(model: str | Path) -> Path:
    """Find the file of a packaged model, fetching a published one into NequIP's cache.

    Parameters
    ----------
    model
        Path of a `.nequip.zip` or a `nequip.net:` id.

    Returns
    -------
    Path
        The package on this machine, absolute.
    """
    name = str(model)
    if name.startswith(NEQUIP_NET):
        return _fetch(name)
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"model file {path} does not exist")
    return path


def model_elements(model: str | Path) -> tuple[str, ...] | None:
    """Elements a model was made for, read from a package's metadata without loading its weights.

    Parameters
    ----------
    model
        A model's name.

    Returns
    -------
    tuple of str or None
        Chemical symbols in the model's own order; None when the name does not tell (a foundation model covers most
        elements) or the model's type names are not elements.
    """
    if not str(model).endswith(PACKAGE_SUFFIX):
        return None
    with zipfile.ZipFile(local_package(model)) as archive:
        entry = next((n for n in archive.namelist() if n.endswith("/model/package_metadata.txt")), None)
        if entry is None:
            raise ValueError(f"{model} is not a NequIP package: it holds no model/package_metadata.txt")
        types = yaml.safe_load(archive.read(entry))["atom_types"]
    symbols = tuple(types[index] for index in range(len(types)))
    return symbols if all(symbol in atomic_numbers for symbol in symbols) else None


def model_sha256(path: str | Path) -> str:
    """Checksum that identifies a model file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_nequip(name: str, device: str) -> Calculator:
    path = local_package(name)
    with _torch_untouched("float64"):
        from nequip.integrations.ase import NequIPCalculator

        cls = _scoped(NequIPCalculator, "float64")
        load = cls.from_compiled_model if path.name.endswith(COMPILED_SUFFIX) else cls._from_saved_model
        # a package whose types are elements needs no other mapping, which NequIP would assume with a warning
        return load(path, device=device, chemical_species_to_atom_type_map=model_elements(path) is not None or None)


def _load_sevennet(name: str, device: str) -> Calculator:
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise ValueError(f"model '{name}' needs SevenNet: pip install 'entropy_flows[teacher]'") from error
    with _torch_untouched("float32"):
        return _scoped(SevenNetCalculator, "float32")(name, device=device)


def _load_atomate2(name: str) -> Calculator:
    from atomate2.forcefields.jobs import ForceFieldStaticMaker

    with _torch_untouched("float32"):
        try:
            return ForceFieldStaticMaker(force_field_name=name).calculator
        except ImportError as error:
            raise ValueError(f"force field '{name}' of atomate2 needs a package that is missing: {error}") from error


def _load_dotted(name: str, device: str) -> Calculator:
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model '{name}' cannot be imported as an ASE calculator class: {error}") from error
    arguments = {"device": device} if "device" in inspect.signature(cls).parameters else {}
    calculator = cls(**arguments)
    if not hasattr(calculator, "get_property"):
        raise ValueError(f"model '{name}' gives a {type(calculator).__name__}, expected an ASE calculator")
    return calculator


def _atomate2_names() -> tuple[str, ...]:
    from atomate2.forcefields import MLFF

    needs_a_file = {"Forcefield", "GAP", "NEP", "DeepMD", "Nequip", "Allegro"}
    return tuple(str(member.value) for member in MLFF if member.value not in needs_a_file)


def _fetch(name: str) -> Path:
    # NequIP resolves the id over the network before it looks into its cache, so a cached copy does not help offline
    from nequip.model.saved_models.load_utils import _get_model_file_path

    try:
        with _get_model_file_path(name) as path:
            return Path(path)
    except Exception as error:
        raise ConnectionError(
            f"model '{name}' cannot be fetched ({type(error).__name__}: {error}). On a machine with network access, "
            f"download the package from https://www.nequip.net, or make a compiled model there with `nequip-compile "
            f"{name} model{COMPILED_SUFFIX} --mode aotinductor --device cpu --target ase`; copy the file here and give "
            f"its path (fine-tuning needs the {PACKAGE_SUFFIX}) instead of the id"
        ) from error


@functools.cache
def _scoped(base: type[Any], dtype: str) -> type[Any]:
    """Derive a calculator class that computes under its own default dtype and restores the caller's."""

    class Scoped(base):
        def calculate(
            self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = tuple(all_changes)
        ) -> None:
            with _default_dtype(dtype):
                super().calculate(atoms, list(properties), list(system_changes))

    Scoped.__name__ = Scoped.__qualname__ = base.__name__
    return Scoped


@contextlib.contextmanager
def _torch_untouched(dtype: str) -> Iterator[None]:
    """Load under a default dtype; NequIP's first load also reseeds every generator of the process: undo that."""
    from lightning.pytorch.utilities.seed import isolate_rng

    with isolate_rng(), _default_dtype(dtype):
        yield


@contextlib.contextmanager
def _default_dtype(name: str) -> Iterator[None]:
    import torch

    before: torch.dtype = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
