"""`entropy-flows novelty`: how far trajectories are from a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.cells import cells_of, is_campaign, is_xyz, set_names, show_reading
from entropy_flows.cli.diversity import fingerprint_for

if TYPE_CHECKING:
    from ase import Atoms
    from rich.console import Console

    from entropy_flows.entropy import DatasetParams
    from entropy_flows.evaluate.novelty import Novelty

SAVED = ".json"
"""Ending of a data set's statistics as `--save` writes them."""


def command(
    train: Annotated[
        Path,
        typer.Argument(
            help="What is known: cells (any file ASE reads), a campaign file, or what --save "
            "wrote (.json).",
            metavar="TRAIN",
        ),
    ],
    trajectories: Annotated[
        list[Path], typer.Argument(help="Files of frames to grade.", metavar="TRAJECTORY…")
    ],
    more: Annotated[
        list[Path] | None,
        typer.Option("--known", help="More known cells; may be repeated.", metavar="FILE"),
    ] = None,
    above: Annotated[float, typer.Option(help="Grade from which atoms and frames count.")] = 1.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="All frames with each atom's grade, extended XYZ."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", "-C", help="Where page, numbers and worst frames go.")
    ] = Path("novelty"),
    save: Annotated[
        Path | None, typer.Option(help="Write the data set's statistics (.json), to use again.")
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            help="gom, bispectrum, or settings: '{kind: gom, cutoff: 5.0}'. Default: a "
            "campaign's own, else gom."
        ),
    ] = None,
    regularization: Annotated[
        float | None,
        typer.Option(help="λ of the covariance. Default: a campaign's own, else 1e-3."),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Share of the known atoms within the edge, grade 1.")
    ] = 0.999,
) -> None:
    """Grade trajectories by their distance from a data set: 1 is the edge of what is known.

    The grade of a frame is that of its worst atom. It is a distance from the data, not an error
    bar. The page shows it over time; worst.extxyz beside it has the worst frames, with the arrays
    `novelty` and `novel` to colour atoms by.

    Example: entropy-flows novelty train.extxyz production.traj --above 1.5 -o graded.extxyz
    """
    from rich.console import Console

    from entropy_flows.evaluate.novelty_trajectory import grade_trajectory
    from entropy_flows.report.novelty import known_line, novelty_table, write_novelty_page
    from entropy_flows.report.terminal import terminal_table

    console = Console()
    names = set_names(trajectories)
    check_paths(trajectories, output)
    reference = known_novelty(train, more or [], fingerprint, regularization, level)
    if save is not None:
        reference.save(save)
    results = []
    with frame_writer(output) as write:
        for name, path in zip(names, trajectories, strict=True):
            frames = counted(console, name, frames_of(path))
            results.append(grade_trajectory(name, frames, reference, above, write))
    table = novelty_table(results)
    console.print(known_line(reference))
    console.print(terminal_table(table.rows, table.title, table.note, right_from=1))
    page = write_novelty_page(folder, results, reference)
    console.print(f"page: {page}", soft_wrap=True)


def known_novelty(
    train: Path,
    more: Sequence[Path],
    fingerprint: str | None,
    regularization: float | None,
    level: float,
) -> Novelty:
    """Load or work out what is known.

    Raises
    ------
    ValueError
        If a file is missing or not readable, or options contradict what was saved.
    """
    from entropy_flows.evaluate.novelty import Novelty

    if train.suffix == SAVED:
        if more or fingerprint or regularization:
            raise ValueError(
                f"{train} was saved with its own cells, fingerprint and λ: leave out --known, "
                "--fingerprint and --regularization"
            )
        return Novelty.load(train)
    cells = [atoms for path in (train, *more) for atoms in cells_of(path)]
    dataset = _dataset(train, fingerprint, regularization, cells)
    return Novelty.of(cells, dataset, level)


def _dataset(
    train: Path, fingerprint: str | None, regularization: float | None, cells: Sequence[Atoms]
) -> DatasetParams | None:
    """Return fingerprint and λ: of the options, else of the campaign; None for the defaults."""
    from entropy_flows.entropy import DatasetParams
    from entropy_flows.schemas import load_settings

    settings = load_settings(train).dataset.model_dump() if is_campaign(train) else {}
    if fingerprint is not None:
        settings["fingerprint"] = fingerprint_for(fingerprint, cells).params.model_dump()
    if regularization is not None:
        settings["regularization"] = regularization
    return DatasetParams.model_validate(settings) if settings else None


def frames_of(path: Path) -> Iterator[Atoms]:
    """Read the frames of a file one after the other; what is left out of extended XYZ is printed.

    Raises
    ------
    ValueError
        If the file is not readable, or has no frame that can be used.
    """
    from ase.io import iread

    from entropy_flows.faults import is_machine_fault
    from entropy_flows.label.extxyz import read_frames

    left_out = []
    count = 0
    if is_xyz(path):
        for frame in read_frames(path):
            if frame.atoms is None:
                left_out.append(f"{frame.source}: {frame.defect}")
            else:
                count += 1
                yield frame.atoms
        show_reading(path, left_out, [])
    else:
        try:
            for atoms in iread(path, index=":"):
                count += 1
                yield atoms
        except Exception as err:
            # ASE's parsers raise whatever a file makes them stumble over
            if is_machine_fault(err):
                raise
            raise ValueError(f"{path} is not readable: {type(err).__name__}: {err}") from None
    if not count:
        raise ValueError(f"{path} has no frames that can be used")


def counted(console: Console, name: str, frames: Iterable[Atoms]) -> Iterator[Atoms]:
    """Yield the frames and show how many there were so far."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}: {task.completed} frames"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        for atoms in frames:
            yield atoms
            progress.advance(task)


@contextmanager
def frame_writer(path: Path | None) -> Iterator[Callable[[Atoms], None] | None]:
    """Yield a function that writes a frame; the file is there when the block ends without an error.

    Raises
    ------
    ValueError
        If the path has another ending than extended XYZ's, or no folder.
    """
    from ase.io import write

    from entropy_flows.files import whole_file

    if path is None:
        yield None
        return
    with whole_file(path) as file:

        def write_frame(frame: Atoms) -> None:
            text = StringIO()
            write(text, frame, format="extxyz")
            file.write(text.getvalue().encode())

        yield write_frame


def check_paths(trajectories: Sequence[Path], output: Path | None) -> None:
    """Refuse files that are not there, and an output that could not be written, before any work.

    Raises
    ------
    ValueError
        It names the path.
    """
    for path in trajectories:
        if not path.is_file():
            raise ValueError(f"{path} does not exist; expected a file of frames")
    if output is not None and output.suffix not in (".extxyz", ".xyz"):
        raise ValueError(f"--output {output}: expected a name that ends with .extxyz")
    if output is not None and not output.parent.is_dir():
        raise ValueError(f"--output {output}: folder {output.parent} does not exist")
