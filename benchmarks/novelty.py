"""A crystal that is heated until it melts, watched by the observer; and what the observer costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from matplotlib.ticker import LogLocator, NullFormatter

import entropy_flows
from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.evaluate.novelty import Novelty
from entropy_flows.evaluate.novelty_observer import NoveltyObserver
from entropy_flows.potentials import load_calculator

MODEL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
LATTICE = 5.43
TIMESTEP = 2.0
"""fs."""
COLD = (100.0, 300.0, 600.0)
"""Temperatures (K) of the known cells."""
START, END = 300.0, 4000.0
"""Temperatures (K) between which the run is heated."""
INTERVAL = 10
"""Steps between two looks."""
HARVEST_ABOVE = 1.5
SPACING = 100

TEXT = """\
Silicon with the Allegro in the package, Langevin steps of 2 fs. Known are cells of 64 atoms from
dynamics at 100, 300 and 600 K. The run is heated steadily from 300 to 4000 K and watched every 10
steps; frames above γ = 1.5 are harvested, 100 steps apart at least, and count as known to
harvesting from then on. Displacement is the root mean square from the first frame, without that
of the centre of mass; beyond 1 Å or so atoms have left their sites for good."""


def run(options: Options) -> Section:
    """Watch a run that melts, and time the observer beside the model."""
    calculator = load_calculator(MODEL)
    known = cold_cells(calculator, 6 if options.quick else 20, options)
    begun = time.process_time()
    novelty = Novelty.of(known)
    options.say(f"novelty: {len(known)} cells known in {time.process_time() - begun:.1f} s of CPU")
    melting, picture = melt(novelty, calculator, options)
    return Section(
        "Novelty", TEXT.replace("\n", " "), [melting, cost(novelty, calculator, options)], [picture]
    )


def crystal(repeat: int, calculator: Calculator, temperature: float, seed: int) -> Atoms:
    """A diamond crystal with velocities."""
    atoms = bulk("Si", "diamond", a=LATTICE, cubic=True) * (repeat, repeat, repeat)
    atoms.calc = calculator
    # half of the energy goes into displacements at once
    MaxwellBoltzmannDistribution(
        atoms, temperature_K=2 * temperature, rng=np.random.default_rng(seed)
    )
    return atoms


def langevin(atoms: Atoms, temperature: float, seed: int) -> Langevin:
    """Its dynamics."""
    rng = np.random.default_rng(seed)
    return Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=temperature,
        friction=0.01 / units.fs,
        rng=rng,
    )


def cold_cells(calculator: Calculator, count: int, options: Options) -> list[Atoms]:
    """So many frames at each temperature, 25 steps apart after 100 steps."""
    cells: list[Atoms] = []
    for seed, temperature in enumerate(COLD, 1):
        options.say(f"novelty: known cells at {temperature:.0f} K")
        atoms = crystal(2, calculator, temperature, seed)
        dynamics = langevin(atoms, temperature, seed)
        dynamics.run(100)
        for _ in range(count):
            dynamics.run(25)
            cells.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True))
    return cells


def melt(novelty: Novelty, calculator: Calculator, options: Options) -> tuple[Table, str]:
    """The heated run: a row for each 500 K, and the name of its picture."""
    steps = 600 if options.quick else 6000
    atoms = crystal(2, calculator, START, 9)
    first = atoms.positions.copy()
    dynamics = langevin(atoms, START, 9)
    displacements: list[float] = []

    def heat() -> None:
        goal = START + (END - START) * dynamics.nsteps / steps
        dynamics.set_temperature(temperature_K=goal)

    def measure() -> None:
        moved = atoms.positions - first
        moved -= moved.mean(axis=0)
        displacements.append(float(np.sqrt((moved**2).sum(axis=1).mean())))

    with TemporaryDirectory() as folder:
        path = Path(folder) / "harvested.extxyz"
        observer = NoveltyObserver(
            dynamics, novelty, harvest_above=HARVEST_ABOVE, harvest_file=path, spacing=SPACING
        )
        dynamics.attach(heat, interval=1)
        dynamics.attach(observer, interval=INTERVAL)
        dynamics.attach(measure, interval=INTERVAL)
        for _ in range(10):
            dynamics.run(steps // 10)
            options.say(f"novelty: step {dynamics.nsteps}, grade {observer.records[-1].grade:.2f}")
        harvested: Any = read(path, ":") if path.exists() else []
    table = _by_temperature(observer, displacements, steps)
    above = [record.step for record in observer.records if record.grade > 1]
    table.note = (
        f"First grade above 1 at step {above[0] if above else None} of {steps}; {len(harvested)} "
        f"frames harvested of {len(observer.records)} looked at, the first at step "
        f"{observer.harvested[0] if observer.harvested else None}."
    )
    return table, _plot(observer, displacements, steps, options)


def _by_temperature(observer: NoveltyObserver, displacements: Sequence[float], steps: int) -> Table:
    columns = ["thermostat, K", "median γ", "largest γ", "displacement, Å", "harvested"]
    table = Table("Heating to the melt", columns)
    records = observer.records
    goals = np.array([START + (END - START) * record.step / steps for record in records])
    grades = np.array([record.grade for record in records])
    edges = [START, *np.arange(500.0, END + 1, 500.0)]
    for low, high in pairwise(edges):
        inside = np.flatnonzero((goals >= low) & (goals <= high))
        span = (records[inside[0]].step, records[inside[-1]].step)
        harvested = sum(span[0] <= step <= span[1] for step in observer.harvested)
        table.rows.append(
            [
                f"{low:.0f} to {high:.0f}",
                float(np.median(grades[inside])),
                float(grades[inside].max()),
                displacements[inside[-1]],
                harvested,
            ]
        )
    return table


def _plot(
    observer: NoveltyObserver, displacements: Sequence[float], steps: int, options: Options
) -> str:
    mpl.use("Agg")
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 5), height_ratios=(2, 1), layout="constrained"
    )
    times = [record.time for record in observer.records]
    grades = {record.step: record.grade for record in observer.records}
    top.semilogy(times, list(grades.values()), lw=1)
    taken = [step * TIMESTEP / 1000 for step in observer.harvested]
    top.semilogy(taken, [grades[step] for step in observer.harvested], "o", ms=4, label="harvested")
    top.axhline(1, color="k", lw=0.8, ls="--", label="edge of the data set")
    top.set(ylabel="γ of the worst atom", title="Si64 heated from 300 to 4000 K; known: 100–600 K")
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter(NullFormatter())
    top.legend(frameon=False)
    bottom.plot(times, displacements, color="C1", lw=1)
    bottom.set(xlabel=f"time (ps); {END - START:.0f} K in {steps * TIMESTEP / 1000:g} ps")
    bottom.set(ylabel="displacement (Å)")
    name = f"novelty{options.suffix}.png"
    figure.savefig(options.folder / name, dpi=90)
    plt.close(figure)
    return name


def cost(novelty: Novelty, calculator: Calculator, options: Options) -> Table:
    """CPU time of a look beside that of a step."""
    columns = ["cell", "a step, ms", "a look, ms", "share at every step, %"]
    table = Table("Cost of the observer", [*columns, f"share at every {INTERVAL}th, %"])
    for repeat in (2,) if options.quick else (2, 3, 4):
        atoms = crystal(repeat, calculator, 600.0, 1)
        dynamics = langevin(atoms, 600.0, 1)
        observer = NoveltyObserver(dynamics, novelty)
        options.say(f"novelty: cost for {len(atoms)} atoms")
        turns = {
            "step": options.turn(lambda dynamics=dynamics: dynamics.run(1)),
            "look": options.turn(observer),
        }
        best = options.compete(turns, seconds=8.0)
        step, look = best["step"], best["look"]
        shares = [100 * look / (every * step + look) for every in (1, INTERVAL)]
        table.rows.append([f"Si{len(atoms)}", 1e3 * step, 1e3 * look, *shares])
    return table
