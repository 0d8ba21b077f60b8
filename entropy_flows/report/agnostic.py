"""Tables, page and files of a data set without physics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from pymatgen.core import Structure

from entropy_flows.explore import for_element
from entropy_flows.geometry import to_atoms
from entropy_flows.launch.session import Session
from entropy_flows.report.page import Table
from entropy_flows.schemas import AgnosticParams

HEADER = [
    "window",
    "mode",
    "Å³/atom",
    "R_min Å",
    "tried",
    "accepted",
    "too close",
    "no gain",
    "K",
    "log det Σ",
    "random",
]
PAPER_CELLS, PAPER_CANDIDATES = 30_349, 17 * 2 * 25_000
"""Of Subramanyam 2025: cells of its data set, and candidates it tried."""
SAMPLE = 150
"""Cells whose Voronoi volumes are computed."""
COORDINATION = 1.2
"""Radius of the coordination number, in nearest-neighbour distances of the ground state (paper
B, S1).
"""


def run_rows(runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each search, also while it runs."""
    rows = [HEADER]
    for run in runs:
        where = f"{run['window']}" + (f", part {run['part']}" if run["part"] else "")
        volume, r_min = f"{run['low']:.1f}–{run['high']:.1f}", f"{run['r_min']:.2f}"
        counts = [str(run[name]) for name in ("tried", "accepted", "close", "entropy")]
        information = [
            f"{run[name][-1]:.2f}" if name in run else "–" for name in ("entropies", "random")
        ]
        rows.append([where, run["mode"], volume, r_min, *counts, f"{run['k']:.3g}", *information])
    return rows


def whole_rows(runs: Sequence[dict[str, Any]], admitted: dict[str, Any]) -> list[list[str]]:
    """The data set as a whole, and what it has cost."""
    hours = sum(run["cpu_seconds"] for run in runs) / 3600
    accepted, tried = sum(run["accepted"] for run in runs), sum(run["tried"] for run in runs)
    speed = accepted / hours
    projected = f"{PAPER_CELLS / speed:.1f}" if accepted else "–"
    rows = [
        ["quantity", "value"],
        ["cells", str(admitted["cells"])],
        ["atoms", str(admitted["atoms"])],
    ]
    for mode, value in admitted["entropy"].items():
        rows.append(
            [
                f"log det Σ per {mode}; of as many random cells",
                f"{value:.2f}; {admitted['random'][mode]:.2f}",
            ]
        )
    return [
        *rows,
        ["candidates tried", str(tried)],
        ["candidates accepted", f"{accepted} ({100 * accepted / tried:.1f} %)"],
        ["processor time of the searches, h", f"{hours:.3f}"],
        ["cells per processor hour", f"{speed:.0f}"],
        [f"hours for {PAPER_CELLS:,} cells at this rate", projected],
        [
            f"hours for Subramanyam 2025's {PAPER_CANDIDATES:,} candidates",
            f"{PAPER_CANDIDATES * hours / tried:.0f}",
        ],
    ]


def write_cells(
    opened: Session, settings: AgnosticParams, cells: list[Atoms], other: tuple[str, float] | None
) -> list[tuple[Path, int]]:
    """Write the cells as extended XYZ, and for another element (symbol, Å³/atom) if one is given.

    Returns
    -------
    list
        (file, number of cells).
    """
    written = [_written(opened.folder / "agnostic" / f"{settings.name}.extxyz", cells)]
    if other is not None:
        symbol, volume = other
        moved = for_element(cells, symbol, settings.reference.volume, volume)
        written.append(
            _written(opened.folder / "agnostic" / f"{settings.name}-{symbol}.extxyz", moved)
        )
    return written


def stored_cells(opened: Session, settings: AgnosticParams) -> list[Atoms]:
    """All cells in ledger order; `info` says where each is from."""
    found = []
    for entry in opened.store.ledger(settings.dataset).entries():
        atoms = to_atoms(Structure.from_dict(entry["structure"]))
        origin = {
            name: entry["origin"][name]
            for name in ("window", "mode", "part", "candidate", "strength", "r_core")
        }
        atoms.info |= {"key": entry["key"], "gain": entry["gain"], **origin}
        found.append(atoms)
    return found


def _written(path: Path, cells: list[Atoms]) -> tuple[Path, int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    write(partial, cells, format="extxyz")
    partial.replace(path)
    return path, len(cells)


def write_page(opened: Session, settings: AgnosticParams, cells: list[Atoms]) -> Path:
    """Write tables and figures; returns the page."""
    from entropy_flows.report.agnostic_plots import information_plot
    from entropy_flows.report.page import write_report

    document, iterations = opened.store.document(), opened.store.iterations()
    runs = [doc["ascend"] for doc in iterations if "entropies" in doc.get("ascend", {})]
    admitted = next(doc["admit"] for doc in iterations if "admit" in doc)
    tables: list[Table] = [
        (
            "The data set",
            whole_rows(runs, admitted),
            "Random: as many cells of the same windows, parted by V_core alone.",
        ),
        ("Searches", run_rows(runs), "log det Σ of a search is of its own cells, in its own mode."),
    ]
    figures: dict[str, Any] = {
        "information": (information_plot(runs), "What the cells tell, beside random ones.")
    }
    figures["distributions"] = _distributions(cells, settings, min(run["r_min"] for run in runs))
    engine = document.get("engine", {}).get("name")
    folder = opened.folder / "agnostic"
    state = document["message"] or document["state"]
    return write_report(folder, settings.name, state, [engine] if engine else [], tables, figures)


def _distributions(cells: list[Atoms], settings: AgnosticParams, closest: float) -> tuple[Any, str]:
    from entropy_flows.evaluate.packing import packing, voronoi_volumes
    from entropy_flows.report.agnostic_plots import distributions_plot

    radius = COORDINATION * settings.reference.nearest
    found = packing(cells, radius, 3 * settings.reference.nearest)
    chosen = np.random.default_rng(0).permutation(len(cells))[:SAMPLE]
    voronoi = np.concatenate([voronoi_volumes(cells[place]) for place in chosen])
    sizes = np.array([len(atoms) for atoms in cells])
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in cells])
    figure = distributions_plot(sizes, volumes, found.nearest, found.coordination, voronoi, closest)
    shortest = f"Shortest distance {found.nearest.min():.2f} Å."
    return (
        figure,
        f"{shortest} Coordination within {radius:.2f} Å; Voronoi volumes of {len(chosen)} cells.",
    )
