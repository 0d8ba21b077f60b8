"""A model's name becomes an ASE calculator."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator

from entropy_flows.potentials.files import (
    CHECKPOINT_SUFFIX,
    COMPILED_SUFFIX,
    NEQUIP_NET,
    PACKAGE_SUFFIX,
    compiled_for_batches,
    local_package,
    model_elements,
)
from entropy_flows.potentials.onebyone import BatchOfOne
from entropy_flows.potentials.scope import default_dtype, generators_untouched, scoped


@generators_untouched()
def load_calculator(model: str | Path, device: str = "cpu") -> Calculator:
    """Build the calculator a model's name stands for.

    Torch's default dtype and the random generators are left as they were found, and each calculator computes under
    the default dtype its model expects, so that NequIP (float64) and SevenNet (float32) can alternate in one process.

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
    name = str(model)
    check_name(name)
    if is_nequip(name):
        return _load_nequip(local_package(name), device)
    if is_sevennet(name):
        return _load_sevennet(name, device)
    if name in _atomate2_names():
        return _load_atomate2(name)
    return _load_dotted(name, device)


def check_name(name: str) -> None:
    """Refuse a name that is none of those in this package's table; nothing is loaded or looked up.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    if not (is_nequip(name) or is_sevennet(name) or name in _atomate2_names() or is_dotted(name)):
        raise ValueError(
            f"model '{name}' is not known; expected a path ending in {PACKAGE_SUFFIX}, {COMPILED_SUFFIX} or "
            f"{CHECKPOINT_SUFFIX}, an id "
            f"'{NEQUIP_NET}group/model:version', a SevenNet name such as 'SevenNet-0', an import path of an ASE "
            f"calculator class, or one of atomate2's force fields: {', '.join(_atomate2_names())}"
        )


def is_nequip(name: str) -> bool:
    """Whether a name is that of a NequIP or Allegro model."""
    return name.endswith((PACKAGE_SUFFIX, COMPILED_SUFFIX)) or name.startswith(NEQUIP_NET)


def is_sevennet(name: str) -> bool:
    """Whether a name is that of a model SevenNet knows, or of a checkpoint of it."""
    return name.lower().startswith(("sevennet-", "7net-")) or name.endswith(CHECKPOINT_SUFFIX)


def is_dotted(name: str) -> bool:
    """Whether a name is an import path: a class is capitalised, a file's suffix is not; functions need a module."""
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return False
    return not parts[-1].islower() or importlib.util.find_spec(parts[0]) is not None


def make(name: str, device: str) -> Any:
    """Call what an import path names, with the device if it takes one."""
    module, _, attribute = name.rpartition(".")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model '{name}' cannot be imported as an ASE calculator class: {error}") from error
    if not callable(factory):
        raise ValueError(f"model '{name}' is a {type(factory).__name__}, expected a class or a function")
    return factory(**({"device": device} if "device" in inspect.signature(factory).parameters else {}))


def _load_nequip(path: Path, device: str) -> Calculator:
    compiled = path.name.endswith(COMPILED_SUFFIX)
    if compiled and compiled_for_batches(path):
        from entropy_flows.potentials.nequip import NequIPModel

        return BatchOfOne(NequIPModel.from_compiled(path, device))
    with default_dtype("float64"):
        from nequip.integrations.ase import NequIPCalculator

        cls = scoped(NequIPCalculator, "float64")
        load = cls.from_compiled_model if compiled else cls._from_saved_model
        # a package whose types are elements needs no other mapping, which NequIP would assume with a warning
        return load(path, device=device, chemical_species_to_atom_type_map=model_elements(path) is not None or None)


def _load_sevennet(name: str, device: str) -> Calculator:
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise ValueError(f"model '{name}' needs SevenNet: pip install 'entropy_flows[teacher]'") from error
    from entropy_flows.potentials.sevennet import checkpoint_file, checkpoint_of

    source = checkpoint_of(checkpoint_file(name)).checkpoint_path  # in one line, if it is none
    with default_dtype("float32"):
        return scoped(SevenNetCalculator, "float32")(source, device=device)


def _load_atomate2(name: str) -> Calculator:
    from atomate2.forcefields.jobs import ForceFieldStaticMaker

    with default_dtype("float32"):
        try:
            return ForceFieldStaticMaker(force_field_name=name).calculator
        except ImportError as error:
            raise ValueError(f"force field '{name}' of atomate2 needs a package that is missing: {error}") from error


def _load_dotted(name: str, device: str) -> Calculator:
    calculator = make(name, device)
    if not hasattr(calculator, "get_property"):
        raise ValueError(f"model '{name}' gives a {type(calculator).__name__}, expected an ASE calculator")
    return calculator


def _atomate2_names() -> tuple[str, ...]:
    from atomate2.forcefields import MLFF

    needs_a_file = {"Forcefield", "GAP", "NEP", "DeepMD", "Nequip", "Allegro"}
    return tuple(str(member.value) for member in MLFF if member.value not in needs_a_file)
