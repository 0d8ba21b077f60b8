"""Figures of the physics checks, several models on one axis.

Models and their rows are as in `physics_table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from entropy_flows.report.page import CaptionedFigure
from entropy_flows.report.physics_table import Result, Rows, enthalpies

STYLES = (("#9aa0a6", "-"), ("#1a73e8", "-"), ("#d93025", "--"))
"""Colour and line of the models, in their order: before, after, label engine."""
PHASE_LINES = ("-", "--", ":", "-.")
ENTHALPY_POINTS = 100
"""Points of an enthalpy's line."""
MIN_STEP = 1e-6
"""Distance on a path's axis, from 0 to 1, under which two q points are one."""


def physics_figures(models: Mapping[str, Rows]) -> dict[str, CaptionedFigure]:
    """Draw the checks that have results; the keys are file names without ending."""
    figures = {}
    if phases := _with_results(models, "eos"):
        figures["physics_eos"] = CaptionedFigure(
            eos_plot(models, phases),
            "Equations of state: points relaxed at fixed volume, above the model's own lowest E₀.",
        )
    if phases := _with_results(models, "phonons"):
        figures["physics_phonons"] = CaptionedFigure(
            bands_plot(models, phases),
            "Phonon bands by finite displacements; imaginary frequencies are negative.",
        )
    phases = _with_results(models, "enthalpy")
    if len(phases) > 1:
        stable = "a phase is stable where its curve is the lowest."
        figures["physics_enthalpy"] = CaptionedFigure(
            enthalpy_plot(models, phases), f"Enthalpy above that of {phases[0]}: {stable}"
        )
    return figures


def eos_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """Draw E(V) of each phase, above the lowest E₀ of each model."""
    figure, axes = _panels(phases)
    for title, rows, colour, line in _styled(models):
        results = _results(rows, "eos")
        # Models differ in the zero of their energies: each is drawn above its own minimum.
        lowest = min((result["energy"] for result in results.values()), default=0.0)
        for phase, axis in zip(phases, axes, strict=True):
            if phase in results:
                result = results[phase]
                energies = 1e3 * (np.array(result["energies"]) - lowest)
                volumes = result["volumes"]
                axis.plot(volumes, energies, line, color=colour, marker=".", label=title)
    for phase, axis in zip(phases, axes, strict=True):
        axis.set(title=phase, xlabel="volume (Å³/atom)", ylabel="energy (meV/atom)")
        axis.legend(fontsize=7)
    return figure


def bands_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """Draw the phonon bands of each phase."""
    figure, axes = _panels(phases)
    for phase, axis in zip(phases, axes, strict=True):
        for title, rows, colour, line in _styled(models):
            result = _results(rows, "phonons").get(phase)
            if result is not None:
                _draw_bands(axis, result, title, colour, line)
        for tick in axis.get_xticks():
            axis.axvline(tick, color="#dadce0", lw=0.6, zorder=0)
        axis.axhline(0, color="k", lw=0.6)
        axis.set(title=phase, ylabel="frequency (THz)", xlim=(0, 1))
        axis.legend(fontsize=7)
    return figure


def _draw_bands(axis: Axes, result: Result, title: str, colour: str, line: str) -> None:
    """Draw all bands of one model; only the first has a label, so that the legend has one line."""
    path = np.array(result["path"])
    # A nan where the path jumps: no line is drawn across it.
    jumps = np.flatnonzero(np.diff(path) < MIN_STEP) + 1
    bands = np.insert(np.array(result["bands"]), jumps, np.nan, axis=0)
    lines = axis.plot(np.insert(path, jumps, np.nan), bands, line, color=colour, lw=1)
    lines[0].set_label(title)
    axis.set_xticks(*_ticks(result))


def enthalpy_plot(models: Mapping[str, Rows], phases: list[str]) -> Figure:
    """Draw enthalpies above the first phase's, against pressure."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    for title, rows, colour, _ in _styled(models):
        of_phase = enthalpies(rows)
        if phases[0] not in of_phase:
            continue
        first = of_phase[phases[0]]
        for phase, line in zip(phases[1:], cycle(PHASE_LINES), strict=False):
            if phase in of_phase:
                other = of_phase[phase]
                low = max(first.pressures[0], other.pressures[0])
                high = min(first.pressures[-1], other.pressures[-1])
                P = np.linspace(low, high, ENTHALPY_POINTS)
                difference = 1e3 * (other.curve()(P) - first.curve()(P))
                axis.plot(P, difference, line, color=colour, label=f"{phase}, {title}")
    axis.axhline(0, color="k", lw=0.6)
    axis.set(xlabel="pressure (GPa)", ylabel=f"H − H({phases[0]}) (meV/atom)", title="enthalpies")
    axis.legend(fontsize=7)
    return figure


def _styled(models: Mapping[str, Rows]) -> Iterator[tuple[str, Rows, str, str]]:
    """Yield each model's title and rows, with the colour and the line that it is drawn in."""
    for (title, rows), (colour, line) in zip(models.items(), cycle(STYLES), strict=False):
        yield title, rows, colour, line


def _results(rows: Rows, check: str) -> dict[str, Any]:
    """Return the results of a check, by phase."""
    return {
        phase: row["result"]
        for (name, phase), row in rows.items()
        if name == check and row["result"]
    }


def _with_results(models: Mapping[str, Rows], check: str) -> list[str]:
    """Return the phases for which some model has a result of a check."""
    return list(dict.fromkeys(phase for rows in models.values() for phase in _results(rows, check)))


def _panels(phases: list[str]) -> tuple[Figure, list[Axes]]:
    """Make a figure with an axis for each phase, three in a row."""
    columns = min(3, len(phases))
    rows = -(-len(phases) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.8 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[len(phases) :]:
        axis.remove()
    return figure, axes[: len(phases)]


def _ticks(result: Result) -> tuple[list[float], list[str]]:
    """Return positions and names of the special points, with Γ for G.

    Where the path jumps, two points share a position, and both names stand there.
    """
    positions: list[float] = []
    names: list[str] = []
    for position, label in zip(result["label_positions"], result["labels"], strict=True):
        name = label.replace("G", "Γ")
        if positions and position - positions[-1] < MIN_STEP:
            names[-1] = f"{names[-1]}|{name}"
        else:
            positions.append(position)
            names.append(name)
    return positions, names
