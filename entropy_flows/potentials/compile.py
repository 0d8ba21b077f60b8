"""Compile a package for batches: two to four times faster, bound to one kind of device and one version of torch.

    python -m entropy_flows.potentials.compile model.nequip.zip model.nequip.pt2 [--device cuda] […]

This is `nequip-compile --mode aotinductor --target batch`, whose further options it takes. Alone, that command refuses
packages trained with weights per structure: it makes a batch of the package's example of training data and does not
know this field. Here it gets the fields the model takes. A C++ compiler is needed; a small model takes a minute or two.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Compile as the command line says."""
    from nequip.scripts import _compile_utils as targets
    from nequip.scripts.compile import main as nequip_compile

    batch = targets.BATCH_TARGET["data_settings"]

    def known_fields(data: dict) -> dict:
        return batch({key: data[key] for key in targets.BATCH_INPUTS})

    targets.BATCH_TARGET["data_settings"] = known_fields
    device = () if "--device" in arguments else ("--device", "cpu")
    nequip_compile([*arguments, *device, "--mode", "aotinductor", "--target", "batch"])


if __name__ == "__main__":
    main(sys.argv[1:])
