"""The entropy and variance biases for programs that run their own dynamics.

A bias is made from the cells that are known (`frames`), and added to any model of torch-sim
(`torchsim`), of NVIDIA's ALCHEMI toolkit (`nvalchemi`), or of ASE (`entropy.BiasedSurface`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.biases.frames import (
        dataset_bias,
        local_bias,
        soft_bias,
        target_bias,
    )
    from entropy_flows.biases.term import BiasTerm
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = ["BiasTerm", "dataset_bias", "local_bias", "soft_bias", "target_bias"]
