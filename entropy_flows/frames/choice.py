"""Frames that were chosen, with what they cover, and how they are written."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write

from entropy_flows.conventions import Array
from entropy_flows.entropy import Mode
from entropy_flows.files import whole_file

INFO_KEYS = ("select_source", "select_frame", "select_rank", "select_gain")
"""Keys of a chosen cell's `info`: file, number in it from 0, rank from 1, and ΔH."""


@dataclass(frozen=True, eq=False)
class ChosenFrame:
    """A frame that was chosen.

    Attributes
    ----------
    source, frame
        File, and number in it from 0.
    rank
        1 for the first that was chosen.
    gain
        ΔH per configuration when it was chosen.
    atoms
        The cell, with the label that the file has of it.
    """

    source: str
    frame: int
    rank: int
    gain: float
    atoms: Atoms = field(repr=False)


@dataclass(frozen=True)
class SourceCount:
    """Frames of one source.

    Attributes
    ----------
    name
        The file.
    frames
        Frames in it.
    unusable
        Frames that cannot be used.
    copies
        Frames whose cell is in the data set already.
    chosen
        Frames that were chosen.
    """

    name: str
    frames: int
    unusable: int
    copies: int
    chosen: int


@dataclass(frozen=True, eq=False)
class Coverage:
    """The data set beside the pool, before and after the choice.

    Attributes
    ----------
    entropy_before, entropy_after
        Mode → log det Σ of the data set; None for an empty one.
    points, dataset, chosen
        Mean fingerprints (n, d) of a sample of the pool, of the data set and of the choice.
    before, after
        Distance of each cell of the sample to the nearest of the data set, without and with the
        choice, in standard deviations of the pool. None for an empty data set.
    """

    entropy_before: dict[Mode, float] | None
    entropy_after: dict[Mode, float]
    points: Array = field(repr=False)
    dataset: Array = field(repr=False)
    chosen: Array = field(repr=False)
    before: Array | None = field(repr=False)
    after: Array | None = field(repr=False)


@dataclass(frozen=True, eq=False)
class FrameChoice:
    """The result of `choose_frames`.

    Attributes
    ----------
    frames
        What was chosen, in the order of choosing.
    sources
        Counts of each file.
    dataset_size
        Cells of the data set that count as known.
    reason
        Why fewer were chosen than asked for; "" if they were not.
    selector, fingerprint
        What they were chosen by.
    coverage
        What the data set covers before and after.
    unknown
        Share of the selector's target that is not known, before and after; None without a target.
    left_out
        A line for each frame that cannot be used, the first thousand.
    kept_bytes
        Memory that the selector needs for the pool as a whole.
    """

    frames: list[ChosenFrame]
    sources: list[SourceCount]
    dataset_size: int
    reason: str
    selector: str
    fingerprint: Any
    coverage: Coverage
    unknown: tuple[float, float] | None
    left_out: list[str]
    kept_bytes: int

    @property
    def cells(self) -> list[Atoms]:
        """The chosen cells, each with `INFO_KEYS` in its `info`."""
        return [frame.atoms for frame in self.frames]

    @property
    def gains(self) -> list[float]:
        """ΔH of each, in the order of choosing."""
        return [frame.gain for frame in self.frames]

    def write(self, path: Path | str, overwrite: bool = False) -> None:
        """Write the chosen cells as extended XYZ, all of them or nothing.

        Raises
        ------
        ValueError
            If there is such a file and it may not be replaced.
        """
        target = Path(path)
        check_output(target, overwrite)
        text = io.StringIO()
        write(text, self.cells, format="extxyz")
        with whole_file(target) as file:
            file.write(text.getvalue().encode())


def check_output(path: Path, overwrite: bool) -> None:
    """Raise a ValueError if a file cannot be written, or is there and may not be replaced."""
    if path.name.lower().endswith((".gz", ".bz2", ".xz", ".zst")):
        raise ValueError(f"{path}: the choice is written as plain extended XYZ; expected .extxyz")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give --force to replace it")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is no folder that exists")


def mark(atoms: Atoms, source: str, frame: int, rank: int, gain: float) -> ChosenFrame:
    """Write where a cell is from, and why it was chosen, into its `info`."""
    values: Sequence[Any] = (source, int(frame), int(rank), float(gain))
    atoms.info |= dict(zip(INFO_KEYS, values, strict=True))
    atoms.info = {key: value for key, value in atoms.info.items() if value is not None}
    return ChosenFrame(source, frame, rank, gain, atoms)


def quantiles(distances: Array) -> tuple[float, float]:
    """Return the median and the 95th percentile of distances."""
    median, high = np.quantile(distances, (0.5, 0.95))
    return float(median), float(high)
