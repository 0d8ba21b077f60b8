"""How the cost grows: with atoms, neighbours, batch, and the length of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from benchmarks.cells import C16, SI16, Case
from benchmarks.gains import MODES, dataset, pool
from benchmarks.report import Section, Table, digits
from benchmarks.surface import Floor, surface
from benchmarks.timing import Options, Turn
from entropy_flows.fingerprints import GOM

TEXT = """\
Exponents are slopes in the plot: over all points, and over the upper half of them. The surface
is S_local with forces and virial of thermal cells."""


@dataclass
class Series:
    """Times y (s) over x."""

    name: str
    xlabel: str
    ylabel: str
    x: list[float]
    y: dict[str, list[float]]


def run(options: Options) -> Section:
    """Series, their exponents, and a plot."""
    series = [atoms(options), neighbours(options), batches(options), lengths(options)]
    columns = [
        "against",
        "of",
        "from",
        "to",
        "ms at the first",
        "ms at the last",
        "exponent",
        "upper half",
    ]
    rows = [exponents(one, name) for one in series for name in one.y]
    picture = plot(series, options)
    return Section(
        "Growth", TEXT.replace("\n", " "), [Table("Exponents", columns, rows)], plots=[picture]
    )


def atoms(options: Options) -> Series:
    """One cell of 8 to 256 silicon atoms."""
    repeats = [(1, 2, 2), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8)]
    cases = [Case("Si", repeat, 4.5) for repeat in repeats[:4] if options.quick] or [
        Case("Si", r, 4.5) for r in repeats
    ]
    y = [one_cell(options, case) for case in cases]
    return Series(
        "atoms (Si, r_c 4.5 Å)",
        "atoms in the cell",
        "ms a cell",
        [case.atoms for case in cases],
        gather(y),
    )


def neighbours(options: Options) -> Series:
    """Cutoffs from 3 to 6 Å."""
    x, y = [], []
    for cutoff in (3.0, 3.5, 4.0, 4.5) if options.quick else (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0):
        case = Case(C16.crystal, C16.repeat, cutoff)
        x.append(float(Floor(case.gom(case.cells(1)), case.cells(1)).sizes.mean()))
        y.append(one_cell(options, case))
    return Series("neighbours (C16, r_c 3 to 6 Å)", "rows of a matrix", "ms a cell", x, gather(y))


def batches(options: Options) -> Series:
    """Batches of 1 to 256 cells."""
    cells = SI16.cells(256)
    gom = SI16.gom(cells, device=options.device)
    x = [1, 2, 4, 8, 16, 32, 64] if options.quick else [1, 2, 4, 8, 16, 32, 64, 128, 256]
    y = []
    for count in x:
        options.say(f"growth: batch of {count}")
        best = options.compete(contestants(options, gom, cells[:count]), seconds=2.0)
        y.append({name: time / count for name, time in best.items()})
    return Series("batch (Si16, r_c 4.5 Å)", "cells in a batch", "ms a cell", x, gather(y))


def lengths(options: Options) -> Series:
    """Gains with vectors of 25 to 800 components."""
    x, y = [25, 50, 100, 200, 400, 800], []
    for dim in x:
        options.say(f"growth: gains, d = {dim}")
        candidates, stats = pool(dim, 64), {mode: dataset(dim, mode) for mode in MODES}
        turns = {
            f"gain per {mode}": options.turn(partial(stats[mode].gains, candidates))
            for mode in MODES
        }
        y.append(
            {
                name: time / len(candidates)
                for name, time in options.compete(turns, seconds=2.0).items()
            }
        )
    return Series("length of the vector (16 atoms)", "d", "ms a gain", x, gather(y))


def one_cell(options: Options, case: Case) -> dict[str, float]:
    """Surface and floor of one cell."""
    options.say(f"growth: {case.name}, r_c {case.cutoff} Å")
    cells = case.cells(1)
    gom = case.gom(cells, device=options.device)
    return options.compete(contestants(options, gom, cells), seconds=2.0)


def contestants(options: Options, gom: GOM, cells: list[Atoms]) -> dict[str, Turn]:
    """Ours and the floor."""
    ours, floor = partial(surface, gom, cells), Floor(gom, cells).solve
    return {"surface": options.turn(ours), "bare eigh": options.turn(floor)}


def gather(times: list[dict[str, float]]) -> dict[str, list[float]]:
    """One list a contestant."""
    return {name: [best[name] for best in times] for name in times[0]}


def slope(x: list[float], y: list[float]) -> float:
    """Exponent of y ∝ x^p."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def exponents(series: Series, name: str) -> list[Any]:
    """Row of the table."""
    x, y, half = series.x, series.y[name], len(series.x) // 2
    row = [series.name, name, x[0], x[-1], 1e3 * y[0], 1e3 * y[-1]]
    return [*row, slope(x, y), slope(x[half:], y[half:])]


def plot(series: list[Series], options: Options) -> str:
    """All series in one picture; its file name."""
    mpl.use("Agg")
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for one, axis in zip(series, axes.flat, strict=True):
        for name, y in one.y.items():
            label = f"{name}, exponent {digits(slope(one.x, y))}"
            axis.loglog(one.x, 1e3 * np.array(y), "o-", label=label)
        axis.set(title=one.name, xlabel=one.xlabel, ylabel=one.ylabel)
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ticks.set_major_formatter("{x:g}")
            ticks.set_minor_formatter(NullFormatter())
        axis.grid(which="both", alpha=0.2)
        axis.legend(frameon=False)
    name = f"growth{options.suffix}.png"
    figure.savefig(options.folder / name, dpi=90)
    plt.close(figure)
    with Image.open(options.folder / name) as picture:
        picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(
            options.folder / name, optimize=True
        )
    return name
