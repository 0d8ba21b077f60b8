"""`entropy-flows diversity`: data sets side by side."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from entropy_flows.cli.cells import cells_of, set_names
from entropy_flows.report.terminal import terminal_table

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.conventions import Array
    from entropy_flows.evaluate.diversity import CellSet
    from entropy_flows.fingerprints import FingerprintBase

BATCH_CELLS = 64
"""Number of cells whose fingerprints are computed in one call."""


class Rescaling(StrEnum):
    """Choice of what is scaled to the reference density."""

    SET = "set"
    CELL = "cell"
    NONE = "none"


def command(
    sets: Annotated[
        list[Path], typer.Argument(help="Extended XYZ files or campaign files.", metavar="SET…")
    ],
    folder: Annotated[Path, typer.Option("--folder", "-C", help="Where table and page go.")] = Path(
        "diversity"
    ),
    fingerprint: Annotated[
        str,
        typer.Option(
            help="gom, bispectrum, features, or settings as in a campaign file: "
            "'{kind: bispectrum, cutoff: 5.0}'."
        ),
    ] = "gom",
    window: Annotated[
        float, typer.Option(help="Cells within this share of their set's equilibrium volume.")
    ] = 0.25,
    no_window: Annotated[
        bool, typer.Option("--no-window", help="All cells, as in Subramanyam 2025, Fig. S2.")
    ] = False,
    rescale: Annotated[
        Rescaling,
        typer.Option(help="set: one factor for each set; cell: every cell to one density; none."),
    ] = Rescaling.SET,
    volume: Annotated[
        float | None, typer.Option(help="Reference, Å³ per atom. Default: the first set's.")
    ] = None,
    regularization: Annotated[float, typer.Option(help="λ of the covariance.")] = 1e-3,
    draws: Annotated[int, typer.Option(help="Draws of equal size.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 42,
) -> None:
    """Compare the diversity of data sets: log det Σ per atom and per config, at one density.

    Each set is scaled so that its equilibrium volume is the first one's. That is the volume of its
    cell of least energy, or the median where energies are missing or compositions differ. Cells
    within the window count. Sets of one element each are compared as if they were of the same.
    Beside the full sets there are draws of equally many atoms, or cells, of each.

    Example: entropy-flows diversity mine.extxyz theirs.extxyz.gz campaign.yaml --fingerprint
    bispectrum
    """
    from entropy_flows.evaluate.diversity import DiversityParams, comparable, diversities
    from entropy_flows.report.diversity import diversity_tables, write_diversity_page

    params = DiversityParams.model_validate(
        {
            "window": None if no_window else window,
            "rescale": rescale.value,
            "volume": volume,
            "regularization": regularization,
            "draws": draws,
            "seed": seed,
        }
    )
    console = Console()
    cells = {name: cells_of(path) for name, path in zip(set_names(sets), sets, strict=True)}
    cell_sets = comparable(cells, params)
    function = fingerprint_for(fingerprint, (atoms for one in cell_sets for atoms in one.cells))
    prints = {one.name: _fingerprints(function, one, console) for one in cell_sets}
    results = diversities(prints, params)
    for table in diversity_tables(cell_sets, results, params):
        console.print(terminal_table(table.rows, table.title, table.note))
    page = write_diversity_page(folder, cell_sets, prints, results, function, params)
    console.print(f"page: {page}", soft_wrap=True)


def fingerprint_for(text: str, cells: Iterable[Atoms]) -> FingerprintBase:
    """Make the fingerprint of an option's text, for all elements of the cells.

    Raises
    ------
    ValueError
        If it is not a kind of fingerprint, or its settings are not valid.
    """
    from entropy_flows.frames.fingerprinted import frame_fingerprint, symbols_of
    from entropy_flows.yaml_text import parse_option

    value = parse_option("--fingerprint", text)
    if not isinstance(value, str | dict):
        raise ValueError(
            f"--fingerprint {text}: expected a kind, or settings such as "
            "'{kind: gom, cutoff: 4.5}'"
        )
    return frame_fingerprint(value, symbols_of(cells))


def _fingerprints(function: FingerprintBase, cell_set: CellSet, console: Console) -> list[Array]:
    """Compute the fingerprints of a set, with a progress bar."""
    starts = range(0, len(cell_set.cells), BATCH_CELLS)
    prints: list[Array] = []
    for start in track(starts, cell_set.name, console=console, transient=True):
        prints += function(cell_set.cells[start : start + BATCH_CELLS])
    return prints
