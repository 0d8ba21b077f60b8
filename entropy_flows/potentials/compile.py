"""Compile a package for batches: two to four times faster, bound to one kind of device and one version of torch.

This is `nequip-compile --mode aotinductor --target batch`. Alone, that command refuses packages
trained with weights per structure: it makes a batch of the package's example of training data and
does not know this field. Here it gets the fields the model takes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from entropy_flows.files import replacing
from entropy_flows.potentials.files import local_package, model_elements
from entropy_flows.potentials.names import COMPILED_SUFFIX, PACKAGE_SUFFIX


def compile_package(package: str | Path, output: str | Path, device: str = "cpu") -> Path:
    """Write a compiled model for `load_batch_model`; a small one takes a minute or two.

    Parameters
    ----------
    package
        Path of a `.nequip.zip` or a `nequip.net:` id.
    output
        File to write, ending in `.nequip.pt2`; there all at once or not at all.
    device
        "cpu" or "cuda", the only kind the result will run on.

    Raises
    ------
    ValueError
        If the names do not end as they should, or there is no C++ compiler.
    FileNotFoundError
        If the package does not exist.
    """
    source, output = local_package(package), Path(output)
    for path, suffix in ((source, PACKAGE_SUFFIX), (output, COMPILED_SUFFIX)):
        if not path.name.endswith(suffix):
            raise ValueError(f"{path} must end in {suffix}")
    model_elements(source)  # whether it is a package at all
    if not (shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")):
        raise ValueError("compiling a model needs a C++ compiler (g++), and none is in PATH")
    from nequip.scripts import _compile_utils as targets
    from nequip.scripts.compile import main as nequip_compile

    batch = targets.BATCH_TARGET["data_settings"]
    targets.BATCH_TARGET["data_settings"] = lambda data: batch(
        {key: data[key] for key in targets.BATCH_INPUTS}
    )
    options = ["--device", device, "--mode", "aotinductor", "--target", "batch"]
    try:
        with replacing(output) as temporary:
            nequip_compile([str(source), str(temporary), *options])
    finally:
        targets.BATCH_TARGET["data_settings"] = batch
    return output
