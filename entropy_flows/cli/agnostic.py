"""`entropy-flows agnostic`: a data set of one element without any physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.options import FolderOption
from entropy_flows.cli.run import refuse_unfinished, run_workers
from entropy_flows.launch.session import Session, need_shared_database, open_session, open_stored
from entropy_flows.processes import locked
from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
    from entropy_flows.schemas import AgnosticParams

AgnosticFile = Annotated[
    Path, typer.Argument(help="Settings of the data set (YAML).", metavar="DATASET.yaml")
]


def command(
    file: AgnosticFile,
    folder: FolderOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers. Default: one per core.")
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Start no workers: submit, for workers elsewhere.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Run nothing: table, page and cells of what there is.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run jobs again that failed on a machine.")
    ] = False,
    element: Annotated[
        str | None,
        typer.Option(help="Write the cells for this element, too, at its ground state's volume."),
    ] = None,
    volume: Annotated[
        float | None,
        typer.Option(help="Its volume per atom (Å³). Default: ASE's reference crystal."),
    ] = None,
) -> None:
    """Fill volume windows with cells that add the most information (Rev-EM), and label them.

    Cells are labelled if the file says how. The command ends with a table, a page, and the cells as
    extended XYZ in the folder `agnostic`. What is done is not done again.

    Example: entropy-flows agnostic tungsten.yaml -C runs/tungsten --workers 2
    """
    from entropy_flows.launch.queue_keys import check_queue
    from entropy_flows.schemas import load_agnostic

    settings = load_agnostic(file)
    other = _other_element(settings, element, volume)
    if not show:
        check_queue(settings.queue)
        _check_windows(settings)
    if queue:
        need_shared_database("--queue")
    console = Console()
    opening = open_stored if show else open_session
    with opening(file, folder) as opened_session:
        lock = opened_session.folder / "run.lock"
        with locked(lock, "this data set", patience=3.0):
            if queue:
                _submit(opened_session, console)
            elif not show:
                state, message = run_workers(opened_session, console, workers, retry)
                refuse_unfinished(settings.name, state, message)
                console.print(f"{settings.name}: {message}")
            _show(opened_session, settings, console, other)


def _check_windows(settings: AgnosticParams) -> None:
    """Draw a random cell of each window: a ValueError now rather than in a job."""
    import numpy as np

    from entropy_flows.explore import random_cells

    for window in settings.all_windows():
        rng = np.random.default_rng(settings.seed)
        random_cells(settings.element, window, 1, settings.search, rng)


def _other_element(
    settings: AgnosticParams, element: str | None, volume: float | None
) -> tuple[str, float] | None:
    """Return another element and its volume per atom (Å³), if one was asked for."""
    from ase.data import chemical_symbols

    from entropy_flows.explore import reference_state

    if element is None:
        if volume is not None:
            raise ValueError(f"--volume {volume:g} needs --element")
        return None
    if element not in chemical_symbols[1:]:
        raise ValueError(f"--element {element}: expected a chemical symbol")
    if volume is not None and not volume > 0:
        raise ValueError(f"--volume {volume:g}: expected a positive number of Å³")
    return element, volume or reference_state(element).volume


def _submit(dataset_session: Session, console: Console) -> None:
    from entropy_flows.launch.submit import submit

    store = dataset_session.store
    if submit(store, dataset_session.settings, dataset_session.file.parent).added:
        console.print(f"{store.name}: submitted; run this command again when it is done")
    else:
        console.print(f"{store.name}: {store.document()['state']}")


def _show(
    dataset_session: Session,
    settings: AgnosticParams,
    console: Console,
    other: tuple[str, float] | None,
) -> None:
    """Print the searches, and write cells and page of a data set that is done."""
    from entropy_flows.report.agnostic import stored_cells, write_agnostic_page, write_cells

    store = dataset_session.store
    show_searches(console, store.iterations(), store.failures())
    if store.document()["state"] != "done":
        return
    folder = dataset_session.folder / "agnostic"
    cells = stored_cells(store, settings)
    for path in write_cells(folder, settings, cells, other):
        console.print(f"cells: {path} ({len(cells)})", soft_wrap=True, highlight=False)
    page = write_agnostic_page(folder, store, settings, cells)
    console.print(f"page: {page}", soft_wrap=True, highlight=False)


def show_searches(
    console: Console,
    iterations: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
) -> None:
    """Print a row for each search, and every job that failed."""
    searches = [doc["ascend"] for doc in iterations if "ascend" in doc]
    from entropy_flows.report.agnostic import search_rows

    console.print(terminal_table(search_rows(searches), "searches", right_from=2))
    for failure in failures:
        console.print(f"[red]{failure['title']} failed: {failure['message']}[/red]")
