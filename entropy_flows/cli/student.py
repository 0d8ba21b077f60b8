"""`entropy-flows student`: a small, fast model of a campaign's system, made of a larger one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption
from entropy_flows.launch.session import campaign_folder, open_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from rich.console import Console

    from entropy_flows.distill import Student, StudentTask
    from entropy_flows.schemas import Campaign

QUIET_SECONDS = 10.0
"""Time between two lines of progress where there is no terminal to redraw."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Model that labels: any base model. Default: the campaign's base_model."),
    ] = None,
    from_campaign: Annotated[
        bool,
        typer.Option(
            "--from-campaign",
            help="The teacher is the campaign's model; its labelled cells are trained on, too.",
        ),
    ] = False,
    cells: Annotated[
        int, typer.Option(min=20, help="Cells that the teacher labels, over all phases.")
    ] = 240,
    architecture: Annotated[
        str, typer.Option(help="allegro or nequip (slower, reaches farther).")
    ] = "allegro",
    size: Annotated[str, typer.Option(help="small or medium (twice the cost).")] = "small",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training at most.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cells, split and weights.")] = 7,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write (.nequip.zip). Default: beside the campaign file."
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Enter it as `student:` in the campaign file, unasked."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Make a small, fast model for a campaign's crystals, of a larger one; minutes on a CPU core.

    Killed, it goes on where it was when it is called again.

    Example: entropy-flows student srtio3/campaign.yaml --write

    Example: entropy-flows student srtio3/campaign.yaml --from-campaign
    """
    from rich.console import Console

    from entropy_flows.schemas import load_campaign

    campaign = load_campaign(file)
    _check_network(architecture, size)
    if from_campaign and (teacher is not None or write):
        raise ValueError("--from-campaign has its teacher, and its result is no student to enter")
    options = {
        "cells": cells,
        "architecture": architecture,
        "size": size,
        "epochs": epochs,
        "seed": seed,
    }
    console = Console()
    work = campaign_folder(campaign, file, folder) / "student"
    if from_campaign:
        _distill_campaign(console, file, folder, work, options, output, overwrite)
        return
    path = output or file.parent / f"{campaign.name}-student.nequip.zip"
    _refuse_existing(path, overwrite)
    task = _task(campaign, file, _teacher(campaign, file, teacher), options)
    student = _make(console, task, work, path)
    _show(console, student, path)
    _enter(console, campaign, file, path, write)


@dataclass
class _Progress:
    """Prints how far it is: in a terminal on one line, else a line now and then.

    A line of another stage than the one before is always printed.
    """

    console: Console
    status: Any
    started: float = field(default_factory=time.monotonic)
    printed: float = -QUIET_SECONDS
    stage: str = ""

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        stamped = f"{(now - self.started) / 60:5.1f} min  {line}"
        self.status.update(stamped)
        stage = line.partition(":")[0]
        is_news = stage != self.stage or now - self.printed >= QUIET_SECONDS
        if self.console.is_terminal or not is_news:
            return
        self.stage = stage
        self.printed = now
        self.console.print(stamped, highlight=False, soft_wrap=True, markup=False)


def _make(console: Console, task: StudentTask, work: Path, path: Path) -> Student:
    """Make a student with its progress shown, and copy it to its path."""
    from entropy_flows.cli.model import copy_model
    from entropy_flows.distill import make_student

    with console.status("starting") as status:
        student = make_student(task, work, _Progress(console, status))
    path.parent.mkdir(parents=True, exist_ok=True)
    copy_model(str(student.model), path)
    return student


def _task(
    campaign: Campaign,
    file: Path,
    teacher: str,
    options: dict[str, Any],
    more: Sequence[Atoms] = (),
) -> StudentTask:
    """Describe the student of a campaign's crystals and conditions."""
    from entropy_flows.distill import StudentTask
    from entropy_flows.explore import build_seed
    from entropy_flows.geometry import to_atoms
    from entropy_flows.settings import settings

    seeds = {phase.name: to_atoms(build_seed(phase, file.parent).cell) for phase in campaign.phases}
    numbers = range(1, max(1, len(campaign.iterations)) + 1)
    grids = [campaign.iteration(number).explore for number in numbers]
    temperatures = sorted({value for grid in grids for value in grid.temperatures})
    pressures = sorted({value for grid in grids for value in grid.pressures})
    return StudentTask(
        elements=campaign.elements,
        seeds=seeds,
        teacher=teacher,
        temperatures=tuple(temperatures),
        pressures=tuple(pressures),
        more=tuple(more),
        device=settings().device,
        **options,
    )


def _teacher(campaign: Campaign, file: Path, name: str | None) -> str:
    """Return the model that labels, as a name or a path that exists.

    Raises
    ------
    ValueError
        If it is none, or lacks one of the campaign's elements.
    """
    from entropy_flows.potentials import check_elements, check_name, locate_model

    role = "base_model" if name is None else "--teacher"
    if name is None:
        model = locate_model(campaign.base_model, file.parent)
    else:
        model = locate_model(name, Path.cwd())
    check_name(model)
    check_elements(model, campaign.elements, role)
    return model


def _check_network(architecture: str, size: str) -> None:
    """Refuse a network that there is not, before anything is imported or labelled."""
    from entropy_flows.distill import SIZES

    if architecture not in SIZES:
        raise ValueError(f"--architecture {architecture!r}: expected {' or '.join(SIZES)}")
    if size not in SIZES[architecture]:
        raise ValueError(f"--size {size!r}: expected {' or '.join(SIZES[architecture])}")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    from entropy_flows.potentials.nequip import PACKAGE_SUFFIX

    if not path.name.endswith(PACKAGE_SUFFIX):
        raise ValueError(f"--output {path}: expected a name that ends in {PACKAGE_SUFFIX}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give --overwrite to replace it")


def _distill_campaign(
    console: Console,
    file: Path,
    folder: Path | None,
    work: Path,
    options: dict[str, Any],
    output: Path | None,
    overwrite: bool,
) -> None:
    """Distil a campaign's model, and compare both on the campaign's held-out cells."""
    from entropy_flows.evaluate.errors import errors
    from entropy_flows.potentials import load_many
    from entropy_flows.report.model import campaign_model
    from entropy_flows.report.student import error_rows

    with open_stored(file, folder) as session:
        campaign = session.campaign
        model = campaign_model(session.store)
        if model is None or model.iteration < 1 or model.sha256 is None:
            raise ValueError(f"campaign {campaign.name} goes on from no model that it has trained")
        path = output or file.parent / f"{campaign.name}-{model.iteration}-fast.nequip.zip"
        _refuse_existing(path, overwrite)
        teacher = session.store.fetch_model(model.reference)
        labels = {
            split: session.store.frames(split=split, foreign={"$ne": True})
            for split in ("train", "val", "test")
        }
    given = _chosen([*labels["train"], *labels["val"]], options["cells"], options["seed"])
    student = _make(console, _task(campaign, file, teacher, options, given), work, path)
    _show(console, student, path)
    if not labels["test"]:
        return
    rows = [["", path.name, model.file_name]]
    both = [errors(labels["test"], load_many(name)).as_dict() for name in (student.model, teacher)]
    rows += error_rows(both)
    _table(console, rows, f"held-out labels of the campaign: {len(labels['test'])}")


def _chosen(frames: list[Atoms], most: int, seed: int) -> list[Atoms]:
    """Return the cells, or a random choice of as many as there may be, in their order."""
    import numpy as np

    if len(frames) <= most:
        return frames
    rng = np.random.default_rng(seed)
    return [frames[index] for index in sorted(rng.choice(len(frames), most, replace=False))]


def _show(console: Console, student: Student, path: Path) -> None:
    """Print what a student was made of, its errors against its teacher, and its speed."""
    from entropy_flows.cli.model import print_lines
    from entropy_flows.potentials import ase_lines, split_model
    from entropy_flows.report.student import measure_rows, student_rows

    record = student.record
    cells = record["cells"]
    about = [
        f"{path} is written: {record['architecture']}, {record['size']}, "
        f"trained on {cells['train']} cells, {cells['val']} more to stop; "
        f"best of {record['epochs']} epochs: {record['best_epoch']}"
    ]
    print_lines(console, about)
    teacher = Path(split_model(record["teacher"])[0]).name
    _table(console, student_rows(record), f"student of {teacher}")
    _table(console, measure_rows(record), "measures of both")
    if not record["squeezed"]["rises"]:
        warning = (
            "warning: its energy does not always rise when the crystal is squeezed; "
            "dynamics at high pressure may collapse"
        )
        print_lines(console, [warning])
    print_lines(console, ["in ASE:", *(f"    {line}" for line in ase_lines(str(path)))])


def _table(console: Console, rows: Sequence[Sequence[str]], title: str) -> None:
    from entropy_flows.report.terminal import terminal_table

    console.print(terminal_table(rows, title, right_from=1))


def _enter(console: Console, campaign: Campaign, file: Path, path: Path, write: bool) -> None:
    """Enter the student in the campaign file, if asked to; else print the line to enter."""
    import sys

    from entropy_flows.yaml_edit import set_line

    folder = file.parent.resolve()
    target = path.resolve()
    name = str(target.relative_to(folder) if target.is_relative_to(folder) else target)
    line = f"student: {name}"
    if not write and sys.stdin.isatty():
        write = typer.confirm(f"enter `{line}` in {file}?")
    if write:
        set_line(file, "student", name, after="base_model")
        print(f"{file} has now: {line}")
    else:
        print(f"to use it, write in {file}: {line}")
    if campaign.train.preset != "small":
        preset = campaign.train.preset
        print(f"and choose its recipe there: train: {{preset: small}} (it is {preset})")
