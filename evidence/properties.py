"""Compute properties of silicon by models that were trained on each pool, and by the teacher.

E(V), elastic constants, phonons, a vacancy, three surfaces and hot dynamics of diamond: the checks
of `entropy-flows physics`. Each result is a file, so a run that was killed goes on.

Example: python evidence/properties.py --student small --folder runs/evidence
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from campaign_tables import TITLES, Estimate
from fits import FITS, FitCalculator, Fits
from shared import SUMMARY, campaign_file, command_line, write_rows
from students import NETWORKS, Students

from entropy_flows.evaluate.physics import PhysicsParams, run_check
from entropy_flows.evaluate.physics.params import CheckName
from entropy_flows.explore import seed_cell
from entropy_flows.files import read_json, write_json
from entropy_flows.geometry import to_atoms
from entropy_flows.potentials import load_calculator
from entropy_flows.report.text import MISSING, markdown_table
from entropy_flows.schemas import load_campaign

SYSTEM = "silicon"
TEACHER = "SevenNet-0"
PHASE = "diamond"
CHECKS: tuple[CheckName, ...] = ("eos", "elastic", "phonons", "vacancy", "surfaces", "stability")
PARAMS = PhysicsParams(temperature=3000.0, pressure=0.0)
PAGE = SUMMARY.with_name("properties.md")


@dataclass(frozen=True)
class Quantity:
    """A number of a check."""

    check: CheckName
    title: str
    value: Callable[[dict[str, Any]], float]


def _constant(i: int, j: int) -> Callable[[dict[str, Any]], float]:
    return lambda result: float(result["constants"][i - 1][j - 1])


def _surface(indices: str) -> Callable[[dict[str, Any]], float]:
    return lambda result: float(result["energies"][indices])


QUANTITIES = (
    Quantity("eos", "V₀, Å³/atom", lambda result: float(result["volume"])),
    Quantity("eos", "B₀, GPa", lambda result: float(result["bulk_modulus"])),
    Quantity("elastic", "C11, GPa", _constant(1, 1)),
    Quantity("elastic", "C12, GPa", _constant(1, 2)),
    Quantity("elastic", "C44, GPa", _constant(4, 4)),
    Quantity("phonons", "highest phonon, THz", lambda result: float(result["highest"])),
    Quantity("vacancy", "vacancy, eV", lambda result: min(result["energies"].values())),
    Quantity("surfaces", "(100), J/m²", _surface("100")),
    Quantity("surfaces", "(110), J/m²", _surface("110")),
    Quantity("surfaces", "(111), J/m²", _surface("111")),
)


@dataclass(frozen=True)
class Properties:
    """The properties by one student's models."""

    students: Students
    student: str
    size: int

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        name = self.student.replace(", ", "-").replace(" ", "-")
        return self.students.folder / "properties" / f"{name}-{self.size}"

    def run(self, draws: int | None) -> None:
        """Make what is missing."""
        self._checks(self.folder.parent / f"{TEACHER}.json", lambda: load_calculator(TEACHER))
        for name, calculator in self._models(draws):
            self._checks(self.folder / f"{name}.json", calculator)
            print(f"{self.student}, {name}", flush=True)

    def _models(self, draws: int | None) -> Iterator[tuple[str, Callable[[], Calculator]]]:
        """Yield names of models, and what loads them."""
        fits: Fits | None = None
        for point in self.students.points(self.student, sizes=[self.size], most=draws):
            if point.student in NETWORKS:
                model = str(self.students.model(point))
                if Path(model).is_file():
                    yield point.name, lambda model=model: load_calculator(model)  # type: ignore[misc]
                continue
            if fits is None:
                pools = self.students
                fits = Fits.of(point.student, pools.pools, pools.base, pools.folder)
            train, _ = self.students.training(point)
            yield point.name, lambda fits=fits, train=train: FitCalculator.of(fits, train)  # type: ignore[misc]

    def _checks(self, file: Path, load: Callable[[], Calculator]) -> None:
        """Make the checks of one model that its file lacks."""
        document = read_json(file, {})
        missing = [check for check in CHECKS if check not in document]
        if not missing:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        calculator = load()
        phases = {phase.name: phase for phase in self.students.campaign.phases}
        cell = to_atoms(seed_cell(phases[PHASE]))
        for check in missing:
            document[check] = asdict(run_check(check, cell, calculator, PARAMS))
            write_json(file, document)

    def table(self) -> tuple[list[list[str]], list[dict[str, Any]]]:
        """Return deviations from the teacher by pool as a table, and as rows of the summary."""
        teacher = read_json(self.folder.parent / f"{TEACHER}.json", {})
        methods = list(TITLES)
        table = [["property", "teacher", *(TITLES[method] for method in methods)]]
        rows: list[dict[str, Any]] = []
        for quantity in QUANTITIES:
            reference = teacher[quantity.check]["result"]
            if reference is None:
                continue
            true = quantity.value(reference)
            cells = [quantity.title, f"{true:.2f}"]
            for method in methods:
                estimate = self._deviation(quantity, method, true)
                cells.append(MISSING if estimate is None else f"{estimate.text()} %")
                if estimate is not None:
                    rows.append(self._row(quantity, method, estimate))
            table.append(cells)
        return table, rows

    def _deviation(self, quantity: Quantity, method: str, true: float) -> Estimate | None:
        """Average |x − x_teacher| in per cent over pools and draws."""
        values: dict[int, dict[int, float]] = {}
        for file in self.folder.glob(f"{method}-*.json"):
            _, pool_seed, _, seed = file.stem.rsplit("-", 3)
            result = read_json(file, {}).get(quantity.check, {}).get("result")
            if result is not None:
                deviation = 100 * abs(quantity.value(result) / true - 1)
                values.setdefault(int(pool_seed), {})[int(seed)] = deviation
        return Estimate.of(values) if values else None

    def _row(self, quantity: Quantity, method: str, estimate: Estimate) -> dict[str, Any]:
        """Return a row of the summary."""
        return {
            "system": SYSTEM,
            "pool": method,
            "test": PHASE,
            "student": self.student,
            "N": self.size,
            "quantity": f"deviation from the teacher, %: {quantity.title}",
            "value": float(f"{estimate.value:.4g}"),
            "error": float(f"{estimate.error:.3g}"),
            "seeds": list(estimate.seeds),
            "pools": estimate.pools,
            "command": f"python evidence/properties.py --student '{self.student}'",
        }

    def survivals(self) -> list[list[str]]:
        """Return how many models have survived the hot dynamics, by pool."""
        rows = [["trained on", "models", "survived"]]
        for method, title in TITLES.items():
            results = [
                read_json(file, {}).get("stability", {}).get("result")
                for file in self.folder.glob(f"{method}-*.json")
            ]
            made = [result for result in results if result is not None]
            survived = sum(result["survived"] == result["steps"] for result in made)
            rows.append([title, str(len(made)), str(survived)])
        return rows


def main() -> None:
    """Make the checks, and write the page."""
    parser = command_line(__doc__)
    parser.add_argument("--student", choices=(*FITS, *NETWORKS), default="small")
    parser.add_argument("--size", type=int, help="default: the largest of the campaign file")
    parser.add_argument("--draws", type=int, help="most draws; default: all")
    parser.add_argument("--tables", action="store_true", help="write from what there is")
    options = parser.parse_args()
    size = options.size or max(load_campaign(campaign_file(SYSTEM)).curve.sizes)
    students = Students.of(SYSTEM, options.folder / SYSTEM)
    properties = Properties(students, options.student, size)
    if not options.tables:
        properties.run(options.draws)
    table, rows = properties.table()
    write_rows("properties.py", rows)
    lines = [
        "# Evidence: properties of silicon\n",
        f"Written by `python evidence/properties.py --student '{options.student}'`.\n",
        f"Mean deviation from SevenNet-0, the teacher, of models of {size} cells of each pool.\n",
        markdown_table(table),
        "\nHot dynamics of diamond at 3000 K and no pressure, 2000 steps:\n",
        markdown_table(properties.survivals()),
    ]
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
