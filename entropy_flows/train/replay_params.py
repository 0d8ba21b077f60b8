"""Parameters of replay: cells that the first model labels itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from entropy_flows.params import Params

Count = Annotated[int, Field(ge=0, le=1000)]


class ReplayParams(Params):
    """Cells of the first model's own world, labelled by that model.

    They show what fine-tuning forgets. With a weight they are trained on as well, which keeps it.
    One in four is held out: it is measured on and never trained on.
    """

    weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Loss weight of a cell in the training, where a labelled one has 1; 0 trains on none."""
    crystals: Count = 8
    """Strained and rattled cells of each phase."""
    close_pairs: Count = 4
    """Cells of each phase with two atoms pushed together."""
    temperatures: tuple[Annotated[float, Field(gt=0, le=50_000)], ...] = (300.0, 1000.0)
    """Temperatures (K) of plain dynamics of each phase; an empty list runs none."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Steps of a run."""
    snapshots: Annotated[int, Field(ge=1, le=1000)] = 4
    """Cells that are taken from a run."""
    timestep: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Time step (fs)."""
    other_phases: Count = 4
    """Cells of each simple crystal of the elements: fcc, bcc, hcp, sc and diamond of one element,
    rocksalt, CsCl and zincblende of each pair of several.
    """

    def cells_as_dict(self) -> dict[str, Any]:
        """Return what decides the cells: all keys but the weight."""
        return self.model_dump(mode="json", exclude={"weight"})
