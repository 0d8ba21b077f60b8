"""An entry of the ledger: a cell with the fingerprints by which it counts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256
from entropy_flows.schemas.stages import LEDGER_STAGES
from entropy_flows.store.arrays import pack

if TYPE_CHECKING:
    from pymatgen.core import Structure

NAMESPACE = uuid.UUID("6f0e51c3-6f5c-4a39-9a0a-1b9a4c7b7a11")
"""Namespace of the identifiers that follow from names."""


def structure_id(campaign: str, key: str) -> str:
    """Return the identifier of a structure: the same whoever computes it and however often."""
    return str(uuid.uuid5(NAMESPACE, f"{campaign}/{key}"))


def stage_rank(stage: str) -> int:
    """Return where a stage stands within its iteration in the ledger."""
    return LEDGER_STAGES.index(stage)


@dataclass(frozen=True)
class Entry:
    """A structure to append to the ledger.

    Attributes
    ----------
    key
        Name that is unique within the campaign.
    structure
        The cell.
    q
        Its fingerprints (n_atoms, dim).
    gain
        ΔH when it was accepted; None for what bypassed the filter.
    variance_gain
        What it took off the unknown of the iteration's target; None if it was not chosen for that.
    origin
        Where it came from: phase, temperature, k, pressure, mode, run, step, model, …
    """

    key: str
    structure: Structure
    q: Array
    gain: float | None
    origin: dict[str, Any] = field(default_factory=dict)
    variance_gain: float | None = None

    def document(self, campaign: str, position: int, iteration: int, stage: str) -> dict[str, Any]:
        """Build the document of `structures` that keeps this entry at a position of the ledger."""
        cell = self.structure
        aim = {} if self.variance_gain is None else {"variance_gain": self.variance_gain}
        return {
            **aim,
            "_id": structure_id(campaign, self.key),
            "campaign": campaign,
            "key": self.key,
            "position": position,
            "iteration": iteration,
            "stage": stage,
            "rank": stage_rank(stage),
            "formula": cell.composition.reduced_formula,
            "n_atoms": len(cell),
            "elements": sorted({site.specie.symbol for site in cell}),
            "volume_per_atom": cell.volume / len(cell),
            "gain": self.gain,
            "origin": self.origin,
            "structure": cell.as_dict(),
            "fingerprint": bytes_sha256(pack(self.q)),
            "created": datetime.now(UTC),
        }
