"""Parameters of a label engine that a campaign file names by an import path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict, ValidationError

from entropy_flows.label.params import ENGINES, LabelParams
from entropy_flows.params import one_line

if TYPE_CHECKING:
    from jobflow import Maker


class OtherParams(LabelParams):
    """An engine of another package, which is not imported until its Maker is made.

    Whoever only reads a campaign file runs no code that the file names. Keys that are not of all
    engines are this engine's own; it checks them then.
    """

    model_config = ConfigDict(extra="allow")

    def make_maker(self) -> Maker:
        """Import the engine's class of parameters, and have it make its Maker.

        Raises
        ------
        ValueError
            If there is no such class, or it refuses a key.
        """
        schema = ENGINES.params_class(self.engine)
        try:
            params = schema.model_validate(self.model_dump(exclude_unset=True))
        except ValidationError as error:
            raise ValueError(f"label: {one_line(error)}") from None
        return params.make_maker()  # type: ignore[attr-defined]
