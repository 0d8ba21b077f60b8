"""A campaign's labels: stored once for a cell and an engine, split for good, read as frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from pymongo import ASCENDING

from entropy_flows.conventions import to_voigt
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.label import Label
from entropy_flows.store.exclusions import Exclusions
from entropy_flows.store.seals import insert_each_once, set_each

if TYPE_CHECKING:
    from pymatgen.core import Structure

SPLITS = (None, "train", "val", "test")
"""The splits, by how far from training they are; None is that of a cell without one."""
CONDITION = ("phase", "temperature", "k", "pressure")
"""Fields of an entry's origin that its label repeats."""
QUERY_BATCH = 100
"""Entries that one query names: a query has a document's limit, and the embedded server's time for
it is quadratic.
"""


class Labels(Exclusions):
    """The labels of one campaign."""

    def add_label(self, entry: dict[str, Any], engine_hash: str, label: dict[str, Any]) -> None:
        """Store a label or the reason why there is none; the first one written stays."""
        self.add_labels([(entry, engine_hash, label)])

    def add_labels(self, labels: Sequence[tuple[dict[str, Any], str, dict[str, Any]]]) -> None:
        """Store labels in one request.

        Parameters
        ----------
        labels
            Ledger entry, hash of the label engine, and label or reason, each.
        """
        rows = (_label_document(*label) for label in labels)
        insert_each_once(self.database["labels"], ("structure_id", "engine_hash"), rows)

    def copied_labels(
        self, cells: Mapping[str, Structure], engine_hash: str
    ) -> dict[str, dict[str, Any]]:
        """Copy the labels that any campaign in this database has for the same cells and engine.

        No cell is calculated twice. Failures are not copied. A cell that is in train, val or test
        there is so here: the model from there may have seen it.

        Parameters
        ----------
        cells
            Name → cell.
        engine_hash
            Hash of the label engine.

        Returns
        -------
        dict
            Name of a cell that has a label → what `add_label` takes, with the label's campaign and
            key in `copied_from`.
        """
        contents = {name: cell_hash(cell) for name, cell in cells.items()}
        sources = self._converged_labels(sorted(set(contents.values())), engine_hash)
        return {
            name: _copy_of(sources[content])
            for name, content in contents.items()
            if content in sources
        }

    def _converged_labels(
        self, contents: Sequence[str], engine_hash: str
    ) -> dict[str, dict[str, Any]]:
        """Return hash of a cell → the first label that any campaign has of it."""
        sources: dict[str, dict[str, Any]] = {}
        for start in range(0, len(contents), QUERY_BATCH):
            query = {
                "content": {"$in": contents[start : start + QUERY_BATCH]},
                "engine_hash": engine_hash,
            }
            rows = [row for row in self.database["labels"].find(query) if row["converged"]]
            for row in sorted(rows, key=lambda row: row["created"]):
                sources.setdefault(row["content"], row)
        return sources

    def labels(self, engine_hash: str | None = None, **query: Any) -> Iterable[dict[str, Any]]:
        """Return the labels with these fields, in ledger order."""
        if engine_hash is not None:
            query["engine_hash"] = engine_hash
        rows = self.database["labels"].find({"campaign": self.name, **query})
        return rows.sort("position", ASCENDING)

    def outcomes(self, structure_ids: Sequence[str], engine_hash: str) -> dict[str, dict[str, Any]]:
        """Return what became of these cells that have a label, or the reason why there is none.

        Returns
        -------
        dict
            Identifier of a cell → `converged`, `reason` and `stage` of its label.
        """
        names = ("structure_id", "converged", "reason", "stage")
        rows: list[dict[str, Any]] = []
        for start in range(0, len(structure_ids), QUERY_BATCH):
            batch = list(structure_ids[start : start + QUERY_BATCH])
            query = {"structure_id": {"$in": batch}, "engine_hash": engine_hash}
            rows += self.database["labels"].find(query, names)
        return {row["structure_id"]: row for row in rows}

    def flag_labels(self, flags: dict[str, str]) -> None:
        """Mark labels that are not to be trained on: key → what is odd about it."""
        self._set_in_labels({key: {"flagged": True, "odd": text} for key, text in flags.items()})

    def conditions(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return key → phase, temperature, k and pressure, of labels of these keys."""
        conditions: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), QUERY_BATCH):
            query = {"campaign": self.name, "key": {"$in": keys[start : start + QUERY_BATCH]}}
            rows = self.database["labels"].find(query, {"key": 1, "condition": 1})
            conditions |= {row["key"]: row["condition"] for row in rows}
        return conditions

    def set_splits(self, splits: dict[str, str]) -> None:
        """Assign cells to train, val or test for good: a cell once in the test set never trains."""
        changes = {key: {"split": split} for key, split in splits.items()}
        self._set_in_labels(changes, first_stays=True)

    def splits(self) -> dict[str, str]:
        """Return key → train, val or test, of all cells that were assigned."""
        assigned = {"campaign": self.name, "split": {"$ne": None}}
        rows = self.database["labels"].find(assigned, {"key": 1, "split": 1})
        return {row["key"]: row["split"] for row in rows.sort("position", ASCENDING)}

    def given_splits(self) -> dict[str, str]:
        """Return key → split, of the cells that came with one from a file or another campaign."""
        rows = self.labels(given_split={"$ne": None})
        return {label["key"]: label["given_split"] for label in rows}

    def splits_anywhere(self, contents: list[str], engine_hash: str) -> dict[str, str]:
        """Return the splits that cells have in any campaign of this database.

        Parameters
        ----------
        contents
            Hashes of the cells.
        engine_hash
            Hash of the label engine.

        Returns
        -------
        dict
            Hash of a cell → its split; of several, the one farthest from training.
        """
        query = {"content": {"$in": contents}, "engine_hash": engine_hash, "split": {"$ne": None}}
        rows = list(self.database["labels"].find(query, {"content": 1, "split": 1}))
        rows.sort(key=lambda row: held_out(row["split"]))
        return {row["content"]: row["split"] for row in rows}

    def ledger_entries(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the ledger's entries with these ids, in ledger order."""
        rows = self.database["structures"].find({"_id": {"$in": ids}})
        return list(rows.sort("position", ASCENDING))

    def frames(
        self, flagged: bool = False, exclusions: int | None = None, **query: Any
    ) -> list[Atoms]:
        """Return converged labels as cells with energy, forces and stress.

        Energies are free energies (eV), forces in eV/Å, stresses in eV/Å³ with ASE's sign.

        Parameters
        ----------
        flagged
            Include those that were flagged as outliers.
        exclusions
            Number of rows of `exclusions` that count; None counts all. The cells that they exclude
            are left out.
        **query
            Fields of the label documents.
        """
        if not flagged:
            query["flagged"] = {"$ne": True}
        excluded = self.excluded(exclusions)
        rows = self.labels(converged=True, **query)
        labels = [label for label in rows if label["key"] not in excluded]
        frames = []
        for start in range(0, len(labels), QUERY_BATCH):
            batch = labels[start : start + QUERY_BATCH]
            entries = self.ledger_entries([label["structure_id"] for label in batch])
            by_id = {entry["_id"]: entry for entry in entries}
            frames += [labelled_atoms(by_id[label["structure_id"]], label) for label in batch]
        return frames

    def _set_in_labels(self, changes: dict[str, dict[str, Any]], first_stays: bool = False) -> None:
        """Set fields of the labels of some cells.

        Parameters
        ----------
        changes
            Key of a cell → field → value.
        first_stays
            Leave fields that are set already.
        """
        keys = list(changes)
        labels: list[dict[str, Any]] = []
        for start in range(0, len(keys), QUERY_BATCH):
            query = {"campaign": self.name, "key": {"$in": keys[start : start + QUERY_BATCH]}}
            labels += self.database["labels"].find(query, {"campaign": 1, "key": 1})
        if not labels:
            return
        updates = [(label, changes[label["key"]]) for label in labels]
        set_each(self.database["labels"], updates, first_stays)


def _copy_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `add_label` takes to store another campaign's label."""
    return {
        **{field.name: source.get(field.name) for field in fields(Label)},
        "wall_seconds": 0.0,
        "copied_from": {name: source[name] for name in ("campaign", "key", "wall_seconds")},
        **split_fields(source.get("split")),
    }


def held_out(split: str | None) -> int:
    """Return how far from training a split is: 0 of none, 1 of train, 2 of val, 3 of test."""
    return SPLITS.index(split)


def split_fields(split: str | None) -> dict[str, str]:
    """Return the fields of a label whose cell comes with its split; none if it comes without."""
    return {} if split is None else {"split": split, "given_split": split}


def _label_document(
    entry: dict[str, Any], engine_hash: str, label: dict[str, Any]
) -> dict[str, Any]:
    """Build a label's document from its entry and the label itself."""
    from pymatgen.core import Structure

    shared = ("campaign", "key", "position", "iteration", "stage", "elements")
    origin = entry["origin"]
    return {
        **{name: entry[name] for name in shared},
        "condition": {name: origin[name] for name in CONDITION if name in origin},
        "content": cell_hash(Structure.from_dict(entry["structure"])),
        **label,
        "structure_id": entry["_id"],
        "engine_hash": engine_hash,
        "created": datetime.now(UTC),
    }


def labelled_atoms(entry: dict[str, Any], label: dict[str, Any]) -> Atoms:
    """Build ASE's object of a ledger entry with its label; `info` holds key, split and origin.

    `get_initial_magnetic_moments` are the cell's, `get_magnetic_moments` the label's.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from pymatgen.core import Structure

    atoms = to_atoms(Structure.from_dict(entry["structure"]))
    results: dict[str, Any] = {"energy": label["free_energy"], "forces": np.array(label["forces"])}
    if label.get("stress") is not None:
        results["stress"] = to_voigt(label["stress"])
    if label.get("magmoms") is not None:
        results["magmoms"] = np.array(label["magmoms"])
    if label.get("total_magmom") is not None:
        results["magmom"] = label["total_magmom"]
    atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info |= {"key": entry["key"], "split": label.get("split")}
    atoms.info |= {name: entry[name] for name in ("position", "iteration", "stage")}
    origin = entry["origin"]
    atoms.info |= {name: origin[name] for name in CONDITION if origin.get(name) is not None}
    return atoms
