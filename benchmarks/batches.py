"""Time trajectories together, in batches of 1 to 1024, with models as they are: a minute.

`dynamics` does the same with compiled models, too, and compiling them takes minutes.
"""

from __future__ import annotations

from benchmarks.dynamics import eager, throughput
from benchmarks.report import Section, Table
from benchmarks.timing import Options

SATURATED = 0.9
"""Share of the highest throughput from which a larger batch gains little."""

TEXT = """\
Cells of 16 silicon atoms at 1000 K, Langevin steps of 1 fs, local entropy with r_c 3.0 Å and
k = 2 eV. "ASE" is one trajectory through `ase.md.langevin`. A batch saturates the device from
where it has 90 % of the highest throughput."""


def run(options: Options) -> Section:
    """Measure the throughput over batch sizes, and find where it saturates."""
    table = throughput(options, eager(options))
    rows = []
    for name in dict.fromkeys(row[0] for row in table.rows):
        rates = {row[1]: row[2] for row in table.rows if row[0] == name and row[1] != "ASE"}
        best = max(rates.values())
        size = min(size for size, rate in rates.items() if rate >= SATURATED * best)
        rows.append([name, size, best])
    columns = ["base model", "saturated from a batch of", "highest, steps · trajectories / s"]
    saturation = Table("Saturation", columns, rows)
    return Section("Trajectories together", TEXT.replace("\n", " "), [table, saturation])
