"""The cells of a campaign as points of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.report.cell_errors import CellErrors
from entropy_flows.report.fingerprint_map import FingerprintMap
from entropy_flows.report.refused import STATUS, RefusedCell

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore

NUMBERS = {
    "pc1": "principal component 1",
    "pc2": "principal component 2",
    "umap1": "UMAP 1",
    "umap2": "UMAP 2",
    "energy": "energy, eV/atom",
    "model_energy": "energy of the model, eV/atom",
    "energy_before": "energy of the model before, eV/atom",
    "pressure": "pressure, GPa",
    "max_force": "largest force, eV/Å",
    "volume": "volume, Å³/atom",
    "gain": "gain ΔH",
    "variance_gain": "gain of the target",
    "novelty": "novelty beside the other cells",
    "energy_error": "energy error, meV/atom",
    "energy_error_before": "energy error before the training, meV/atom",
    "force_error": "force error, meV/Å",
    "temperature": "temperature, K",
    "k": "k, eV",
    "nominal_pressure": "nominal pressure, GPa",
    "n_atoms": "atoms",
    "position": "position in the ledger",
}
"""Numbers of a cell → how they are written on an axis."""
NAMES = {
    "status": "what became of it",
    "phase": "phase",
    "stage": "stage",
    "iteration": "iteration",
    "formula": "formula",
}
"""Names of a cell by which points are coloured and filtered → how they are written."""


@dataclass
class StructureMap:
    """Points of a map, a list for each property."""

    keys: list[str]
    """Keys of the cells in the ledger."""
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    """Number of `NUMBERS` → its value for each cell; only those that some cell has."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Name of `NAMES` → its value for each cell."""
    shares: tuple[float, ...] = ()
    """Shares of the variance of the principal components."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as the script of the map reads it."""
        titles = {name: NUMBERS[name] for name in self.numbers}
        for number, share in enumerate(self.shares, 1):
            if f"pc{number}" in titles:
                titles[f"pc{number}"] += f" ({100 * share:.0f} % of variance)"
        return {
            "keys": self.keys,
            "numbers": {
                name: {"title": titles[name], "values": values}
                for name, values in self.numbers.items()
            },
            "names": {
                name: {"title": NAMES[name], "values": values}
                for name, values in self.names.items()
            },
        }


def structure_map(
    store: CampaignStore,
    entries: Sequence[Mapping[str, Any]],
    errors: Sequence[CellErrors] = (),
    refused: Sequence[RefusedCell] = (),
    fingerprints: FingerprintMap | None = None,
) -> StructureMap:
    """Read the entries and labels of a campaign as points of a map.

    Parameters
    ----------
    store
        The campaign.
    entries
        Its ledger, as `entry_rows` returns it.
    errors
        Errors of its cells.
    refused
        Candidates that were not chosen, which are points, too.
    fingerprints
        Coordinates of its first entries, in the ledger's order, and of the refused after them;
        None leaves them out.
    """
    labels = {row["key"]: row for row in store.label_rows(forces=True)}
    excluded = set(store.excluded())
    errors_by_key = {row.key: row for row in errors}
    rows = [
        _row(entry, labels.get(entry["key"]), errors_by_key.get(entry["key"]), excluded)
        for entry in entries
    ]
    rows += [{**_cell(cell.entry), "status": STATUS} for cell in refused]
    if fingerprints is not None:
        placed = len(fingerprints.components) - len(refused)
        _add_coordinates([*rows[:placed], *rows[len(entries) :]], fingerprints)
    numbers = {name: [_rounded(row.get(name)) for row in rows] for name in NUMBERS}
    return StructureMap(
        keys=[entry["key"] for entry in entries] + [cell.key for cell in refused],
        numbers={
            name: values
            for name, values in numbers.items()
            if any(value is not None for value in values)
        },
        names={name: [str(row[name]) for row in rows] for name in NAMES},
        shares=() if fingerprints is None else fingerprints.shares,
    )


def _add_coordinates(rows: Sequence[dict[str, Any]], fingerprints: FingerprintMap) -> None:
    """Add its coordinates to the row of each cell."""
    columns = {
        "pc1": fingerprints.components[:, 0],
        "pc2": fingerprints.components[:, 1],
        "novelty": fingerprints.novelty,
    }
    if fingerprints.umap is not None:
        columns |= {"umap1": fingerprints.umap[:, 0], "umap2": fingerprints.umap[:, 1]}
    for name, values in columns.items():
        for row, value in zip(rows, values.tolist(), strict=True):
            row[name] = value


def _cell(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Build the properties that a cell has before it is labelled."""
    origin = entry["origin"]
    return {
        "phase": origin.get("phase") or "none",
        "stage": entry["stage"],
        "iteration": entry["iteration"],
        "formula": entry["formula"],
        "volume": entry["volume_per_atom"],
        "gain": entry.get("gain"),
        "variance_gain": entry.get("variance_gain"),
        "temperature": origin.get("temperature"),
        "k": origin.get("k"),
        "nominal_pressure": origin.get("pressure"),
        "n_atoms": entry["n_atoms"],
        "position": entry.get("position"),
    }


def _row(
    entry: Mapping[str, Any],
    label: Mapping[str, Any] | None,
    errors: CellErrors | None,
    excluded: set[str],
) -> dict[str, Any]:
    """Build the properties of one cell of the ledger."""
    row = {**_cell(entry), "status": _status(entry["key"], label, excluded)}
    if label is not None and label["converged"]:
        row["energy"] = label["energy"] / entry["n_atoms"]
        row["pressure"] = label.get("pressure")
        row["max_force"] = float(np.linalg.norm(label["forces"], axis=1).max())
    if errors is not None:
        row["model_energy"] = errors.after.energy
        row["energy_error"] = 1e3 * errors.after.energy_error
        row["force_error"] = 1e3 * errors.after.forces_mae
        if errors.before is not None:
            row["energy_before"] = errors.before.energy
            row["energy_error_before"] = 1e3 * errors.before.energy_error
    return row


def _status(key: str, label: Mapping[str, Any] | None, excluded: set[str]) -> str:
    """Say in a word or two what became of a cell."""
    if key in excluded:
        return "excluded"
    if label is None:
        return "not labelled yet"
    if not label["converged"]:
        return "label failed"
    if label.get("flagged"):
        return "flagged"
    return label.get("split") or "labelled"


def _rounded(value: float | None) -> float | None:
    """Return six digits of a number, which no screen shows more of; None of what is not finite."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.6g}")
