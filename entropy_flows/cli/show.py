"""`entropy-flows show`: the story of one structure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, refuse_as_output
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.report.structure import StructureStory

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

    Example: entropy-flows show silicon/campaign.yaml 001/explore/00003/00140

    Example: entropy-flows show silicon/campaign.yaml 17 --output cell.cif
    """
    from entropy_flows.report.structure import cell_of, structure_story

    kind = None
    if output is not None:
        kind = _format_of(output)
        if output.exists() and not overwrite:
            raise ValueError(f"{output} exists; give --overwrite to replace it")
        refuse_as_output(output, [file])
    with open_stored(file, folder) as session:
        store = session.store
        store.document()  # raises if another version wrote it
        story = structure_story(store, store.ledger(session.settings.dataset), key, neighbours)
        cell = None if output is None else cell_of(store, story.key)
    if as_json:
        import json

        from entropy_flows.report.structure_text import plain

        print(json.dumps(story.as_dict(), indent=2, default=plain, ensure_ascii=False))
    else:
        _print(story)
    if output is not None and cell is not None and kind is not None:
        _write(cell, output, kind)
        if not as_json:
            print(f"cell written to {output}")


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


def _print(story: StructureStory) -> None:
    """Print a story in sections, whose lines are wrapped where they do not fit."""
    from rich.console import Console
    from rich.text import Text

    from entropy_flows.report.structure_text import headline, sections
    from entropy_flows.report.terminal import named_lines

    console = Console()
    console.print(Text.assemble((story.key, "bold"), f"  {story.campaign}"), soft_wrap=True)
    console.print(Text(headline(story)))
    every = sections(story)
    width = max(len(name) for section in every for name, _ in section.lines)
    for section in every:
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
