"""The campaign's collections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import ValidationError
from pymatgen.core import Structure
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError, OperationFailure

from entropy_flows.conventions import to_voigt
from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.label import Label
from entropy_flows.schemas import AnyCampaign, Campaign, schema_of
from entropy_flows.store.connection import StoreError, connect, refused
from entropy_flows.store.fence import current_launch, merge, nested
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.models import Models
from entropy_flows.store.schema import SCHEMA, make_indexes, refuse_old_worker, require_current
from entropy_flows.store.seals import (
    insert_each_once,
    insert_once,
    replace,
    sealed,
    set_fields,
    setting,
)

CONDITION = ("phase", "temperature", "k", "pressure")
"""What of an entry's origin is also said of its label."""
AFTERWARDS = ("physics", "independent", "curve")
"""Sections that may change at any time: what is done with models and labels that are there."""
KEYS_A_QUERY = 100
"""Entries that one query names: it has a document's limit, and the embedded server's time for it
is quadratic.
"""


class CampaignStore(Models):
    """One campaign's documents.

    Parameters
    ----------
    database
        Connected database.
    name
        Name of the campaign.
    """

    @classmethod
    def open(cls, name: str) -> CampaignStore:
        """The campaign on the database of this machine's settings."""
        return cls(connect(), name)

    def of(self, name: str) -> CampaignStore:
        """Another campaign of the same database."""
        return CampaignStore(self.database, name)

    # -- campaign
    # --------------------------------------------------------------------------------------------------

    def create(self, campaign: AnyCampaign) -> bool:
        """Register the campaign and make sure that the indexes exist.

        Returns
        -------
        bool
            False if the campaign was there already, unchanged.

        Raises
        ------
        StoreError
            If a campaign of this name has a different configuration, the database is read-only, or
            another version of this package has written the campaign.
        """
        make_indexes(self.database)
        config = campaign.model_dump(mode="json")
        document = {
            "name": self.name,
            "schema": SCHEMA,
            "config": config,
            "state": "new",
            "message": None,
            "versions": {
                package: version(package)
                for package in ("entropy_flows", "atomate2", "nequip", "torch")
            },
            "created": datetime.now(UTC),
        }
        try:
            self.database["campaigns"].insert_one(sealed("campaigns", document))
            return True
        except DuplicateKeyError:
            self._continue(campaign)
            return False
        except OperationFailure as err:
            raise refused(self.database, err, f"cannot register campaign {self.name!r}") from None

    def _continue(self, campaign: AnyCampaign) -> None:
        """Take up a campaign that exists: with the same configuration, as documents of this version."""
        self.compare(campaign)
        self._set({"versions.entropy_flows": version("entropy_flows")})

    def exists(self) -> bool:
        """Whether a campaign of this name is registered."""
        return self.database["campaigns"].count_documents({"name": self.name}, limit=1) > 0

    def compare(self, campaign: AnyCampaign) -> dict[str, Any]:
        """The document of the campaign that exists, provided that it has this configuration.

        Raises
        ------
        StoreError
            If there is none, its configuration is another one, or another version of this package
            has written it.
        """
        found = self._raw()
        require_current(found)
        refuse_old_worker(found)
        # a campaign goes on where it was told to train, unless the file says otherwise
        left_open = (
            {"train": {"device"}}
            if isinstance(campaign, Campaign) and campaign.train.device is None
            else None
        )
        config = campaign.model_dump(mode="json", exclude=left_open)
        try:  # settings that came with a newer version have their defaults
            stored = (
                schema_of(found["config"])
                .model_validate(found["config"])
                .model_dump(mode="json", exclude=left_open)
            )
        except ValidationError as err:
            first = err.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise StoreError(
                f"campaign {self.name!r} exists with settings that are refused now: {what}"
            ) from None
        if changed := sorted(
            key
            for key, value in config.items()
            if stored.get(key) != value and key not in AFTERWARDS
        ):
            raise StoreError(
                f"campaign {self.name!r} exists with other settings ({', '.join(changed)}); "
                f"give the changed one a new name"
            )
        return found

    def document(self) -> dict[str, Any]:
        """The campaign's own document.

        Raises
        ------
        StoreError
            If there is none, or if it was written by a version of this package with other
            documents.
        """
        found = self._raw()
        require_current(found)
        return found

    def _raw(self) -> dict[str, Any]:
        found = self.database["campaigns"].find_one({"name": self.name})
        if found is None:
            raise StoreError(f"campaign {self.name!r} is not in this database; submit it first")
        return found

    def set_state(self, state: str, message: str | None = None) -> None:
        """Record how the campaign stands: new, running, done or failed."""
        self._set({"state": state, "message": message, "updated": datetime.now(UTC)})

    def _set(self, fields: dict[str, Any]) -> None:
        """Set fields of the campaign's own document."""
        set_fields(self.database["campaigns"], {"name": self.name}, fields)

    def campaign(self) -> Campaign:
        """The configuration the campaign was started with."""
        return Campaign.model_validate(self.document()["config"])

    def ledger(self, dataset: DatasetParams) -> Ledger:
        """The campaign's ledger."""
        return Ledger(self.database, self.name, dataset)

    # -- iterations
    # ------------------------------------------------------------------------------------------------

    def record(self, iteration: int, **fields: Any) -> None:
        """Set fields of an iteration's document."""
        key = {"campaign": self.name, "iteration": iteration}
        set_fields(
            self.database["iterations"],
            key,
            {**fields, "updated": datetime.now(UTC)},
            unmatched="insert",
        )

    def count_labels(self, iteration: int, number: int) -> None:
        """Add to an iteration's labels until gathering has counted them; for progress: a killed job adds nothing."""
        more = {"$add": [{"$ifNull": ["$label.labelled", 0]}, number]}
        is_open = {"$eq": [{"$type": "$label.failed"}, "missing"]}
        self._change_iteration(
            iteration, {"label.labelled": {"$cond": [is_open, more, "$label.labelled"]}}
        )

    def _change_iteration(self, iteration: int, change: dict[str, Any]) -> None:
        """Set fields of an iteration's document to expressions; nothing is done where there is none."""
        key = {"campaign": self.name, "iteration": iteration}
        collection = self.database["iterations"]
        merge(collection, [key], on=tuple(key), matched=[{"$set": change}], unmatched="discard")

    def iterations(self) -> list[dict[str, Any]]:
        """Documents of all iterations, in order."""
        return list(
            self.database["iterations"].find({"campaign": self.name}).sort("iteration", ASCENDING)
        )

    def plan(self, iteration: int, name: str, value: Any) -> Any:
        """Decide something about an iteration once: the first value stays, whoever asks again."""
        self.record(iteration)
        key = {"campaign": self.name, "iteration": iteration}
        decision = setting("iterations", key, {f"plan.{name}": value})
        first_stays = {
            path: {"$ifNull": [f"${path}", {"$literal": new}]} for path, new in decision.items()
        }
        self._change_iteration(iteration, first_stays)
        found = self.database["iterations"].find_one(key, {"plan": 1})
        return None if found is None else found["plan"][name]

    # -- failures
    # --------------------------------------------------------------------------------------------------

    def add_failure(self, iteration: int, stage: str, place: str, uuid: str, message: str) -> None:
        """Keep that a stage's job failed for a reason of its own; `place` tells it from the stage's other jobs."""
        key = {"campaign": self.name, "uuid": uuid}
        body = {"iteration": iteration, "stage": stage, "place": place, "message": message[:2000]}
        launch = current_launch()
        body["launch"] = launch.number if launch is not None else None
        replace(self.database["failures"], key, {**body, "created": datetime.now(UTC)})

    def forget_failures(self, uuids: list[str]) -> None:
        """Delete the failures of jobs that are run again, or have done well since; never that of a later launch."""
        query: dict[str, Any] = {"campaign": self.name, "uuid": {"$in": uuids}}
        if (launch := current_launch()) is not None:
            query["launch"] = {"$not": {"$gt": launch.number}}
        self.database["failures"].delete_many(query)

    def failures(self, **query: Any) -> list[dict[str, Any]]:
        """Failures, the latest last."""
        return list(
            self.database["failures"]
            .find({"campaign": self.name, **query})
            .sort("created", ASCENDING)
        )

    # -- learning curves
    # -------------------------------------------------------------------------------------------

    def save_point(self, point: dict[str, Any]) -> None:
        """Keep a point of a learning curve; the first one written stays."""
        key = {"campaign": self.name, **{name: point[name] for name in ("method", "size", "seed")}}
        insert_once(self.database["points"], key, {**point, "created": datetime.now(UTC)})

    def equal_point(self, inputs_sha256: str) -> dict[str, Any] | None:
        """A point of any curve that follows from the same cells, recipe and base model."""
        return self.database["points"].find_one({"inputs_sha256": inputs_sha256})

    def points(self) -> list[dict[str, Any]]:
        """All points, small sets first, then by method and seed."""
        order = [(name, ASCENDING) for name in ("size", "method", "seed")]
        return list(self.database["points"].find({"campaign": self.name}).sort(order))

    # -- ledger entries
    # --------------------------------------------------------------------------------------------

    def ledger_entries(self, ids: list[str]) -> list[dict[str, Any]]:
        """Entries with these ids, in ledger order."""
        return list(
            self.database["structures"].find({"_id": {"$in": ids}}).sort("position", ASCENDING)
        )

    # -- labels
    # ----------------------------------------------------------------------------------------------------

    def add_label(self, entry: dict[str, Any], engine_hash: str, label: dict[str, Any]) -> None:
        """Store a label or the reason why there is none; the first one written stays."""
        self.add_labels([(entry, engine_hash, label)])

    def add_labels(self, labels: Sequence[tuple[dict[str, Any], str, dict[str, Any]]]) -> None:
        """Store labels, or reasons, in one request: (ledger entry, hash of the engine's settings, label) each."""
        insert_each_once(
            self.database["labels"],
            ("structure_id", "engine_hash"),
            (_label_row(*label) for label in labels),
        )

    def has_label(self, structure_id: str, engine_hash: str) -> bool:
        """Whether a cell has its label, or the reason why there is none."""
        return (
            self.database["labels"].count_documents(
                {"structure_id": structure_id, "engine_hash": engine_hash}, limit=1
            )
            > 0
        )

    def known_label(self, structure: Structure, engine_hash: str) -> dict[str, Any] | None:
        """A label that any campaign in this database has for the same cell and settings: no calculation is done twice.

        Returns
        -------
        dict or None
            What `add_label` takes, with the place it was copied from in `copied_from`. Of failures
            nothing is copied. A cell that is in train, val or test there is so here: the model from
            there may have seen it.
        """
        query = {"content": cell_hash(structure), "engine_hash": engine_hash, "converged": True}
        found = self.database["labels"].find_one(query, sort=[("created", ASCENDING)])
        if found is None:
            return None
        numbers = {field.name: found.get(field.name) for field in fields(Label)}
        source = {name: found[name] for name in ("campaign", "key", "wall_seconds")}
        return {
            **numbers,
            "wall_seconds": 0.0,
            "copied_from": source,
            **with_split(found.get("split")),
        }

    def flag_labels(self, flags: dict[str, str]) -> None:
        """Mark labels that are not to be trained on: key → what is odd about it."""
        self._set_in_labels({key: {"flagged": True, "odd": text} for key, text in flags.items()})

    def labels(self, engine_hash: str | None = None, **query: Any) -> Iterable[dict[str, Any]]:
        """Labels in ledger order."""
        query = {"campaign": self.name, **query}
        if engine_hash is not None:
            query["engine_hash"] = engine_hash
        return self.database["labels"].find(query).sort("position", ASCENDING)

    def labels_of(self, structure_ids: list[str], engine_hash: str) -> Iterable[dict[str, Any]]:
        """Labels of these cells, in no order."""
        return self.database["labels"].find(
            {"structure_id": {"$in": structure_ids}, "engine_hash": engine_hash}
        )

    def set_splits(self, splits: dict[str, str]) -> None:
        """Assign cells to train, val or test for good: a cell once in the test set never trains."""
        self._set_in_labels(
            {key: {"split": split} for key, split in splits.items()}, first_stays=True
        )

    def _set_in_labels(self, fields: dict[str, dict[str, Any]], first_stays: bool = False) -> None:
        """Set fields of the labels of some cells: key → what to set, or to leave if it is set already."""
        keys = list(fields)
        labels: list[dict[str, Any]] = []
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = {"campaign": self.name, "key": {"$in": keys[start : start + KEYS_A_QUERY]}}
            labels += self.database["labels"].find(some, {"campaign": 1, "key": 1})
        if not labels:
            return
        updates = [setting("labels", label, fields[label["key"]]) for label in labels]
        rows = [
            {"_id": label["_id"], **nested(update)}
            for label, update in zip(labels, updates, strict=True)
        ]
        paths = {path for update in updates for path in update}
        new = {
            path: {"$ifNull": [f"${path}", f"$$new.{path}"]} if first_stays else f"$$new.{path}"
            for path in paths
        }
        merge(self.database["labels"], rows, matched=[{"$set": new}], unmatched="discard")

    def splits(self) -> dict[str, str]:
        """Key → train, val or test, of all cells that were assigned."""
        assigned = {"campaign": self.name, "split": {"$ne": None}}
        rows = (
            self.database["labels"]
            .find(assigned, {"key": 1, "split": 1})
            .sort("position", ASCENDING)
        )
        return {row["key"]: row["split"] for row in rows}

    def given_splits(self) -> dict[str, str]:
        """Key → train, val or test, of the cells that came with it, from a file or another campaign."""
        return {
            label["key"]: label["given_split"] for label in self.labels(given_split={"$ne": None})
        }

    def splits_anywhere(self, contents: list[str], engine_hash: str) -> dict[str, str]:
        """Split that cells have in any campaign of this database, by the hash of the cell; held out goes first."""
        query = {"content": {"$in": contents}, "engine_hash": engine_hash, "split": {"$ne": None}}
        labels = list(self.database["labels"].find(query, {"content": 1, "split": 1}))
        return {
            label["content"]: label["split"]
            for label in sorted(labels, key=lambda row: held_out(row["split"]))
        }

    def frames(self, flagged: bool = False, **query: Any) -> list[Atoms]:
        """Converged labels as cells with energy (eV, free energy), forces (eV/Å) and stress (eV/Å³).

        Parameters
        ----------
        flagged
            Also those that were flagged as outliers.
        **query
            Fields of the label documents.
        """
        kept: dict[str, Any] = {} if flagged else {"flagged": {"$ne": True}}
        labels = list(self.labels(converged=True, **kept, **query))
        frames = []
        for start in range(0, len(labels), KEYS_A_QUERY):
            part = labels[start : start + KEYS_A_QUERY]
            cells = {
                entry["_id"]: entry
                for entry in self.ledger_entries([label["structure_id"] for label in part])
            }
            frames += [labelled_atoms(cells[label["structure_id"]], label) for label in part]
        return frames


def held_out(split: str | None) -> int:
    """How far from training a split is: 0 of none, 1 of train, 2 of val, 3 of test."""
    return (None, "train", "val", "test").index(split)


def with_split(split: str | None) -> dict[str, str]:
    """Fields of a label whose cell comes with its split; none if it comes without."""
    return {} if split is None else {"split": split, "given_split": split}


def _label_row(entry: dict[str, Any], engine_hash: str, label: dict[str, Any]) -> dict[str, Any]:
    """A label's document: what it says of its entry, and the label itself."""
    return {
        **{
            name: entry[name]
            for name in ("campaign", "key", "position", "iteration", "stage", "elements")
        },
        "condition": {name: entry["origin"][name] for name in CONDITION if name in entry["origin"]},
        "content": cell_hash(Structure.from_dict(entry["structure"])),
        **label,
        "structure_id": entry["_id"],
        "engine_hash": engine_hash,
        "created": datetime.now(UTC),
    }


def labelled_atoms(entry: dict[str, Any], label: dict[str, Any]) -> Atoms:
    """A ledger entry with its label as ASE reads it; `info` keeps key, split and origin.

    `get_initial_magnetic_moments` are the cell's, `get_magnetic_moments` the label's.
    """
    atoms = to_atoms(Structure.from_dict(entry["structure"]))
    results: dict[str, Any] = {"energy": label["free_energy"], "forces": np.array(label["forces"])}
    if label.get("stress") is not None:
        results["stress"] = to_voigt(label["stress"])
    if label.get("magmoms") is not None:
        results["magmoms"] = np.array(label["magmoms"])
    if label.get("total_magmom") is not None:
        results["magmom"] = label["total_magmom"]
    atoms.calc = SinglePointCalculator(atoms, **results)
    origin = {name: entry["origin"].get(name) for name in CONDITION}
    atoms.info |= {"key": entry["key"], "split": label.get("split")}
    atoms.info |= {name: entry[name] for name in ("position", "iteration", "stage")}
    atoms.info |= {name: value for name, value in origin.items() if value is not None}
    return atoms
