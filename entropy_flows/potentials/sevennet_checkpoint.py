"""SevenNet's checkpoints: where they are, and what they hold without being unpickled as code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sevenn
import sevenn._keys as key
import torch
from ase.data import chemical_symbols
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.scripts.convert_model_modality import get_single_modal_model_dct
from sevenn.util import pretrained_name_to_path

from entropy_flows.environments.foreign.sevennet import read_plain
from entropy_flows.faults import is_machine_fault
from entropy_flows.potentials.names import existing_file
from entropy_flows.potentials.sevennet import (
    IN_WHEEL,
    check_sevennet,
    sevennet_key,
)
from entropy_flows.yaml_text import shortened


def checkpoint_file(name: str) -> Path:
    """Return the path of a SevenNet model's checkpoint on this machine.

    Parameters
    ----------
    name
        A name SevenNet knows, fetched by it if it is not in its wheel, or a path.

    Raises
    ------
    FileNotFoundError
        If it is a path without a file.
    """
    if sevennet_key(name) is None:
        return existing_file(name)
    check_sevennet(name)
    return Path(pretrained_name_to_path(str(sevennet_key(name))))


def local_checkpoint(name: str) -> Path | None:
    """Return a model's checkpoint if it is on this machine already; None if it is not.

    Raises
    ------
    FileNotFoundError
        If it is a path without a file.
    """
    key_name = sevennet_key(name)
    if key_name is not None and key_name.removeprefix("7net-") not in IN_WHEEL:
        check_sevennet(name)
        return None
    return checkpoint_file(name)


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
        read_plain(path)
        checkpoint.config[key.TYPE_MAP]
    except Exception as error:  # unpickling something else may raise anything
        if is_machine_fault(error):
            raise
        raise ValueError(f"{path} is not a checkpoint of SevenNet: {_reason(error)}") from None
    return checkpoint


def check_modality(name: str, checkpoint: SevenNetCheckpoint, arguments: Mapping[str, Any]) -> None:
    """Refuse a modality that a model does not have, or a model of several without one.

    Raises
    ------
    ValueError
        Naming those it has.
    """
    modalities = []
    if checkpoint.config.get(key.USE_MODALITY):
        modalities = list(checkpoint.config.get(key.MODAL_MAP) or {})
    modal = arguments.get("modal")
    if modalities and modal not in modalities:
        fault = "which is not given" if modal is None else f"which is not {modal!r}"
        raise ValueError(
            f"model '{name}' needs one of its modalities {', '.join(modalities)}, {fault}; "
            f"write {{name: {name}, modal: {modalities[0]}}}"
        )
    if modal is not None and not modalities:
        raise ValueError(f"model '{name}' has no modalities, got modal {modal!r}")


def trainable_content(checkpoint: SevenNetCheckpoint, modal: str | None) -> dict[str, Any]:
    """Return what a checkpoint holds, as a model of one modality in today's names of its weights.

    SevenNet's own conversion makes the chosen modality's weights a bias of each linear map. The
    energies of the model are the same, and it has no other modality any more.

    Parameters
    ----------
    checkpoint
        The checkpoint; it is not changed.
    modal
        The modality, one that `check_modality` has passed; None for a model without any.
    """
    content: dict[str, Any] = checkpoint.get_checkpoint_dict()
    config = content["config"]
    state = checkpoint.build_model().state_dict()
    # The names are those of this version: an older one's would be translated once more.
    config["version"] = sevenn.__version__
    if modal is not None:
        with torch.no_grad():
            state = get_single_modal_model_dct(state, config, modal)
        for name in (key.MODAL_MAP, key.NUM_MODALITIES, key.MODAL_LIST, key.DEFAULT_MODAL):
            config.pop(name, None)
    content["model_state_dict"] = state
    return content


def checkpoint_elements(checkpoint: SevenNetCheckpoint) -> tuple[str, ...]:
    """Return the chemical symbols that a checkpoint's model was made for."""
    return tuple(chemical_symbols[number] for number in checkpoint.config[key.TYPE_MAP] if number)


def _reason(error: Exception) -> str:
    """Say in one line why a file is no checkpoint; a class that it would call is named."""
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it names {refused[1]}, which is not called"
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {shortened(first_line, 200)}"
