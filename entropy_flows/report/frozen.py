"""A campaign's page as one HTML file: its cells are in it, and no server is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.report.campaign import (
    campaign_figures,
    campaign_page,
    gain_thresholds,
)
from entropy_flows.report.campaign_cells import CampaignCells, campaign_cells
from entropy_flows.report.cell_errors import stored_parities
from entropy_flows.report.label_moments import MOMENT_HEADER, MOMENT_NOTE, moment_rows
from entropy_flows.report.page import (
    Table,
    asset,
    render,
    svg_figures,
    write_page,
)

if TYPE_CHECKING:
    from entropy_flows.report.physics_table import Rows
    from entropy_flows.schemas import Campaign
    from entropy_flows.schemas.status import CampaignStatus
    from entropy_flows.store import CampaignStore

MAX_CELLS = 1000
"""Cells that a page holds as structures, some 2 kB each; of more it holds every n-th."""


def write_campaign_page(
    folder: Path,
    store: CampaignStore,
    campaign: Campaign,
    status: CampaignStatus,
    physics: Mapping[str, Rows],
    command: str,
    umap: bool = False,
) -> Path:
    """Write a campaign's page as it is now.

    Parameters
    ----------
    folder
        Created if it is missing.
    store, campaign
        The campaign.
    status
        How it stands now.
    physics
        Title of a model → its physics checks; empty if none were made.
    command
        What makes the campaign again.
    umap
        Whether the map of its cells has UMAP's coordinates, too.

    Returns
    -------
    Path
        The HTML file.
    """
    iterations = store.iterations()
    parities = stored_parities(store)
    labels = store.label_rows()
    entries = store.sizes()[0]
    page = campaign_page(store, status, iterations, parities, command, labels, entries)
    figures = campaign_figures(iterations, gain_thresholds(iterations), parities)
    tables = [*page.tables, *_further_tables(store, physics)]
    if physics:
        from entropy_flows.report.physics_plots import physics_figures

        figures |= physics_figures(physics)
    cells = campaign_cells(store, campaign.dataset if page.entries else None, umap)
    drawn, note = _drawn(cells, store)
    html = render(
        "campaign.html",
        title=page.name,
        page=replace(page, tables=tables, figures=svg_figures(figures)),
        frozen=True,
        map=cells.points.as_dict(),
        cells=drawn,
        map_note=note,
        style=asset("style.css"),
        scripts=[asset("3Dmol-min.js"), asset("map.js")],
    )
    return write_page(folder, html, figures)


def _drawn(cells: CampaignCells, store: CampaignStore) -> tuple[dict[str, Any], str]:
    """Return the cells that the page can draw, and what it says of the others."""
    keys = cells.points.keys
    step = -(-len(keys) // MAX_CELLS) or 1
    drawn = cells.cards(store, keys[::step])
    if step == 1:
        return drawn, ""
    return drawn, (
        f"{len(drawn)} of the {len(keys)} cells can be drawn on this page; "
        f"`entropy-flows serve` draws all."
    )


def _further_tables(store: CampaignStore, physics: Mapping[str, Rows]) -> list[Table]:
    """Build the tables that take reading all labels, or checks of physics."""
    tables = []
    moments = moment_rows(store.frames(foreign={"$ne": True}))
    if moments:
        tables.append(Table("Magnetic moments", [MOMENT_HEADER, *moments], MOMENT_NOTE))
    if physics:
        from entropy_flows.report.physics_table import physics_reasons, physics_rows

        reasons = "; ".join(physics_reasons(physics))
        note = f"Without a result: {reasons}." if reasons else ""
        tables.append(Table("Physics", physics_rows(physics), note))
    return tables
