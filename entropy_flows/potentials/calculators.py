"""A model's name becomes an ASE calculator."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator

from entropy_flows.potentials.files import compiled_for_batches, local_package, model_elements
from entropy_flows.potentials.names import (
    CHECKPOINT_SUFFIX,
    COMPILED_SUFFIX,
    NEQUIP_NET,
    PACKAGE_SUFFIX,
    check_sevennet,
    is_dotted,
    is_nequip,
    is_sevennet,
    split_model,
)
from entropy_flows.potentials.onebyone import BatchOfOne
from entropy_flows.potentials.scope import default_dtype, generators_untouched, scoped
from entropy_flows.yaml_text import shortened


@generators_untouched()
def load_calculator(model: str | Path, device: str = "cpu") -> Calculator:
    """Build the calculator a model's name stands for.

    Torch's default dtype and the random generators are left as they were found, and each calculator
    computes under the default dtype its model expects, so that NequIP (float64) and SevenNet
    (float32) can alternate in one process.

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
    check_name(str(model))
    name, arguments = split_model(model)
    if is_nequip(name):
        return _load_nequip(local_package(name), device)
    if is_sevennet(name):
        return _load_sevennet(name, device, arguments)
    if name in _atomate2_names():
        return _load_atomate2(name, arguments)
    return _load_dotted(name, device, arguments)


def check_name(model: str) -> None:
    """Refuse a name that is none of those in this package's table; nothing is loaded or fetched.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    name, arguments = split_model(model)
    if is_sevennet(name):
        check_sevennet(name)
    elif is_nequip(name):
        if arguments:
            raise ValueError(
                f"model '{name}' takes no arguments, got {', '.join(arguments)}: a package has its own"
            )
    elif name not in _atomate2_names() and not is_dotted(name):
        raise ValueError(
            f"model '{shortened(name, 200)}' is not known; expected a path ending in "
            f"{PACKAGE_SUFFIX}, {COMPILED_SUFFIX} or {CHECKPOINT_SUFFIX}, an id "
            f"'{NEQUIP_NET}group/model:version', a SevenNet name such as 'SevenNet-0', an import path of an ASE "
            f"calculator class, or one of atomate2's force fields: {', '.join(_atomate2_names())}"
        )


def make(name: str, device: str, arguments: Mapping[str, Any]) -> Any:
    """Call what an import path names, with its arguments, and with the device if it takes one."""
    module, _, attribute = name.rpartition(".")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"model '{name}' cannot be imported as an ASE calculator class: {error}"
        ) from error
    if not callable(factory):
        raise ValueError(
            f"model '{name}' is a {type(factory).__name__}, expected a class or a function"
        )
    here = {"device": device} if "device" in inspect.signature(factory).parameters else {}
    try:
        return factory(**{**here, **arguments})
    except TypeError as error:
        raise ValueError(
            f"model '{name}' cannot be made with {dict(arguments) or 'no arguments'}: {error}"
        ) from error


def _load_nequip(path: Path, device: str) -> Calculator:
    compiled = path.name.endswith(COMPILED_SUFFIX)
    if compiled and compiled_for_batches(path):
        from entropy_flows.potentials.nequip import NequIPModel

        return BatchOfOne(NequIPModel.from_compiled(path, device))
    with default_dtype("float64"):
        from nequip.integrations.ase import NequIPCalculator

        cls = scoped(NequIPCalculator, "float64")
        load = cls.from_compiled_model if compiled else cls._from_saved_model
        # a package whose types are elements needs no other mapping, which NequIP would assume with
        # a warning
        return load(
            path,
            device=device,
            chemical_species_to_atom_type_map=model_elements(path) is not None or None,
        )


def _load_sevennet(name: str, device: str, arguments: Mapping[str, Any]) -> Calculator:
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise ValueError(
            f"model '{name}' needs SevenNet: pip install 'entropy_flows[teacher]'"
        ) from error
    from entropy_flows.potentials.sevennet import check_modality, checkpoint_file, checkpoint_of

    checkpoint = checkpoint_of(checkpoint_file(name))
    check_modality(name, checkpoint, arguments)
    with default_dtype("float32"):
        return scoped(SevenNetCalculator, "float32")(
            checkpoint.checkpoint_path, device=device, **arguments
        )


def _load_atomate2(name: str, arguments: Mapping[str, Any]) -> Calculator:
    from atomate2.forcefields.jobs import ForceFieldStaticMaker

    with default_dtype("float32"):
        try:
            return ForceFieldStaticMaker(
                force_field_name=name, calculator_kwargs=dict(arguments)
            ).calculator
        except ImportError as error:
            raise ValueError(
                f"force field '{name}' of atomate2 needs a package that is missing: {error}"
            ) from error


def _load_dotted(name: str, device: str, arguments: Mapping[str, Any]) -> Calculator:
    calculator = make(name, device, arguments)
    if not hasattr(calculator, "get_property"):
        raise ValueError(
            f"model '{name}' gives a {type(calculator).__name__}, expected an ASE calculator"
        )
    return calculator


def _atomate2_names() -> tuple[str, ...]:
    from atomate2.forcefields import MLFF

    needs_a_file = {"Forcefield", "GAP", "NEP", "DeepMD", "Nequip", "Allegro"}
    return tuple(str(member.value) for member in MLFF if member.value not in needs_a_file)
