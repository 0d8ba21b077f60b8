"""`entropy-flows import`: labelled cells that exist already become seed data."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import open_session

if TYPE_CHECKING:
    from rich.console import Console

    from entropy_flows.jobs.import_report import ImportReport
    from entropy_flows.jobs.importing import Import
    from entropy_flows.label.existing import ImportedFrame
    from entropy_flows.label.steps import StepRule

QUIET_SECONDS = 10.0
"""Time between two lines of progress where there is no terminal to redraw."""
MAX_EXAMPLES = 5
"""Frames that are named for each reason."""


class Format(StrEnum):
    """The format of a source."""

    EXTXYZ = "extxyz"
    VASPRUN = "vasprun"
    ATOMATE2 = "atomate2"


def command(
    file: CampaignFile,
    source: Annotated[
        str,
        typer.Argument(
            help="Extended XYZ file, vasprun.xml, folder of vasprun.xml files, or collection."
        ),
    ],
    folder: FolderOption = None,
    format: Annotated[
        Format | None, typer.Option(help="Default: told from what is in the file.")
    ] = None,
    steps: Annotated[
        str,
        typer.Option(
            help="Ionic steps of runs of VASP: last, all, or every:N. "
            "Each enters as a cell of its own."
        ),
    ] = "last",
    as_engine: Annotated[
        bool,
        typer.Option(
            "--settings-as-engine",
            help="The labels were made with the settings of the campaign's engine.",
        ),
    ] = False,
    sequential: Annotated[
        bool,
        typer.Option("--sequential", help="Only cells whose gain passes the campaign's threshold."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing if any frame cannot be used.")
    ] = False,
    query: Annotated[str, typer.Option(help="Of the collection: a MongoDB query, as JSON.")] = "{}",
    uri_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with the collection's URI. Default: this machine's."
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Database of the collection. Default: this machine's.")
    ] = None,
) -> None:
    """Import labelled cells into the data set; labels of the engine's settings are trained on.

    Extended XYZ (eV, eV/Å, ASE's signs), a vasprun.xml or folders with these, and task documents of
    atomate2. Files may be compressed by gzip, bzip2 or xz. What was imported before is left as it
    is, so a command that was interrupted can be run again.

    Example: entropy-flows import silicon/campaign.yaml known.extxyz.gz --settings-as-engine
    """
    from rich.console import Console

    from entropy_flows.jobs.importing import Import
    from entropy_flows.label.steps import StepRule

    console = Console()
    rule = StepRule.parse(steps)
    if format is not Format.ATOMATE2 and (query != "{}" or uri_env or database):
        raise ValueError("--query, --uri-env and --database are for --format atomate2")
    with open_session(file, folder) as session:
        session.store.create(session.campaign)
        work = Import(session.store, session.campaign, as_engine, sequential)
        if format is Format.ATOMATE2:
            frames = _tasks(source, query, uri_env, database, rule)
        else:
            frames = _files(format, Path(source), rule)
        if strict:
            frames = _refuse_unusable(work, list(frames))
        with console.status("reading") as spinner:
            report = work.run(frames, _Progress(console, spinner))
    show(console, report)


def _files(kind: Format | None, path: Path, rule: StepRule) -> Iterable[ImportedFrame]:
    """Read the frames of files."""
    from entropy_flows.label.existing import read_extxyz, read_files, read_run

    if kind is Format.EXTXYZ and path.is_file():
        return read_extxyz(path)
    if kind is Format.VASPRUN and path.is_file():
        return read_run(path, str(path), rule)
    if kind is Format.EXTXYZ and path.is_dir():
        raise ValueError(f"{path} is a folder: not of the format {kind}; give the file's name")
    return read_files(path, rule)


def _tasks(
    collection: str, query: str, uri_env: str | None, database: str | None, rule: StepRule
) -> Iterable[ImportedFrame]:
    """Read the frames of atomate2's task documents."""
    from entropy_flows.label.existing import read_tasks
    from entropy_flows.settings import variable
    from entropy_flows.store import connect

    try:
        conditions: Any = json.loads(query)
    except ValueError as err:
        raise ValueError(f"--query {query!r} is not JSON: {err}") from None
    if not isinstance(conditions, dict):
        raise ValueError(
            f'--query {query!r}: expected an object such as {{"metadata.tag": "silicon"}}'
        )
    uri = None if uri_env is None else variable(uri_env)
    tasks = connect(uri, database)[collection]
    name = tasks.database.name
    count = tasks.count_documents(conditions)
    if not count:
        raise ValueError(
            f"collection {collection} of database {name} has nothing for the query {query}"
        )
    print(f"{count} documents of {collection} in {name}")
    return read_tasks(tasks.find(conditions).sort("_id"), collection, rule)


def _refuse_unusable(work: Import, frames: list[ImportedFrame]) -> list[ImportedFrame]:
    """Return the frames if every one of them can be used.

    Raises
    ------
    ValueError
        With the first that cannot, and the number of them.
    """
    unusable = []
    for frame in frames:
        reason = work.rejection_reason(frame)
        if reason:
            unusable.append((frame.location, reason))
    if unusable:
        location, reason = unusable[0]
        count = f"{len(unusable)} of {len(frames)} frames"
        raise ValueError(f"nothing imported: {location}: {reason}; {count} cannot be used")
    return frames


class _Progress:
    """Print how far the import is: on the terminal's last line, or in a line now and then."""

    def __init__(self, console: Console, spinner: Any):
        self.console = console
        self.spinner = spinner
        self.last_print = time.monotonic()

    def __call__(self, report: ImportReport) -> None:
        line = f"{report.read} read, {report.entered} entered, {len(report.skipped)} skipped"
        self.spinner.update(line)
        waited = time.monotonic() - self.last_print
        if not self.console.is_terminal and waited > QUIET_SECONDS:
            self.console.print(line)
            self.last_print = time.monotonic()


def show(console: Console, report: ImportReport) -> None:
    """Print the counts, why frames were skipped, and what the data set has become.

    Raises
    ------
    ValueError
        If no frame could be used.
    """
    from entropy_flows.jobs.importing import NO_GAIN
    from entropy_flows.report.terminal import terminal_table

    rows = [
        ["", "frames"],
        ["read", str(report.read)],
        ["entered", str(report.entered)],
        ["there already", str(report.present)],
        ["skipped", str(len(report.skipped))],
        ["labels of the campaign's settings", str(report.own_engine)],
        ["flagged as odd", str(report.flagged)],
        ["cells in the data set", str(report.size)],
    ]
    console.print(terminal_table(rows, f"import, iteration {report.iteration}", right_from=1))
    for mode, name in (("atom", "per atom"), ("config", "per configuration")):
        change = f"{report.before[mode]:.2f} → {report.after[mode]:.2f}"
        console.print(f"log det Σ, {name}: {change}", highlight=False)
    _show_skipped(console, report)
    for note, count in report.notes.items():
        console.print(f"{count} × {note}", soft_wrap=True, highlight=False, markup=False)
    unusable = [(source, reason) for source, reason in report.skipped if reason != NO_GAIN]
    if unusable and len(unusable) == report.read:
        raise ValueError(
            f"nothing imported: none of {report.read} frames can be used; {': '.join(unusable[0])}"
        )
    if report.entered + report.present > report.own_engine:
        console.print(
            "labels of other settings are not trained on "
            "(--settings-as-engine: they are the engine's)"
        )


def _show_skipped(console: Console, report: ImportReport) -> None:
    """Print each reason for which frames were skipped, with some of the frames."""
    from rich.markup import escape

    reasons = Counter(reason for _, reason in report.skipped)
    for reason, count in reasons.most_common():
        sources = [source for source, other in report.skipped if other == reason]
        examples = ", ".join(sources[:MAX_EXAMPLES])
        if count > MAX_EXAMPLES:
            examples += ", …"
        label = f"[yellow]{count} × {escape(reason)}:[/yellow]"
        console.print(f"{label} {escape(examples)}", soft_wrap=True)
