"""A student beside its teacher, as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from entropy_flows.conventions import GPA
from entropy_flows.report.text import number

Row = list[str]
Record = Mapping[str, Any]
"""The record of a student, as `distill.make_student` returns it."""

QUANTITIES = [
    ("energy, meV/atom", "energy_mae", 1, 1e3),
    ("forces, meV/Å", "forces_mae", 0, 1e3),
    ("stress, GPa", "stress_mae", 2, GPA),
]
"""Title of an error, its name, its decimals, and its unit."""


def error_rows(columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Write the MAEs of several sets of errors, a column for each set."""
    return [
        [title, *(number(column[key], digits, scale) for column in columns)]
        for title, key, digits, scale in QUANTITIES
    ]


def student_rows(record: Record) -> list[Row]:
    """Write a student's errors against its teacher, below a header of the cells."""
    cells = record["cells"]
    header = ["MAE against the teacher", f"{cells['test']} held out", f"{cells['hot']} hot"]
    return [header, *error_rows([record["test"], record["hot"]])]


def measure_rows(record: Record) -> list[Row]:
    """Write volumes, bulk moduli and the time of a step of both, below a header."""
    rows: list[Row] = [["", "student", "teacher"]]
    curves = record["equation_of_state"]
    for phase in curves["student"]:
        pair = [curves[role][phase] or {} for role in ("student", "teacher")]
        volumes = [number(values.get("volume"), 2) for values in pair]
        moduli = [number(values.get("bulk_modulus"), 0) for values in pair]
        rows += [[f"{phase}: V₀, Å³/atom", *volumes], [f"{phase}: B₀, GPa", *moduli]]
    times = record["milliseconds_per_step"]
    rows.append(["one step, ms", *(number(times[role], 1) for role in ("student", "teacher"))])
    return rows
