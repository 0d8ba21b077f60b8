"""The family of SevenNet: models that its package knows by name, and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.environments.foreign import adapter_file
from entropy_flows.files import replacing
from entropy_flows.potentials.base import BatchModel, Environment, FeatureModel, ModelFamily
from entropy_flows.potentials.names import split_model
from entropy_flows.potentials.scope import default_dtype, scoped
from entropy_flows.spelling import did_you_mean
from entropy_flows.yaml_text import shortened

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

CHECKPOINT_SUFFIX = ".pth"
IN_WHEEL = ("0", "0_11july2024", "0_11jul2024", "0_22may2024", "l3i5", "mf-0")
"""Models inside SevenNet's wheel, by the part of the name behind `7net-` or `SevenNet-`."""
SAME_MODEL = {"7net-0_11july2024": "7net-0", "7net-0_11jul2024": "7net-0"}
"""Dated names of a model → its name without a date."""
ENVIRONMENT = Environment(
    ("sevenn",), "SevenNet", "pip install 'entropy_flows[teacher]'", ("sevenn",)
)


class SevenNetFamily(ModelFamily):
    """SevenNet's models."""

    name = "sevennet"
    suffixes = (CHECKPOINT_SUFFIX,)
    lammps_suffix = ".sevennet.lmp.pt"
    trainer = "sevennet"
    environment = ENVIRONMENT
    has_features = True
    adapter = adapter_file("sevennet")

    def describe_names(self) -> str:
        """Describe the names of checkpoints and of SevenNet's models."""
        return f"{super().describe_names()}, a SevenNet name such as 'SevenNet-0'"

    def recognizes(self, name: str) -> bool:
        """Return whether it is a checkpoint's file name, or written as SevenNet's names are."""
        return self.is_file(name) or sevennet_key(name) is not None

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse a name that SevenNet does not know."""
        check_sevennet(name)

    def elements(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Read a checkpoint's elements; None for a model that would have to be fetched."""
        if not ENVIRONMENT.is_complete and not self.is_file(name):
            return None
        from entropy_flows.potentials import sevennet_checkpoint as checkpoints

        path = checkpoints.local_checkpoint(name)
        if path is None:
            return None
        checkpoint = checkpoints.checkpoint_of(path)
        checkpoints.check_modality(name, checkpoint, arguments)
        return checkpoints.checkpoint_elements(checkpoint)

    def load_calculator(self, name: str, arguments: Mapping[str, Any], device: str) -> Calculator:
        """Load SevenNet's own calculator, after a look at what its checkpoint would run."""
        ENVIRONMENT.require(f"model '{name}'")
        from sevenn.calculator import SevenNetCalculator

        from entropy_flows.potentials import sevennet_checkpoint as checkpoints

        checkpoint = checkpoints.checkpoint_of(checkpoints.checkpoint_file(name))
        checkpoints.check_modality(name, checkpoint, arguments)
        with default_dtype("float32"):
            return scoped(SevenNetCalculator, "float32")(
                checkpoint.checkpoint_path, device=device, **arguments
            )

    def load_batch_model(self, name: str, arguments: Mapping[str, Any], device: str) -> BatchModel:
        """Load a model that evaluates many cells as one graph."""
        calculator = self.load_calculator(name, arguments, device)
        from entropy_flows.potentials.sevennet_model import SevenNetModel

        return SevenNetModel(calculator, device)

    def load_feature_model(
        self, name: str, arguments: Mapping[str, Any], device: str
    ) -> FeatureModel:
        """Load a model for the features that its linear readout starts from."""
        calculator = self.load_calculator(name, arguments, device)
        from entropy_flows.potentials.sevennet_features import SevenNetFeatures

        return SevenNetFeatures(calculator, device)

    def canonical_name(self, name: str) -> str:
        """Return SevenNet's own name of a model, without the date that the present one has."""
        key = sevennet_key(name) or name.lower()
        return SAME_MODEL.get(key, key)

    def program_name(self, name: str) -> str:
        """Return SevenNet's own name of a model."""
        return sevennet_key(name) or name

    def ase_lines(self, model: str) -> list[str]:
        """Write three lines with SevenNet's own calculator, which need nothing of this package."""
        name, arguments = split_model(model)
        keywords = {key: value for key, value in arguments.items() if key != "family"}
        values = [json.dumps(sevennet_key(name) or name, ensure_ascii=False)]
        values += [f"{key}={value!r}" for key, value in keywords.items()]
        return [
            "from sevenn.calculator import SevenNetCalculator",
            f"calculator = SevenNetCalculator({', '.join(values)})",
            "atoms.calc = calculator",
        ]

    def write_lammps(
        self, name: str, arguments: Mapping[str, Any], output: Path, elements: Sequence[str]
    ) -> list[str]:
        """Write a checkpoint for LAMMPS's pair style `mliap unified`."""
        from entropy_flows.potentials.mliap import mliap_lines, require_mliap

        require_mliap(name)
        ENVIRONMENT.require(f"model '{name}'")
        import torch
        from sevenn.mliap import SevenNetMLIAPWrapper

        from entropy_flows.potentials import sevennet_checkpoint as checkpoints

        checkpoint = checkpoints.checkpoint_of(checkpoints.checkpoint_file(name))
        checkpoints.check_modality(name, checkpoint, arguments)
        wrapper = SevenNetMLIAPWrapper(checkpoint.checkpoint_path, **arguments)
        with replacing(output) as temporary:
            torch.save(wrapper, temporary)
        return mliap_lines(output, elements)


def sevennet_key(name: str) -> str | None:
    """Return SevenNet's own name of a model, `7net-0`, in whatever way it is written.

    `SevenNet`, atomate2's name of the force field, is SevenNet-0. None for another family's model.
    """
    lower = name.lower()
    if lower in ("sevennet", "7net"):
        return "7net-0"
    head, _, model = lower.partition("-")
    is_sevennet = head in ("sevennet", "7net") and model and "." not in model
    return f"7net-{model}" if is_sevennet else None


def check_sevennet(name: str) -> None:
    """Refuse a name that SevenNet does not know.

    One that is not in its wheel is looked up where SevenNet is installed.

    Raises
    ------
    ValueError
        Naming the closest name that SevenNet knows.
    """
    key = sevennet_key(name)
    if key is None or key.removeprefix("7net-") in IN_WHEEL or not ENVIRONMENT.is_complete:
        return
    from sevenn.util import get_available_pretrained_models

    names = get_available_pretrained_models()
    if key not in names:
        hint = did_you_mean(key, names) or f"; known: {', '.join(names)}"
        raise ValueError(f"SevenNet has no model '{shortened(name)}'{hint}")
