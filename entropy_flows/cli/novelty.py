"""`entropy-flows novelty`: how far trajectories are from a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from entropy_flows.cli.cells import cells_of, is_campaign, set_names, show_reading
from entropy_flows.cli.diversity import fingerprint_for
from entropy_flows.cli.options import refuse_as_output

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.conventions import Array
    from entropy_flows.entropy import DatasetParams
    from entropy_flows.evaluate.novelty import Novelty
    from entropy_flows.frames.pool import Progress

MAX_COLUMNS = 3
"""Trajectories that have a column each in the terminal; more of them have a row each."""
SAVED = ".json"
"""Ending of a data set's statistics as `--save` writes them."""


class GradeMeasure(StrEnum):
    """Choice of what a grade measures."""

    LEVERAGE = "leverage"
    LLPR = "llpr"


def command(
    train: Annotated[
        str,
        typer.Argument(
            help="What is known: cells, a campaign file, or what --save wrote (.json).",
            metavar="TRAIN",
        ),
    ],
    trajectories: Annotated[
        list[str],
        typer.Argument(
            help="Files that ASE reads, folders, or patterns such as 'runs/*/XDATCAR'.",
            metavar="TRAJECTORY…",
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Option("--known", help="More known cells; may be repeated.", metavar="FILE"),
    ] = None,
    types: Annotated[
        str | None, typer.Option(help="Elements of a LAMMPS dump's types 1, 2, …: Si,O.")
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
            help="gom, bispectrum, features, or settings: '{kind: gom, cutoff: 5.0}'. Default: a "
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
    measure: Annotated[
        GradeMeasure | None,
        typer.Option(
            help="leverage: distance from the known atoms; llpr: last-layer uncertainty of a model "
            "of the known cells' energies, best with --fingerprint features. Default: leverage.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Grade trajectories by their distance from a data set: 1 is the edge of what is known.

    The grade of a frame is that of its worst atom: a distance from the data, not an error bar. The
    page shows it over time. worst.extxyz beside it has the worst frames, with the arrays `novelty`
    and `novel` to colour atoms by.

    Example: entropy-flows novelty train.extxyz production.traj --above 1.5 -o graded.extxyz
    """
    from rich.console import Console

    from entropy_flows.cli.frame_progress import frame_progress
    from entropy_flows.cli.select import elements_of_types
    from entropy_flows.evaluate.novelty_trajectory import grade_trajectory
    from entropy_flows.frames import locate_files
    from entropy_flows.frames.reader import count_frames
    from entropy_flows.report.novelty import (
        WORST_FILE,
        known_line,
        novelty_table,
        write_novelty_page,
    )
    from entropy_flows.report.terminal import terminal_table

    console = Console()
    check_output(output)
    paths = locate_files(trajectories)
    species = None if types is None else elements_of_types(types)
    sources = [train, *(more or ())]
    for written in (output, save, folder / WORST_FILE):
        refuse_as_output(written, [*paths, *map(Path, sources)])
    options = KnownOptions(fingerprint, regularization, level, measure)
    results = []
    with frame_progress(console) as progress, frame_writer(output) as write:
        reference = known_novelty(sources, species, options, progress)
        if save is not None:
            reference.save(save)
        for name, path in zip(set_names(paths), paths, strict=True):
            total = count_frames(path, species)
            frames = counted(progress, name, frames_of(path, species), total)
            results.append(grade_trajectory(name, frames, reference, above, write))
    table = novelty_table(results)
    rows = table.rows if len(results) > MAX_COLUMNS else list(zip(*table.rows, strict=True))
    console.print(known_line(reference), highlight=False)
    console.print(terminal_table(rows, table.title, table.note, right_from=1))
    page = write_novelty_page(folder, results, reference)
    console.print(f"page: {page}", soft_wrap=True)


class KnownOptions(NamedTuple):
    """Options that say how the distance from known cells is measured; None where not given."""

    fingerprint: str | None
    regularization: float | None
    level: float
    measure: GradeMeasure | None


def known_novelty(
    sources: Sequence[str],
    species: Sequence[str] | None,
    options: KnownOptions,
    progress: Progress,
) -> Novelty:
    """Load or work out what is known.

    Parameters
    ----------
    sources
        Campaign files, files of cells, folders and patterns; or one saved file.
    species
        Elements of the types of LAMMPS dumps.
    options
        Options of the command.
    progress
        Shows how many cells' fingerprints are computed.

    Raises
    ------
    ValueError
        If a file is missing or not readable, or options contradict what was saved.
    """
    from entropy_flows.evaluate.novelty import Novelty, batches_of, with_elements
    from entropy_flows.fingerprints import make_fingerprint

    fingerprint, regularization, level, measure = options
    train = Path(sources[0])
    if train.suffix == SAVED:
        if len(sources) > 1 or fingerprint or regularization or measure:
            raise ValueError(
                f"{train} was saved with its own cells, fingerprint, λ and measure: leave out "
                "--known, --fingerprint, --regularization and --measure"
            )
        return Novelty.load(train)
    cells = [atoms for source in sources for atoms in known_cells(source, species)]
    dataset = with_elements(_dataset(train, fingerprint, regularization, cells), cells)
    function = make_fingerprint(dataset.fingerprint)
    prints: list[Array] = []
    for batch in batches_of(cells):
        prints += function(batch)
        progress("known cells", len(prints), len(cells))
    return Novelty.from_prints(
        dataset, cells, prints, level, "leverage" if measure is None else measure.value
    )


def known_cells(source: str, species: Sequence[str] | None) -> Iterator[Atoms]:
    """Yield the cells of a campaign, a file, or the files of a folder or a pattern."""
    from entropy_flows.frames import locate_files

    if is_campaign(Path(source)):
        yield from cells_of(Path(source))
        return
    for path in locate_files([source]):
        yield from frames_of(path, species)


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


def frames_of(path: Path, species: Sequence[str] | None) -> Iterator[Atoms]:
    """Read the usable frames of a file one after the other; `info` has the number of each.

    The others are printed with their reasons.

    Raises
    ------
    ValueError
        If the file is not readable, or has no frame that can be used.
    """
    from entropy_flows.frames import read_frames

    left_out = []
    count = 0
    for frame in read_frames(path, species, periodic=False):
        if frame.atoms is None:
            left_out.append(f"{frame.location}: {frame.defect}")
            continue
        count += 1
        frame.atoms.info["frame"] = frame.index
        yield frame.atoms
    show_reading(path, left_out, [])
    if not count:
        raise ValueError(f"{path} has no frames that can be used")


def counted(progress: Progress, title: str, cells: Iterable[Atoms], total: int) -> Iterator[Atoms]:
    """Yield the cells, and tell how many there were so far."""
    for done, atoms in enumerate(cells, 1):
        yield atoms
        progress(title, done, total)


@contextmanager
def frame_writer(path: Path | None) -> Iterator[Callable[[Atoms], None] | None]:
    """Yield a function that writes a frame; the file is there when the block ends without an error.

    None is yielded where nothing is to be written.
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


def check_output(path: Path | None) -> None:
    """Refuse an output that could not be written, before any work.

    Raises
    ------
    ValueError
        It names the path.
    """
    if path is not None and path.suffix not in (".extxyz", ".xyz"):
        raise ValueError(f"--output {path}: expected a name that ends with .extxyz")
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"--output {path}: folder {path.parent} does not exist")
