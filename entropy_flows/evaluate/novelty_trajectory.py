"""Grades along a trajectory: streamed, so that 40 bytes of numbers are kept of each frame."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from entropy_flows.conventions import Array
from entropy_flows.evaluate.novelty import Novelty, batches_of, graded

MAX_WORST = 10
"""Number of frames that are kept whole: those with the largest grades."""


@dataclass
class GradedTrajectory:
    """A trajectory by its grades.

    Attributes
    ----------
    name
        Name of its file.
    frames
        Number of each frame in its file.
    grades
        γ of each frame: the grade of its worst atom.
    shares
        Share of the atoms of each frame whose γ_i is above `above`.
    atoms
        Index of the worst atom of each frame.
    sizes
        Number of atoms of each frame.
    above
        γ from which on atoms and frames are counted.
    """

    name: str
    above: float
    frames: array[int] = field(default_factory=lambda: array("q"))
    grades: array[float] = field(default_factory=lambda: array("d"))
    shares: array[float] = field(default_factory=lambda: array("d"))
    atoms: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    _worst: list[tuple[float, int, Atoms]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.grades)

    def add(self, frame: Atoms) -> None:
        """Add the next frame, as `graded` returns it."""
        number = frame.info.setdefault("frame", len(self))
        grade = frame.info["novelty"]
        self.frames.append(number)
        self.grades.append(grade)
        self.shares.append(float(frame.arrays["novel"].mean()))
        self.atoms.append(frame.info["worst_atom"])
        self.sizes.append(len(frame))
        # of equal grades the earlier frame is kept: no two entries compare by their cells
        entry = (grade, -number, frame)
        if len(self._worst) < MAX_WORST:
            heapq.heappush(self._worst, entry)
        elif entry > self._worst[0]:
            heapq.heapreplace(self._worst, entry)

    @property
    def worst_frames(self) -> list[Atoms]:
        """Return the frames with the largest grades, the worst first; `info` has their source."""
        frames = []
        for _, _, frame in sorted(self._worst, key=lambda entry: entry[:2], reverse=True):
            marked = frame.copy()
            marked.info["source"] = self.name
            frames.append(marked)
        return frames

    def summary(self) -> TrajectorySummary:
        """Return the numbers that a table shows.

        Raises
        ------
        ValueError
            If there is no frame.
        """
        if not self.grades:
            raise ValueError(f"{self.name} has no frames")
        grades = np.array(self.grades)
        is_above = grades > self.above
        worst = int(np.argmax(grades))
        return TrajectorySummary(
            frames=len(grades),
            median=float(np.median(grades)),
            high=float(np.quantile(grades, 0.95)),
            worst=float(grades[worst]),
            worst_frame=self.frames[worst],
            worst_atom=self.atoms[worst],
            share_above=float(is_above.mean()),
            atoms_above=float(np.average(self.shares, weights=self.sizes)),
            first_above=self.frames[int(np.argmax(is_above))] if is_above.any() else None,
        )


@dataclass(frozen=True)
class TrajectorySummary:
    """Grades of a trajectory in a few numbers.

    Attributes
    ----------
    frames
        Number of frames.
    median, high, worst
        Median, 95 % quantile and maximum of γ over the frames.
    worst_frame, worst_atom
        Where the maximum is.
    share_above, atoms_above
        Share of the frames whose γ, and of all atoms whose γ_i is above the limit.
    first_above
        First frame above the limit; None if there is none.
    """

    frames: int
    median: float
    high: float
    worst: float
    worst_frame: int
    worst_atom: int
    share_above: float
    atoms_above: float
    first_above: int | None


def grade_trajectory(
    name: str,
    frames: Iterable[Atoms],
    novelty: Novelty,
    above: float = 1.0,
    write: Callable[[Atoms], None] | None = None,
) -> GradedTrajectory:
    """Grade the frames of a trajectory one batch at a time.

    Parameters
    ----------
    name
        Name of the trajectory.
    frames
        The frames, which may be read as they are asked for; `info["frame"]` is the number of each.
        Those that have none are counted from 0.
    novelty
        The data set.
    above
        γ from which on atoms are marked and frames are counted.
    write
        Function that is called with each frame as `graded` returns it.
    """
    trajectory = GradedTrajectory(name, above)
    for frame in graded_frames(frames, novelty, above):
        trajectory.add(frame)
        if write is not None:
            write(frame)
    return trajectory


def graded_frames(frames: Iterable[Atoms], novelty: Novelty, above: float) -> Iterator[Atoms]:
    """Yield the frames with their grades."""
    for batch in batches_of(frames):
        for atoms, grades in zip(batch, novelty.grades_of(batch), strict=True):
            yield graded(atoms, grades, above)


def binned(values: Array, size: int) -> tuple[NDArray[np.intp], Array, Array]:
    """Thin out a long series for a plot, so that no peak is lost.

    Parameters
    ----------
    values
        A number for each frame (n,).
    size
        Largest number of points.

    Returns
    -------
    tuple
        First frame, mean and maximum of each bin.
    """
    width = max(1, -(-len(values) // size))
    starts = np.arange(0, len(values), width)
    counts = np.diff(np.append(starts, len(values)))
    means = np.add.reduceat(values, starts) / counts
    maxima: Array = np.maximum.reduceat(values, starts)
    return starts, means, maxima
