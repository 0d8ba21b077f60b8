"""Parameters of the features fingerprint, which are read without what it is computed with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from entropy_flows.fingerprints.base import FingerprintSettings, ordered_elements
from entropy_flows.potentials.families import FAMILY, match_model
from entropy_flows.potentials.names import ModelName, split_model

SHIPPED = "shipped:"


class FeaturesParams(FingerprintSettings):
    """Settings of a fingerprint that is made of a model's features."""

    kind: Literal["features"] = "features"
    """What tells these settings from another fingerprint's."""
    model: ModelName = "SevenNet-0"
    """Model: a name that SevenNet knows, `shipped:NAME`, or the absolute path of a SevenNet
    checkpoint or of a NequIP or Allegro package."""
    elements: tuple[str, ...] | None = None
    """Species of the data set, in any order. None: whatever the model knows."""
    scale: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """What each component, or by one number all of them, is divided by; see `scale`. None: raw."""
    device: str = "cpu"
    """Torch device of the model."""

    _order_elements = field_validator("elements")(ordered_elements)

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        """Refuse a model without features; nothing is loaded."""
        name, arguments = split_model(self.model)
        if FAMILY in arguments:
            raise ValueError(
                f"model {name!r} of a fingerprint is found by its name; leave out `{FAMILY}`"
            )
        match = match_model(self.model)
        if match is None or not match.family.has_features:
            raise ValueError(
                f"model {name!r} gives no features; expected a name of SevenNet's, or a file that "
                "ends in .pth or .nequip.zip"
            )
        is_named = not match.family.is_file(name) or name.startswith(SHIPPED)
        if not is_named and not Path(name).is_absolute():
            raise ValueError(
                f"model {name!r} is a relative path; expected an absolute one, which every worker "
                f"can read, or '{SHIPPED}NAME'"
            )
        return self
