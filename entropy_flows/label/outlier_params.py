"""Limits beyond which a label is an outlier."""

from __future__ import annotations

from pydantic import Field

from entropy_flows.params import Params


class OutlierParams(Params):
    """Limits beyond which a label is flagged instead of trained on."""

    enabled: bool = True
    """False trains on everything that converged."""
    max_force: float = Field(100.0, gt=0)
    """Largest force component (eV/Å)."""
    max_energy: float = Field(1000.0, gt=0)
    """Largest |F| per atom (eV), whatever the zero of the engine's energies is."""
    max_stress: float = Field(10.0, gt=0)
    """Largest stress component (eV/Å³; 10 are 1.6 TPa). What the distances in a cell allow is a
    limit, too.
    """
    deviation: float = Field(20.0, gt=0)
    """Largest modified z-score of the distance from the model that the training starts from."""
    fewest: int = Field(10, ge=3)
    """Labels without which there is no z-score to speak of."""
