"""The story of one structure: where it comes from, why it was chosen, and what became of it.

    structure_story(store, ledger, "001/explore/00003/00140")    all that documents say of it

All of it is read from documents; no model is loaded. `sections` of `report.structure_text` writes
it in lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.report.cell_errors import CellErrors, errors_of, predicted_cells
from entropy_flows.store.connection import StoreError
from entropy_flows.store.mean_prints import mean_prints, nearest
from entropy_flows.store.settings_changes import iteration_settings

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.store import CampaignStore, Ledger

NEIGHBOURS = 5
"""Nearest entries that a story names, unless told otherwise."""


@dataclass(frozen=True)
class LabelStory:
    """The label of a structure, or why there is none."""

    converged: bool
    """Whether it may be trained on."""
    energy: float | None
    """Free energy, eV/atom."""
    max_force: float | None
    """Largest |F| of an atom, eV/Å."""
    pressure: float | None
    """Realised pressure, GPa."""
    engine: str
    """Name of the engine."""
    engine_hash: str
    """Hash of its settings."""
    wall_seconds: float | None
    """Wall time of the calculation; 0 if the label was copied."""
    directory: str | None
    """Folder of the calculation, if the engine says so."""
    reason: str | None
    """Why it failed, in the fixed vocabulary."""
    evidence: str | None
    """The same in the engine's words."""
    flagged: str | None
    """What is odd about it, if it is not trained on for that."""
    foreign: bool
    """Whether it is of another engine than the campaign's."""
    total_magmom: float | None
    """Final moment of the cell, μ_B."""


@dataclass(frozen=True)
class Copy:
    """A label of the same cell in another campaign."""

    campaign: str
    key: str
    split: str | None
    same_engine: bool
    """Whether it is by the same engine with the same settings."""


@dataclass(frozen=True)
class Neighbour:
    """An entry that is near in the space of fingerprints."""

    key: str
    position: int
    distance: float
    """Euclidean distance of the mean fingerprints."""
    formula: str
    phase: str | None
    stage: str
    iteration: int


@dataclass(frozen=True)
class Statement:
    """A decision about a structure: excluded, included, approved or rejected."""

    what: str
    by: str | None
    at: datetime
    why: str | None


@dataclass(frozen=True)
class StructureStory:
    """All that the documents of a campaign say of one entry of its ledger."""

    campaign: str
    key: str
    position: int
    """Position in the ledger."""
    iteration: int
    stage: str
    """Stage that appended it."""
    formula: str
    n_atoms: int
    volume_per_atom: float
    """Å³."""
    created: datetime
    origin: Mapping[str, Any]
    """Phase, temperature (K), k (eV), pressure (GPa), mode, run, step, seed, model; what of it
    there is."""
    model_iteration: int | None
    """Iteration that trained the model of the origin; 0 is the base model, −1 the student."""
    gain: float | None
    """ΔH when it was accepted; None for what bypassed the filter."""
    variance_gain: float | None
    """What it took off the unknown of the iteration's target."""
    selector: str | None
    """Name of the iteration's selector."""
    threshold: float | None
    """Gain that the iteration asked for."""
    rank: int
    """Where it stands among the entries of its stage and iteration, from 1."""
    rank_of: int
    """Number of these entries."""
    label: LabelStory | None
    split: str | None
    """train, val or test."""
    copied_from: Mapping[str, Any] | None
    """Campaign and key of the label that this one copies."""
    copies: tuple[Copy, ...]
    """Labels of the same cell in other campaigns."""
    excluded: bool
    """Whether it is excluded from the data set now."""
    statements: tuple[Statement, ...]
    """Approvals, rejections, exclusions, in their order."""
    errors: CellErrors | None
    """Errors of the models of the last evaluation, if they were asked about it there."""
    evaluated_in: int | None
    """Iteration of that evaluation."""
    neighbours: tuple[Neighbour, ...]
    """Nearest entries, the nearest first."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values and times, ready for JSON."""
        return asdict(self)


def structure_story(
    store: CampaignStore, ledger: Ledger, name: str, neighbours: int = NEIGHBOURS
) -> StructureStory:
    """Read the story of an entry.

    Parameters
    ----------
    store, ledger
        The campaign and its ledger.
    name
        Key, beginning of a key, or position; see `CampaignStore.find_entry`.
    neighbours
        Number of the nearest entries to name; 0 reads no fingerprints.

    Raises
    ------
    StoreError
        If there is no such entry.
    """
    entry = store.find_entry(name)
    key = entry["key"]
    label = store.label_of([key]).get(key)
    rank, rank_of = _rank(ledger, entry)
    selector, threshold = _selection(store, entry["iteration"])
    prediction = store.predictions()
    return StructureStory(
        campaign=store.name,
        **{field: entry[field] for field in ("key", "position", "iteration", "stage")},
        **{field: entry[field] for field in ("formula", "n_atoms", "volume_per_atom", "created")},
        origin=entry["origin"],
        model_iteration=_model_iteration(store, entry["origin"]),
        gain=entry["gain"],
        variance_gain=entry.get("variance_gain"),
        selector=selector,
        threshold=threshold,
        rank=rank,
        rank_of=rank_of,
        label=None if label is None else _label_story(label),
        split=None if label is None else label.get("split"),
        copied_from=None if label is None else label.get("copied_from"),
        copies=() if label is None else _copies(store, label),
        excluded=key in store.excluded(),
        statements=_statements(store, key),
        errors=_errors(store, prediction, key),
        evaluated_in=None if prediction is None else prediction["iteration"],
        neighbours=_neighbours(ledger, entry, neighbours),
    )


def cell_of(store: CampaignStore, key: str) -> Atoms:
    """Return an entry as ASE's object, with its label if that is good, and its origin in `info`."""
    from pymatgen.core import Structure

    from entropy_flows.geometry import to_atoms
    from entropy_flows.store.labels import labelled_atoms

    entry = store.find_entry(key)
    label = store.label_of([key]).get(key)
    if label is not None and label["converged"]:
        return labelled_atoms(entry, label)
    atoms = to_atoms(Structure.from_dict(entry["structure"]))
    atoms.info |= {"key": entry["key"], "gain": entry["gain"]}
    return atoms


def _label_story(label: Mapping[str, Any]) -> LabelStory:
    forces = label.get("forces")
    energy = label.get("free_energy")
    provenance = label["provenance"]
    return LabelStory(
        converged=label["converged"],
        energy=None if energy is None else energy / label["n_atoms"],
        max_force=float(np.linalg.norm(forces, axis=1).max()) if forces else None,
        engine=str(provenance.get("engine", "unknown")),
        directory=provenance.get("directory"),
        flagged=str(label.get("odd") or "odd") if label.get("flagged") else None,
        foreign=bool(label.get("foreign")),
        pressure=label.get("pressure"),
        engine_hash=label["engine_hash"],
        wall_seconds=label.get("wall_seconds"),
        reason=label.get("reason"),
        evidence=label.get("evidence"),
        total_magmom=label.get("total_magmom"),
    )


def _rank(ledger: Ledger, entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return where an entry stands among those of its stage and iteration, and how many there are.

    A stage's entries stand together in the ledger.
    """
    start = ledger.position(entry["iteration"], entry["stage"])
    same = {name: entry[name] for name in ("campaign", "iteration", "stage")}
    return entry["position"] - start + 1, ledger.structures.count_documents(same)


def _model_iteration(store: CampaignStore, origin: Mapping[str, Any]) -> int | None:
    """Return the iteration that the model of an origin is registered under; None if it is not."""
    try:
        return store.model_iteration(origin["model"]) if origin.get("model") else None
    except StoreError:
        return None


def _selection(store: CampaignStore, iteration: int) -> tuple[str | None, float | None]:
    """Return an iteration's selector and the gain that it asked for, as it ran with them."""
    settings = iteration_settings(store, iteration) or {}
    params = settings.get("sections", {}).get("select") or {}
    return params.get("selector"), params.get("theta_min")


def _copies(store: CampaignStore, label: Mapping[str, Any]) -> tuple[Copy, ...]:
    rows = [row for row in store.labels_like(label["content"]) if row["campaign"] != store.name]
    return tuple(
        Copy(
            campaign=row["campaign"],
            key=row["key"],
            split=row.get("split"),
            same_engine=row["engine_hash"] == label["engine_hash"],
        )
        for row in rows
    )


def _statements(store: CampaignStore, key: str) -> tuple[Statement, ...]:
    """Return the decisions about an entry, the oldest first."""
    statements = [
        Statement(
            "excluded" if row["excluded"] else "included", row["by"], row["created"], row["why"]
        )
        for row in store.exclusions()
        if row["key"] == key
    ]
    for row in store.approvals(key=key):
        if "approved" not in row:
            statements.append(Statement("waits for an approval", None, row["created"], None))
        else:
            what = "approved" if row["approved"] else "rejected"
            statements.append(Statement(what, row["by"], row["decided"], row["why"] or None))
    return tuple(sorted(statements, key=lambda each: each.at))


def _errors(
    store: CampaignStore, prediction: Mapping[str, Any] | None, key: str
) -> CellErrors | None:
    """Return the errors on an entry of the last evaluation, if its models were asked about it."""
    cells = [] if prediction is None else predicted_cells(prediction)
    for cell in cells:
        if cell["key"] == key:
            return errors_of(cell, store.conditions([key]).get(key, {}))
    return None


def _neighbours(ledger: Ledger, entry: Mapping[str, Any], number: int) -> tuple[Neighbour, ...]:
    """Return the entries whose mean fingerprints are nearest, the nearest first."""
    if number < 1:
        return ()
    return neighbours_at(ledger, nearest(mean_prints(ledger), entry["position"], number))


def neighbours_at(ledger: Ledger, neighbours: Sequence[tuple[int, float]]) -> tuple[Neighbour, ...]:
    """Return what the ledger says of entries, given their positions and distances."""
    positions = [position for position, _ in neighbours]
    fields = ("key", "position", "formula", "stage", "iteration", "origin.phase")
    query = {"campaign": ledger.campaign, "position": {"$in": positions}}
    rows = ledger.structures.find(query, dict.fromkeys(fields, 1))
    by_position = {row["position"]: row for row in rows}
    return tuple(
        Neighbour(
            distance=distance,
            phase=by_position[position].get("origin", {}).get("phase"),
            **{name: by_position[position][name] for name in fields[:-1]},
        )
        for position, distance in neighbours
        if position in by_position
    )
