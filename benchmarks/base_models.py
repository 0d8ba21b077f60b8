"""Time an MD step of each base model that needs no network: alone, and in a batch of 32."""

from __future__ import annotations

from benchmarks.cells import SI16
from benchmarks.dynamics import PACKAGE
from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model, with_arguments

MODELS = {
    "shipped:si-small (Allegro, silicon alone)": PACKAGE,
    "SevenNet-0 (11 July 2024)": "SevenNet-0",
    "7net-0_22may2024": "7net-0_22may2024",
    "7net-mf-0, modal PBE": with_arguments("7net-mf-0", {"modal": "PBE"}),
    "7net-mf-0, modal R2SCAN": with_arguments("7net-mf-0", {"modal": "R2SCAN"}),
    "7net-l3i5": "7net-l3i5",
}
BATCH = 32

TEXT = """\
Energies, forces and stresses of cells of 16 silicon atoms by the models inside the package and
inside SevenNet's wheel, as dynamics call them: neighbours included, no bias. Milliseconds are of
one thread, the fastest of several calls."""


def run(options: Options) -> Section:
    """Milliseconds of a step of each model."""
    one = Batch.of(SI16.cells(1), options.device)
    many = Batch.of(SI16.cells(BATCH), options.device)
    turns = {}
    for name, model in MODELS.items():
        options.say(f"base models: {name}")
        loaded = load_batch_model(model, options.device)
        for batch in (one, many):
            loaded(batch)
            turns[name, len(batch)] = options.turn(lambda m=loaded, b=batch: m(b))
    best = options.compete(turns, seconds=8.0)
    rows = []
    reference = best["SevenNet-0 (11 July 2024)", 1]
    for name in MODELS:
        alone, batched = best[name, 1], best[name, BATCH] / BATCH
        rows.append([name, 1e3 * alone, 1e3 * batched, alone / reference])
    columns = ["model", "alone, ms", f"in a batch of {BATCH}, ms a cell", "alone ÷ SevenNet-0"]
    return Section("Base models", TEXT.replace("\n", " "), [Table("A step", columns, rows)])
