"""Tables, rows and figure of the students that were trained on the campaigns' pools.

    x̄ = mean over P pools and D draws of each                                                    (1)
    error of x̄ = max( s_P / √P,  s_D / √(P D) )                                                  (2)
    ratio r = x̄_a / x̄_b ± r [ (Δ_a/x̄_a)² + (Δ_b/x̄_b)² ]^½                                        (3)

s_P is the standard deviation of the pools' means, s_D that of draws within a pool. Of two pools s_P
may be small by chance, so the error is never less than that of the draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from campaigns import POOL_SEEDS, RULES
from pool_cells import FIRST, HELD_OUT, INDEPENDENT, METHODS, RANDOM, test_name
from shared import TITLES as SYSTEM_TITLES
from students import TEACHERS, points_folder

from entropy_flows.files import read_json

QUANTITIES = {
    "energy_mae": ("energy MAE", "meV/atom", 1e3),
    "energy_rmse": ("energy RMSE", "meV/atom", 1e3),
    "forces_mae": ("force MAE", "meV/Å", 1e3),
}
TESTS = (*HELD_OUT, INDEPENDENT)
TITLES = {
    "logdet": "log det",
    "variance": "variance",
    "herding": "herding",
    "variance-mix": "variance, half for the pool",
    "variance-wide": "variance, more trajectories",
    "herding-wide": "herding, more trajectories",
    RANDOM: "random",
    "random-early": "random, earlier snapshots",
    "mixed": "mixed",
}
FIRST_TITLES = {method: f"{TITLES[rule]}, chosen first" for method, rule in FIRST.items()}
METHOD_TITLES = {**TITLES, **FIRST_TITLES}
"""Kind of training set → what tables call it."""
TEST_TITLES = {
    "logdet": "held out of log det's pools",
    "variance": "held out of variance's pools",
    "herding": "held out of herding's pools",
    "variance-mix": "held out of the pools of variance, half for the pool",
    "variance-wide": "held out of the pools of variance, more trajectories",
    "herding-wide": "held out of the pools of herding, more trajectories",
    RANDOM: "held out of plain dynamics",
    "random-early": "held out of its earlier snapshots",
    INDEPENDENT: "independent",
}
STUDENT_TITLES = {
    "large gp": "large Gaussian process",
    "gp": "Gaussian process",
    "linear": "linear",
    "small": "small Allegro, fine-tuned",
    "small, new": "small Allegro, new",
    "delta, large gp": "large Gaussian process on SevenNet-0",
    "delta, gp": "Gaussian process on SevenNet-0",
    "delta, linear": "linear on SevenNet-0",
    "sevennet": "SevenNet-0, fine-tuned",
}


@dataclass(frozen=True)
class Estimate:
    """A mean over pools and draws, or a ratio of two, with its standard error."""

    value: float
    error: float
    pools: int
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, values: dict[int, dict[int, float]]) -> Estimate:
        """Average pool → draw → value, equations (1) and (2)."""
        means = np.array([np.mean(list(draws.values())) for draws in values.values()])
        number = sum(len(draws) for draws in values.values())
        spread = [
            np.var(list(draws.values()), ddof=1) for draws in values.values() if len(draws) > 1
        ]
        within = float(np.sqrt(np.mean(spread) / number)) if spread else 0.0
        between = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0
        seeds = tuple(sorted({seed for draws in values.values() for seed in draws}))
        return cls(float(means.mean()), max(within, between), len(means), seeds)

    def over(self, other: Estimate) -> Estimate:
        """Divide, equation (3)."""
        ratio = self.value / other.value
        relative = np.hypot(self.error / self.value, other.error / other.value)
        return Estimate(ratio, float(ratio * relative), min(self.pools, other.pools), self.seeds)

    def text(self, scale: float = 1.0) -> str:
        """Write value ± error."""
        value = self.value * scale
        digits = 2 if value < 10 else 1
        return f"{value:.{digits}f} ± {self.error * scale:.{digits}f}"


@dataclass(frozen=True)
class Results:
    """The results of one student on the pools of one system."""

    system: str
    student: str
    points: list[dict[str, Any]]
    teacher: str = "sevennet"

    @classmethod
    def read(cls, system: str, folder: Path) -> list[Results]:
        """Read those of all students that have any."""
        results = []
        for teacher, student in product(TEACHERS, STUDENT_TITLES):
            files = sorted(points_folder(folder, teacher, student).glob("*.json"))
            if files:
                points = of_one_basis([read_json(file, None) for file in files])
                results.append(cls(system, student, points, teacher))
        return results

    @property
    def title(self) -> str:
        """Return the student's name, and the teacher's if it is not SevenNet-0."""
        title = STUDENT_TITLES[self.student]
        return title if self.teacher == "sevennet" else f"{title}, labels by CHGNet r²SCAN"

    @property
    def sizes(self) -> list[int]:
        """Return the numbers of cells trained on."""
        return sorted({point["size"] for point in self.points})

    @property
    def methods(self) -> list[str]:
        """Return the kinds of pools."""
        there = {point["method"] for point in self.points}
        return [method for method in METHODS if method in there]

    @property
    def tests(self) -> list[str]:
        """Return the tests that there are errors on."""
        there = {name for point in self.points for name in point["errors"]}
        return [test for test in TESTS if there.intersection(parts_of(test))]

    def estimate(self, method: str, size: int, test: str, quantity: str) -> Estimate | None:
        """Average an error over pools and draws; None if there is none."""
        values: dict[int, dict[int, float]] = {}
        for point in self.points:
            if (point["method"], point["size"]) != (method, size):
                continue
            error = joined(point["errors"], test, quantity)
            if error is not None:
                values.setdefault(point["pool_seed"], {})[point["seed"]] = error
        return Estimate.of(values) if values else None

    def ratio(self, method: str, size: int, test: str, quantity: str) -> Estimate | None:
        """Return the random pool's error over a method's."""
        baseline = self.estimate(RANDOM, size, test, quantity)
        own = self.estimate(method, size, test, quantity)
        return baseline.over(own) if baseline and own else None


def parts_of(test: str) -> list[str]:
    """Return the names that a test's errors may have: its own, and those of its pools."""
    return [test, *(test_name(test, seed) for seed in POOL_SEEDS)]


def joined(errors: dict[str, Any], test: str, quantity: str) -> float | None:
    """Return the error on a test, of a pool's test those of all seeds together."""
    parts = [errors[name] for name in parts_of(test) if quantity in errors.get(name, {})]
    if not parts:
        return None
    weights = [part["n"] for part in parts]
    if quantity.endswith("rmse"):
        squares = [part[quantity] ** 2 for part in parts]
        return float(np.sqrt(np.average(squares, weights=weights)))
    return float(np.average([part[quantity] for part in parts], weights=weights))


def summary_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield the rows of `docs/evidence/summary.json`."""
    command = (
        f"python evidence/students.py --system {results.system} --teacher {results.teacher} "
        f"--students '{results.student}'"
    )
    for test in TESTS:
        for quantity in QUANTITIES:
            for size in results.sizes:
                for method in results.methods:
                    estimates = {
                        quantity: results.estimate(method, size, test, quantity),
                        f"random ÷ {quantity}": results.ratio(method, size, test, quantity),
                    }
                    for name, estimate in estimates.items():
                        if estimate is None or (method == RANDOM and "÷" in name):
                            continue
                        yield {
                            "system": results.system,
                            "teacher": results.teacher,
                            "pool": method,
                            "test": test,
                            "student": results.student,
                            "N": size,
                            "quantity": name,
                            "value": float(f"{estimate.value:.4g}"),
                            "error": float(f"{estimate.error:.3g}"),
                            "seeds": list(estimate.seeds),
                            "pools": estimate.pools,
                            "command": command,
                        }


def error_table(results: Results, size: int, quantity: str) -> list[list[str]]:
    """Write the errors at one size: pools down, tests across."""
    _, _, scale = QUANTITIES[quantity]
    rows = [["trained on", *(TEST_TITLES[test] for test in results.tests)]]
    for method in results.methods:
        estimates = [results.estimate(method, size, test, quantity) for test in results.tests]
        rows.append(
            [METHOD_TITLES[method], *(one.text(scale) if one else "–" for one in estimates)]
        )
    return rows


def ratio_table(results: Results, quantity: str) -> list[list[str]]:
    """Write random ÷ method: test and method down, sizes across."""
    rows = [["test", "trained on", *(f"N = {size}" for size in results.sizes)]]
    for test in results.tests:
        for method in results.methods:
            if method == RANDOM:
                continue
            ratios = [results.ratio(method, size, test, quantity) for size in results.sizes]
            texts = [ratio.text() if ratio else "–" for ratio in ratios]
            rows.append([TEST_TITLES[test], METHOD_TITLES[method], *texts])
    return rows


def own_test(method: str) -> str:
    """Return the in-distribution test of a rule."""
    assert method in RULES
    return method


def of_one_basis(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of that number of pools' cells that most points have.

    A fit's basis is drawn from the cells of all pools, so more of them make another student. Points
    of two bases are there while students are fitted anew.
    """
    counts = Counter(point.get("cells") for point in points)
    most = max(counts, key=lambda cells: (counts[cells], cells or 0))
    return [point for point in points if point.get("cells") == most]


def figure(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw random ÷ rule at the largest N: systems and quantities across, rules down.

    Parameters
    ----------
    rows
        Those of `summary_rows`, of any number of systems. Of each system the first student of
        `STUDENT_TITLES` that learned SevenNet-0's labels is drawn.
    file
        The picture to write.
    """
    import matplotlib.pyplot as plt

    students = [rows_of for system in SYSTEM_TITLES if (rows_of := _first_student(rows, system))]
    panels = list(product(students, ("energy_mae", "forces_mae")))
    fig, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels) + 1.6, 3.6), sharey=True)
    for axis, (rows_of_student, quantity) in zip(axes, panels, strict=True):
        _draw(axis, rows_of_student, quantity)
        title = QUANTITIES[quantity][0]
        axis.set_title(f"{SYSTEM_TITLES[rows_of_student[0]['system']]}, {title}", fontsize=10)
        axis.set_xlabel(f"random ÷ rule, N = {rows_of_student[0]['N']}")
    axes[0].set_yticks(range(len(RULES)), [TITLES[rule] for rule in RULES])
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, frameon=False, ncol=len(labels), loc="lower center")
    fig.tight_layout(rect=(0, 0.08, 1, 1))
    fig.savefig(file, dpi=150)
    plt.close(fig)


def _first_student(rows: Sequence[Mapping[str, Any]], system: str) -> list[Mapping[str, Any]]:
    """Return the rows of one student of a system, at its largest N."""
    own = [row for row in rows if row["system"] == system and row["teacher"] == "sevennet"]
    for student in STUDENT_TITLES:
        rows_of_student = [row for row in own if row["student"] == student]
        if rows_of_student:
            largest = max(row["N"] for row in rows_of_student)
            return [row for row in rows_of_student if row["N"] == largest]
    return []


TEST_MARKS = {
    "cells like those that the rule chose": ("o", "#1f77b4"),
    "held out of plain dynamics": ("^", "#2ca02c"),
    "independent": ("s", "#c0504d"),
}
"""Test → marker and colour in the figure."""


def _draw(axis: Any, rows: Sequence[Mapping[str, Any]], quantity: str) -> None:
    """Draw one panel: a mark for each rule and test, beside the line of random dynamics."""
    ratios = {
        (row["pool"], row["test"]): row for row in rows if row["quantity"] == f"random ÷ {quantity}"
    }
    for number, (title, (marker, color)) in enumerate(TEST_MARKS.items()):
        places, values, widths = [], [], []
        for place, rule in enumerate(RULES):
            test = (own_test(rule), RANDOM, INDEPENDENT)[number]
            ratio = ratios.get((rule, test))
            if ratio is not None:
                places.append(place + 0.2 * (number - 1))
                values.append(ratio["value"])
                widths.append(ratio["error"])
        axis.errorbar(
            values,
            places,
            xerr=widths,
            linestyle="none",
            marker=marker,
            color=color,
            markersize=4,
            capsize=2,
            label=title,
        )
    axis.axvline(1.0, color="grey", linewidth=0.8)
