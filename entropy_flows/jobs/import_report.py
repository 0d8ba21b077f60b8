"""The report of an import: what became of a source's frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ImportReport:
    """The counts of an import, and the frames that were left out."""

    iteration: int
    """Iteration at whose end the cells stand."""
    read: int = 0
    """Frames of the source."""
    entered: int = 0
    """Cells that entered the ledger."""
    present: int = 0
    """Cells that were in the ledger before, or are twice in the source."""
    own_engine: int = 0
    """Cells that entered or are present, with labels of the campaign's own engine."""
    flagged: int = 0
    """Labels that were flagged as odd."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Source of each frame that was left out, and the reason."""
    before: dict[str, float] = field(default_factory=dict)
    """log det Σ per mode before the import."""
    after: dict[str, float] = field(default_factory=dict)
    """log det Σ per mode after it."""
    size: int = 0
    """Cells in the data set now."""
    notes: Counter[str] = field(default_factory=Counter)
    """Remarks on how frames were read, with their number."""
