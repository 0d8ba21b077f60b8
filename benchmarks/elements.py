"""Measure the global entropy's lengths, time, memory and stored bytes for 1 to 6 elements."""

from __future__ import annotations

import tracemalloc

import numpy as np
from ase import Atoms
from ase.build import bulk

from benchmarks.report import Section, Table
from benchmarks.scaling.units import seconds
from benchmarks.timing import Options
from entropy_flows.conventions import Array
from entropy_flows.entropy import SufficientStatistics
from entropy_flows.fingerprints import GOM
from entropy_flows.store.arrays import pack

SYSTEMS: dict[str, tuple[str, ...]] = {
    "Si": ("Si",),
    "NaCl": ("Na", "Cl"),
    "Li-Mn-O": ("Li", "O", "Mn"),
    "Li-Mn-Ni-O": ("Li", "O", "Mn", "Ni"),
    "CrMnFeCoNi": ("Cr", "Mn", "Fe", "Co", "Ni"),
    "six-element oxide": ("Li", "O", "Mg", "Mn", "Co", "Ni"),
}
ANIONS = ("O", "Cl")
CELLS, FEW = 64, 8
JUDGED = 16
"""Candidates whose gains are timed together, with the whole data set known."""
MIB = 2**20
TEXT = f"""\
{CELLS} cells of 16 atoms of each system ({FEW} with --quick), their species drawn at random,
compressed, expanded and rattled; pairs, r_c 4.5 Å, natx 200. A candidate is a gain per atom; an
acceptance is an addition and the next gain, with what decomposing anew takes in the mean. Memory
is the peak of both while the data set grows, without the fingerprints; bytes are those stored of
a cell and of a covariance."""
COLUMNS = [
    "system",
    "elements",
    "d",
    "populated",
    "ms a fingerprint",
    "ms a candidate",
    "ms an acceptance",
    "peak MiB",
    "kB a cell",
    "kB a covariance",
]


def cells(elements: tuple[str, ...], count: int) -> list[Atoms]:
    """Make cells of 16 atoms: diamond for one element, rock salt with an anion, fcc otherwise."""
    rng = np.random.default_rng(len(elements))
    anion = next((symbol for symbol in elements if symbol in ANIONS), None)
    cations = [symbol for symbol in elements if symbol != anion]
    made = []
    for _ in range(count):
        if len(elements) == 1:
            atoms = bulk(elements[0], cubic=True).repeat((2, 1, 1))
        elif anion is None:
            atoms = bulk("Ni", cubic=True, a=3.6).repeat((2, 2, 1))
            atoms.symbols[:] = rng.choice(cations, len(atoms))
        else:
            atoms = bulk("NaCl", "rocksalt", a=5.6 if anion == "Cl" else 4.2, cubic=True).repeat(
                (2, 1, 1)
            )
            atoms.symbols[:] = [
                anion if atom.symbol == "Cl" else str(rng.choice(cations)) for atom in atoms
            ]
        atoms.set_cell(atoms.cell * rng.uniform(0.95, 1.06), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.2, size=atoms.positions.shape)
        made.append(atoms)
    return made


def run(options: Options) -> Section:
    """Build the table, a row for each number of elements."""
    table = Table("1 to 6 elements", COLUMNS)
    for name, elements in SYSTEMS.items():
        options.say(f"elements: {name}")
        table.rows.append(
            [name, len(elements), *measured(elements, FEW if options.quick else CELLS)]
        )
    return Section("Elements", TEXT.replace("\n", " "), [table])


def measured(elements: tuple[str, ...], count: int) -> list[float]:
    """Return d, populated components, times (ms), memory (MiB) and bytes (kB)."""
    gom = GOM(cutoff=4.5, natx=200, elements=elements)
    some = cells(elements, count)
    gom(some[:1])  # compiles
    prints: list[Array] = []
    fingerprints = seconds(lambda: prints.extend(gom(some)))
    statistics = SufficientStatistics(gom.dim)
    growth = seconds(lambda: grow(statistics, prints))
    tracemalloc.start()
    grow(SufficientStatistics(gom.dim), prints)  # once more: tracing takes time
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    judged = prints[:JUDGED]
    gains = seconds(lambda: statistics.gains(judged))
    populated = int(np.any([q.any(axis=0) for q in prints], axis=0).sum())
    times = [1e3 * fingerprints / count, 1e3 * gains / len(judged), 1e3 * growth / count]
    stored = sum(len(pack(q)) for q in prints) / count
    return [gom.dim, populated, *times, peak / MIB, stored / 1e3, len(statistics.to_bytes()) / 1e3]


def grow(statistics: SufficientStatistics, prints: list[Array]) -> None:
    """Accept one cell after the other, and judge the next."""
    for q, following in zip(prints, [*prints[1:], prints[0]], strict=True):
        statistics.add(q)
        statistics.gain(following)
