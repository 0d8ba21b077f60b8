"""Give the weights of one NequIP model to the compiled form of another of its architecture.

The compiler keeps most tensors of a model as constants of the code, which can be set when the code
is loaded, and writes the rest into the code. `note_constants` keeps with the code which constant is
which tensor of the model, and digests of the rest. A model whose rest is another one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from entropy_flows.digest import bytes_sha256, digest
from entropy_flows.potentials.nequip_model import NequIPModel

CONSTANTS = "entropy_flows_constants"
"""Key of a compiled model's metadata: constant of the code → name of the model's tensor."""
TENSORS = "entropy_flows_tensors"
"""Key of a compiled model's metadata: name of each of the model's tensors → digest."""
PREFIX = "model."
"""What the wrapper that is compiled puts before the names of a model's tensors."""
PLAIN = (bool, int, float, str)


def architecture(model: Any) -> str | None:
    """Return a hash of a model's modules and of all but the values of its tensors.

    None if it is no eager NequIP model.
    """
    if not isinstance(model, NequIPModel) or model.compiled:
        return None
    modules = {name: _description(module) for name, module in model.model.named_modules()}
    tensors = {
        name: [list(tensor.shape), str(tensor.dtype)]
        for name, tensor in model.model.state_dict().items()
    }
    facts = {"modules": modules, "tensors": tensors, "metadata": dict(model.model.metadata)}
    return digest(facts, default=str)


def _description(module: nn.Module) -> list[Any]:
    """Return a module's class, its plain attributes and the buffers that are not saved with it."""
    saved = set(module.state_dict())
    buffers = dict(module.named_buffers(recurse=False))
    attributes = {name: value for name, value in vars(module).items() if isinstance(value, PLAIN)}
    attributes.pop("training", None)
    fixed = {name: _sha256(tensor) for name, tensor in buffers.items() if name not in saved}
    return [type(module).__qualname__, attributes, fixed]


def note_constants(graph: nn.Module, traced: nn.Module, metadata: dict[str, str]) -> None:
    """Write into a compiled model's metadata which of its constants is which tensor.

    Parameters
    ----------
    graph
        The traced model, whose constants are tensors of the model itself.
    traced
        The model, in the wrapper that was traced.
    metadata
        Where it is written.
    """
    tensors = traced.state_dict(keep_vars=True)
    names = {_identity(tensor): name for name, tensor in tensors.items() if tensor.numel()}
    constants = {
        constant: names[_identity(tensor)].removeprefix(PREFIX)
        for constant, tensor in tensors_of(graph).items()
        if _identity(tensor) in names
    }
    digests = {name.removeprefix(PREFIX): _sha256(tensor) for name, tensor in tensors.items()}
    metadata[CONSTANTS] = json.dumps(constants)
    metadata[TENSORS] = json.dumps(digests)


def tensors_of(graph: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a traced model by the names that its code has for them."""
    plain = {name: value for name, value in vars(graph).items() if isinstance(value, Tensor)}
    return {**dict(graph.named_parameters()), **dict(graph.named_buffers()), **plain}


def compiled_with_weights(model: Any, path: Path) -> NequIPModel:
    """Load a compiled model and set its constants to the tensors of a model that is loaded.

    Raises
    ------
    ValueError
        If the model has other tensors, or one that the code has as a fixed number differs.
    """
    compiled = NequIPModel.from_compiled(path, model.device)
    code = compiled.model.model
    metadata = code.get_metadata()
    if CONSTANTS not in metadata:
        raise ValueError(f"{path} does not say which of its constants are a model's weights")
    constants: Mapping[str, str] = json.loads(metadata[CONSTANTS])
    digests: Mapping[str, str] = json.loads(metadata[TENSORS])
    settable = set(code.get_constant_fqns())
    tensors = model.model.state_dict()
    weights = {name: tensors[of] for name, of in constants.items() if name in settable}
    free = {constants[name] for name in weights}
    other = [
        name
        for name, tensor in tensors.items()
        if name not in free and _sha256(tensor) != digests.get(name)
    ]
    if other or set(tensors) != set(digests):
        raise ValueError(f"{path} was compiled with other fixed numbers: {', '.join(other)}")
    code.load_constants(
        {name: tensor.detach().clone() for name, tensor in weights.items()},
        check_full_update=False,
    )
    return compiled


def _identity(tensor: Tensor) -> tuple[int, tuple[int, ...], str]:
    """Return what tells whether two tensors are one."""
    return tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype)


def _sha256(tensor: Tensor) -> str:
    """Return the first 16 hex digits of the SHA-256 of a tensor's numbers."""
    numbers = tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8)
    return bytes_sha256(numbers.numpy().tobytes())[:16]
