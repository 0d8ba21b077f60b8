"""`entropy-flows export`: a data set in the format of the program that is to train on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.cells import cells_of, is_campaign
from entropy_flows.cli.options import FolderOption, refuse_as_output
from entropy_flows.files import replacing
from entropy_flows.launch.session import open_stored

if TYPE_CHECKING:
    from ase import Atoms


class Format(StrEnum):
    """The format of the output: extxyz and mace are files, pacemaker and deepmd folders."""

    EXTXYZ = "extxyz"
    MACE = "mace"
    PACEMAKER = "pacemaker"
    DEEPMD = "deepmd"


def command(
    source: Annotated[
        Path,
        typer.Argument(help="The campaign file, or extended XYZ.", metavar="CAMPAIGN.yaml|CELLS"),
    ],
    output: Annotated[
        Path, typer.Argument(help="File to write; for pacemaker and deepmd a folder.")
    ],
    format_: Annotated[Format, typer.Option("--format", help="Of the output.")] = Format.EXTXYZ,
    folder: FolderOption = None,
    split: Annotated[
        str | None, typer.Option(help="Only this part of a campaign: train, val or test.")
    ] = None,
    flagged: Annotated[
        bool, typer.Option("--flagged", help="Also labels that were flagged as outliers.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="The cells that wait for an approval, unlabelled.")
    ] = False,
    pacemaker: Annotated[
        str | None,
        typer.Option(help="Changes of pacemaker's input: '{low: 3.0, atom_energies: {C: -1.3}}'."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Write a campaign's good labels, or the cells of a file, for a program to train on.

    Energies are free energies in eV, forces in eV/Å, stresses in eV/Å³ with ASE's sign (DeePMD:
    virials in eV). Extended XYZ takes cells without labels too; the other formats leave them out,
    and say so.

    Example: entropy-flows export silicon/campaign.yaml silicon.extxyz

    Example: entropy-flows export labelled.extxyz fit --format pacemaker
    """
    if output.exists() and (output.is_dir() or not overwrite):
        hint = "remove it first" if output.is_dir() else "give --overwrite to replace it"
        raise ValueError(f"{output} exists; {hint}")
    refuse_as_output(output, [source])
    if split not in (None, "train", "val", "test"):
        raise ValueError(f"--split {split!r}: expected train, val or test")
    write = _writer(format_, pacemaker)
    frames = _waiting(source, folder) if waiting else _frames(source, folder, split, flagged)
    with replacing(output) as temporary:
        count = write(frames, temporary)
    left_out = ""
    if count < len(frames):
        left_out = f"; {len(frames) - count} without energy and forces left out"
    print(f"{count} cells written to {output}{left_out}")


def _frames(source: Path, folder: Path | None, split: str | None, flagged: bool) -> Sequence[Atoms]:
    """Read the cells to export."""
    if not is_campaign(source):
        if split or flagged or folder:
            raise ValueError(
                f"{source} is no campaign file: --split, --flagged and --folder are for campaigns"
            )
        return cells_of(source)
    with open_stored(source, folder) as session:
        query: dict[str, Any] = {"foreign": {"$ne": True}}
        if split:
            query["split"] = split
        frames = session.store.frames(flagged=flagged, **query)
    if not frames:
        in_split = f" in {split}" if split else ""
        raise ValueError(f"campaign {session.store.name} has no labels{in_split} yet")
    return frames


def _waiting(source: Path, folder: Path | None) -> Sequence[Atoms]:
    """Read the cells of a campaign that wait for an approval, with their keys and gains."""
    from pymatgen.core import Structure

    from entropy_flows.geometry import to_atoms

    if not is_campaign(source):
        raise ValueError(f"{source} is no campaign file: --waiting is for campaigns")
    with open_stored(source, folder) as session:
        rows = session.store.waiting()
        entries = session.store.ledger_entries([row["structure_id"] for row in rows])
    if not entries:
        raise ValueError(f"campaign {session.store.name}: no cell waits for an approval")
    frames = []
    for entry in entries:
        atoms = to_atoms(Structure.from_dict(entry["structure"]))
        facts = {"key": entry["key"], "gain": entry["gain"], **entry["origin"]}
        atoms.info |= {name: value for name, value in facts.items() if value is not None}
        frames.append(atoms)
    return frames


def _writer(format_: Format, pacemaker: str | None) -> Callable[[Sequence[Atoms], Path], int]:
    """Return the function that writes cells to a path and counts them."""
    from entropy_flows import formats
    from entropy_flows.yaml_text import parse_option

    if pacemaker is not None and format_ != Format.PACEMAKER:
        raise ValueError(
            f"--pacemaker changes the input of --format pacemaker, not of {format_.value}"
        )
    params = formats.PacemakerParams.model_validate(parse_option("--pacemaker", pacemaker or "{}"))
    writers: dict[Format, Callable[[Sequence[Any], Path], None]] = {
        Format.MACE: formats.write_mace,
        Format.DEEPMD: formats.write_deepmd,
        Format.PACEMAKER: lambda frames, folder: formats.write_pacemaker(frames, folder, params),
    }

    def write_all(frames: Sequence[Atoms], path: Path) -> int:
        formats.write_extxyz(frames, path)
        return len(frames)

    def write_labelled(frames: Sequence[Atoms], path: Path) -> int:
        labelled = []
        for atoms in frames:
            frame = formats.labelled(atoms)
            if frame is not None:
                labelled.append(frame)
        if not labelled:
            raise ValueError(
                f"none of {len(frames)} cells has energy and forces, which {format_.value} needs"
            )
        writers[format_](labelled, path)
        return len(labelled)

    return write_all if format_ == Format.EXTXYZ else write_labelled
