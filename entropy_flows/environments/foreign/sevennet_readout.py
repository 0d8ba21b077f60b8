"""SevenNet's own program with the backbone frozen; it has no key for that.

Its trainer hands the parameters that require a gradient to the optimiser. Here all but those of the
readout are told not to, before it does.
"""

from __future__ import annotations

from typing import Any

import torch
from sevenn.main import sevenn
from sevenn.train import trainer

READOUT = ("reduce_input_to_hidden", "reduce_hidden_to_energy", "rescale_atomic_energy")
"""Modules of SevenNet between the features and the energies of the atoms."""


class ReadoutTrainer(trainer.Trainer):
    """SevenNet's trainer of the readout alone."""

    def __init__(self, model: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        for name, parameter in model.named_parameters():
            if name.split(".")[0] not in READOUT:
                parameter.requires_grad_(False)
        super().__init__(model, *args, **kwargs)


def main() -> None:
    """Run the program, with its arguments on the command line."""
    # `Trainer.from_config` makes what this name stands for.
    vars(trainer)["Trainer"] = ReadoutTrainer
    sevenn.main()


if __name__ == "__main__":
    main()
