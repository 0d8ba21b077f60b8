"""`entropy-flows diversity`: data sets side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from entropy_flows.cli.cells import cells_of, set_names
from entropy_flows.report.terminal import shown

if TYPE_CHECKING:
    import numpy as np

    from entropy_flows.evaluate.diversity import CellSet, Diversity, DiversityParams
    from entropy_flows.fingerprints import FingerprintBase
    from entropy_flows.report.page import Table


CHUNK = 64
"""Cells whose fingerprints are computed in one call."""


class Rescaling(StrEnum):
    """What is scaled to the reference density."""

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
            help="gom, bispectrum, or settings as in a campaign file: '{kind: bispectrum, cutoff: 5.0}'."
        ),
    ] = "gom",
    window: Annotated[
        float, typer.Option(help="Cells within this share of their set's equilibrium volume.")
    ] = 0.25,
    no_window: Annotated[
        bool, typer.Option("--no-window", help="All cells, as in the paper's Fig. S2.")
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
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 42,
) -> None:
    """Compare the diversity of data sets: log det Σ per atom and per config, at one density.

    Each set is scaled so that its equilibrium volume (of its cell of least energy; the median where
    energies are missing or compositions differ) is the first one's; cells within the window count.
    Sets of one element each are compared as if they were of the same. Beside the full sets there
    are draws of equally many atoms, or cells, of each.

    Example: entropy-flows diversity mine.extxyz theirs.extxyz.gz campaign.yaml --fingerprint
    bispectrum
    """
    from entropy_flows.evaluate.diversity import DiversityParams, comparable, diversities

    params = DiversityParams.model_validate(
        {"window": None if no_window else window, "rescale": rescale.value, "volume": volume}
        | {"regularization": regularization, "draws": draws, "seed": seed}
    )
    console = Console()
    cells = {name: cells_of(path) for name, path in zip(set_names(sets), sets, strict=True)}
    found = comparable(cells, params)
    measure = fingerprint_for(fingerprint, found)
    prints = {part.name: _prints(measure, part, console) for part in found}
    result = diversities(prints, params)
    told = tables(found, result, params)
    for title, rows, note in told:
        console.print(shown(title, rows, note))
    page = _write(folder, found, prints, result, told, measure, params)
    console.print(f"page: {page}", soft_wrap=True)


def fingerprint_for(text: str, sets: Sequence[CellSet]) -> FingerprintBase:
    """The fingerprint of an option's text, for all elements of the sets.

    Raises
    ------
    ValueError
        If it is not a kind of fingerprint, or its settings do not hold.
    """
    from pydantic import TypeAdapter

    from entropy_flows.fingerprints import FingerprintParams, make_fingerprint
    from entropy_flows.yaml_text import parse_option

    given = parse_option("--fingerprint", text)
    settings: dict[str, Any] = {"kind": given} if isinstance(given, str) else given
    if not isinstance(settings, dict):
        raise ValueError(
            f"--fingerprint {text}: expected a kind, or settings such as '{{kind: gom, cutoff: 4.5}}'"
        )
    elements = {
        symbol for part in sets for atoms in part.cells for symbol in atoms.get_chemical_symbols()
    }
    return make_fingerprint(
        TypeAdapter(FingerprintParams).validate_python({"elements": sorted(elements)} | settings)
    )


def _prints(measure: FingerprintBase, part: CellSet, console: Console) -> list[np.ndarray]:
    starts = track(range(0, len(part.cells), CHUNK), part.name, console=console, transient=True)
    return [q for start in starts for q in measure(part.cells[start : start + CHUNK])]


def tables(
    found: Sequence[CellSet], result: dict[str, Diversity], params: DiversityParams
) -> list[Table]:
    """What was compared, and how diverse it is."""
    drawn = next(iter(result.values())).drawn
    sizes = [["set", "cells", "V_eq, Å³/atom", "that is", "cells kept", "atoms in them"]]
    numbers = [
        ["set", "per atom", "per config", f"{drawn['atom']} atoms", f"{drawn['config']} cells"]
    ]
    for part in found:
        own = result[part.name]
        told = (
            part.total,
            f"{part.equilibrium:.2f}",
            part.rule,
            own.count["config"],
            own.count["atom"],
        )
        sizes.append([part.name, *map(str, told)])
        equal = [f"{mean.mean:.1f} ± {mean.std:.1f}" for mean in own.equal.values()]
        numbers.append([part.name, *(f"{value:.1f}" for value in own.full.values()), *equal])
    window = (
        "All densities" if params.window is None else f"Volumes within {params.window:.0%} of V_eq"
    )
    scaled = {
        "set": "each set scaled to one V_eq",
        "cell": "each cell scaled to one volume",
        "none": "not scaled",
    }
    note = f"Last columns: equally many of each set, mean ± standard deviation over {params.draws} draws."
    return [("Sets", sizes, f"{window}; {scaled[params.rescale]}."), ("log det Σ", numbers, note)]


def _write(
    folder: Path,
    found: Sequence[CellSet],
    prints: dict[str, list[np.ndarray]],
    result: dict[str, Diversity],
    told: Sequence[Table],
    measure: FingerprintBase,
    params: DiversityParams,
) -> Path:
    """The page, and its numbers as JSON."""
    from entropy_flows.report.diversity_plots import cover_plot, diversity_plot
    from entropy_flows.report.page import write_report

    figures = {
        "diversity": (
            diversity_plot(result),
            "log det Σ of each set; bars begin where all vectors are the same.",
        ),
        "cover": (
            cover_plot(prints),
            "What each set covers, over the others: principal components of all together.",
        ),
    }
    page = write_report(folder, "Diversity of data sets", repr(measure), [], told, figures)
    sets = {
        part.name: {"cells": part.total, "equilibrium": part.equilibrium, "rule": part.rule}
        | asdict(result[part.name])
        for part in found
    }
    facts = {
        "fingerprint": measure.settings,
        "params": params.model_dump(mode="json"),
        "sets": sets,
    }
    (folder / "diversity.json").write_text(json.dumps(facts, indent=1))
    return page
