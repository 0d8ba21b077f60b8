"""Compile a NequIP package for batches of cells.

The result is two to four times faster, and bound to one kind of device and one version of torch.
This is `nequip-compile --mode aotinductor --target batch`. Alone, that command refuses packages
trained with weights per structure: it makes a batch of the package's example of training data and
does not know this field. Here it gets the fields that the model takes. And the result says which
of its constants are which of the model's tensors, so that it can be given another model's weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entropy_flows.files import replacing
from entropy_flows.potentials.nequip import (
    COMPILED_SUFFIX,
    PACKAGE_SUFFIX,
    local_package,
    package_elements,
)


def compile_package(package: str | Path, output: str | Path, device: str = "cpu") -> Path:
    """Write a compiled model for `load_batch_model`; a small one takes a minute or two.

    Parameters
    ----------
    package
        Path of a `.nequip.zip` or a `nequip.net:` id.
    output
        File to write, ending in `.nequip.pt2`; it is there as a whole or not at all.
    device
        "cpu" or "cuda", the only kind the result will run on.

    Raises
    ------
    ValueError
        If the names do not end as they should, or there is no C++ compiler.
    FileNotFoundError
        If the package does not exist.
    """
    source = local_package(package)
    output = Path(output)
    for path, suffix in ((source, PACKAGE_SUFFIX), (output, COMPILED_SUFFIX)):
        if not path.name.endswith(suffix):
            raise ValueError(f"{path} must end in {suffix}")
    package_elements(source)  # refuses a file that is no package
    if not any(shutil.which(compiler) for compiler in ("g++", "c++", "clang++")):
        raise ValueError("compiling a model needs a C++ compiler (g++), and none is in PATH")
    from nequip.scripts.compile import main as nequip_compile

    settings = {"--device": device, "--mode": "aotinductor", "--target": "batch"}
    options = [word for option in settings.items() for word in option]
    with _own_fields_only(), _constants_noted(), replacing(output) as temporary:
        nequip_compile([str(source), str(temporary), *options])
    return output


@contextmanager
def _own_fields_only() -> Iterator[None]:
    """Have NequIP compile with the fields that the model takes.

    It makes a batch of the package's example of training data, whose weight per structure it does
    not know.
    """
    from nequip.scripts._compile_utils import BATCH_INPUTS, BATCH_TARGET

    all_fields = BATCH_TARGET["data_settings"]

    def own_fields(data: dict[str, Any]) -> Any:
        return all_fields({key: data[key] for key in BATCH_INPUTS})

    with _replaced(BATCH_TARGET, "data_settings", own_fields):
        yield


@contextmanager
def _constants_noted() -> Iterator[None]:
    """Have NequIP write into the compiled model which of its constants is which tensor."""
    from nequip.utils import aot

    from entropy_flows.potentials.nequip_weights import note_constants

    export, trace = aot.aot_export_model, aot.nequip_make_fx

    def noting_export(*arguments: Any, inductor_configs: dict[str, Any], **options: Any) -> Any:
        metadata = inductor_configs["aot_inductor.metadata"]

        def noting_trace(model: Any, **inputs: Any) -> Any:
            graph = trace(model=model, **inputs)
            note_constants(graph, model, metadata)
            return graph

        with _replaced(vars(aot), "nequip_make_fx", noting_trace):
            return export(*arguments, inductor_configs=inductor_configs, **options)

    with _replaced(vars(aot), "aot_export_model", noting_export):
        yield


@contextmanager
def _replaced(names: dict[str, Any], name: str, value: Any) -> Iterator[None]:
    """Put a value in another one's place, and that one back."""
    before = names[name]
    names[name] = value
    try:
        yield
    finally:
        names[name] = before
