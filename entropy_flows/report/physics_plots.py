"""Figures of the checks, several models on one axis; models and rows as in `table`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from entropy_flows.report.physics_table import Rows, enthalpies

STYLES = (("#9aa0a6", "-"), ("#1a73e8", "-"), ("#d93025", "--"))
"""Colour and line of the models, in their order: before, after, label engine."""
LINE_POINTS = 100
SAME_PLACE = 1e-6
"""Distance on a path's axis, from 0 to 1, under which two points are one place."""


def physics_figures(models: Mapping[str, Rows]) -> dict[str, tuple[Figure, str]]:
    """File name without ending → figure and caption, of the checks that have results."""
    figures = {}
    if phases := _with_results(models, "eos"):
        caption = (
            "Equations of state: points relaxed at fixed volume, above the model's own lowest E₀."
        )
        figures["physics_eos"] = (eos_plot(models, phases), caption)
    if phases := _with_results(models, "phonons"):
        caption = "Phonon bands by finite displacements; imaginary frequencies are negative."
        figures["physics_phonons"] = (bands_plot(models, phases), caption)
    if len(phases := _with_results(models, "enthalpy")) > 1:
        caption = (
            f"Enthalpy above that of {phases[0]}: a phase is stable where its curve is the lowest."
        )
        figures["physics_enthalpy"] = (enthalpy_plot(models, phases), caption)
    return figures


def eos_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """E(V) of each phase."""
    figure, axes = _panels(phases)
    for (title, rows), (colour, line) in zip(models.items(), cycle(STYLES), strict=False):
        found = {
            phase: row["result"]
            for (check, phase), row in rows.items()
            if check == "eos" and row["result"]
        }
        zero = min((one["energy"] for one in found.values()), default=0.0)
        for phase, axis in zip(phases, axes, strict=True):
            if phase in found:
                energies = 1e3 * (np.array(found[phase]["energies"]) - zero)
                axis.plot(
                    found[phase]["volumes"], energies, line, color=colour, marker=".", label=title
                )
    for phase, axis in zip(phases, axes, strict=True):
        axis.set(title=phase, xlabel="volume (Å³/atom)", ylabel="energy (meV/atom)")
        axis.legend(fontsize=7)
    return figure


def bands_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """Phonon bands of each phase."""
    figure, axes = _panels(phases)
    for phase, axis in zip(phases, axes, strict=True):
        for (title, rows), (colour, line) in zip(models.items(), cycle(STYLES), strict=False):
            found = (rows.get(("phonons", phase)) or {}).get("result")
            if found is None:
                continue
            path = np.array(found["path"])
            jumps = np.flatnonzero(np.diff(path) < SAME_PLACE) + 1
            bands = np.insert(
                np.array(found["bands"]), jumps, np.nan, axis=0
            )  # no line across a jump
            axis.plot(np.insert(path, jumps, np.nan), bands, line, color=colour, lw=1)[0].set_label(
                title
            )
            axis.set_xticks(*_ticks(found))
        for place in axis.get_xticks():
            axis.axvline(place, color="#dadce0", lw=0.6, zorder=0)
        axis.axhline(0, color="k", lw=0.6)
        axis.set(title=phase, ylabel="frequency (THz)", xlim=(0, 1))
        axis.legend(fontsize=7)
    return figure


def enthalpy_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """Enthalpies above the first phase's, against pressure."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    for (title, rows), (colour, _) in zip(models.items(), cycle(STYLES), strict=False):
        found = enthalpies(rows)
        if phases[0] not in found:
            continue
        first = found[phases[0]]
        for phase, line in zip(phases[1:], cycle(("-", "--", ":", "-.")), strict=False):
            if phase in found:
                other = found[phase]
                low, high = (
                    max(first.pressures[0], other.pressures[0]),
                    min(first.pressures[-1], other.pressures[-1]),
                )
                P = np.linspace(low, high, LINE_POINTS)
                difference = 1e3 * (other.curve()(P) - first.curve()(P))
                axis.plot(P, difference, line, color=colour, label=f"{phase}, {title}")
    axis.axhline(0, color="k", lw=0.6)
    axis.set(xlabel="pressure (GPa)", ylabel=f"H − H({phases[0]}) (meV/atom)", title="enthalpies")
    axis.legend(fontsize=7)
    return figure


def _with_results(models: Mapping[str, Rows], check: str) -> list[str]:
    found = [
        phase
        for rows in models.values()
        for (name, phase), row in rows.items()
        if name == check and row["result"]
    ]
    return list(dict.fromkeys(found))


def _panels(phases: list[str]) -> tuple[Figure, list]:
    columns = min(3, len(phases))
    rows = -(-len(phases) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.8 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[len(phases) :]:
        axis.remove()
    return figure, axes[: len(phases)]


def _ticks(found: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    """Special points with Γ for G; where the path jumps, both names at the one place."""
    places: list[float] = []
    names: list[str] = []
    for place, name in zip(
        found["label_places"], (name.replace("G", "Γ") for name in found["labels"]), strict=True
    ):
        if places and place - places[-1] < SAME_PLACE:
            names[-1] = f"{names[-1]}|{name}"
        else:
            places.append(place)
            names.append(name)
    return places, names
