"""Train students on the pools of a system, and test them on what no model has seen.

Each result is a file, so a run that was killed goes on. Fits (`linear`, `gp`) take seconds,
trainings minutes.

With `--teacher r2scan` the labels are those of `relabel.py`, another level of theory than that of
SevenNet-0. It is then a foundation model to start from. `delta, gp` leaves it as it is and learns
the difference, `sevennet` is fine-tuned.

Example: python evidence/students.py --system silicon --students gp small --folder runs/evidence
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ase import Atoms
from campaigns import POOL_SEEDS
from fits import FITS, Fits, kept
from pool_cells import FIRST, METHODS, PoolCells, write_pools
from shared import FOLDER, SYSTEMS, campaign_file, command_line

from entropy_flows.distill.networks import element_energies
from entropy_flows.evaluate.errors import errors
from entropy_flows.faults import MachineError
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import load_calculator
from entropy_flows.potentials.locate import locate_model
from entropy_flows.processes import locked
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.recipe import small_allegro

FIT_SEEDS = tuple(range(10))
"""Draws for students that take seconds; others have the seeds of the campaign file's curve."""
TEACHERS = {"sevennet": "pools", "r2scan": "pools-r2scan"}
"""Teacher → folder of the cells with its labels."""


class Point(NamedTuple):
    """What a student is trained on."""

    student: str
    method: str
    pool_seed: int
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its file, without suffix."""
        return f"{self.method}-{self.pool_seed}-{self.size}-{self.seed}"


@dataclass(frozen=True)
class NetworkStudent:
    """A network, and how it is trained."""

    recipe: dict[str, Any]
    """Changes of the recipe of the campaign file's curve."""
    base: str | None = None
    """Model to fine-tune; None takes the campaign's base model."""
    new: dict[str, Any] | None = None
    """Arguments of `small_allegro` for a new network, which starts from no model."""


NETWORKS = {
    "small": NetworkStudent({}),
    "small, new": NetworkStudent({"max_epochs": 200}, new={"l_max": 2, "scalars": 24}),
    "sevennet": NetworkStudent({"preset": "sevennet-0", "max_epochs": 30}, base="SevenNet-0"),
}
"""Students that are networks, by name."""


@dataclass(frozen=True)
class Students:
    """The students of a system.

    Attributes
    ----------
    campaign
        The system's campaign file.
    folder
        Folder of the system's evidence.
    pools
        Its cells, with the teacher's labels.
    teacher
        Key of `TEACHERS`.
    base
        The same cells with SevenNet-0's labels.
    """

    campaign: Campaign
    folder: Path
    pools: PoolCells
    teacher: str
    base: PoolCells

    @classmethod
    def of(cls, system: str, folder: Path, teacher: str = "sevennet") -> Students:
        """Read the pools of a system.

        Raises
        ------
        FileNotFoundError
            If a pool was not labelled by the teacher.
        """
        campaign = load_campaign(campaign_file(system))
        files = write_pools(system, folder)
        base = PoolCells.load(files, campaign.curve.max_force)
        labelled = [folder / TEACHERS[teacher] / file.name for file in files]
        cells = PoolCells.load(labelled, campaign.curve.max_force)
        return cls(campaign, folder, cells, teacher, base)

    def points(
        self,
        student: str,
        methods: Sequence[str] = METHODS,
        sizes: Sequence[int] | None = None,
        most: int | None = None,
    ) -> Iterator[Point]:
        """Yield what a student is trained on, with at most so many draws; large sizes first."""
        is_fit = student in FITS
        seeds = FIT_SEEDS if is_fit else self.campaign.curve.seeds
        for size in sorted(sizes or self.campaign.curve.sizes, reverse=True):
            for seed in seeds[:most]:
                for pool_seed, method in product(POOL_SEEDS, methods):
                    # nothing is drawn of a beginning, and a fit has no seed of its own
                    if is_fit and method in FIRST and seed != seeds[0]:
                        continue
                    if self.pools.has(method, pool_seed):
                        yield Point(student, method, pool_seed, size, seed)

    def file(self, point: Point) -> Path:
        """Return the file of a result."""
        return points_folder(self.folder, self.teacher, point.student) / f"{point.name}.json"

    def model(self, point: Point) -> Path:
        """Return the file of a trained model."""
        suffix = ".pth" if NETWORKS[point.student].base else ".nequip.zip"
        return self.file(point).with_suffix(suffix)

    def run(self, points: Sequence[Point], tell: Callable[[str], None]) -> None:
        """Train and test what is missing. Several processes share the points."""
        fits: Fits | None = None
        for number, point in enumerate(points, 1):
            if not self._missing_tests(point):
                continue
            if point.student in FITS and (fits is None or fits.name != point.student):
                fits = Fits.of(point.student, self.pools, self.base, self.folder)
            try:
                with locked(self.file(point).with_suffix(".lock"), point.name, patience=0):
                    if fits is None:
                        document = self._network(point)
                    else:
                        train, _ = self.training(point)
                        document = fits.point(train, self.pools.tests())
            except MachineError:
                # another process trains it
                continue
            cells = len(self.pools.frames)
            write_json(self.file(point), {**point._asdict(), "cells": cells, **document})
            errors_on_test = document["errors"]["independent"]["energy_mae"] * 1e3
            text = f"{document['cpu_seconds']:.0f} s, {errors_on_test:.2f} meV/atom"
            tell(f"{number} of {len(points)}: {point.student}, {point.name}, {text}")

    def _missing_tests(self, point: Point) -> dict[str, list[Atoms]]:
        """Return the tests that a point has no errors for: all, of a fit with another basis."""
        document = read_json(self.file(point), {})
        errors_by_test = document.get("errors", {})
        if point.student in FITS and document.get("cells") != len(self.pools.frames):
            errors_by_test = {}
        tests = self.pools.tests()
        return {name: cells for name, cells in tests.items() if name not in errors_by_test}

    def training(self, point: Point) -> tuple[list[Atoms], list[Atoms]]:
        """Return the cells to train on, and those to validate with."""
        return self.pools.training(point.method, point.pool_seed, point.size, point.seed)

    def _network(self, point: Point) -> dict[str, Any]:
        """Train a network unless it is there, and test it."""
        document = read_json(self.file(point), {"errors": {}})
        if not self.model(point).is_file():
            document |= self._train(point)
        calculator = load_calculator(str(self.model(point)))
        for test, cells in self._missing_tests(point).items():
            document["errors"][test] = kept(errors(cells, calculator).as_dict())
        return document

    def _recipe(self, student: NetworkStudent, seed: int) -> TrainParams:
        """Return the recipe of a network: the file's with changes, or another preset."""
        recipe = (self.campaign.curve.train or self.campaign.train).model_dump()
        if "preset" in student.recipe:
            recipe = {}
        return TrainParams.model_validate({**recipe, **student.recipe, "seed": seed})

    def _train(self, point: Point) -> dict[str, Any]:
        """Train a network, and keep its model."""
        student = NETWORKS[point.student]
        train, val = self.training(point)
        params = self._recipe(student, point.seed)
        workdir = self.file(point).with_suffix("")
        model: Any = locate_model(student.base or self.campaign.base_model, FOLDER)
        if student.new is not None:
            elements = self.campaign.elements
            energies = element_energies(train, elements)
            model = small_allegro(elements, seed=point.seed, energies=energies, **student.new)
        before = children_cpu_seconds()
        result = fine_tune(train, val, [], model, params, workdir)
        shutil.copy(result.model, self.model(point))
        shutil.rmtree(workdir)
        return {
            "cpu_seconds": round(children_cpu_seconds() - before, 1),
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "last_epoch": result.history[-1],
        }


def points_folder(folder: Path, teacher: str, student: str) -> Path:
    """Return the folder of a student's results."""
    name = "points" if teacher == "sevennet" else f"points-{teacher}"
    return folder / name / student.replace(", ", "-").replace(" ", "-")


def children_cpu_seconds() -> float:
    """Return the CPU time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Train what is missing."""
    parser = command_line(__doc__)
    parser.add_argument("--system", choices=SYSTEMS, default="silicon", help="default: %(default)s")
    students = (*FITS, *NETWORKS)
    parser.add_argument("--students", nargs="+", choices=students, required=True)
    parser.add_argument("--teacher", choices=TEACHERS, default="sevennet")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--sizes", nargs="+", type=int, help="default: the campaign file's")
    parser.add_argument("--draws", type=int, help="most draws; default: all")
    options = parser.parse_args()
    of_system = Students.of(options.system, options.folder / options.system, options.teacher)
    for student in options.students:
        points = list(of_system.points(student, options.methods, options.sizes, options.draws))
        of_system.run(points, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
