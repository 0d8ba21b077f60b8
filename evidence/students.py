"""Train students on the pools of a system, and test them on what no model has seen.

Each result is a file, so a run that was killed goes on. Fits (`linear`, `gp`) take seconds,
trainings minutes.

Example: python evidence/students.py --system silicon --students gp small --folder runs/evidence
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from campaigns import POOL_SEEDS
from pool_cells import METHODS, PoolCells, write_pools
from shared import SYSTEMS, campaign_file, command_line

from entropy_flows.bench.design import Design, store_design
from entropy_flows.bench.params import REGRESSIONS, BenchParams
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.bench.regression import RegressionStudent
from entropy_flows.distill.networks import element_energies
from entropy_flows.evaluate.errors import errors
from entropy_flows.faults import MachineError
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import load_calculator
from entropy_flows.processes import locked
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.train import TrainParams, energy_per_atom, fine_tune
from entropy_flows.train.recipe import small_allegro

FIT_SEEDS = tuple(range(10))
"""Draws for students that take seconds; others have the seeds of the campaign file's curve."""
KEPT = ("n", "energy_mae", "energy_rmse", "forces_mae", "forces_rmse", "stress_mae")


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
    new: dict[str, Any] | None = None
    """Arguments of `small_allegro` for a new network; None fine-tunes the base model."""


NETWORKS = {
    "small": NetworkStudent({}),
    "small, new": NetworkStudent({"max_epochs": 200}, {"l_max": 2, "scalars": 24}),
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
        Its cells.
    """

    campaign: Campaign
    folder: Path
    pools: PoolCells

    @classmethod
    def of(cls, system: str, folder: Path) -> Students:
        """Read the pools of a system."""
        campaign = load_campaign(campaign_file(system))
        cells = PoolCells.load(write_pools(system, folder), campaign.curve.max_force)
        return cls(campaign, folder, cells)

    def points(
        self,
        student: str,
        methods: Sequence[str] = METHODS,
        sizes: Sequence[int] | None = None,
        most: int | None = None,
    ) -> Iterator[Point]:
        """Yield what a student is trained on, with at most so many draws; large sizes first."""
        seeds = FIT_SEEDS if student in REGRESSIONS else self.campaign.curve.seeds
        for size in sorted(sizes or self.campaign.curve.sizes, reverse=True):
            for seed in seeds[:most]:
                for pool_seed in POOL_SEEDS:
                    for method in methods:
                        yield Point(student, method, pool_seed, size, seed)

    def file(self, point: Point) -> Path:
        """Return the file of a result."""
        return self.folder / "points" / point.student.replace(", ", "-") / f"{point.name}.json"

    def model(self, point: Point) -> Path:
        """Return the file of a trained model."""
        return self.file(point).with_suffix(".nequip.zip")

    def run(self, points: Sequence[Point], tell: Callable[[str], None]) -> None:
        """Train and test what is missing. Several processes share the points."""
        fits: Fits | None = None
        for number, point in enumerate(points, 1):
            if not self._missing_tests(point):
                continue
            if point.student in REGRESSIONS and (fits is None or fits.kind != point.student):
                fits = Fits.of(self, point.student)
            try:
                with locked(self.file(point).with_suffix(".lock"), point.name, patience=0):
                    document = fits.point(point) if fits else self._network(point)
            except MachineError:
                # another process trains it
                continue
            write_json(self.file(point), {**point._asdict(), **document})
            errors_on_test = document["errors"]["independent"]["energy_mae"] * 1e3
            text = f"{document['cpu_seconds']:.0f} s, {errors_on_test:.2f} meV/atom"
            tell(f"{number} of {len(points)}: {point.student}, {point.name}, {text}")

    def _missing_tests(self, point: Point) -> dict[str, list[Atoms]]:
        """Return the tests that a point has no errors for."""
        errors_by_test = read_json(self.file(point), {}).get("errors", {})
        tests = self.pools.tests()
        return {name: cells for name, cells in tests.items() if name not in errors_by_test}

    def _network(self, point: Point) -> dict[str, Any]:
        """Train a network unless it is there, and test it."""
        document = read_json(self.file(point), {"errors": {}})
        if not self.model(point).is_file():
            document |= self._train(point)
        calculator = load_calculator(str(self.model(point)))
        for test, cells in self._missing_tests(point).items():
            document["errors"][test] = _kept(errors(cells, calculator).as_dict())
        return document

    def _train(self, point: Point) -> dict[str, Any]:
        """Train a network, and keep its model."""
        student = NETWORKS[point.student]
        train, val = self.pools.training(point.method, point.pool_seed, point.size, point.seed)
        recipe = (self.campaign.curve.train or self.campaign.train).model_dump()
        params = TrainParams.model_validate({**recipe, **student.recipe, "seed": point.seed})
        workdir = self.file(point).with_suffix("")
        model: Any = self.campaign.base_model
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


def children_cpu_seconds() -> float:
    """Return the CPU time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class Fits:
    """The students that are linear in features which are computed once for all pools."""

    kind: str
    students: Students
    params: BenchParams
    pool: LabelledPool
    design: Design

    @classmethod
    def of(cls, students: Students, kind: str) -> Fits:
        """Compute the features if they are not there; labels have no part in them.

        Raises
        ------
        ValueError
            If a pool is missing: the basis is drawn from all of them.
        """
        if not students.pools.is_complete:
            raise ValueError(f"{kind} needs all pools; run evidence/campaigns.py")
        frames = students.pools.frames
        params = BenchParams(pool="pools.extxyz", students=(kind,), sizes=(1,))
        file = students.folder / f"design-{kind}.npy"
        if not file.is_file():
            store_design(file, frames, params.regression, kind, forces=True)
        energies = np.array([energy_per_atom(atoms) for atoms in frames])
        forces = [atoms.get_forces() for atoms in frames]
        pool = LabelledPool([], energies, {}, ("energy", "meV/atom"), frames, forces)
        return cls(kind, students, params, pool, Design.load(file))

    def point(self, point: Point) -> dict[str, Any]:
        """Fit to a draw, and test."""
        pools = self.students.pools
        started = time.process_time()
        train, _ = pools.training(point.method, point.pool_seed, point.size, point.seed)
        student = RegressionStudent.trained(self.pool, self.design, self.params, _indices(train))
        tests = {
            test: _kept(student.test(_indices(cells))["errors"])
            for test, cells in pools.tests().items()
        }
        return {"errors": tests, "cpu_seconds": round(time.process_time() - started, 1)}


def _indices(cells: Sequence[Atoms]) -> list[int]:
    return [atoms.info["index"] for atoms in cells]


def _kept(values: dict[str, Any]) -> dict[str, float]:
    """Return the errors that the tables may show, in six digits."""
    return {name: float(f"{values[name]:.6g}") for name in KEPT if values.get(name) is not None}


def main() -> None:
    """Train what is missing."""
    parser = command_line(__doc__)
    parser.add_argument("--system", choices=SYSTEMS, default="silicon", help="default: %(default)s")
    students = (*REGRESSIONS, *NETWORKS)
    parser.add_argument("--students", nargs="+", choices=students, default=students)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--sizes", nargs="+", type=int, help="default: the campaign file's")
    parser.add_argument("--draws", type=int, help="most draws; default: all")
    options = parser.parse_args()
    of_system = Students.of(options.system, options.folder / options.system)
    for student in options.students:
        points = list(of_system.points(student, options.methods, options.sizes, options.draws))
        of_system.run(points, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
