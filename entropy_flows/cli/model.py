"""`entropy-flows model`: a campaign's model as a file to use, or another form of a model."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import FolderOption, refuse_as_output
from entropy_flows.launch.session import Session, open_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from entropy_flows.report.model import CampaignModel


class Use(StrEnum):
    """The program that a model is written for."""

    ASE = "ase"
    COMPILED = "compiled"
    LAMMPS = "lammps"


@dataclass(frozen=True)
class Source:
    """A model to be written.

    Attributes
    ----------
    model
        What it is loaded from: a path or name, with its arguments.
    name
        Name for its file where it stays as it is.
    elements
        Chemical symbols that it is to be used for; None if nothing tells.
    of_campaign
        What its campaign knows of it; None for a model that is of none.
    """

    model: str
    name: str
    elements: Sequence[str] | None
    of_campaign: CampaignModel | None = None


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="The campaign file; or a model's file or name, for another form of it.",
            metavar="CAMPAIGN.yaml|MODEL",
        ),
    ],
    folder: FolderOption = None,
    iteration: Annotated[
        int | None,
        typer.Option(
            min=-1,
            help="Iteration that trained it; 0: base model, -1: student. "
            "Default: the model that the campaign goes on from.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: a name that says what it is."),
    ] = None,
    use: Annotated[
        Use,
        typer.Option(
            "--for",
            help="ase: as it is; compiled: two to four times faster, for this version of torch "
            "and --device; lammps: with the lines of its input.",
        ),
    ] = Use.ASE,
    device: Annotated[
        str, typer.Option(help="cpu or cuda: where a compiled one will run.")
    ] = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Write a campaign's model to a file, and show its errors and how it is loaded.

    Example: entropy-flows model silicon/campaign.yaml

    Example: entropy-flows model model.nequip.zip --for compiled
    """
    from rich.console import Console

    from entropy_flows.cli.cells import is_campaign

    if device not in ("cpu", "cuda"):
        raise ValueError(f"--device {device!r}: expected cpu or cuda")
    if is_campaign(Path(source)):
        with open_stored(Path(source), folder) as session:
            model = _of_campaign(session, iteration)
    else:
        if folder is not None or iteration is not None:
            raise ValueError(
                f"{source} is no campaign file: --folder and --iteration are for campaigns"
            )
        model = _of_file(source, use)
    path, lines = _write(model, use, output, device, overwrite)
    _show(Console(), model, path, use, lines)


def _of_campaign(session: Session, iteration: int | None) -> Source:
    """Find the model of a campaign that was asked for, and fetch its file.

    Raises
    ------
    ValueError
        If there is none, or it is no file; the message says what there is.
    """
    from entropy_flows.report.model import campaign_model

    store = session.store
    model = campaign_model(store, iteration)
    numbers = sorted(store.database["models"].distinct("iteration", {"campaign": store.name}))
    if model is None:
        asked = "" if iteration is None else f" of iteration {iteration}"
        raise ValueError(
            f"campaign {store.name} has no model{asked}; "
            f"it has {', '.join(map(str, numbers)) or 'none yet'} (0: base model, -1: student)"
        )
    if model.sha256 is None:
        trained = "" if numbers[-1] > 0 else ", and no iteration has trained one yet"
        raise ValueError(
            f"that model is the published {model.name}, no file: load it by its name{trained}"
        )
    file = store.fetch_model(model.reference)
    return Source(file, model.file_name, session.campaign.elements, model)


def _of_file(model: str, use: Use) -> Source:
    """Describe a model that is of no campaign."""
    from entropy_flows.potentials import locate_model, model_elements, split_model

    if use == Use.ASE:
        raise ValueError(
            f"{model} is a model already; --for compiled and --for lammps write another form of it"
        )
    model = locate_model(model, Path.cwd())
    return Source(model, Path(split_model(model)[0]).name, model_elements(model))


def _write(
    source: Source, use: Use, output: Path | None, device: str, overwrite: bool
) -> tuple[Path, list[str]]:
    """Write a form of a model; return its file and the lines that load it."""
    from entropy_flows.potentials import (
        ase_lines,
        compile_model,
        find_model,
        split_model,
        with_arguments,
        write_lammps,
    )

    family, name, _ = find_model(source.model)
    suffixes = {Use.COMPILED: family.compiled_suffix, Use.LAMMPS: family.lammps_suffix}
    suffix = suffixes.get(use, "")
    path = output or Path(_renamed(source.name, family.suffixes, suffix))
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give --overwrite to replace it")
    refuse_as_output(path, [Path(split_model(source.model)[0])])
    if use == Use.LAMMPS:
        if source.elements is None:
            raise ValueError(f"{source.model} does not tell its elements, which LAMMPS needs")
        return path, write_lammps(source.model, path, source.elements)
    if use == Use.COMPILED:
        compile_model(source.model, path, device)
    else:
        copy_model(name, path)
    return path, ase_lines(with_arguments(path, split_model(source.model)[1]))


def copy_model(source: str, path: Path) -> None:
    """Copy a model's file; the copy is there as a whole or not at all."""
    from entropy_flows.files import whole_file

    with open(source, "rb") as file, whole_file(path) as copy:
        shutil.copyfileobj(file, copy)


def _renamed(name: str, suffixes: Sequence[str], suffix: str) -> str:
    """Return a file's name with another ending, and without its path."""
    if not suffix:
        return name
    ending = max((end for end in suffixes if name.endswith(end)), key=len, default="")
    return f"{name.removesuffix(ending)}{suffix}"


def _show(console: Console, source: Source, path: Path, use: Use, lines: Sequence[str]) -> None:
    """Print what was written, its errors, and how it is loaded."""
    from entropy_flows.digest import file_sha256

    about = [f"{path} is written (sha256 {file_sha256(path)})"]
    if source.of_campaign is not None:
        about += [f"model: {source.of_campaign.title()}", source.of_campaign.error_line()]
    about.append("in LAMMPS:" if use == Use.LAMMPS else "in ASE:")
    if use == Use.COMPILED:
        about.insert(
            1, "it explores faster as a campaign's base_model, with the package as student"
        )
    print_lines(console, [*about, *(f"    {line}" for line in lines)])


def model_lines(session: Session, typed: str, write: bool = False) -> list[str]:
    """Describe a campaign's model, its errors and how it is loaded; empty before one is trained.

    Parameters
    ----------
    session
        The campaign.
    typed
        The campaign as arguments of the next command.
    write
        True to write the file into the campaign's folder.
    """
    from entropy_flows.potentials import split_model
    from entropy_flows.report.model import campaign_model, closing_lines
    from entropy_flows.store import StoreError

    try:
        model = campaign_model(session.store)
    except StoreError as err:
        # `status` is asked where something is wrong, too
        return [str(err)]
    if model is None or model.sha256 is None or model.iteration < 1:
        return []
    path = session.folder / model.file_name
    if write:
        copy_model(split_model(session.store.fetch_model(model.reference))[0], path)
    if path.is_file():
        return closing_lines(model, _as_seen_from_here(path))
    lines = closing_lines(model, model.file_name)
    return [*lines[:2], f"its file: entropy-flows model {typed}", *lines[2:]]


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines as they are, for people to copy from: neither coloured nor wrapped."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _as_seen_from_here(path: Path) -> Path:
    """Return a path relative to the working folder if it lies below it."""
    here = Path(os.getcwd())
    return path.relative_to(here) if path.is_relative_to(here) else path
