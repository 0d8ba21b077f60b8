"""Compile a NequIP package for batches of cells.

The result is two to four times faster, and bound to one kind of device and one version of torch.
This is `nequip-compile --mode aotinductor --target batch`. Alone, that command refuses packages
trained with weights per structure: it makes a batch of the package's example of training data and
does not know this field. Here it gets the fields that the model takes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

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
    from nequip.scripts import _compile_utils as targets
    from nequip.scripts.compile import main as nequip_compile

    settings = {"--device": device, "--mode": "aotinductor", "--target": "batch"}
    options = [word for option in settings.items() for word in option]
    # NequIP makes a batch of the package's example of training data, whose weight per structure it
    # does not know; it gets the fields that the model takes.
    nequip_settings = targets.BATCH_TARGET["data_settings"]
    targets.BATCH_TARGET["data_settings"] = lambda data: nequip_settings(
        {key: data[key] for key in targets.BATCH_INPUTS}
    )
    try:
        with replacing(output) as temporary:
            nequip_compile([str(source), str(temporary), *options])
    finally:
        targets.BATCH_TARGET["data_settings"] = nequip_settings
    return output
