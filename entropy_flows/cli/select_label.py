"""Label the frames that `entropy-flows select` chose, and give the labels to a campaign."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from entropy_flows.files import replacing

if TYPE_CHECKING:
    from ase import Atoms
    from rich.console import Console

    from entropy_flows.frames import FrameChoice
    from entropy_flows.launch.session import Session


def label_choice(
    file: Path, choice: FrameChoice, picked: Path, console: Console, workers: int | None
) -> None:
    """Label chosen cells with a campaign's engine, and import the labels into the campaign.

    The labels are a campaign of their own, named after the cells. A command that was interrupted
    goes on, and one that is run again labels nothing twice.

    Parameters
    ----------
    file
        The campaign file.
    choice
        The chosen frames.
    picked
        The file that they were written to.
    console
        Where progress is printed.
    workers
        Number of local workers; None for one per core.

    Raises
    ------
    RuntimeError
        If the labels cannot be made.
    StoreError
        If the campaign is in the middle of an iteration. The labels are in a file by then, which
        `entropy-flows import` takes later.
    """
    from entropy_flows.cli.importing import show
    from entropy_flows.cli.preflight import preflight
    from entropy_flows.cli.run import refuse_unfinished, run_workers
    from entropy_flows.flows.selected import SelectedMaker, selected_pool
    from entropy_flows.jobs.importing import Import
    from entropy_flows.label.existing import read_files
    from entropy_flows.launch.session import open_session

    preflight(file)
    with open_session(file, None) as session:
        session.store.create(session.campaign)
        pool = session.of(selected_pool(session.campaign, _copied(picked, session)))
        console.rule(pool.campaign.name, align="left")
        maker = SelectedMaker.from_campaign(pool.campaign)
        state, message = run_workers(pool, console, workers, maker=maker)
        refuse_unfinished(pool.campaign.name, state, message)
        console.print(f"{pool.campaign.name}: {message}")
        labelled = picked.with_name(f"{picked.stem}-labelled.extxyz")
        _export(pool, choice, labelled)
        console.print(f"written: {labelled}", soft_wrap=True, highlight=False)
        work = Import(session.store, session.campaign, as_engine=True)
        show(console, work.run(read_files(labelled)))


def _copied(picked: Path, session: Session) -> Path:
    """Copy the chosen cells into the campaign's folder, where they stay as they are."""
    from entropy_flows.digest import file_sha256

    session.folder.mkdir(parents=True, exist_ok=True)
    copy = session.folder / f"selected-{file_sha256(picked)[:8]}.extxyz"
    with replacing(copy) as temporary:
        shutil.copyfile(picked, temporary)
    return copy


def _export(pool: Session, choice: FrameChoice, path: Path) -> None:
    """Write the good labels, each with where its cell is from and why it was chosen."""
    from entropy_flows.formats import write_extxyz

    frames: list[Atoms] = pool.store.frames()
    if not frames:
        raise RuntimeError(f"campaign {pool.campaign.name} has no good label")
    for atoms in frames:
        number = int(str(atoms.info["key"]).rpartition("/")[2])
        atoms.info |= {
            name: value
            for name, value in choice.cells[number].info.items()
            if name.startswith("select_")
        }
    with replacing(path) as temporary:
        write_extxyz(frames, temporary)
