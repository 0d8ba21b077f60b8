"""The keys of imported cells."""

from __future__ import annotations

import numpy as np

from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy import Mode
from entropy_flows.geometry import cell_hash
from entropy_flows.label.existing import ImportedFrame


def content_key(frame: ImportedFrame) -> str:
    """Hash an imported cell and its label to the cell's key."""
    assert frame.structure is not None
    label = frame.label
    assert label is not None
    numbers = [
        np.ravel(value)
        for value in (label.free_energy, label.forces, label.stress)
        if value is not None
    ]
    content = np.concatenate(numbers).astype("<f8").tobytes()
    return f"import/{bytes_sha256([cell_hash(frame.structure).encode(), content])[:32]}"


def drawn_mode(key: str, per_atom: float) -> Mode:
    """Draw a cell's mode from its key: the same whenever it is imported."""
    return "atom" if int(key.rsplit("/", 1)[1][:8], 16) / 16**8 < per_atom else "config"
