"""Rerun the paper's experiment on its three systems, a teacher in place of DFT: pools, learning curves, tables, plots.

Hours on two cores; killed and run again it goes on. Writes a page of tables for each system,
docs/evidence/*.md, and its plots from what there is by then.

Example: python evidence/make.py --system silicon --workers 2
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paper import PAPER
from unseen import unseen_table

from entropy_flows.cli.curve import CurveCampaigns
from entropy_flows.evaluate import errors
from entropy_flows.evaluate.curve import QUANTITIES
from entropy_flows.jobs.curve import Pools
from entropy_flows.launch.session import Session, session
from entropy_flows.potentials import load_calculator
from entropy_flows.report.curve import (
    condition_tables,
    curve_tables,
    information_table,
    pools_of,
    start_of,
)

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "evidence"
TITLES = {"silicon": "silicon", "nacl": "NaCl", "carbon": "carbon"}
SYSTEMS = tuple(TITLES)
PACKAGES = ("entropy_flows", "torch", "nequip", "nequip-allegro", "sevenn", "numpy")
PLOTS = ("curves", "coverage", "umap", "parity", "distance")


def main() -> None:
    """Run, then write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument(
        "--system", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="default: all"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/evidence"), help="default: %(default)s"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core"
    )
    parser.add_argument(
        "--tables", action="store_true", help="run nothing, write tables and plots of what there is"
    )
    args = parser.parse_args()
    if not args.tables:
        for system in args.system:
            program = [sys.executable, "-c", "from entropy_flows.cli import main; main()", "curve"]
            where = ["--folder", str(args.folder / system), "--workers", str(args.workers)]
            subprocess.run([*program, str(HERE / f"{system}.yaml"), *where], check=True)
    write_tables(args.folder)


def write_tables(folder: Path) -> None:
    """Write the page of tables of each system that has points, and copy its plots."""
    PAGES.mkdir(exist_ok=True)
    for system in SYSTEMS:
        home = folder / system
        if not (home / "database").is_dir():
            continue
        with session(HERE / f"{system}.yaml", home) as opened:
            lines = system_page(system, opened)
        if lines:
            copy_plots(system, home)
            (page := PAGES / f"{system}.md").write_text("\n".join(lines) + "\n")
            print(f"written: {page}")


def system_page(system: str, opened: Session) -> list[str]:
    """A system's tables in Markdown, beside the paper's own figures; none without points."""
    parts = CurveCampaigns.of(opened)
    points = opened.store.of(parts.curve.name).points()
    if not points:
        return []
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"# Evidence: {TITLES[system]}\n",
        "Labels by SevenNet-0, a machine-learned teacher, not by DFT. Written by "
        f"`python evidence/make.py --system {system}`; Python {platform.python_version()}, {versions}.\n",
        costs(opened, parts, points),
        "**Before training.** The base model on both tests.\n",
        markdown(untrained(opened, parts)),
    ]
    tables = [
        *curve_tables(points),
        unseen_table(opened, parts, points),
        *condition_tables(opened, parts, points),
    ]
    for title, rows, note in [*tables, information_table(opened, parts, pools_of(opened, parts))]:
        lines += [f"\n**{title}.** {note}\n", markdown(rows)]
    own = PAPER[system]
    lines += [
        f"\n**The paper's own ({own['engine']}, Allegro-OAM-L, N = 800).**\n",
        markdown(own["rows"]),
    ]
    lines += [f"\n![{name}]({system}-{name}.png)" for name in PLOTS]
    return lines


def untrained(opened: Session, parts: CurveCampaigns) -> list[list[str]]:
    """Errors of the model that all trainings start from."""
    store = opened.store.of(parts.curve.name)
    engine_hash = store.document()["engine"]["hash"]
    tests = Pools(parts.pools, engine_hash, opened.campaign.curve).tests()
    base = load_calculator(store.fetch_model(start_of(store)))
    rows = [["test", "cells", *(name for name, _ in QUANTITIES.values())]]
    for test, frames in tests.items():
        found = errors(frames, base)
        rows.append(
            [
                test,
                str(len(frames)),
                *(f"{getattr(found, key) * scale:.2f}" for key, (_, scale) in QUANTITIES.items()),
            ]
        )
    return rows


def costs(opened: Session, parts: CurveCampaigns, points: Sequence[dict[str, Any]]) -> str:
    """Labels, trainings and their CPU time, one thread each."""
    hours = {"trainings": sum(point["wall_seconds"] for point in points) / 3600}
    counts = []
    for name, campaign in parts.pools.items():
        store = opened.store.of(campaign)
        labels = list(store.labels())
        failed = sum(not label["converged"] for label in labels)
        flagged = sum(bool(label.get("flagged")) for label in labels)
        counts.append(f"{name} {len(labels)} labels ({failed} failed, {flagged} flagged)")
        hours["labels"] = (
            hours.get("labels", 0.0) + sum(label["wall_seconds"] or 0.0 for label in labels) / 3600
        )
        runs = [run for doc in store.iterations() for run in doc.get("runs", [])]
        hours["dynamics"] = (
            hours.get("dynamics", 0.0) + sum(run["wall_seconds"] for run in runs) / 3600
        )
    told = ", ".join(f"{name} {value:.2f} h" for name, value in hours.items())
    return f"{'; '.join(counts)}; {len(points)} trainings. One core: {told}.\n"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table with its header first."""
    head = [f"| {' | '.join(rows[0])} |", "| --- |" + " ---: |" * (len(rows[0]) - 1)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows[1:])])


def copy_plots(system: str, home: Path) -> None:
    """Keep the page's figures beside the tables."""
    for name in PLOTS:
        if (source := home / "curve" / f"{name}.png").is_file():
            shutil.copy(source, PAGES / f"{system}-{name}.png")


if __name__ == "__main__":
    main()
