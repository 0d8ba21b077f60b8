"""`entropy-flows export`: the data set as extended XYZ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from entropy_flows.cli.session import CampaignFile, FolderOption, session


def command(
    file: CampaignFile,
    output: Annotated[Path, typer.Argument(help="File to write (extended XYZ).")],
    folder: FolderOption = None,
    split: Annotated[str | None, typer.Option(help="Only this part: train, val or test.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Also labels that were flagged as outliers.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write all good labels as extended XYZ: free energy (eV), forces (eV/Å), stress (eV/Å³, ASE's sign), origin.

    Example: entropy-flows export silicon/campaign.yaml silicon.extxyz
    """
    from ase.io import write

    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists; give --overwrite to replace it")
    if split not in (None, "train", "val", "test"):
        raise ValueError(f"--split {split!r}: expected train, val or test")
    with session(file, folder) as opened:
        only: dict[str, Any] = {"foreign": {"$ne": True}} | ({"split": split} if split else {})
        frames = opened.store.frames(flagged=flagged, **only)
    if not frames:
        raise ValueError(f"campaign {opened.campaign.name} has no labels{f' in {split}' if split else ''} yet")
    for atoms in frames:
        atoms.info = {name: value for name, value in atoms.info.items() if value is not None}
    partial = output.with_name(output.name + ".part")
    write(partial, frames, format="extxyz")
    partial.replace(output)
    print(f"{len(frames)} cells written to {output}")
