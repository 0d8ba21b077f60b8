"""`entropy-flows init`: a commented campaign file to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = ("silicon", "carbon", "nacl")


def command(
    folder: Annotated[Path, typer.Argument(help="Folder to make; its campaign.yaml is the campaign.")],
    template: Annotated[str, typer.Option(help=f"System to start from: {', '.join(TEMPLATES)}.")] = "silicon",
) -> None:
    """Write a commented campaign file.

    Example: entropy-flows init mine --template carbon
    """
    if template not in TEMPLATES:
        raise ValueError(f"--template {template!r}: expected one of {', '.join(TEMPLATES)}")
    target = folder / "campaign.yaml"
    if target.exists():
        raise ValueError(f"{target} exists; choose another folder")
    text = (files("entropy_flows.cli") / "templates" / f"{template}.yaml").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() or c in "_.-" else "-" for c in folder.resolve().name)
    target.write_text(text.replace("name: CAMPAIGN", f"name: {name}"))
    print(f"written: {target}\nnext:    entropy-flows check {target}")
