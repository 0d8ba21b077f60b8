"""`entropy-flows select`: choose which frames to label, given what is labelled already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.cells import is_campaign, show_reading
from entropy_flows.cli.options import refuse_as_output

if TYPE_CHECKING:
    from ase import Atoms
    from rich.console import Console

    from entropy_flows.frames import FrameChoice

MEBIBYTE = 2**20


def command(
    pool: Annotated[
        list[str],
        typer.Argument(
            help="Files that ASE reads, folders, or patterns such as 'runs/*/XDATCAR'.",
            metavar="POOL…",
        ),
    ],
    count: Annotated[int, typer.Option("-n", min=1, help="Frames to choose.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Extended XYZ to write.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--known",
            metavar="TRAIN",
            help="What is labelled already, in the same forms, or a campaign file; "
            "repeat it for more.",
        ),
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option(
            help="variance, kmeans, farthest, kcentres, greedy, logdet, random, or a mapping: "
            "'{selector: variance, target: production.extxyz}'. "
            "Default: variance, the best one of docs/evidence/pools.md."
        ),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(help="gom, bispectrum, or a mapping: '{kind: gom, natx: 100}'."),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(help="Elements of a LAMMPS dump's types 1, 2, …: Si,O."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", "-C", help="Write a page with plots into it.")
    ] = None,
    label: Annotated[
        Path | None,
        typer.Option(
            metavar="CAMPAIGN.yaml",
            help="Label the choice with this campaign's engine, and import the labels into it.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers of --label. Default: one per core.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of judging.")] = 42,
    force: Annotated[bool, typer.Option("--force", help="Replace the output.")] = False,
) -> None:
    """Choose which frames to label, given what is labelled already.

    Reads extended XYZ, vasprun.xml, OUTCAR, XDATCAR, LAMMPS dumps, .traj and whatever else ASE
    reads, compressed or not, as a stream. Needs no database, but for campaigns.
    logdet and random need the memory of a batch, and so does variance where the pool is large; the
    others keep the mean fingerprint of each frame. Chosen cells carry select_source, select_frame
    (from 0), select_rank and select_gain.

    Example: entropy-flows select 'md/*.traj' -n 200 --known train.extxyz -o picked.extxyz
    """
    from rich.console import Console

    from entropy_flows.cli.frame_progress import frame_progress
    from entropy_flows.frames import choose_frames, locate_files
    from entropy_flows.frames.choice import check_output
    from entropy_flows.frames.choose import pool_selector
    from entropy_flows.select.pool import POOL_SELECTOR
    from entropy_flows.yaml_text import parse_option

    check_output(output, force)
    files = [name for name in dataset or () if not is_campaign(Path(name))]
    rule = pool_selector(parse_option("--selector", selector or POOL_SELECTOR))
    target = getattr(rule, "target_file", None)
    refuse_as_output(output, locate_files([*pool, *files, *([target] if target else [])]))
    console = Console()
    cells = [cell for name in dataset or () for cell in _dataset(name)]
    with frame_progress(console) as progress:
        choice = choose_frames(
            pool,
            count,
            cells,
            rule,
            fingerprint=None if fingerprint is None else parse_option("--fingerprint", fingerprint),
            seed=seed,
            species=None if types is None else elements_of_types(types),
            progress=progress,
        )
    choice.write(output, overwrite=force)
    show(console, choice)
    console.print(f"written: {output}", soft_wrap=True, highlight=False)
    if folder is not None:
        from entropy_flows.report.frames import write_choice_page

        page = write_choice_page(folder, choice)
        console.print(f"page: {page}", soft_wrap=True, highlight=False)
    if label is not None:
        from entropy_flows.cli.select_label import label_choice

        label_choice(label, choice, output, console, workers)


def _dataset(name: str) -> list[str | Atoms]:
    """Return a source of the data set: the file's name, or the cells of a campaign."""
    if not is_campaign(Path(name)):
        return [name]
    from entropy_flows.cli.cells import cells_of

    cells: list[Any] = cells_of(Path(name))
    return cells


def elements_of_types(text: str) -> list[str]:
    """Return the elements that an option names, separated by commas."""
    from ase.data import chemical_symbols

    symbols = [symbol.strip() for symbol in text.split(",")]
    for symbol in symbols:
        if symbol not in chemical_symbols[1:]:
            raise ValueError(f"--types {text}: {symbol!r} is no element; expected Si,O or the like")
    return symbols


def show(console: Console, choice: FrameChoice) -> None:
    """Print what was read and chosen, the gains, and what is covered."""
    from entropy_flows.report.frames import choice_tables, headline, sparkline
    from entropy_flows.report.terminal import terminal_table

    show_reading(Path("the pool"), choice.left_out, [])
    console.print(headline(choice), highlight=False, soft_wrap=True)
    console.print(f"fingerprint: {choice.fingerprint!r}", highlight=False, soft_wrap=True)
    if choice.kept_bytes:
        size = choice.kept_bytes / MEBIBYTE
        console.print(
            f"{choice.selector} kept the mean fingerprints of all frames: {size:.0f} MiB",
            highlight=False,
        )
    for table in choice_tables(choice):
        console.print(terminal_table(table.rows, table.title, table.note, right_from=1))
    if choice.frames:
        console.print(f"gain by rank: {sparkline(choice.gains)}", highlight=False)
