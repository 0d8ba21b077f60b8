"""Files of models: where they are, and what they say without being loaded."""

from __future__ import annotations

import importlib.util
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from entropy_flows.potentials.names import (
    CHECKPOINT_SUFFIX,
    COMPILED_SUFFIX,
    NEQUIP_NET,
    PACKAGE_SUFFIX,
    is_sevennet,
    split_model,
)
from entropy_flows.yaml_text import MAX_BYTES, parse_yaml


def local_package(model: str | Path) -> Path:
    """Find the file of a packaged model, fetching a published one into NequIP's cache.

    Parameters
    ----------
    model
        Path of a model's file or a `nequip.net:` id.

    Returns
    -------
    Path
        The file on this machine, absolute.

    Raises
    ------
    FileNotFoundError
        If it is a path without a file.
    ConnectionError
        If a published model cannot be reached.
    """
    name, _ = split_model(model)
    if name.startswith(NEQUIP_NET):
        return _fetch(name)
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"model file {path} does not exist")
    return path


def model_elements(model: str | Path) -> tuple[str, ...] | None:
    """Elements a model was made for, from its file: a package's metadata, a SevenNet checkpoint's configuration.

    Parameters
    ----------
    model
        A model's name.

    Returns
    -------
    tuple of str or None
        Chemical symbols in the model's own order; None when the name does not tell (a foundation
        model covers most elements) or the model's type names are not elements.

    Raises
    ------
    ValueError
        If the file is not of the kind that its name says, or the model needs another modality.
    """
    name, arguments = split_model(model)
    if is_sevennet(name):
        return _sevennet_elements(name, arguments)
    if not name.endswith(PACKAGE_SUFFIX):
        return None
    try:
        with zipfile.ZipFile(local_package(model)) as archive:
            entry = next(
                (n for n in archive.namelist() if n.endswith("/model/package_metadata.txt")), None
            )
            if entry is None:
                raise ValueError("it holds no model/package_metadata.txt")
            if archive.getinfo(entry).file_size > MAX_BYTES:
                raise ValueError(f"its metadata have more than {MAX_BYTES} bytes")
            symbols = tuple(_atom_types(archive.read(entry)))
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{model} is not a NequIP package: {error}") from None
    return symbols if all(symbol in atomic_numbers for symbol in symbols) else None


def _sevennet_elements(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Elements of a SevenNet model; None for one that is not on this machine, for nothing is fetched."""
    if importlib.util.find_spec("sevenn") is None and not name.endswith(CHECKPOINT_SUFFIX):
        return None
    from entropy_flows.potentials.sevennet import (
        check_modality,
        checkpoint_of,
        known_elements,
        local_checkpoint,
    )

    path = local_checkpoint(name)
    if path is None:
        return None
    checkpoint = checkpoint_of(path)
    check_modality(name, checkpoint, arguments)
    return known_elements(checkpoint)


def _atom_types(metadata: bytes) -> list[str]:
    """Names of the types in a package's metadata, where their keys are numbers."""
    text = re.sub(r"(?m)^(\s*)(\d+):", r'\1"\2":', metadata.decode(errors="replace"))
    content = parse_yaml(text)
    types = content.get("atom_types") if isinstance(content, dict) else None
    if not isinstance(types, dict) or set(types) != {str(index) for index in range(len(types))}:
        raise ValueError("its metadata name no types of atoms")
    return [str(types[str(index)]) for index in range(len(types))]


def check_elements(model: str | Path, elements: Iterable[str], role: str) -> None:
    """Refuse a model that lacks an element it is to be used for, if its file tells which it knows.

    Raises
    ------
    ValueError
        Naming what the model is for, the elements it lacks and those it knows.
    """
    known = model_elements(model)
    if known is not None and (missing := sorted(set(elements) - set(known))):
        name = Path(split_model(model)[0]).name
        raise ValueError(
            f"{role} {name} does not know {', '.join(missing)} (it knows {', '.join(known)})"
        )


def compiled_for_batches(path: Path) -> bool:
    """Whether a compiled model takes many cells (`nequip-compile --target batch`) or one (`--target ase`).

    NequIP writes the names of a model's inputs next to the machine code; those of many cells
    include `batch`.

    Parameters
    ----------
    path
        A `.nequip.pt2`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [
                archive.read(name) for name in archive.namelist() if name.endswith("_metadata.json")
            ]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a compiled model: {error}") from error
    inputs = [json.loads(text).get("nequip_aoti_inputs") for text in texts]
    if not any(inputs):
        raise ValueError(f"{path} is not a compiled NequIP model: it does not name its inputs")
    return any("batch" in names.split() for names in inputs if names)


def _fetch(name: str) -> Path:
    # NequIP resolves the id over the network before it looks into its cache, so a cached copy does
    # not help offline
    from nequip.model.saved_models.load_utils import _get_model_file_path

    try:
        with _get_model_file_path(name) as path:
            return Path(path)
    except Exception as error:
        raise ConnectionError(
            f"model '{name}' cannot be fetched ({type(error).__name__}: {error}). On a machine with network access, "
            f"download the package from https://www.nequip.net, or make a compiled model there with `nequip-compile "
            f"{name} model{COMPILED_SUFFIX} --mode aotinductor --device cpu --target batch`; copy the file here and "
            f"give its path (fine-tuning needs the {PACKAGE_SUFFIX}) instead of the id"
        ) from error
