"""The physics checks of several models side by side, as rows of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from entropy_flows.evaluate.physics import CheckName, Enthalpy, order_at, transitions
from entropy_flows.report.text import MISSING

Rows = Mapping[tuple[CheckName, str], Mapping[str, Any]]
"""(check, phase) → row of one model: `result`, the check's dataclass as a mapping, or None with a
`reason`."""
Result = Mapping[str, Any]


class _Quantity(NamedTuple):
    """A quantity of a check, and how it is written."""

    check: CheckName
    name: str
    text: Callable[[Result], str]


def _constant(i: int, j: int) -> Callable[[Result], str]:
    """Write the elastic constant C_ij, counted from 1."""
    return lambda result: f"{result['constants'][i - 1][j - 1]:.1f}"


def _value(name: str, digits: int) -> Callable[[Result], str]:
    """Write a number of a result."""

    def text(result: Result) -> str:
        if result[name] is None:
            return MISSING
        # + 0.0: what rounds to zero has no sign
        return f"{round(result[name], digits) + 0.0:.{digits}f}"

    return text


def _lowest_energy(result: Result) -> str:
    return f"{min(result['energies'].values()):.2f}"


def _by_indices(result: Result) -> str:
    return ", ".join(f"({name}) {energy:.2f}" for name, energy in result["energies"].items())


def _condition(result: Result) -> str:
    return f"{result['temperature']:g} K, {result['pressure']:g} GPa"


def _survived(result: Result) -> str:
    return f"{result['survived']} of {result['steps']}"


PHYSICS_ROWS = (
    _Quantity("eos", "V₀, Å³/atom", _value("volume", 3)),
    _Quantity("eos", "E₀, eV/atom", _value("energy", 4)),
    _Quantity("eos", "B₀, GPa", _value("bulk_modulus", 1)),
    _Quantity("eos", "B′", _value("derivative", 2)),
    _Quantity("elastic", "C11, GPa", _constant(1, 1)),
    _Quantity("elastic", "C33, GPa", _constant(3, 3)),
    _Quantity("elastic", "C12, GPa", _constant(1, 2)),
    _Quantity("elastic", "C13, GPa", _constant(1, 3)),
    _Quantity("elastic", "C44, GPa", _constant(4, 4)),
    _Quantity("elastic", "C66, GPa", _constant(6, 6)),
    _Quantity("elastic", "K, GPa", _value("bulk_modulus", 1)),
    _Quantity("elastic", "G, GPa", _value("shear_modulus", 1)),
    _Quantity("phonons", "lowest phonon, THz", _value("lowest", 2)),
    _Quantity("phonons", "highest phonon, THz", _value("highest", 2)),
    _Quantity("vacancy", "vacancy, eV", _lowest_energy),
    _Quantity("surfaces", "surfaces, J/m²", _by_indices),
    _Quantity("stability", "dynamics, T and P", _condition),
    _Quantity("stability", "steps survived", _survived),
    _Quantity("stability", "shortest distance, Å", _value("shortest", 2)),
    _Quantity("stability", "mean T (second half), K", _value("mean_temperature", 0)),
    _Quantity("stability", "drift of T, K/ps", _value("drift", 0)),
)


def enthalpies(rows: Rows) -> dict[str, Enthalpy]:
    """Return the enthalpies of each phase, of one model."""
    return {
        phase: Enthalpy(**row["result"])
        for (check, phase), row in rows.items()
        if check == "enthalpy" and row["result"] is not None
    }


def physics_rows(models: Mapping[str, Rows]) -> list[list[str]]:
    """Write each quantity and its value for each model, phase by phase.

    The order of the phases and the transitions between them come last.

    Parameters
    ----------
    models
        Title → checks of a model.

    Returns
    -------
    list
        The header first; "failed" where a check has no result, "–" where it was not made.
    """
    phases = list(dict.fromkeys(phase for rows in models.values() for _, phase in rows))
    checks = {key for rows in models.values() for key in rows}
    table = [["phase", "quantity", *models]]
    for phase in phases:
        for check, name, text in PHYSICS_ROWS:
            if (check, phase) in checks:
                values = [_cell(rows.get((check, phase)), text) for rows in models.values()]
                table.append([phase, name, *values])
    if any(check == "enthalpy" for check, _ in checks):
        by_model = [enthalpies(rows) for rows in models.values()]
        table.append(["all", "order at 0 GPa, meV/atom", *map(_order, by_model)])
        table.append(["all", "transitions", *map(_transitions, by_model)])
    return table


def physics_reasons(models: Mapping[str, Rows]) -> list[str]:
    """Write a line for everything that failed: the model, the phase, the check, and why."""
    lines = []
    for title, rows in models.items():
        for (check, phase), row in rows.items():
            result = row["result"] or {}
            reason = row["reason"] or result.get("broke")
            reasons = [reason] if reason else []
            reasons += result.get("reasons", {}).values()
            lines += [f"{title}, {phase}, {check}: {text}" for text in reasons]
    return lines


def _cell(row: Mapping[str, Any] | None, text: Callable[[Result], str]) -> str:
    if row is None:
        return MISSING
    return "failed" if row["result"] is None else text(row["result"])


def _order(phases: Mapping[str, Enthalpy]) -> str:
    order = [f"{name} {1e3 * above:.1f}" for name, above in order_at(phases)]
    return " < ".join(order) or MISSING


def _transitions(phases: Mapping[str, Enthalpy]) -> str:
    if not phases:
        return MISSING
    changes = [
        f"{change.below} → {change.above} at {change.pressure:.2f} GPa"
        for change in transitions(phases)
    ]
    top = max(phase.pressures[-1] for phase in phases.values())
    return ", ".join(changes) or f"none up to {top:g} GPa"
