"""`entropy-flows bench-selectors`: which selector trains best, on a labelled pool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from entropy_flows.processes import locked

if TYPE_CHECKING:
    from entropy_flows.cli.pool_bench import Bench

DEFAULT_SELECTORS = "random,logdet,greedy"


def command(
    pool: Annotated[Path, typer.Argument(help="Extended XYZ with energy and forces, and maybe stress.")],
    base_model: Annotated[str, typer.Option(help="What is fine-tuned: a .nequip.zip, shipped:…, SevenNet-0, …")],
    folder: Annotated[Path, typer.Option("--folder", "-C", help="Where results go.")],
    selectors: Annotated[str, typer.Option(help="Names, with commas between.")] = DEFAULT_SELECTORS,
    sizes: Annotated[str, typer.Option(help="Cells to choose.")] = "20,40,80",
    seeds: Annotated[str, typer.Option(help="Of choice and training.")] = "42,123,456",
    theta: Annotated[float, typer.Option(min=0.0, help="Smallest gain worth a label.")] = 1e-3,
    cutoff: Annotated[float, typer.Option(help="Fingerprint: r_c in Å.")] = 4.5,
    natx: Annotated[int, typer.Option(help="Fingerprint: eigenvalues of a matrix.")] = 200,
    preset: Annotated[str, typer.Option(help="Training recipe.")] = "small",
    max_epochs: Annotated[int | None, typer.Option(help="Epochs at most. Default: the recipe's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
) -> None:
    """Choose N cells of a labelled pool by each selector, train on them, and compare errors on the same held-out cells.

    The pool is split once: a fifth is the test, a tenth for validation, selectors choose from the rest. Everything is
    kept in the folder, so a command that was interrupted can be run again.

    Example: entropy-flows bench-selectors si.extxyz.gz --base-model shipped:si-small.nequip.zip -C bench
    """
    from entropy_flows.cli.pool_bench import Bench, show_tables, write_page

    bench = Bench(
        pool=pool,
        base_model=base_model,
        selectors=tuple(_words(selectors)),
        sizes=tuple(map(int, _words(sizes))),
        seeds=tuple(map(int, _words(seeds))),
        theta=theta,
        cutoff=cutoff,
        natx=natx,
        train={"preset": preset, **({} if max_epochs is None else {"max_epochs": max_epochs})},
    )
    console = Console()
    with locked(folder / "run.lock", "this benchmark", patience=3.0):
        bench.prepare(folder)
        _run(bench, folder, workers or len(os.sched_getaffinity(0)), console)
        points = bench.points(folder)
        for title, rows, _ in show_tables(points):
            table = Table(*rows[0], title=title)
            for row in rows[1:]:
                table.add_row(*row)
            console.print(table)
        console.print(f"page: {write_page(bench, points, folder)}", soft_wrap=True)


def _run(bench: Bench, folder: Path, workers: int, console: Console) -> None:
    """Run what is missing, each point in a process that has nothing of another's."""
    from entropy_flows.cli.pool_bench import run_point

    missing = list(bench.missing(folder))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as crew:
        jobs = {crew.submit(run_point, bench, point, folder): point for point in missing}
        for done, job in enumerate(as_completed(jobs), 1):
            selector, size, seed = jobs[job]
            found: dict[str, Any] = job.result()
            error = found["errors"].get("held-out", {}).get("energy_mae")
            told = "stopped early" if error is None else f"energy MAE {1e3 * error:.2f} meV/atom"
            console.print(f"{done} of {len(missing)}: {selector}, {size} cells, seed {seed}: {told}", highlight=False)


def _words(text: str) -> Iterator[str]:
    return (word.strip() for word in text.split(",") if word.strip())
