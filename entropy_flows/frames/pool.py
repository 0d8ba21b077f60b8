"""Frames of several files, numbered through, without holding them.

Files are read as often as somebody asks: once to count, once for the fingerprints, and once more
for the few frames that are chosen. So memory is that of a batch, whatever their length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from ase import Atoms

from entropy_flows.frames.locate import locate_files
from entropy_flows.frames.reader import Frame, cell_defect, count_frames, read_frames

MAX_LINES = 1000
"""Unusable frames whose reasons are kept; the others are counted."""
Sources = str | Path | Atoms | Iterable[str | Path | Atoms]
"""Files, folders and patterns, or cells."""
Progress = Callable[[str, int, int], None]
"""Takes what is done, how many frames have been read, and how many there are."""


class FrameSource:
    """A file with frames.

    Attributes
    ----------
    name
        The file's path.
    count
        Number of its frames.
    """

    def __init__(self, path: Path, species: Sequence[str] | None = None) -> None:
        self.name = str(path)
        self._path = path
        self._species = species
        self.count = count_frames(path, species)

    def frames(
        self, indices: Collection[int] | None = None, with_labels: bool = False
    ) -> Iterator[Frame]:
        """Read frames of the file; see `read_frames`."""
        return read_frames(self._path, self._species, indices, with_labels)


class CellSource:
    """Cells in memory, as a source of frames."""

    def __init__(self, cells: Sequence[Atoms], name: str = "cells") -> None:
        self.name = name
        self._cells = cells
        self.count = len(cells)

    def frames(
        self, indices: Collection[int] | None = None, with_labels: bool = False
    ) -> Iterator[Frame]:
        """Return the cells as frames; the labelled ones are copies with their results."""
        for index, atoms in enumerate(self._cells):
            if indices is not None and index not in indices:
                continue
            defect = cell_defect(atoms)
            yield Frame(self.name, index, None if defect else _copy(atoms, with_labels), defect)


def _copy(atoms: Atoms, with_labels: bool) -> Atoms:
    if not with_labels:
        return atoms
    twin = atoms.copy()
    twin.calc = atoms.calc
    return twin


@dataclass
class FramePool:
    """Frames of several sources, numbered through in the order of the sources.

    Attributes
    ----------
    sources
        Files, or cells in memory.
    unreadable
        A line for each file of a folder or a pattern that cannot be read at all.
    unusable
        Source → number of its frames that cannot be used, of the last reading.
    lines
        A line for each of the first of these: file, number and reason.
    """

    sources: list[FrameSource | CellSource]
    unreadable: list[str] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, sources: Sources, species: Sequence[str] | None = None) -> FramePool:
        """Find the files of a pool and count their frames.

        Parameters
        ----------
        sources
            Files, folders or patterns, as `locate_files` takes them; or cells.
        species
            Elements of the types of LAMMPS dumps.

        Raises
        ------
        ValueError
            If there is no such file, or the only one cannot be read.
        """
        items = [sources] if isinstance(sources, str | Path | Atoms) else list(sources)
        cells = [item for item in items if isinstance(item, Atoms)]
        paths = locate_files(item for item in items if not isinstance(item, Atoms))
        pool = cls([CellSource(cells)] if cells else [])
        for path in paths:
            try:
                pool.sources.append(FrameSource(path, species))
            except ValueError as err:
                if len(paths) == 1:
                    raise
                pool.unreadable.append(str(err))
        if paths and not pool.sources:
            raise ValueError(f"none of {len(paths)} files can be read; {pool.unreadable[0]}")
        return pool

    def __len__(self) -> int:
        """Return the number of frames, those that cannot be used among them."""
        return sum(source.count for source in self.sources)

    @property
    def starts(self) -> list[int]:
        """Number of the first frame of each source."""
        return list(accumulate((source.count for source in self.sources), initial=0))[:-1]

    def locate(self, number: int) -> tuple[int, int]:
        """Return the position of a frame's source, and the frame's number in it."""
        starts = self.starts
        position = bisect_right(starts, number) - 1
        return position, number - starts[position]

    def first_cells(self) -> Iterator[Atoms]:
        """Read the first usable cell of each source."""
        for source in self.sources:
            for frame in source.frames():
                if frame.atoms is not None:
                    yield frame.atoms
                    break

    def cells(self, numbers: Collection[int] | None = None) -> Iterator[tuple[int, Atoms]]:
        """Read usable cells with their numbers; the others are counted in `unusable`.

        Parameters
        ----------
        numbers
            Numbers of the frames to read; None reads all.
        """
        self.unusable = Counter()
        self.lines = []
        for start, source in zip(self.starts, self.sources, strict=True):
            indices = None
            if numbers is not None:
                end = start + source.count
                indices = {number - start for number in numbers if start <= number < end}
            for frame in source.frames(indices):
                if frame.atoms is not None:
                    yield start + frame.index, frame.atoms
                else:
                    self.leave_out(start + frame.index, frame.defect or "no cell")

    def leave_out(self, number: int, reason: str) -> None:
        """Count a frame that cannot be used."""
        position, index = self.locate(number)
        source = self.sources[position].name
        self.unusable[source] += 1
        if len(self.lines) < MAX_LINES:
            self.lines.append(f"{source}[{index}]: {reason}")

    def labelled_cells(self, numbers: Sequence[int]) -> list[Atoms]:
        """Read the cells of some frames again, with their labels, in the order of the numbers.

        Raises
        ------
        ValueError
            If a file has changed meanwhile.
        """
        indices: dict[int, set[int]] = {}
        for number in numbers:
            position, index = self.locate(number)
            indices.setdefault(position, set()).add(index)
        cells: dict[tuple[int, int], Atoms] = {}
        for position, chosen in indices.items():
            for frame in self.sources[position].frames(chosen, with_labels=True):
                if frame.atoms is not None:
                    cells[position, frame.index] = frame.atoms
        keys = [self.locate(number) for number in numbers]
        for position, index in keys:
            if (position, index) not in cells:
                name = self.sources[position].name
                raise ValueError(f"{name} has changed while it was read: frame {index} is gone")
        return [cells[key] for key in keys]
