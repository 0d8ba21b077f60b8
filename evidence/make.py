"""Repeat the experiment of Wang 2026 on its three systems, with a teacher in place of DFT.

It makes pools, learning curves, tables and plots, in hours on two cores. A run that was killed goes
on when it is started again. It writes a page of tables for each system, docs/evidence/*.md, and its
plots, from what there is by then.

Example: python evidence/make.py --system silicon --workers 2
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from paper import PAPER
from shared import FOLDER, SYSTEMS, TITLES, add_workers, campaign_file, command_line
from unseen import unseen_table

from entropy_flows.evaluate.curve import ERROR_COLUMNS
from entropy_flows.evaluate.errors import errors
from entropy_flows.jobs.curve import Pools
from entropy_flows.launch.session import open_session
from entropy_flows.potentials import load_calculator
from entropy_flows.report.curve import condition_tables, curve_tables, information_table
from entropy_flows.report.curve_results import CurveResults
from entropy_flows.report.text import markdown_table

PAGES = FOLDER.parent / "docs" / "evidence"
PACKAGES = ("entropy_flows", "torch", "nequip", "nequip-allegro", "sevenn", "numpy")
PLOTS = ("curves", "coverage", "umap", "parity", "distance")
PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]


def main() -> None:
    """Run, then write the tables."""
    parser = command_line(__doc__)
    add_workers(parser)
    parser.add_argument(
        "--system", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="default: all"
    )
    parser.add_argument(
        "--tables", action="store_true", help="run nothing, write tables and plots of what there is"
    )
    options = parser.parse_args()
    if not options.tables:
        for system in options.system:
            folder = ["--folder", str(options.folder / system)]
            workers = ["--workers", str(options.workers)]
            curve = [*PROGRAM, "curve", str(campaign_file(system))]
            subprocess.run([*curve, *folder, *workers], check=True)
    write_tables(options.folder)


def write_tables(folder: Path) -> None:
    """Write the page of tables of each system that has points, and copy its plots."""
    PAGES.mkdir(exist_ok=True)
    for system in SYSTEMS:
        system_folder = folder / system
        if not (system_folder / "database").is_dir():
            continue
        with open_session(campaign_file(system), system_folder) as system_session:
            results = CurveResults.read(system_session.store, system_session.campaign)
            lines = system_page(system, results) if results.points else []
        if lines:
            copy_plots(system, system_folder)
            page = PAGES / f"{system}.md"
            page.write_text("\n".join(lines) + "\n")
            print(f"written: {page}")


def system_page(system: str, results: CurveResults) -> list[str]:
    """Write a system's tables in Markdown, beside the paper's own figures."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"# Evidence: {TITLES[system]}\n",
        "Labels by SevenNet-0, a machine-learned teacher, not by DFT. Written by "
        f"`python evidence/make.py --system {system}`; "
        f"Python {platform.python_version()}, {versions}.\n",
        costs(results),
        "**Before training.** The base model on both tests.\n",
        markdown_table(untrained_rows(results)),
    ]
    tables = [
        *curve_tables(results.points),
        unseen_table(results),
        *condition_tables(results),
        information_table(results, results.pool_fingerprints()),
    ]
    for table in tables:
        lines += [f"\n**{table.title}.** {table.note}\n", markdown_table(table.rows)]
    paper = PAPER[system]
    title = f"The paper's own ({paper['engine']}, Allegro-OAM-L, N = 800)"
    lines += [f"\n**{title}.**\n", markdown_table(paper["rows"])]
    lines += [f"\n![{name}]({system}-{name}.png)" for name in PLOTS]
    return lines


def untrained_rows(results: CurveResults) -> list[list[str]]:
    """Write the errors of the model that all trainings start from."""
    engine_hash = results.curve_store.document()["engine"]["hash"]
    pools = Pools(results.campaigns.pools, engine_hash, results.campaign.curve)
    model = load_calculator(results.curve_store.fetch_model(results.starting_model()))
    rows = [["test", "cells", *(title for title, _ in ERROR_COLUMNS.values())]]
    for test, frames in pools.tests().items():
        test_errors = errors(frames, model)
        values = [
            f"{getattr(test_errors, quantity) * scale:.2f}"
            for quantity, (_, scale) in ERROR_COLUMNS.items()
        ]
        rows.append([test, str(len(frames)), *values])
    return rows


def costs(results: CurveResults) -> str:
    """Write the number of labels and trainings, and their CPU time with one thread each."""
    training_seconds = sum(point["wall_seconds"] for point in results.points)
    seconds: dict[str, float] = defaultdict(float, trainings=training_seconds)
    counts = []
    for name, campaign in results.campaigns.pools.items():
        store = results.store.of(campaign)
        labels = list(store.labels())
        failed = sum(not label["converged"] for label in labels)
        flagged = sum(bool(label.get("flagged")) for label in labels)
        counts.append(f"{name} {len(labels)} labels ({failed} failed, {flagged} flagged)")
        seconds["labels"] += sum(label["wall_seconds"] or 0.0 for label in labels)
        for doc in store.iterations():
            seconds["dynamics"] += sum(run["wall_seconds"] for run in doc.get("runs", []))
    hours = ", ".join(f"{work} {spent / 3600:.2f} h" for work, spent in seconds.items())
    return f"{'; '.join(counts)}; {len(results.points)} trainings. One core: {hours}.\n"


def copy_plots(system: str, system_folder: Path) -> None:
    """Copy the page's figures beside the tables."""
    for name in PLOTS:
        source = system_folder / "curve" / f"{name}.png"
        if source.is_file():
            shutil.copy(source, PAGES / f"{system}-{name}.png")


if __name__ == "__main__":
    main()
