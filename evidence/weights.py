"""Measure what weights of labels by the target do (`train: {weights: target}`).

The same cells, drawn as for the other students, are fitted with the weights that the target of
the variance campaign of their seed has for them, and without. The student is quick, so what is
measured is the weights, and no network's luck.

Example: python evidence/weights.py --system silicon --folder runs/evidence
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from campaign_tables import Estimate, joined
from campaigns import LOGDET, POOL_SEEDS, VARIANCE, SystemPools
from fits import FITS, LARGE, Fits
from pool_cells import INDEPENDENT, RANDOM
from shared import SUMMARY, SYSTEMS, TITLES, campaign_file, command_line, write_rows
from students import Point, Students

from entropy_flows.conventions import Array
from entropy_flows.entropy import CellBasis, CellMeans
from entropy_flows.entropy.target_weights import target_weights
from entropy_flows.files import read_json, write_json
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.launch.session import open_session
from entropy_flows.report.text import markdown_table

METHODS = (LOGDET, VARIANCE, RANDOM)
SIZE = 200
QUANTITIES = {"energy_mae": "energy MAE", "energy_rmse": "energy RMSE", "forces_mae": "force MAE"}
PAGE = SUMMARY.with_name("weights.md")
HEADER = """# Evidence: weights of labels by the target

Written by `python evidence/weights.py`. Errors of models whose labels were weighted for plain
dynamics (`train: {weights: target}`), divided by those of models of the same cells without weights.
**Below 1 the weights help.** Each model has 200 cells; labels are SevenNet-0's.
The mean is over two pools and their draws; its ± is that of the pools or of the draws, whichever
is larger.
"""


@dataclass(frozen=True)
class TargetOfCampaign:
    """The target of a campaign, with what its weights are computed from."""

    basis: CellBasis
    target: CellMeans
    shares: Array
    fingerprint: Fingerprint

    @classmethod
    def read(cls, system: str, folder: Path, seed: int) -> TargetOfCampaign:
        """Read the last target of a system's variance campaign."""
        with open_session(campaign_file(system), folder) as session:
            pools = SystemPools(session)
            store = session.store.of(pools.rule(VARIANCE, seed).name)
            ledger = store.ledger(store.campaign().dataset)
            row = ledger.target_row(max(each["iteration"] for each in store.iterations()))
            assert row is not None, "each iteration of a variance campaign has a target"
            cells = ledger.target_cells(row)
            basis = ledger.basis(row["basis"])
            return cls(basis, cells.means, cells.weights, ledger.fingerprint)

    def weights(self, prints: Sequence[Array]) -> Array:
        """Return the weights (n,) of labelled cells of these fingerprints."""
        return target_weights(self.basis, CellMeans.of(prints), self.target, self.shares)


@dataclass(frozen=True)
class WeightTest:
    """Fits of a system's pools, with weights and without."""

    system: str
    students: Students
    student: str

    @cached_property
    def _fits(self) -> Fits:
        pools, base = self.students.pools, self.students.base
        return Fits.of(self.student, pools, base, self.students.folder)

    def points(self, draws: int) -> Iterator[Point]:
        """Yield what is trained on."""
        return self.students.points(self.student, METHODS, [SIZE], draws)

    def file(self, point: Point) -> Path:
        """Return the file of a result."""
        return self.students.folder / "weights" / f"{self.student} {point.name}.json"

    def run(self, draws: int) -> None:
        """Fit what is missing."""
        self.students.folder.joinpath("weights").mkdir(exist_ok=True)
        tests = self.students.pools.tests()
        for seed in POOL_SEEDS:
            missing = [
                point
                for point in self.points(draws)
                if point.pool_seed == seed and not self.file(point).is_file()
            ]
            if not missing:
                continue
            target = TargetOfCampaign.read(self.system, self.students.folder, seed)
            prints: dict[int, Array] = {}
            for point in missing:
                train, _ = self.students.training(point)
                weights = target.weights(self._prints(target.fingerprint, train, prints))
                fits = {
                    "plain": self._fits.point(train, tests),
                    "weighted": self._fits.point(train, tests, weights),
                }
                ends = np.quantile(weights, [0.05, 0.95]).round(3).tolist()
                write_json(self.file(point), {**point._asdict(), **fits, "weights": ends})

    @staticmethod
    def _prints(
        fingerprint: Fingerprint, cells: Sequence[Atoms], prints: dict[int, Array]
    ) -> list[Array]:
        """Return the fingerprints of cells, each computed once."""
        new = [atoms for atoms in cells if atoms.info["index"] not in prints]
        indices = [atoms.info["index"] for atoms in new]
        prints.update(zip(indices, fingerprint(new) if new else [], strict=True))
        return [prints[atoms.info["index"]] for atoms in cells]

    def rows(self, draws: int) -> Iterator[dict[str, Any]]:
        """Yield the ratios, one a pool, test and quantity."""
        documents = [read_json(self.file(point), None) for point in self.points(draws)]
        done = [document for document in documents if document is not None]
        for method in METHODS:
            own = [document for document in done if document["method"] == method]
            for test in dict.fromkeys((method, RANDOM, INDEPENDENT)):
                for quantity in QUANTITIES:
                    estimate = _ratio(own, test, quantity)
                    if estimate is not None:
                        yield self._row(method, test, quantity, estimate)

    def _row(self, method: str, test: str, quantity: str, estimate: Estimate) -> dict[str, Any]:
        return {
            "system": self.system,
            "pool": method,
            "test": test,
            "student": self.student,
            "N": SIZE,
            "quantity": f"{quantity}, weighted ÷ not",
            "value": float(f"{estimate.value:.4g}"),
            "error": float(f"{estimate.error:.3g}"),
            "seeds": list(estimate.seeds),
            "pools": estimate.pools,
            "command": f"python evidence/weights.py --system {self.system}",
        }


def _ratio(documents: Sequence[Mapping[str, Any]], test: str, quantity: str) -> Estimate | None:
    """Average the ratio of errors over pools and draws."""
    values: dict[int, dict[int, float]] = {}
    for document in documents:
        weighted = joined(document["weighted"]["errors"], test, quantity)
        plain = joined(document["plain"]["errors"], test, quantity)
        if weighted is not None and plain is not None:
            values.setdefault(document["pool_seed"], {})[document["seed"]] = weighted / plain
    return Estimate.of(values) if values else None


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the table of a system."""
    by_place: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        quantity = row["quantity"].partition(",")[0]
        text = f"{row['value']:.2f} ± {row['error']:.2f}"
        by_place.setdefault((row["pool"], row["test"]), {})[quantity] = text
    header = ["trained on", "test", *QUANTITIES.values()]
    return [header, *([*place, *values.values()] for place, values in by_place.items())]


def main() -> None:
    """Fit what is missing, and write the page."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--system", nargs="+", choices=SYSTEMS, default=["silicon"], help="default: silicon"
    )
    parser.add_argument("--student", choices=FITS, default=LARGE, help="default: %(default)s")
    parser.add_argument("--draws", type=int, default=10, help="default: %(default)s")
    options = parser.parse_args()
    lines = [HEADER]
    rows: list[dict[str, Any]] = []
    for system in options.system:
        students = Students.of(system, options.folder / system)
        test = WeightTest(system, students, options.student)
        test.run(options.draws)
        rows_of_system = list(test.rows(options.draws))
        rows += rows_of_system
        lines += [
            f"## {TITLES[system]}, {options.student}\n",
            markdown_table(table(rows_of_system)),
        ]
    write_rows("weights.py", rows)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
