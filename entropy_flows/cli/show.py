"""`entropy-flows show`: the story of one structure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, refuse_as_output
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.report.refused_story import RefusedStory
    from entropy_flows.report.structure import StructureStory
    from entropy_flows.report.structure_text import Section
    from entropy_flows.store import CampaignStore, Ledger

FORMATS = "cell.cif, cell.extxyz, or POSCAR (also cell.vasp)"


def command(
    file: CampaignFile,
    key: Annotated[
        str,
        typer.Argument(help="Key of the structure, its beginning, or its position.", metavar="KEY"),
    ],
    folder: FolderOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"Write the cell: {FORMATS}.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
    neighbours: Annotated[
        int, typer.Option(min=0, max=100, help="Nearest entries to name, by fingerprints.")
    ] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all of it as JSON, for other programs.")
    ] = False,
) -> None:
    """Show where a structure comes from, why it was chosen, its label, its errors, its neighbours.

    Of a candidate that was not chosen it shows where it comes from, and its gain.

    Example: entropy-flows show silicon/campaign.yaml 001/explore/00003/00140

    Example: entropy-flows show silicon/campaign.yaml 17 --output cell.cif
    """
    kind = None
    if output is not None:
        kind = _format_of(output)
        if output.exists() and not overwrite:
            raise ValueError(f"{output} exists; give --overwrite to replace it")
        refuse_as_output(output, [file])
    with open_stored(file, folder) as session:
        store = session.store
        store.document()  # raises if another version wrote it
        ledger = store.ledger(session.settings.dataset)
        shown = _read(store, ledger, key, neighbours, with_cell=output is not None)
    if as_json:
        import json

        from entropy_flows.report.structure_text import plain

        print(json.dumps(shown.story.as_dict(), indent=2, default=plain, ensure_ascii=False))
    else:
        _print(shown)
    if output is not None and shown.cell is not None and kind is not None:
        _write(shown.cell, output, kind)
        if not as_json:
            print(f"cell written to {output}")


@dataclass(frozen=True)
class _Shown:
    """A story, how it is written, and the cell if that was asked for."""

    story: StructureStory | RefusedStory
    headline: str
    sections: list[Section]
    cell: Atoms | None


def _read(
    store: CampaignStore, ledger: Ledger, key: str, neighbours: int, with_cell: bool
) -> _Shown:
    """Read the story of an entry, or of a candidate that was not chosen."""
    from entropy_flows.report.refused_story import refused_story
    from entropy_flows.report.structure import cell_of, structure_story
    from entropy_flows.report.structure_text import headline, sections
    from entropy_flows.store.connection import StoreError

    try:
        story = structure_story(store, ledger, key, neighbours)
    except StoreError:
        refused = refused_story(store, ledger, key, neighbours)
        if refused is None:
            raise
        candidate, read = refused
        return _Shown(candidate, candidate.headline, candidate.sections, read.atoms)
    cell = cell_of(store, story.key) if with_cell else None
    return _Shown(story, headline(story), sections(story), cell)


def _format_of(output: Path) -> str:
    """Return the format that a file's name stands for.

    Raises
    ------
    ValueError
        If it stands for none that is written.
    """
    name = output.name.lower()
    if name.startswith("poscar") or name.endswith((".vasp", ".poscar")):
        return "vasp"
    for ending in ("cif", "extxyz"):
        if name.endswith(f".{ending}"):
            return ending
    raise ValueError(f"--output {output}: the format is not known by this name; expected {FORMATS}")


def _print(shown: _Shown) -> None:
    """Print a story in sections, whose lines are wrapped where they do not fit."""
    from rich.console import Console
    from rich.text import Text

    from entropy_flows.report.terminal import named_lines

    console = Console()
    console.print(
        Text.assemble((shown.story.key, "bold"), f"  {shown.story.campaign}"), soft_wrap=True
    )
    console.print(Text(shown.headline))
    width = max(len(name) for section in shown.sections for name, _ in section.lines)
    for section in shown.sections:
        console.print()
        console.print(Text(section.title, style="bold"))
        console.print(named_lines(section.lines, min(width, console.width // 2)))


def _write(cell: Atoms, output: Path, kind: str) -> None:
    """Write a cell, all of it or nothing."""
    from ase.io import write

    from entropy_flows.files import replacing
    from entropy_flows.formats import write_extxyz

    with replacing(output) as temporary:
        if kind == "extxyz":
            write_extxyz([cell], temporary)
        else:
            write(temporary, cell, format=kind)
