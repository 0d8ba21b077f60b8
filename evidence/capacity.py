"""Show whether a student's error is set by its size, its training or the data.

Models of the baseline's cells alone, so that nothing here compares rules: larger and smaller ones,
trained for longer and shorter, on fewer and more cells.

Example: python evidence/capacity.py --system silicon --kind gp --folder runs/evidence
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign_tables import Estimate, joined
from fits import Fits
from pool_cells import INDEPENDENT, RANDOM
from shared import SUMMARY, SYSTEMS, command_line, write_rows
from students import NETWORKS, NetworkStudent, Point, Students

from entropy_flows.files import read_json, write_json
from entropy_flows.report.text import MISSING, markdown_table

SIZES = (50, 100, 200)
TESTS = (RANDOM, INDEPENDENT)
PAGE = SUMMARY.with_name("capacity.md")
LANDMARKS = (150, 300, 600, 1200, 2400)
"""Of the Gaussian process: as many parameters."""
SHAPES: dict[str, dict[str, Any]] = {
    "l_max 1, 16 scalars": {"l_max": 1, "scalars": 16},
    "l_max 2, 24 scalars": {"l_max": 2, "scalars": 24},
    "l_max 2, 48 scalars": {"l_max": 2, "scalars": 48, "tensors": 16},
    "2 layers, l_max 1, 32 scalars": {"layers": 2, "l_max": 1, "scalars": 32},
}
"""Shapes of a new Allegro."""
EPOCHS = (40, 120, 360)


@dataclass(frozen=True)
class Capacity:
    """The students of one kind, of several sizes."""

    system: str
    students: Students
    kind: str

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.students.folder / "capacity" / self.kind

    def points(self, draws: int) -> Iterator[Point]:
        """Yield what is trained on: the baseline's cells."""
        for size in SIZES:
            yield from self.students.points("gp", [RANDOM], [size], draws)

    def run(self, draws: int) -> None:
        """Train and test what is missing."""
        if self.kind == "gp":
            for landmarks in LANDMARKS:
                self._fits(landmarks, draws)
            return
        for shape, arguments in SHAPES.items():
            for epochs in EPOCHS:
                name = f"{shape}, {epochs} epochs"
                network = NetworkStudent({"max_epochs": epochs}, new=arguments)
                self._networks(name, network, draws)

    def file(self, name: str, point: Point) -> Path:
        """Return the file of a result, whose folder is made."""
        folder = self.folder / name.replace(", ", "-").replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{point.name}.json"

    def _fits(self, landmarks: int, draws: int) -> None:
        """Fit Gaussian processes of one size."""
        name = f"{landmarks} landmarks"
        missing = [point for point in self.points(draws) if not self.file(name, point).is_file()]
        if not missing:
            return
        folder = self.folder / f"{landmarks}"
        folder.mkdir(parents=True, exist_ok=True)
        fits = Fits.of("gp", self.students.pools, self.students.base, folder, landmarks)
        for point in missing:
            train, _ = self.students.training(point)
            document = fits.point(train, self.students.pools.tests())
            write_json(self.file(name, point), {**point._asdict(), **document})

    def _networks(self, name: str, network: NetworkStudent, draws: int) -> None:
        """Train new networks of one shape."""
        NETWORKS[name] = network
        home = replace(self.students, folder=self.folder)
        points = [point._replace(student=name) for point in self.points(draws)]
        home.run([point for point in points if point.size == SIZES[-1]], print)
        for point in points:
            if home.file(point).is_file():
                write_json(self.file(name, point), read_json(home.file(point), None))

    def table(self) -> tuple[list[list[str]], list[dict[str, Any]]]:
        """Return energy and force MAE by size of the model and number of cells, and rows."""
        table = [
            ["model", "test", *(f"E, N = {n}" for n in SIZES), *(f"F, N = {n}" for n in SIZES)]
        ]
        rows: list[dict[str, Any]] = []
        for folder in sorted(self.folder.glob("*"), key=_by_number):
            documents = [read_json(file, None) for file in folder.glob("*.json")]
            if not documents:
                continue
            title = folder.name.replace("-", ", ").replace("_", " ")
            for test in TESTS:
                cells = [title, test]
                for quantity in ("energy_mae", "forces_mae"):
                    for size in SIZES:
                        estimate = _estimate(documents, size, test, quantity)
                        cells.append(MISSING if estimate is None else estimate.text(1e3))
                        if estimate is not None:
                            rows.append(self._row(title, test, quantity, size, estimate))
                table.append(cells)
        return table, rows

    def _row(
        self, title: str, test: str, quantity: str, size: int, estimate: Estimate
    ) -> dict[str, Any]:
        """Return a row of the summary."""
        return {
            "system": self.system,
            "pool": RANDOM,
            "test": test,
            "student": f"{self.kind}, {title}",
            "N": size,
            "quantity": quantity,
            "value": float(f"{estimate.value:.4g}"),
            "error": float(f"{estimate.error:.3g}"),
            "seeds": list(estimate.seeds),
            "pools": estimate.pools,
            "command": f"python evidence/capacity.py --kind {self.kind}",
        }


def _by_number(folder: Path) -> tuple[int, str]:
    number = folder.name.partition("_")[0]
    return (int(number) if number.isdigit() else 0), folder.name


def _estimate(
    documents: list[dict[str, Any]], size: int, test: str, quantity: str
) -> Estimate | None:
    """Average an error over pools and draws."""
    values: dict[int, dict[int, float]] = {}
    for document in documents:
        error = joined(document["errors"], test, quantity)
        if document["size"] == size and error is not None:
            values.setdefault(document["pool_seed"], {})[document["seed"]] = error
    return Estimate.of(values) if values else None


def main() -> None:
    """Train what is missing, and write the page."""
    parser = command_line(__doc__)
    parser.add_argument("--system", choices=SYSTEMS, default="silicon", help="default: %(default)s")
    parser.add_argument("--kind", choices=("gp", "allegro"), required=True)
    parser.add_argument("--draws", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--tables", action="store_true", help="write from what there is")
    options = parser.parse_args()
    students = Students.of(options.system, options.folder / options.system)
    if not options.tables:
        Capacity(options.system, students, options.kind).run(options.draws)
    lines = ["# Evidence: what sets a student's error\n"]
    rows = []
    for kind in ("gp", "allegro"):
        table, rows_of_kind = Capacity(options.system, students, kind).table()
        if rows_of_kind:
            rows += rows_of_kind
            lines += [f"`python evidence/capacity.py --kind {kind}`; meV/atom and meV/Å:\n"]
            lines += [markdown_table(table), ""]
    write_rows("capacity.py", rows)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
