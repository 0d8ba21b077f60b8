"""`entropy-flows approve`: decide which of the chosen cells are labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore

MAX_ROWS = 30
"""Waiting cells that are listed."""


def command(
    file: CampaignFile,
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys of the cells to label.", metavar="[KEY…]")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Approve all that wait and are not rejected here.")
    ] = False,
    reject: Annotated[
        list[str] | None,
        typer.Option(help="Key of a cell that is not to be labelled; once for each."),
    ] = None,
    why: Annotated[str, typer.Option(help="The reason of the rejections.")] = "",
    folder: FolderOption = None,
) -> None:
    """Approve that chosen cells are labelled, if the file says `label: {approve: true}`.

    Labels are made when each cell of an iteration has its decision, which is for good. Without
    keys the cells that wait are listed; `export --waiting` writes them to a file.

    Example: entropy-flows approve silicon/campaign.yaml --all --reject 001/explore/00003/00140
    --why melted
    """
    from entropy_flows.launch.manager import workflow_manager

    rejected = reject or []
    if rejected and not why.strip():
        raise ValueError("--reject needs --why: the reason, in a few words")
    both = sorted({*(keys or [])} & {*rejected})
    if both:
        raise ValueError(f"{both[0]} is to be approved and rejected; expected one of the two")
    with open_stored(file, folder) as session:
        store = session.store
        store.document()  # raises if another version wrote it
        if not (keys or all_ or rejected):
            _show_waiting(store, as_typed(file, folder))
            return
        n_rejected = len(store.reject(rejected, why))
        approved = store.approve(keys or [])
        if all_:
            approved += store.approve([row["key"] for row in store.waiting()])
        workflow_manager(store).release_approved(store)
        left = len(store.waiting())
    print(f"{store.name}: {len(approved)} cells approved, {n_rejected} rejected")
    print(f"{left} cells wait still; labels are made when none does" if left else "none waits")


def _show_waiting(store: CampaignStore, typed: str) -> None:
    """Print the cells that wait, and the commands that go on from there."""
    from rich.console import Console

    from entropy_flows.report.terminal import terminal_table

    rows = store.waiting()
    if not rows:
        print(f"{store.name}: no cell waits for an approval")
        return
    entries = store.ledger_entries([row["structure_id"] for row in rows])
    shown = [["waits", "formula", "atoms", "ΔH", "phase"], *map(_row, entries[:MAX_ROWS])]
    Console().print(terminal_table(shown, f"{len(rows)} cells wait for an approval"))
    if len(rows) > MAX_ROWS:
        print(f"and {len(rows) - MAX_ROWS} more")
    print(f"to look at them: entropy-flows export {typed} waiting.extxyz --waiting")
    print(f"to label them: entropy-flows approve {typed} --all")


def _row(entry: dict[str, Any]) -> list[str]:
    """Write a ledger entry in one row."""
    gain = "" if entry["gain"] is None else f"{entry['gain']:.3f}"
    phase = str(entry["origin"].get("phase", ""))
    return [entry["key"], entry["formula"], str(entry["n_atoms"]), gain, phase]
