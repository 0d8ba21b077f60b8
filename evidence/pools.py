"""Compare selectors on pools with DFT labels: every selector, quick students, splits anew by seed.

Each pool is one `entropy-flows bench-selectors` in a folder of its own. What was finished before is
not run again. The rows go into docs/evidence/summary.json, the tables into docs/evidence/pools.md.

    python evidence/pools.py ../shared/data --only silicon,germanium
"""

from __future__ import annotations

import gzip
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import shared

from entropy_flows.bench import read_points
from entropy_flows.bench.compare import areas, curves, paired_p, rank_p, ratio_to, values_at
from entropy_flows.evaluate.curve import Mean
from entropy_flows.files import replacing
from entropy_flows.report.benchmark_summary import QUANTITIES, summary_tables
from entropy_flows.report.benchmark_tables import methods_of, sizes_of, students_of

PAGE = shared.SUMMARY.with_name("pools.md")
EVERY_SELECTOR = (
    "random,logdet,greedy,farthest,kcentres,kmeans,variance,llpr,bait,facility,herding,kdpp,direct"
)
SETTINGS = ("--set", "select.theta_min=0.0001", "--set", "settings.greedy.theta_min=null")
TEST = "a fifth held out, of each seed another"


@dataclass(frozen=True)
class PoolBench:
    """One benchmark of the evidence."""

    file: str
    """Name of the pool's file."""
    students: str
    sizes: str
    seeds: int
    """Number of seeds, from 0."""
    selectors: str = EVERY_SELECTOR
    options: tuple[str, ...] = ()
    every: int = 1
    """Take the first of so many cells of the file: a pool that is computed sooner."""

    @property
    def thinned_file(self) -> str:
        """Name of the pool's file, thinned or not."""
        return self.file if self.every == 1 else f"every-{self.every}-{self.file}"

    def thin(self, data: Path, folder: Path) -> None:
        """Write the thinned file into a folder, if it is not there."""
        thinned = folder / self.thinned_file
        if self.every == 1 or thinned.is_file():
            return
        with (
            replacing(thinned) as path,
            gzip.open(data / self.file, "rt") as source,
            gzip.open(path, "wt") as target,
        ):
            for index, line in enumerate(iter(source.readline, "")):
                lines = [line, *(source.readline() for _ in range(int(line) + 1))]
                if index % self.every == 0:
                    target.writelines(lines)

    def command(self, data: str, name: str) -> list[str]:
        """Return the arguments of `entropy-flows`."""
        seeds = ",".join(map(str, range(self.seeds)))
        pool = f"{data}/{self.file}" if self.every == 1 else self.thinned_file
        return [
            "bench-selectors", pool, "-C", name, "--selectors", self.selectors,
            "--students", self.students, "--sizes", self.sizes, "--seeds", seeds,
            *SETTINGS, *self.options,
        ]  # fmt: skip


BENCHES = {
    "silicon": PoolBench("si_mlearn.extxyz.gz", "linear,gp", "20,40,80", 10),
    "germanium": PoolBench("ge_mlearn.extxyz.gz", "linear,gp", "20,40,80", 10),
    "alloys": PoolBench(
        "nbmotaw_snap.extxyz.gz",
        "linear",
        "100,200",
        8,
        "random,kmeans,variance",
        ("--set", "fingerprint.natx=40", "--set", "regression.strength=folds"),
        every=4,
    ),
    "all-alloys": PoolBench(
        "nbmotaw_snap.extxyz.gz",
        "linear",
        "100,200,400",
        5,
        "random,kmeans,variance",
        ("--set", "fingerprint.natx=40", "--set", "regression.strength=folds"),
    ),
    "silicon-tuned": PoolBench(
        "si_mlearn.extxyz.gz",
        "model",
        "20,40,80",
        5,
        "random,logdet,variance,herding",
        ("--base-model", "shipped:si-small.nequip.zip"),
    ),
    "random-cells": PoolBench(
        "si_random_cells.extxyz.gz",
        "networks",
        "50,100,200,400",
        8,
        "random,kmeans,variance,herding",
        ("--set", "forces=false", "--set", "within=5", "--set", "select.by_size=false"),
    ),
}


def main() -> None:
    """Run what is missing, and write rows and tables."""
    parser = shared.command_line(__doc__)
    shared.add_workers(parser)
    parser.add_argument("data", type=Path, help="folder of the pools' files")
    parser.add_argument("--only", help="names, with commas between: " + ", ".join(BENCHES))
    parser.add_argument("--no-run", action="store_true", help="write from what there is")
    options = parser.parse_args()
    folder = options.folder / "pools"
    names = options.only.split(",") if options.only else list(BENCHES)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names if not options.no_run else ():
        BENCHES[name].thin(options.data, folder)
        command = BENCHES[name].command(str(options.data.resolve()), name)
        program = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]
        subprocess.run(
            [*program, *command, "--workers", str(options.workers)], cwd=folder, check=True
        )
    points = {
        name: _complete(name, read_points(folder / name))
        for name in BENCHES
        if (folder / name / "points").is_dir()
    }
    shared.write_rows("pools.py", [row for name in points for row in _rows(name, points[name])])
    PAGE.write_text(_page(points))


def _complete(name: str, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results of the selectors and students that have all seeds and numbers of cells."""
    bench = BENCHES[name]
    number = bench.seeds * len(bench.sizes.split(","))
    counts = Counter((point["student"], point["method"]) for point in points)
    return [point for point in points if counts[point["student"], point["method"]] == number]


def _rows(name: str, points: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one benchmark: each error, and its ratio to that of a random choice."""
    bench = BENCHES[name]
    command = shlex.join(["entropy-flows", *bench.command("DATA", name)])
    shared_columns = {"system": name, "pool": bench.thinned_file, "test": TEST, "pools": 1}
    for student, quantity, method in product(students_of(points), QUANTITIES, methods_of(points)):
        results = [point for point in points if point["student"] == student]
        curve = curves(results, method, quantity)
        random_curve = curves(results, "random", quantity)
        sizes = sizes_of(results)
        values: dict[int | str, Any] = {
            size: (values_at(curve, size), values_at(random_curve, size)) for size in sizes
        }
        values[f"{sizes[0]} to {sizes[-1]}"] = areas(curve, sizes), areas(random_curve, sizes)
        for size, (errors, baseline) in values.items():
            ratio = ratio_to(errors, baseline)
            if ratio is None:
                continue
            mean = Mean.of(list(errors.values()))
            columns = {**shared_columns, "student": student, "selector": method, "N": size}
            columns |= {"seeds": sorted(errors), "command": command}
            error = mean.std / mean.n**0.5
            yield {**columns, "quantity": quantity, **_rounded(value=mean.mean, error=error)}
            if method != "random":
                tests = {"p": paired_p(errors, baseline), "p_ranks": rank_p(errors, baseline)}
                numbers = _rounded(value=ratio.value, error=ratio.error, **tests)
                yield {**columns, "quantity": f"{quantity} ÷ random", **numbers}


def _rounded(**numbers: float | None) -> dict[str, float | None]:
    """Round numbers to four digits: in eV/atom and eV/Å, or ratios."""
    return {key: None if x is None else float(f"{x:.4g}") for key, x in numbers.items()}


def _page(points: dict[str, list[dict[str, Any]]]) -> str:
    """Write the page: over all pools, then each pool's ratios with the command beside them."""
    lines = [
        "# Selectors on pools with DFT labels",
        "",
        "`python evidence/pools.py DATA` makes this page.",
        "A ratio is that of mean errors over the seeds, ± its standard error from paired seeds.",
        "Below 1 the selector is better than a random choice.",
        "",
    ]
    for title, rows, note in summary_tables(points):
        lines += [f"## {title[0].upper()}{title[1:]}", "", *_markdown(rows), "", note, ""]
    for name, results in points.items():
        command = shlex.join(["entropy-flows", *BENCHES[name].command("DATA", name)])
        lines += [f"## {name}", "", "```bash", command, "```", ""]
        for student in students_of(results):
            lines += _student_lines(
                student, [point for point in results if point["student"] == student]
            )
    return "\n".join(lines)


def _student_lines(student: str, points: list[dict[str, Any]]) -> list[str]:
    """Write a table for each quantity of one student."""
    lines: list[str] = []
    for quantity, title in QUANTITIES.items():
        baseline = curves(points, "random", quantity)
        if not baseline:
            continue
        sizes = sizes_of(points)
        rows = [["selector", *(f"N = {size}" for size in sizes), "area below the curve"]]
        for method in methods_of(points):
            curve = curves(points, method, quantity)
            pairs = [(values_at(curve, size), values_at(baseline, size)) for size in sizes]
            pairs.append((areas(curve, sizes), areas(baseline, sizes)))
            rows.append([method, *(_cell(method, *pair) for pair in pairs)])
        unit = "meV/Å" if quantity.startswith("forces") else "meV/atom"
        lines += [f"### {student}: {title}", "", f"Of `random` {unit}.", "", *_markdown(rows), ""]
    return lines


def _cell(method: str, errors: dict[int, float], baseline: dict[int, float]) -> str:
    """Write a ratio with p and the number of seeds if some ended early; of random its error."""
    ratio = ratio_to(errors, baseline)
    if ratio is None:
        return "–"
    if method == "random":
        return Mean.of(list(errors.values())).scaled(1e3).with_standard_error
    p = paired_p(errors, baseline)
    error = "" if ratio.error is None else f" ± {ratio.error:.2f}"
    test = "" if p is None else f" (p {p:.2g})"
    count = "" if len(errors) == len(baseline) else f", {len(errors)} seeds"
    return f"{ratio.value:.2f}{error}{test}{count}"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    header, *others = [f"| {' | '.join(row)} |" for row in rows]
    return [header, "| --- |" + " ---: |" * (len(rows[0]) - 1), *others]


if __name__ == "__main__":
    main()
