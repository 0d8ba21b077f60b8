"""All cells of a campaign that a page shows: its map, and each of them by its key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.report.cell_errors import cell_errors
from entropy_flows.report.fingerprint_map import fingerprint_map
from entropy_flows.report.refused import RefusedCell, least_gain, refused_cells
from entropy_flows.report.structure_card import nearest_keys, refused_card, structure_card
from entropy_flows.report.structure_map import StructureMap, structure_map
from entropy_flows.store.mean_prints import mean_prints

if TYPE_CHECKING:
    from entropy_flows.entropy import DatasetParams
    from entropy_flows.store import CampaignStore, Ledger

ReadRefused = Callable[
    ["CampaignStore", "Ledger", Mapping[str, Any], Collection[str]], list[RefusedCell]
]
"""Reads the refused cells of an iteration, as `refused_cells` does."""


@dataclass(frozen=True, eq=False)
class CampaignCells:
    """The cells of a campaign, as they were at one moment."""

    points: StructureMap
    """The map."""
    means: Array | None
    """Mean fingerprints (n, dim) of the first entries; None for a data set without them."""
    refused: Mapping[str, RefusedCell] = field(default_factory=dict)
    """Key → cell that was not chosen."""
    thresholds: Mapping[int, float | None] = field(default_factory=dict)
    """Iteration → least ΔH of what its selection accepted, if that has one."""

    def cards(self, store: CampaignStore, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return some of the cells as the script of the map reads them.

        Parameters
        ----------
        store
            The campaign.
        keys
            Keys of cells; what is no cell of the campaign is left out.
        """
        entries = store.entries_of([key for key in keys if key not in self.refused])
        labels = store.label_of(list(entries))
        excluded = store.excluded()
        cards = {}
        for key in keys:
            if key in self.refused:
                cards[key] = self._refused_card(self.refused[key])
            elif key in entries:
                neighbours = self._neighbours(entries[key]["position"])
                cards[key] = structure_card(
                    entries[key], labels.get(key), neighbours, excluded.get(key)
                )
        return cards

    def _neighbours(self, position: int) -> list[str]:
        return [] if self.means is None else nearest_keys(self.means, self.points.keys, position)

    def _refused_card(self, cell: RefusedCell) -> dict[str, Any]:
        assert self.means is not None, "refused cells are read for campaigns with fingerprints"
        threshold = self.thresholds.get(cell.iteration)
        return refused_card(cell, self.means, self.points.keys, threshold)


def campaign_cells(
    store: CampaignStore,
    dataset: DatasetParams | None,
    umap: bool = False,
    read_refused: ReadRefused = refused_cells,
) -> CampaignCells:
    """Read the cells of a campaign.

    Parameters
    ----------
    store
        The campaign.
    dataset
        Its fingerprint and λ; None leaves out what follows from fingerprints.
    umap
        Whether the map has UMAP's coordinates, too.
    read_refused
        Reads the refused cells of an iteration.
    """
    errors = cell_errors(store)
    entries = store.entry_rows()
    if dataset is None:
        return CampaignCells(structure_map(store, entries, errors), None)
    ledger = store.ledger(dataset)
    means = mean_prints(ledger)
    iterations = store.iterations()
    chosen = {entry["key"] for entry in entries}
    refused = [
        cell
        for iteration in iterations
        for cell in read_refused(store, ledger, iteration, chosen)
        if cell.key not in chosen  # a later stage may have taken what was read before
    ]
    others = np.array([cell.mean for cell in refused]).reshape(-1, means.shape[1])
    coordinates = fingerprint_map(means, others, dataset.regularization, umap)
    return CampaignCells(
        points=structure_map(store, entries, errors, refused, coordinates),
        means=means,
        refused={cell.key: cell for cell in refused},
        thresholds={iteration["iteration"]: least_gain(iteration) for iteration in iterations},
    )
