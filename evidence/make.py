"""Run the evidence on silicon, NaCl and carbon: pools, students, tables.

Labels come from SevenNet-0, a machine-learned teacher. Killed and run again, it goes on.

Example: python evidence/make.py --system silicon --folder runs/evidence
"""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import shared
from ase import Atoms
from campaign_tables import (
    QUANTITIES,
    Results,
    error_table,
    figure,
    ratio_table,
    summary_rows,
)
from campaigns import KINDS, POOL_SEEDS, SystemPools
from pool_cells import INDEPENDENT, PoolCells, pool_files, pool_names, write_pools
from rich.console import Console
from shared import SUMMARY, SYSTEMS, TITLES, add_workers, campaign_file, command_line
from students import Students

from entropy_flows.launch.session import open_session
from entropy_flows.report.text import markdown_table
from entropy_flows.schemas import load_campaign
from entropy_flows.train import energy_per_atom

PAGE = SUMMARY.with_name("campaigns.md")
FIGURE = SUMMARY.with_name("campaigns.png")
STUDENTS = ("linear", "gp", "large gp", "small")
"""Students that are run without being asked for, quick ones first."""
PACKAGES = ("entropy_flows", "torch", "nequip", "nequip-allegro", "sevenn", "featomic", "numpy")
HEADER = """# Evidence: what campaigns choose

Written by `python evidence/make.py`. **Labels are SevenNet-0's, a machine-learned teacher's, not
DFT's.**

A *rule* is a campaign of its own, with the same grid (k = 0 is in it) and the same budget.
`logdet` is the filter of Wang 2026, `variance` and `herding` choose for plain dynamics.
`variance-mix` chooses half for plain dynamics, half for all that was explored.
`variance-wide` has four trajectories of plain dynamics for each condition, as many as `random`.
It was added when silicon's first tables were known.
`herding` and `herding-wide`, with the grid of `variance-wide`, were added when all others were.
`random` is plain dynamics (k = 0) on the same grid without a filter, at the same times.
`random-early` has its snapshots right after the warm-up, without the time of the ramp: nearer to
the crystals. It was the only baseline until herding was tried.
`mixed` is log det with a fifth of near-equilibrium cells of `random`.
Of each pool N cells are drawn at random to train on.
*Chosen first* are the N that a rule chose first, which is what a budget of N buys.
It was added when silicon's first tables were known, and before any of its own errors was.

Each model is tested on what is held out of every pool, and on the independent test.
A value is a mean over two pools and the draws of each.
Its ± is the standard error of the pools' means or of the draws, whichever is larger.
With two pools it is a rough one.
"""


def main() -> None:
    """Run, then write the tables."""
    parser = command_line(__doc__)
    add_workers(parser)
    parser.add_argument(
        "--system", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="default: all"
    )
    parser.add_argument(
        "--tables", action="store_true", help="run nothing, write tables of what there is"
    )
    options = parser.parse_args()
    if not options.tables:
        for system in options.system:
            run(system, options.folder / system, options.workers)
    write_tables(options.folder)


def run(system: str, folder: Path, workers: int) -> None:
    """Run a system's pools, then its students."""
    if not all(file.is_file() for file in pool_files(folder).values()):
        with open_session(campaign_file(system), folder) as session:
            SystemPools(session).run(workers, Console(), KINDS, POOL_SEEDS)
    students = Students.of(system, folder)
    for student in STUDENTS:
        students.run(list(students.points(student)), print)


def write_tables(folder: Path) -> None:
    """Write page, figure and rows of the systems that have results.

    Systems without results in this folder keep the section, the rows and the marks that they have:
    each may be run on another machine.
    """
    sections = shared.sections(PAGE)
    rows = []
    for system, title in TITLES.items():
        all_results = Results.read(system, folder / system)
        if all_results:
            sections[title] = "\n".join(section_lines(system, folder / system, all_results))
        for results in all_results:
            rows += list(summary_rows(results))
    shared.write_rows("make.py", rows)
    figure(shared.read_rows("make.py"), FIGURE)
    texts = [sections[title].strip() for title in TITLES.values() if title in sections]
    PAGE.write_text("\n\n".join([HEADER.strip(), *texts]) + "\n")
    print(f"written: {PAGE}")


def section_lines(system: str, folder: Path, all_results: list[Results]) -> Iterator[str]:
    """Yield a system's section: its pools, its students, the versions of what made them."""
    yield f"## {TITLES[system]}\n"
    yield from system_lines(system, folder)
    for results in all_results:
        yield from student_lines(results)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"Python {platform.python_version()}, {versions}."


def system_lines(system: str, folder: Path) -> Iterator[str]:
    """Yield what the pools are made of, and what they cost."""
    campaign = load_campaign(campaign_file(system))
    pools = PoolCells.load(write_pools(system, folder), campaign.curve.max_force)
    yield "What is in the pools, in per cent of their cells:\n"
    yield markdown_table(list(composition(pools)))
    yield ""
    if (folder / "database").is_dir():
        with open_session(campaign_file(system), folder) as session:
            yield from costs(SystemPools(session))


def composition(pools: PoolCells) -> Iterator[list[str]]:
    """Yield a row for each pool: shares of its cells by k, temperature and phase."""
    conditions = {
        name: sorted({atoms.info[name] for atoms in pools.frames if name in atoms.info})
        for name in ("k", "temperature", "phase")
    }
    units = {"k": "k = {:g}", "temperature": "{:g} K", "phase": "{}"}
    titles = [units[name].format(value) for name, values in conditions.items() for value in values]
    yield ["pool", "cells", *titles, "energies, eV/atom"]
    groups: dict[tuple[str, int], list[Atoms]] = defaultdict(list)
    for atoms in pools.frames:
        groups[atoms.info["pool"], atoms.info["pool_seed"]].append(atoms)
    for (pool, seed), frames in groups.items():
        shares = []
        for name, values in conditions.items():
            counts = Counter(atoms.info.get(name) for atoms in frames)
            shares += [f"{100 * counts[value] / len(frames):.0f}" for value in values]
        energies = np.array([energy_per_atom(atoms) for atoms in frames])
        spread = f"{energies.mean() - energies.min():.2f} ± {energies.std():.2f} above the lowest"
        title = pool if pool == INDEPENDENT else f"{pool}, seed {seed}"
        yield [title, str(len(frames)), *shares, spread]


def costs(pools: SystemPools) -> Iterator[str]:
    """Yield the time of labels and dynamics of all pools, on one core each."""
    seconds: dict[str, float] = defaultdict(float)
    for _, _, name in pool_names(pools):
        store = pools.system.store.of(name)
        if not store.exists():
            continue
        seconds["labels"] += sum(label["wall_seconds"] or 0.0 for label in store.labels())
        for document in store.iterations():
            seconds["dynamics"] += sum(run["wall_seconds"] for run in document.get("runs", []))
    hours = ", ".join(f"{work} {spent / 3600:.2f} h" for work, spent in seconds.items())
    if hours:
        yield f"All pools together, wall time of one core: {hours}.\n"


def student_lines(results: Results) -> Iterator[str]:
    """Yield a student's tables."""
    size = results.sizes[-1]
    seconds = [point["cpu_seconds"] for point in results.points if point["size"] == size]
    yield f"### {TITLES[results.system]}: {results.title}\n"
    cost = f"one of {size} cells takes {np.mean(seconds):.1f} CPU seconds"
    yield f"{len(results.points)} models; {cost}.\n"
    for quantity, (title, unit, _) in QUANTITIES.items():
        yield f"{title[0].upper()}{title[1:]}, {unit}, {size} cells:\n"
        yield markdown_table(error_table(results, size, quantity))
        yield ""
    for quantity in ("energy_mae", "forces_mae"):
        title = QUANTITIES[quantity][0]
        yield f"{title[0].upper()}{title[1:]}, random ÷ chosen:\n"
        yield markdown_table(ratio_table(results, quantity))
        yield ""


if __name__ == "__main__":
    main()
