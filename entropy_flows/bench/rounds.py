"""Choose, train, test: the points of a benchmark, each kept as a file.

folder/
  bench.json                     settings of the benchmark; another one needs another folder
  prints.npz                     fingerprints, energies and forces of the pool, computed once
  design-STUDENT.npy             rows of features of the students `linear` and `gp`, computed once
  points/STUDENT/SELECTOR-N-SEED.json
                                 a result; a folder of that name holds fine-tunings while they are
                                 needed

A chain is what follows from one seed's first cells by one selector for one student: all sizes in
rounds, or one size without rounds. Chains need nothing of one another. Results are written as a
whole, and fine-tunings resume: a kill loses nothing. In rounds a choice depends on the sizes
before, so only larger ones can be added to the results that there are.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from entropy_flows.bench.design import Design, store_design
from entropy_flows.bench.memory import Peak
from entropy_flows.bench.params import REGRESSIONS, BenchParams, StudentName
from entropy_flows.bench.pool import SPLIT_SEED, LabelledPool, Stored
from entropy_flows.bench.regression import RegressionStudent
from entropy_flows.bench.students import ModelStudent, NetworkStudent, Student
from entropy_flows.bench.target import target_of
from entropy_flows.digest import file_sha256
from entropy_flows.entropy import MODES, CellMeans
from entropy_flows.evaluate.coverage import log_det
from entropy_flows.files import delete_unfinished, whole_file, write_json
from entropy_flows.select.committee import uncertain_quantity
from entropy_flows.select.pool import choose

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


class Chain(NamedTuple):
    """One selector's choices from one seed's first cells, for one student."""

    student: StudentName
    selector: str
    seed: int
    sizes: tuple[int, ...]


EXTENSIBLE_PARAMS = {"selectors", "sizes", "seeds", "students", "preset"}
"""Parameters to which more may be added when a benchmark has results."""


@dataclass(frozen=True)
class Bench:
    """A benchmark in its folder."""

    params: BenchParams
    folder: Path

    def prepare(self, progress: Progress = lambda *_: None) -> LabelledPool:
        """Check everything, and compute what students and selectors see of the cells.

        Parameters
        ----------
        progress
            Is told how many cells' features have been computed.

        Raises
        ------
        ValueError
            If the pool cannot be used (`LabelledPool.of`), or the folder has another benchmark's
            results.
        """
        for name in self.params.selectors:
            self.params.with_selector(name).check()
        settings = self._settings()
        settings_file = self.folder / "bench.json"
        if settings_file.is_file():
            self._check(json.loads(settings_file.read_text()), settings)
        else:
            # Fingerprints and features without settings are of an unknown pool.
            for file in (self._prints_file, *self.folder.glob("design-*.npy")):
                file.unlink(missing_ok=True)
        pool = LabelledPool.of(self.params, self._stored_prints())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._prints_file.is_file() and not self.params.is_table:
            self._store_prints(pool)
        write_json(settings_file, settings)
        self._store_designs(pool, progress)
        return pool

    def _store_designs(self, pool: LabelledPool, progress: Progress) -> None:
        """Compute the features of the students that have none yet."""
        for student in self.params.students:
            file = self._design_file(student)
            if student not in REGRESSIONS or file.is_file():
                continue
            # Rows of a process that was killed: gigabytes of a large pool.
            delete_unfinished(self.folder)
            forces = self.params.forces
            store_design(file, pool.frames, self.params.regression, student, forces, progress)

    def _settings(self) -> dict[str, Any]:
        """Return all that decides the results beside `EXTENSIBLE_PARAMS`."""
        settings = self.params.model_dump(mode="json", exclude=EXTENSIBLE_PARAMS)
        settings["train"] = self.params.train.identity()
        settings["rounds"] = sorted(self.params.sizes) if self.params.initial else []
        for source in ("pool", "base_model"):
            # A file counts by its content: it may be moved.
            if settings[source] and Path(settings[source]).is_file():
                settings[source] = file_sha256(settings[source])
        return settings

    def _check(self, stored: dict[str, Any], settings: dict[str, Any]) -> None:
        """Refuse what would mix two benchmarks in one folder."""
        # Larger sizes only add rounds at the end, which leaves the earlier choices as they are.
        rounds = stored.get("rounds", [])
        if rounds and settings["rounds"][: len(rounds)] == rounds:
            stored = {**stored, "rounds": settings["rounds"]}
        names = {*stored, *settings}
        changed = sorted(name for name in names if stored.get(name) != settings.get(name))
        if changed == ["rounds"]:
            raise ValueError(
                f"{self.folder} has results in rounds up to {', '.join(map(str, rounds))} cells, "
                "and what was chosen depends on them: only larger sizes can be added; give another "
                "folder, or take those back"
            )
        if changed:
            raise ValueError(
                f"{self.folder} has results with another {', '.join(changed)}: give another "
                "folder, or take that one back"
            )

    def pool(self, chain: Chain) -> LabelledPool:
        """Return the pool with a chain's split.

        Its cells are read again where a model is to be trained on them.
        """
        with_frames = chain.student == "model"
        seed = chain.seed if self.params.split_by_seed else SPLIT_SEED
        return LabelledPool.of(self.params, self._stored_prints(), with_frames, seed)

    def design(self, student: StudentName) -> Design:
        """Return the features of a student."""
        return Design.load(self._design_file(student))

    def missing(self) -> Iterator[Chain]:
        """Yield the chains that lack a result."""
        sizes = tuple(sorted(self.params.sizes))
        groups = [sizes] if self.params.initial else [(size,) for size in sizes]
        for student in self.params.students:
            for seed in self.params.seeds:
                for group in groups:
                    for selector in self.params.selectors:
                        chain = Chain(student, selector, seed, group)
                        if not all(self.point_file(chain, size).is_file() for size in group):
                            yield chain

    def points(self) -> list[dict[str, Any]]:
        """Return all results, small sizes first."""
        files = [
            self.point_file(Chain(student, selector, seed, (size,)), size)
            for student in self.params.students
            for size in sorted(self.params.sizes)
            for seed in self.params.seeds
            for selector in self.params.selectors
        ]
        return [json.loads(file.read_text()) for file in files]

    def point_file(self, chain: Chain, size: int) -> Path:
        """Return the file of a result."""
        folder = self.folder / "points" / chain.student
        return folder / f"{chain.selector}-{size}-{chain.seed}.json"

    def _design_file(self, student: StudentName) -> Path:
        return self.folder / f"design-{student}.npy"

    @property
    def _prints_file(self) -> Path:
        return self.folder / "prints.npz"

    def _store_prints(self, pool: LabelledPool) -> None:
        sizes = [len(q) for q in pool.prints]
        rows = np.concatenate(pool.prints)
        forces = np.concatenate(pool.forces)
        with whole_file(self._prints_file) as file:
            np.savez(file, rows=rows, sizes=sizes, targets=pool.targets, forces=forces)

    def _stored_prints(self) -> Stored | None:
        if not self._prints_file.is_file():
            return None
        with np.load(self._prints_file, allow_pickle=False) as stored:
            ends = np.cumsum(stored["sizes"])[:-1]
            prints = np.split(stored["rows"], ends)
            return Stored(prints, stored["targets"], np.split(stored["forces"], ends))


def read_points(folder: Path) -> list[dict[str, Any]]:
    """Read all results in a benchmark's folder.

    Raises
    ------
    ValueError
        If there are none.
    """
    files = sorted(folder.glob("points/*/*.json"))
    if not files:
        raise ValueError(f"{folder} has no results of bench-selectors (points/STUDENT/*.json)")
    return [json.loads(file.read_text()) for file in files]


def run_chain(bench: Bench, chain: Chain) -> list[dict[str, Any]]:
    """Compute a chain's results, going on from those that there are."""
    return list(_ChainRun(bench, bench.pool(chain), chain).points())


def run_chains(bench: Bench, chains: Sequence[Chain]) -> list[list[dict[str, Any]]]:
    """Compute the results of several chains of one seed, whose pool is read once."""
    pool = bench.pool(chains[0])
    return [list(_ChainRun(bench, pool, chain).points()) for chain in chains]


class _ChainRun:
    """The cells that one selector chooses from one seed's first cells, and their student.

    Attributes
    ----------
    chain
        What is computed.
    selection
        The selector with its parameters.
    training_side
        Indices in the pool of the cells to choose from.
    prints
        Fingerprints of those cells.
    chosen
        Positions in `training_side` of the chosen cells.
    student
        Number of cells that the last student was trained on, and that student.
    folders
        Folders of fine-tunings, to be removed at the end.
    """

    def __init__(self, bench: Bench, pool: LabelledPool, chain: Chain) -> None:
        self.bench = bench
        self.pool = pool
        self.chain = chain
        self.seed = chain.seed
        self.params = bench.params
        self.selection = bench.params.with_selector(chain.selector)
        self.training_side = np.array(pool.split["train"])
        self.prints = [pool.prints[index] for index in self.training_side]
        order = np.random.default_rng([chain.seed, len(self.training_side)])
        first = order.permutation(len(self.training_side))[: bench.params.initial]
        self.chosen: list[int] = first.tolist()
        self.seconds = 0.0
        self.mib = 0.0
        self.reason = ""
        self.student: tuple[int, Student] | None = None
        self.folders: set[Path] = set()

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield a result for each size."""
        for size in self.chain.sizes:
            file = self.bench.point_file(self.chain, size)
            if file.is_file():
                self.folders.add(file.with_suffix(""))
                point = json.loads(file.read_text())
                self._resume(point)
            else:
                point = self._point(size)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, point)
            yield point
        # Trainings are kept until all sizes have a result: a chain that was killed resumes them.
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _resume(self, point: dict[str, Any]) -> None:
        """Go on from a result."""
        position = {index: k for k, index in enumerate(self.training_side.tolist())}
        self.chosen = [position[index] for index in point["chosen"]]
        self.seconds = point["selection_seconds"]
        self.mib = point["mib"]
        self.reason = point["reason"]

    def _point(self, size: int) -> dict[str, Any]:
        """Choose so many cells, train on them, and test."""
        self._choose(size)
        start = time.perf_counter()
        errors: dict[str, Any] = {}
        calibration: dict[str, Any] = {}
        # A selector that ended early has fewer cells: nothing is trained on those.
        if len(self.chosen) == size:
            test = self._student(size).test(self.pool.split["test"])
            errors = {"held-out": test["errors"]}
            calibration = test["calibration"]
        prints = [self.prints[k] for k in self.chosen]
        information = {mode: log_det(prints, self.params.regularization, mode) for mode in MODES}
        return {
            "student": self.chain.student,
            "method": self.chain.selector,
            "size": size,
            "seed": self.seed,
            "chosen": self.training_side[self.chosen].tolist(),
            "reason": self.reason,
            "selection_seconds": self.seconds,
            "mib": self.mib,
            "information": information,
            "wall_seconds": time.perf_counter() - start,
            "errors": errors,
            "calibration": calibration,
        }

    def _choose(self, size: int) -> None:
        """Choose up to so many cells, in rounds.

        Evaluating a committee counts as choosing, training it does not.
        """
        while len(self.chosen) < size and not self.reason:
            needs_committee = self.selection.needs_committee
            student = self._student(len(self.chosen)) if needs_committee else None
            with Peak() as peak:
                uncertainty = None
                if student is not None:
                    uncertainty = student.spread(self.training_side.tolist())
                choice = choose(
                    self.selection,
                    self.prints,
                    self._round_size(size),
                    self.seed,
                    self.params.regularization,
                    in_dataset=self.chosen,
                    uncertainty=uncertainty,
                    target=self._target,
                )
            self.seconds += peak.seconds
            self.mib = max(self.mib, peak.mib)
            self.chosen = self.chosen + choice.indices
            self.reason = choice.reason

    @cached_property
    def _target(self) -> CellMeans | None:
        """Cells that the selector names as its target, read once for all rounds."""
        return target_of(self.params, self.selection)

    def _round_size(self, size: int) -> int:
        """Return the number of cells of the next round."""
        if not self.params.initial:
            return size
        return min(self.params.batch or size, size - len(self.chosen))

    def _student(self, size: int) -> Student:
        """Return the student of the cells that are chosen now; train it if it is another one."""
        if self.student is None or self.student[0] != len(self.chosen):
            self.student = len(self.chosen), self._trained(size)
        return self.student[1]

    def _trained(self, size: int) -> Student:
        cells = self.training_side[self.chosen].tolist()
        if self.chain.student in REGRESSIONS:
            design = self.bench.design(self.chain.student)
            return RegressionStudent.trained(self.pool, design, self.params, cells)
        if self.chain.student == "networks":
            return NetworkStudent.trained(self.pool, self.params, cells, self.seed)
        has_committee = self.selection.needs_committee
        members = max(2, self.params.train.committee) if has_committee else 1
        folder = self.bench.point_file(self.chain, size).with_suffix("")
        self.folders.add(folder)
        quantity = uncertain_quantity(self.selection)
        return ModelStudent.trained(
            self.pool, self.params, cells, self.seed, members, folder, quantity
        )
