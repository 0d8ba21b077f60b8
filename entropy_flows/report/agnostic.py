"""Tables, page and cells of a data set that was built without physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.files import replacing
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.text import MISSING

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.schemas import AgnosticParams
    from entropy_flows.store import CampaignStore

SEARCH_HEADER = [
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
COUNT_FIELDS = ("tried", "accepted", "close", "entropy")
ORIGIN_FIELDS = ("window", "mode", "repeat", "candidate", "strength", "r_core")
SUBRAMANYAM_CELLS = 30_349
"""Cells of Subramanyam 2025's data set."""
SUBRAMANYAM_CANDIDATES = 17 * 2 * 25_000
"""Candidates that Subramanyam 2025 tried."""
VORONOI_CELLS = 150
"""Number of cells whose Voronoi volumes are computed."""
COORDINATION_RADIUS = 1.2
"""Radius of the coordination number, in nearest-neighbour distances of the ground state
(Subramanyam 2025, section S1).
"""
NEIGHBOUR_REACH = 3
"""How far a nearest neighbour is searched, in the same distances."""


def search_rows(searches: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Write a row for each search, also for one that still runs; the header first."""
    return [SEARCH_HEADER, *map(_search_row, searches)]


def _search_row(search: Mapping[str, Any]) -> list[str]:
    suffix = f", part {search['repeat']}" if search["repeat"] else ""
    return [
        f"{search['window']}{suffix}",
        search["mode"],
        f"{search['low']:.1f}–{search['high']:.1f}",
        f"{search['r_min']:.2f}",
        *(str(search[name]) for name in COUNT_FIELDS),
        f"{search['k']:.3g}",
        _last_entropy(search, "entropies"),
        _last_entropy(search, "random"),
    ]


def _last_entropy(search: Mapping[str, Any], name: str) -> str:
    return f"{search[name][-1]:.2f}" if name in search else MISSING


def dataset_rows(
    searches: Sequence[Mapping[str, Any]], admitted: Mapping[str, Any]
) -> list[list[str]]:
    """Write the size, the information and the cost of the whole data set.

    Parameters
    ----------
    searches
        Documents of the searches that have ended.
    admitted
        Document of the job that merged their cells.
    """
    hours = sum(search["cpu_seconds"] for search in searches) / 3600
    accepted = sum(search["accepted"] for search in searches)
    tried = sum(search["tried"] for search in searches)
    rate = accepted / hours
    projected = f"{SUBRAMANYAM_CELLS / rate:.1f}" if accepted else MISSING
    candidate_hours = f"{SUBRAMANYAM_CANDIDATES * hours / tried:.0f}"
    information = [
        [
            f"log det Σ per {mode}; of as many random cells",
            f"{entropy:.2f}; {admitted['random'][mode]:.2f}",
        ]
        for mode, entropy in admitted["entropy"].items()
    ]
    return [
        ["quantity", "value"],
        ["cells", str(admitted["cells"])],
        ["atoms", str(admitted["atoms"])],
        *information,
        ["candidates tried", str(tried)],
        ["candidates accepted", f"{accepted} ({100 * accepted / tried:.1f} %)"],
        ["processor time of the searches, h", f"{hours:.3f}"],
        ["cells per processor hour", f"{rate:.0f}"],
        [f"hours for {SUBRAMANYAM_CELLS:,} cells at this rate", projected],
        [f"hours for Subramanyam 2025's {SUBRAMANYAM_CANDIDATES:,} candidates", candidate_hours],
    ]


def stored_cells(store: CampaignStore, settings: AgnosticParams) -> list[Atoms]:
    """Return all cells in ledger order; their `info` tells key, gain and origin."""
    from pymatgen.core import Structure

    from entropy_flows.geometry import to_atoms

    cells = []
    for entry in store.ledger(settings.dataset).entries():
        atoms = to_atoms(Structure.from_dict(entry["structure"]))
        origin = {name: entry["origin"][name] for name in ORIGIN_FIELDS}
        atoms.info |= {"key": entry["key"], "gain": entry["gain"], **origin}
        cells.append(atoms)
    return cells


def write_cells(
    folder: Path,
    settings: AgnosticParams,
    cells: list[Atoms],
    other: tuple[str, float] | None = None,
) -> list[Path]:
    """Write the cells as extended XYZ, and for another element if one is given.

    Parameters
    ----------
    folder
        Created if it is missing.
    settings
        Settings of the data set.
    cells
        As `stored_cells` returns them.
    other
        Symbol and volume per atom (Å³) of the other element.

    Returns
    -------
    list
        The files.
    """
    from entropy_flows.explore import for_element

    written = [_write_xyz(folder / f"{settings.name}.extxyz", cells)]
    if other is not None:
        symbol, volume = other
        transferred = for_element(cells, symbol, settings.reference.volume, volume)
        written.append(_write_xyz(folder / f"{settings.name}-{symbol}.extxyz", transferred))
    return written


def _write_xyz(path: Path, cells: list[Atoms]) -> Path:
    from ase.io import write

    path.parent.mkdir(parents=True, exist_ok=True)
    # A command that is killed while it writes leaves no file that looks whole.
    with replacing(path) as temporary:
        write(temporary, cells, format="extxyz")
    return path


def write_agnostic_page(
    folder: Path, store: CampaignStore, settings: AgnosticParams, cells: list[Atoms]
) -> Path:
    """Write tables and figures of a finished data set; returns the HTML file."""
    from entropy_flows.report.agnostic_plots import information_plot

    document = store.document()
    iterations = store.iterations()
    searches = [doc["ascend"] for doc in iterations if "entropies" in doc.get("ascend", {})]
    admitted = next(doc["admit"] for doc in iterations if "admit" in doc)
    tables = [
        Table(
            "The data set",
            dataset_rows(searches, admitted),
            "Random: as many cells of the same windows, parted by V_core alone.",
        ),
        Table(
            "Searches",
            search_rows(searches),
            "log det Σ of a search is of its own cells, in its own mode.",
        ),
    ]
    closest = min(search["r_min"] for search in searches)
    information = information_plot(searches)
    figures = {
        "information": CaptionedFigure(information, "What the cells tell, beside random ones."),
        "distributions": _distributions(cells, settings, closest),
    }
    engine = document.get("engine", {}).get("name")
    engines = [engine] if engine else []
    state = document["message"] or document["state"]
    return write_report(folder, settings.name, state, engines, tables, figures)


def _distributions(cells: list[Atoms], settings: AgnosticParams, closest: float) -> CaptionedFigure:
    """Draw how the atoms are packed; `closest` is the smallest R_min of the windows (Å)."""
    from entropy_flows.evaluate.packing import packing, voronoi_volumes
    from entropy_flows.report.agnostic_plots import distributions_plot

    ground_state = settings.reference.nearest
    radius = COORDINATION_RADIUS * ground_state
    atoms_packing = packing(cells, radius, NEIGHBOUR_REACH * ground_state)
    # A histogram of Voronoi volumes needs no more than a sample of the cells.
    sample = np.random.default_rng(0).permutation(len(cells))[:VORONOI_CELLS]
    voronoi = np.concatenate([voronoi_volumes(cells[index]) for index in sample])
    figure = distributions_plot(
        sizes=np.array([len(atoms) for atoms in cells]),
        volumes=np.array([atoms.get_volume() / len(atoms) for atoms in cells]),
        nearest=atoms_packing.nearest,
        coordination=atoms_packing.coordination,
        voronoi=voronoi,
        closest=closest,
    )
    shortest = f"Shortest distance {atoms_packing.nearest.min():.2f} Å."
    method = f"Coordination within {radius:.2f} Å; Voronoi volumes of {len(sample)} cells."
    return CaptionedFigure(figure, f"{shortest} {method}")
