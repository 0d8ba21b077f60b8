"""An observer of a run of ASE that grades its configurations, ends the run, or harvests frames.

It reads the positions and nothing else: neither calculator nor random numbers are touched, so the
run is the same bit by bit with it and without it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.md import MolecularDynamics

from entropy_flows.conventions import Array
from entropy_flows.evaluate.novelty import Novelty, batches_of, graded
from entropy_flows.files import append_text

SPACING = 100
"""Steps between two harvested frames at least: a tenth of a picosecond at 1 fs."""
LOG_HEADER = "# step  time/ps     grade  atom\n"


class GradeRecord(NamedTuple):
    """One look at a run."""

    step: int
    """Number of the step."""
    time: float
    """Time in ps."""
    grade: float
    """γ, the grade of the worst atom."""
    atom: int
    """Index of the worst atom."""


class NoveltyObserver:
    """Watch how far a run is from a data set.

    Parameters
    ----------
    dynamics
        The run: Langevin, VelocityVerlet, an NPT or any other of `ase.md`. Only a weak reference
        is kept.
    novelty
        The data set. It is not changed.
    stop_above
        γ above which the run ends after the step, as if it had done all its steps; None never
        ends it.
    harvest_above
        γ above which a frame is written to `harvest_file`; None writes none.
    harvest_file
        Extended XYZ, appended to. Frames have the columns and keys of `graded`, and no energies:
        they are to be labelled. Frames that it has already count as known, so a run that goes on
        does not harvest them again.
    spacing
        Steps between two harvested frames at least.
    max_harvested
        Largest number of frames in the file; None for no limit.
    learn
        Whether a harvested frame counts as known from then on, for harvesting alone: what is
        recorded is always the distance from the data set as it was given.
    logfile
        File to which a line is appended at each look; None writes none.

    Attributes
    ----------
    records
        A `GradeRecord` for each look.
    harvested
        Steps whose frames were harvested.
    stopped
        Step after which the run was ended; None if it was not.

    Raises
    ------
    ValueError
        If the run has an element that the data set has not, or one of `harvest_above` and
        `harvest_file` is missing.

    Examples
    --------
    >>> observer = NoveltyObserver(
    ...     dynamics, novelty, stop_above=3.0, harvest_above=1.5, harvest_file="new.extxyz"
    ... )
    >>> dynamics.attach(observer, interval=10)
    >>> dynamics.run(100_000)
    >>> observer.stopped, max(observer.records, key=lambda record: record.grade)
    """

    def __init__(
        self,
        dynamics: MolecularDynamics,
        novelty: Novelty,
        *,
        stop_above: float | None = None,
        harvest_above: float | None = None,
        harvest_file: Path | str | None = None,
        spacing: int = SPACING,
        max_harvested: int | None = None,
        learn: bool = True,
        logfile: Path | str | None = None,
    ) -> None:
        if (harvest_above is None) != (harvest_file is None):
            raise ValueError(
                f"harvest_above is {harvest_above} and harvest_file {harvest_file}: expected both, "
                "or neither"
            )
        novelty.check_elements(dynamics.atoms)
        self.dynamics = weakref.proxy(dynamics)
        self.novelty = novelty
        self.stop_above = stop_above
        self.harvest_above = harvest_above
        self.harvest_file = None if harvest_file is None else Path(harvest_file)
        self.spacing = spacing
        self.max_harvested = max_harvested
        self.learn = learn
        self.logfile = None if logfile is None else Path(logfile)
        self.records: list[GradeRecord] = []
        self.harvested: list[int] = []
        self.stopped: int | None = None
        self._frames_before = 0
        self._enlarged = novelty
        if self.harvest_file is not None:
            self._enlarged = novelty.copy()
            self._learn_earlier_frames(self.harvest_file)

    @property
    def worst(self) -> float:
        """Return the largest γ so far; 0 before the first look."""
        return max((record.grade for record in self.records), default=0.0)

    def __call__(self) -> None:
        """Look at the run as it is now."""
        atoms = self.dynamics.atoms
        q = self.novelty.fingerprint(atoms)
        grades = self.novelty.grades_from(atoms, q)
        record = self._record(grades)
        if self.harvest_above is not None and record.grade > self.harvest_above:
            self._consider(atoms, q, grades, record)
        if self.stop_above is not None and record.grade > self.stop_above:
            self.stopped = record.step
            # The loop of every dynamics of ASE ends once `nsteps` has come to `max_steps`.
            self.dynamics.max_steps = self.dynamics.nsteps

    def _record(self, grades: Array) -> GradeRecord:
        """Keep, and log, the grade of the worst atom."""
        worst = int(np.argmax(grades))
        time = self.dynamics.get_time() / units.fs / 1000
        record = GradeRecord(self.dynamics.nsteps, time, float(grades[worst]), worst)
        self.records.append(record)
        if self.logfile is not None:
            is_new = not self.logfile.exists()
            line = f"{record.step:6d} {record.time:9.4f} {record.grade:9.4f} {record.atom:5d}\n"
            append_text(self.logfile, LOG_HEADER * is_new + line)
        return record

    def _consider(self, atoms: Atoms, q: Array, grades: Array, record: GradeRecord) -> None:
        """Harvest a frame, unless one like it was just taken."""
        assert self.harvest_above is not None
        assert self.harvest_file is not None
        count = self._frames_before + len(self.harvested)
        if self.max_harvested is not None and count >= self.max_harvested:
            return
        if self.harvested and record.step - self.harvested[-1] < self.spacing:
            return
        if self._enlarged.grades_from(atoms, q).max() <= self.harvest_above:
            return
        frame = graded(atoms, grades)
        frame.info |= {"step": record.step, "time_ps": record.time}
        text = StringIO()
        write(text, frame, format="extxyz")
        append_text(self.harvest_file, text.getvalue())
        self.harvested.append(record.step)
        if self.learn:
            self._enlarged.add(atoms, q)

    def _learn_earlier_frames(self, path: Path) -> None:
        """Let the frames of an earlier run into the statistics that harvesting goes by."""
        if not path.exists():
            return
        frames: Any = read(path, ":", format="extxyz")
        self._frames_before = len(frames)
        for batch in batches_of(frames if self.learn else []):
            prints: Sequence[Array] = self.novelty.fingerprint(batch)
            for atoms, q in zip(batch, prints, strict=True):
                self._enlarged.add(atoms, q)
