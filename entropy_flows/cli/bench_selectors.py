"""`entropy-flows bench-selectors`: which selector trains best, on a labelled pool."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.cells import show_reading
from entropy_flows.cli.frame_progress import frame_progress
from entropy_flows.processes import locked
from entropy_flows.report.terminal import terminal_table
from entropy_flows.yaml_text import parse_option

if TYPE_CHECKING:
    from entropy_flows.bench import Bench, BenchParams
    from entropy_flows.bench.rounds import Chain


def command(
    pool: Annotated[
        Path,
        typer.Argument(
            help="Extended XYZ with energies, a table (.csv), mp:Ti-O, "
            "or a YAML file with `pool` and options."
        ),
    ],
    folder: Annotated[Path, typer.Option("--folder", "-C", help="Where results go.")],
    base_model: Annotated[
        str | None,
        typer.Option(help="Fine-tune this model (.nequip.zip, shipped:…): the student `model`."),
    ] = None,
    selectors: Annotated[
        str | None, typer.Option(help="Names, with commas between, or `all`.")
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="Cells to choose.")] = None,
    students: Annotated[
        str | None, typer.Option(help="networks, linear, gp, model, with commas between.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of split, choice and training.")] = None,
    preset: Annotated[str | None, typer.Option(help="khan-2026: Khan 2026's protocol.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other option as KEY=VALUE; repeat it for more."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of another benchmark that the last tables count too; repeat it for more."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one per core.")
    ] = None,
) -> None:
    """Choose N cells of a labelled pool by each selector, train on them, and compare the errors.

    Each seed splits the pool. A fifth is the test, on which all selectors are compared. They choose
    from the rest, of which a base model takes a tenth of the pool for validation. Everything is
    kept in the folder. A command that was interrupted can be run again, also with more selectors,
    sizes and seeds. All options are in docs/selectors.md.

    Example: entropy-flows bench-selectors si.extxyz.gz -C bench --selectors random,kmeans,variance
    --students linear,gp --sizes 20,40,80
    """
    from entropy_flows.bench import Bench, read_points
    from entropy_flows.report.benchmark import write_benchmark_page

    lists = {"selectors": selectors, "sizes": sizes, "seeds": seeds, "students": students}
    changes: dict[str, Any] = {
        key: _values(f"--{key}", text) for key, text in lists.items() if text is not None
    }
    if base_model is not None:
        changes["base_model"] = base_model
    if preset is not None:
        changes["preset"] = preset
    changes |= dict(_key_and_value(text) for text in change or [])
    if str(pool).startswith("mp:"):
        pool = _materials_table(str(pool)[3:], folder)
        changes = {"target": "formation_energy_per_atom", **changes}
    bench = Bench(_params(pool, changes), folder)
    others = {str(other): read_points(other) for other in beside or []}
    console = Console()
    with locked(folder / "run.lock", "this benchmark", patience=3.0):
        with frame_progress(console) as progress:
            labelled_pool = bench.prepare(progress)
        show_reading(Path(bench.params.pool), labelled_pool.left_out, labelled_pool.notes)
        _run(bench, workers or len(os.sched_getaffinity(0)), console)
        points = bench.points()
        page, tables = write_benchmark_page(points, labelled_pool, bench.params, folder, others)
        for table in tables:
            console.print(terminal_table(table.rows, table.title))
        console.print(f"page: {page}", soft_wrap=True)


def _materials_table(system: str, folder: Path) -> Path:
    """Return the table of a chemical system, which is asked for once."""
    from entropy_flows.bench.materials_project import fetch, write_table

    path = folder / f"{system}.csv"
    if not path.is_file():
        write_table(fetch(system), path)
    return path


def _params(pool: Path, changes: dict[str, Any]) -> BenchParams:
    """Return the options of file and command line, with the path of the base model."""
    from entropy_flows.bench import load_bench
    from entropy_flows.potentials import locate_model

    if changes.get("selectors") == ["all"]:
        changes = {**changes, "selectors": _usable_selectors()}
    params = load_bench(pool, changes)
    if params.base_model is None:
        return params
    # A path on the command line is relative to the working directory, one of a file to that file.
    base = Path() if "base_model" in changes else pool.parent
    model = locate_model(params.base_model, base)
    return params.model_copy(update={"base_model": str(model)})


def _usable_selectors() -> list[str]:
    """Return the selectors that need no package that is not installed."""
    from entropy_flows.select import SELECTORS, make_selector

    usable: list[str] = []
    for name in SELECTORS.builtin:
        with contextlib.suppress(ValueError):
            make_selector(name).check()
            usable.append(name)
    return usable


def _run(bench: Bench, workers: int, console: Console) -> None:
    """Run what is missing.

    The first error, or Ctrl-C, ends all of it. It goes on when the command is run again.
    """
    missing = list(bench.missing())
    done = 0
    lasting = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with lasting, ThreadPoolExecutor(workers) as threads:
        groups = {
            threads.submit(_run_in_process, bench, chains, lasting): chains
            for chains in _grouped(missing)
        }
        try:
            for future in as_completed(groups):
                for chain, points in zip(groups[future], future.result(), strict=True):
                    done += 1
                    line = f"{done} of {len(missing)}: {_chain_line(chain, points)}"
                    console.print(line, highlight=False, soft_wrap=True)
        except BaseException:
            # The processes would finish their chains first, which can take hours.
            threads.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


def _grouped(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Return the chains that go into one process.

    A regression takes less time than to read the pool: those of a seed go together.
    """
    from entropy_flows.bench.params import REGRESSIONS

    groups: dict[tuple[Any, ...], list[Chain]] = {}
    for chain in chains:
        is_quick = chain.student in REGRESSIONS
        key = (chain.seed, chain.sizes) if is_quick else tuple(chain)
        groups.setdefault(key, []).append(chain)
    return list(groups.values())


def _chain_line(chain: Chain, points: Sequence[dict[str, Any]]) -> str:
    """Write how the last point of a chain ended."""
    student, selector, seed, sizes = chain
    error = points[-1]["errors"].get("held-out", {}).get("energy_mae")
    reason = points[-1]["reason"]
    outcome = f"stopped early: {reason}" if error is None else f"MAE {error:.4g}"
    cells = f"{', '.join(map(str, sizes))} cells"
    return f"{student}, {selector}, seed {seed}, {cells}: {outcome}"


def _run_in_process(
    bench: Bench, chains: list[Chain], lasting: ProcessPoolExecutor
) -> list[list[dict[str, Any]]]:
    """Run chains in a fresh process, which shares no memory and no random state with another.

    Regressions need no random numbers, and less time than a process to start: they go to one of
    those that last.
    """
    from entropy_flows.bench.params import REGRESSIONS
    from entropy_flows.bench.rounds import run_chains

    if chains[0].student in REGRESSIONS:
        return lasting.submit(run_chains, bench, chains).result()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_chains, bench, chains).result()


def _values(option: str, text: str) -> list[Any]:
    """Read the values of an option, with commas between."""
    return [parse_option(option, word) for word in text.split(",") if word.strip()]


def _key_and_value(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE; the value is read as YAML."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as select.theta_min=0.01")
    return key.strip(), parse_option(f"--set {key}", value)
