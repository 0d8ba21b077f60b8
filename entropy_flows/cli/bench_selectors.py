"""`entropy-flows bench-selectors`: which selector trains best, on a labelled pool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.cells import show_reading
from entropy_flows.processes import locked
from entropy_flows.report.terminal import shown
from entropy_flows.yaml_text import parse_option

if TYPE_CHECKING:
    from entropy_flows.bench import Bench, BenchParams
    from entropy_flows.bench.rounds import Chain


def command(
    pool: Annotated[
        Path,
        typer.Argument(
            help="Extended XYZ with energies, a table (.csv), mp:Ti-O, or a YAML file with `pool` and options."
        ),
    ],
    folder: Annotated[Path, typer.Option("--folder", "-C", help="Where results go.")],
    base_model: Annotated[
        str | None,
        typer.Option(
            help="Fine-tune this model (.nequip.zip, shipped:…). Default: small networks."
        ),
    ] = None,
    selectors: Annotated[
        str | None, typer.Option(help="Names, with commas between, or `all`.")
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="Cells to choose.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Of choice and training.")] = None,
    preset: Annotated[str | None, typer.Option(help="khan-2026: Khan 2026's protocol.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other option as KEY=VALUE; repeat it for more."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one per core.")
    ] = None,
) -> None:
    """Choose N cells of a labelled pool by each selector, train on them, and compare errors on the same held-out cells.

    The pool is split once: a fifth is the test, selectors choose from the rest (of which a tenth of
    the pool is for validation with a base model). Everything is kept in the folder, so a command
    that was interrupted can be run again, also with more selectors, sizes and seeds. All options
    are in docs/selectors.md.

    Example: entropy-flows bench-selectors si.extxyz.gz -C bench --selectors all --sizes 50,100
    --set initial=25
    """
    from entropy_flows.bench import Bench
    from entropy_flows.report.benchmark import tables, write_page

    named = {"base_model": base_model, "preset": preset}
    listed = {"selectors": selectors, "sizes": sizes, "seeds": seeds}
    changes: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    changes |= {
        key: list(_values(f"--{key}", text)) for key, text in listed.items() if text is not None
    }
    changes |= dict(_change(text) for text in change or [])
    if str(pool).startswith("mp:"):
        pool = _materials(str(pool)[3:], folder)
        changes = {"target": "formation_energy_per_atom", **changes}
    bench, console = Bench(_params(pool, changes), folder), Console()
    with locked(folder / "run.lock", "this benchmark", patience=3.0):
        prepared = bench.prepare()
        show_reading(Path(bench.params.pool), prepared.left_out, prepared.notes)
        _run(bench, workers or len(os.sched_getaffinity(0)), console)
        points = bench.points()
        for title, rows, _ in tables(points, prepared, bench.params):
            console.print(shown(title, rows))
        console.print(f"page: {write_page(points, prepared, bench.params, folder)}", soft_wrap=True)


def _materials(system: str, folder: Path) -> Path:
    """The table of a chemical system, asked for once."""
    from entropy_flows.bench.materials_project import fetch, write_table

    path = folder / f"{system}.csv"
    if not path.is_file():
        write_table(fetch(system), path)
    return path


def _params(pool: Path, changes: dict[str, Any]) -> BenchParams:
    """Options of file and command line, the pool fetched and the base model found."""
    from entropy_flows.bench import load_bench
    from entropy_flows.launch.submit import locate_model
    from entropy_flows.select.params import NAMES

    if changes.get("selectors") == ["all"]:
        changes = {**changes, "selectors": [name for name in NAMES if name not in ("fps", "cur")]}
    params = load_bench(pool, changes)
    if params.base_model is None:
        return params
    base = (
        Path() if "base_model" in changes else pool.parent
    )  # a file's paths are relative to the file
    return params.model_copy(update={"base_model": str(locate_model(params.base_model, base))})


def _run(bench: Bench, workers: int, console: Console) -> None:
    """Run what is missing; the first error, or Ctrl-C, ends all of it, to go on when the command is run again."""
    missing = list(bench.missing())
    with ThreadPoolExecutor(workers) as crew:
        jobs = {crew.submit(_alone, bench, chain): chain for chain in missing}
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                selector, seed, sizes = jobs[job]
                last: dict[str, Any] = job.result()[-1]
                error = last["errors"].get("held-out", {}).get("energy_mae")
                told = f"stopped early: {last['reason']}" if error is None else f"MAE {error:.4g}"
                said = f"{done} of {len(missing)}: {selector}, seed {seed}, {', '.join(map(str, sizes))} cells: {told}"
                console.print(said, highlight=False, soft_wrap=True)
        except BaseException:
            crew.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


def _alone(bench: Bench, chain: Chain) -> list[dict[str, Any]]:
    """A chain in a process that has nothing of another's."""
    from entropy_flows.bench.rounds import run_chain

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(run_chain, bench, chain).result()


def _values(name: str, text: str) -> Iterator[Any]:
    return (parse_option(name, word) for word in text.split(",") if word.strip())


def _change(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML reads it."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as select.theta_min=0.01")
    return key.strip(), parse_option(f"--set {key}", value)
