"""`entropy-flows init`: a commented campaign file to start from."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = ("silicon", "carbon", "nacl", "demo")
"""Systems with VASP labels, and the demo, whose labels are a force field's."""
MAX_NAME = 64
"""Characters of a campaign's name."""


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder to make; its campaign.yaml is the campaign.")
    ],
    more: Annotated[
        list[Path] | None,
        typer.Argument(help="Further crystals after --structure.", metavar="[FILE]..."),
    ] = None,
    structure: Annotated[
        list[Path] | None,
        typer.Option(help="Your own crystal (CIF, POSCAR, extended XYZ, …); several may follow."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help=f"Or a system to start from: {', '.join(TEMPLATES)}. Default: as FOLDER's name."
        ),
    ] = None,
) -> None:
    """Write a commented campaign file, for crystals of your own or for an example system.

    Example: entropy-flows init mgo --structure MgO.cif MgO-B2.vasp
    """
    structures = [*(structure or []), *(more or [])]
    target = folder / "campaign.yaml"
    if target.exists():
        raise ValueError(f"{target} exists; choose another folder")
    if more and not structure:
        raise ValueError(f"{more[0]}: give your own crystals behind --structure")
    if structures and template is not None:
        raise ValueError(f"--structure and --template {template} exclude each other")
    name = _campaign_name(folder)
    if structures:
        from entropy_flows.cli.own_system import copy_structures, own_campaign

        text = own_campaign(name, structures)
        folder.mkdir(parents=True, exist_ok=True)
        copy_structures(structures, folder)
    else:
        text = _template(folder, template)
        text = text.replace("name: CAMPAIGN", f"name: {name}")
        folder.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    check = shlex.join(["entropy-flows", "check", str(target)])
    print(f"written: {target}\nnext:    {check}")


def _campaign_name(folder: Path) -> str:
    """Make a campaign's name of its folder's."""
    characters = [
        character if character.isascii() and (character.isalnum() or character in "_.-") else "-"
        for character in folder.resolve().name
    ]
    name = "".join(characters)
    if not name[:1].isalnum():
        name = f"campaign{name}"
    return name[:MAX_NAME]


def _template(folder: Path, template: str | None) -> str:
    """Read the text of a system's campaign file."""
    system = template or folder.resolve().name
    if system not in TEMPLATES:
        names = ", ".join(TEMPLATES)
        if template is not None:
            raise ValueError(f"--template {template!r}: expected one of {names}")
        raise ValueError(
            f"{folder}: which system? Give your crystals by --structure FILE …, "
            f"or --template {names}"
        )
    return (files("entropy_flows.cli") / "templates" / f"{system}.yaml").read_text()
