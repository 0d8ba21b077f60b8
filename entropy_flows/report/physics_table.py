"""The checks of several models side by side, as rows of text.

A model's checks are a mapping from (check, phase) to its row: `result`, a dataclass of this package
as a mapping, or None with a `reason`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from entropy_flows.evaluate.physics.phases import Enthalpy, order_at, transitions

Rows = Mapping[tuple[str, str], Mapping[str, Any]]
Results = dict[str, Any]


def _constant(i: int, j: int) -> Callable[[Results], str]:
    return lambda found: f"{found['constants'][i - 1][j - 1]:.1f}"


def _value(name: str, digits: int) -> Callable[[Results], str]:
    def text(found: Results) -> str:
        # + 0.0: what rounds to zero has no sign
        return "–" if found[name] is None else f"{round(found[name], digits) + 0.0:.{digits}f}"

    return text


QUANTITIES: tuple[tuple[str, str, Callable[[Results], str]], ...] = (
    ("eos", "V₀, Å³/atom", _value("volume", 3)),
    ("eos", "E₀, eV/atom", _value("energy", 4)),
    ("eos", "B₀, GPa", _value("bulk_modulus", 1)),
    ("eos", "B′", _value("derivative", 2)),
    *(
        ("elastic", f"C{i}{j}, GPa", _constant(i, j))
        for i, j in ((1, 1), (3, 3), (1, 2), (1, 3), (4, 4), (6, 6))
    ),
    ("elastic", "K, GPa", _value("bulk_modulus", 1)),
    ("elastic", "G, GPa", _value("shear_modulus", 1)),
    ("phonons", "lowest phonon, THz", _value("lowest", 2)),
    ("phonons", "highest phonon, THz", _value("highest", 2)),
    (
        "stability",
        "dynamics, T and P",
        lambda found: f"{found['temperature']:g} K, {found['pressure']:g} GPa",
    ),
    ("stability", "steps survived", lambda found: f"{found['survived']} of {found['steps']}"),
    ("stability", "shortest distance, Å", _value("shortest", 2)),
    ("stability", "mean T (second half), K", _value("mean_temperature", 0)),
    ("stability", "drift of T, K/ps", _value("drift", 0)),
)
"""Check, name, and how it is written."""


def enthalpies(rows: Rows) -> dict[str, Enthalpy]:
    """Phase → enthalpies, of one model."""
    return {
        phase: Enthalpy(**row["result"])
        for (check, phase), row in rows.items()
        if check == "enthalpy" and row["result"] is not None
    }


def physics_rows(models: Mapping[str, Rows]) -> list[list[str]]:
    """A quantity and its value for each model, phase by phase, the phases' order and transitions last.

    Parameters
    ----------
    models
        Title → its checks.

    Returns
    -------
    list
        The header first; "failed" where a check has no result, "–" where it was not made.
    """
    phases = list(dict.fromkeys(phase for rows in models.values() for _, phase in rows))
    made = {key for rows in models.values() for key in rows}
    table = [["phase", "quantity", *models]]
    for phase in phases:
        for check, name, text in QUANTITIES:
            if (check, phase) in made:
                table.append(
                    [
                        phase,
                        name,
                        *(_cell(rows.get((check, phase)), text) for rows in models.values()),
                    ]
                )
    if any(check == "enthalpy" for check, _ in made):
        found = [enthalpies(rows) for rows in models.values()]
        table.append(["all", "order at 0 GPa, meV/atom", *map(_order, found)])
        table.append(["all", "transitions", *map(_transitions, found)])
    return table


def physics_reasons(models: Mapping[str, Rows]) -> list[str]:
    """One line for everything that failed: the model, the phase, the check, and why."""
    lines = []
    for title, rows in models.items():
        for (check, phase), row in rows.items():
            found = row["result"] or {}
            reason = row["reason"] or found.get("broke")
            if reason:
                lines.append(f"{title}, {phase}, {check}: {reason}")
            lines += [
                f"{title}, {phase}, {check}: {text}" for text in found.get("reasons", {}).values()
            ]
    return lines


def _cell(row: Mapping[str, Any] | None, text: Callable[[Results], str]) -> str:
    if row is None:
        return "–"
    return "failed" if row["result"] is None else text(row["result"])


def _order(phases: dict[str, Enthalpy]) -> str:
    return " < ".join(f"{name} {1e3 * above:.1f}" for name, above in order_at(phases)) or "–"


def _transitions(phases: dict[str, Enthalpy]) -> str:
    if not phases:
        return "–"
    found = [
        f"{change.below} → {change.above} at {change.pressure:.2f} GPa"
        for change in transitions(phases)
    ]
    top = max(phase.pressures[-1] for phase in phases.values())
    return ", ".join(found) or f"none up to {top:g} GPa"
