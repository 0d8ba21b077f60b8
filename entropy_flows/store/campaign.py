"""The campaign's collections."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from gridfs import GridFSBucket
from pymatgen.core import Structure
from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from entropy_flows.conventions import to_voigt
from entropy_flows.entropy import DatasetParams
from entropy_flows.geometry import to_atoms
from entropy_flows.schemas import Campaign
from entropy_flows.settings import settings
from entropy_flows.store.connection import OUTPUTS, StoreError, connect
from entropy_flows.store.ledger import Ledger

Indexes = dict[str, list[tuple[str, ...]]]
UNIQUE: Indexes = {
    "campaigns": [("name",)],
    "structures": [("campaign", "key"), ("campaign", "position")],
    "fingerprints": [("structure", "settings")],
    "covariances": [("campaign", "mode", "settings", "position")],
    "labels": [("structure", "settings")],
    "models": [("campaign", "iteration")],
    "iterations": [("campaign", "iteration")],
    OUTPUTS: [("uuid", "index")],
}
LOOKUP: Indexes = {
    "structures": [("campaign", "iteration", "stage"), ("elements",)],
    "fingerprints": [("campaign", "settings", "position")],
    "labels": [("campaign", "converged"), ("elements", "pressure")],
}


class CampaignStore:
    """One campaign's documents.

    Parameters
    ----------
    database
        Connected database.
    name
        Name of the campaign.
    """

    def __init__(self, database: Database, name: str):
        self.database, self.name = database, name

    @classmethod
    def open(cls, name: str) -> CampaignStore:
        """The campaign on the database of this machine's settings."""
        return cls(connect(), name)

    # -- campaign --------------------------------------------------------------------------------------------------

    def create(self, campaign: Campaign) -> bool:
        """Register the campaign and make sure that the indexes exist.

        Returns
        -------
        bool
            False if the campaign was there already, unchanged.

        Raises
        ------
        StoreError
            If a campaign of this name has a different configuration.
        """
        try:
            for table in (UNIQUE, LOOKUP):
                for collection, indexes in table.items():
                    for keys in indexes:
                        self.database[collection].create_index(
                            [(key, ASCENDING) for key in keys], unique=table is UNIQUE
                        )
        except PyMongoError as err:
            raise StoreError(f"cannot prepare the collections: {err}") from None
        config = campaign.model_dump(mode="json")
        document = {
            "name": self.name,
            "config": config,
            "state": "new",
            "message": None,
            "versions": {package: version(package) for package in ("entropy_flows", "atomate2", "nequip", "torch")},
            "created": datetime.now(UTC),
        }
        try:
            self.database["campaigns"].insert_one(document)
            return True
        except DuplicateKeyError:
            changed = sorted(k for k, v in config.items() if self.document()["config"].get(k) != v)
            if changed:
                raise StoreError(
                    f"campaign {self.name!r} exists with other settings ({', '.join(changed)}); "
                    f"give the changed one a new name"
                ) from None
            return False

    def document(self) -> dict[str, Any]:
        """The campaign's own document.

        Raises
        ------
        StoreError
            If there is none.
        """
        found = self.database["campaigns"].find_one({"name": self.name})
        if found is None:
            raise StoreError(f"campaign {self.name!r} is not in this database; submit it first")
        return found

    def set_state(self, state: str, message: str | None = None) -> None:
        """Record how the campaign stands: new, running, done or failed."""
        update = {"state": state, "message": message, "updated": datetime.now(UTC)}
        self.database["campaigns"].update_one({"name": self.name}, {"$set": update})

    def campaign(self) -> Campaign:
        """The configuration the campaign was started with."""
        return Campaign.model_validate(self.document()["config"])

    def ledger(self, dataset: DatasetParams) -> Ledger:
        """The campaign's ledger."""
        return Ledger(self.database, self.name, dataset)

    # -- iterations ------------------------------------------------------------------------------------------------

    def record(self, iteration: int, **fields: Any) -> None:
        """Set fields of an iteration's document."""
        key = {"campaign": self.name, "iteration": iteration}
        self.database["iterations"].update_one(
            key, {"$set": {**fields, "updated": datetime.now(UTC)}, "$setOnInsert": key}, upsert=True
        )

    def iterations(self) -> list[dict[str, Any]]:
        """Documents of all iterations, in order."""
        return list(self.database["iterations"].find({"campaign": self.name}).sort("iteration", ASCENDING))

    # -- ledger entries --------------------------------------------------------------------------------------------

    def ledger_entries(self, ids: list[str]) -> list[dict[str, Any]]:
        """Entries with these ids, in ledger order."""
        return list(self.database["structures"].find({"_id": {"$in": ids}}).sort("position", ASCENDING))

    # -- labels ----------------------------------------------------------------------------------------------------

    def add_label(self, entry: dict[str, Any], settings_hash: str, label: dict[str, Any]) -> None:
        """Store a label or the reason why there is none; the first one written stays."""
        key = {"structure": entry["_id"], "settings": settings_hash}
        place = {name: entry[name] for name in ("campaign", "key", "position", "iteration", "stage", "elements")}
        body = {**place, **label, "created": datetime.now(UTC)}
        self.database["labels"].update_one(key, {"$setOnInsert": {**key, **body}}, upsert=True)

    def has_label(self, structure: str, settings_hash: str) -> bool:
        """Whether a cell has its label, or the reason why there is none."""
        return self.database["labels"].count_documents({"structure": structure, "settings": settings_hash}, limit=1) > 0

    def labels(self, settings_hash: str | None = None, **query: Any) -> Iterable[dict[str, Any]]:
        """Labels in ledger order."""
        query = {"campaign": self.name, **query}
        if settings_hash is not None:
            query["settings"] = settings_hash
        return self.database["labels"].find(query).sort("position", ASCENDING)

    def set_splits(self, splits: dict[str, str]) -> None:
        """Assign cells to train, val or test for good: a cell once in the test set never trains."""
        for key, split in splits.items():
            self.database["labels"].update_many(
                {"campaign": self.name, "key": key, "split": None}, {"$set": {"split": split}}
            )

    def frames(self, **query: Any) -> list[Atoms]:
        """Converged labels as cells with energy (eV, free energy), forces (eV/Å) and stress (eV/Å³)."""
        labels = list(self.labels(converged=True, **query))
        ids = [label["structure"] for label in labels]
        cells = {s["_id"]: s for s in self.database["structures"].find({"_id": {"$in": ids}})}
        return [labelled_atoms(cells[label["structure"]], label) for label in labels]

    # -- models ----------------------------------------------------------------------------------------------------

    def save_model(self, iteration: int, model: str | Path, **fields: Any) -> str:
        """Register the model of an iteration (0: the base model); a file goes to GridFS.

        Returns
        -------
        str
            Reference to hand to jobs: "sha256:…" for a file, the name itself for a named model.
        """
        path = Path(model)
        key = {"campaign": self.name, "iteration": iteration}
        body = {**fields, "name": str(model), "sha256": None, "file": None, "reference": str(model)}
        if path.is_file():
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            body |= {"sha256": digest, "file": self._put(digest, data), "reference": f"sha256:{digest}"}
            body["name"] = path.name
        self.database["models"].update_one(
            key, {"$setOnInsert": {**key, **body, "created": datetime.now(UTC)}}, upsert=True
        )
        found = self.model(iteration)
        assert found is not None, "it was there or has just been written"
        return str(found["reference"])

    def model(self, iteration: int) -> dict[str, Any] | None:
        """The model document of an iteration."""
        return self.database["models"].find_one({"campaign": self.name, "iteration": iteration})

    def fetch_model(self, reference: str) -> str:
        """A reference as something that can be loaded: a verified local copy of the file, or the name.

        Raises
        ------
        StoreError
            If the file is missing in the database or does not match its checksum.
        """
        if not reference.startswith("sha256:"):
            return reference
        digest = reference.removeprefix("sha256:")
        path = settings().cache.expanduser() / "models" / f"{digest}.nequip.zip"
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return str(path)
        found = self.database["models.files"].find_one({"metadata.sha256": digest})
        if found is None:
            raise StoreError(f"model {digest[:12]}… is not in the database")
        data = GridFSBucket(self.database, "models").open_download_stream(found["_id"]).read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreError(f"model {digest[:12]}… in the database does not match its checksum")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(data)
        os.replace(stream.name, path)  # another worker may be fetching the same file
        return str(path)

    def _put(self, digest: str, data: bytes) -> Any:
        found = self.database["models.files"].find_one({"metadata.sha256": digest})
        if found is not None:
            return found["_id"]
        return GridFSBucket(self.database, "models").upload_from_stream(
            f"{digest}.nequip.zip", data, metadata={"sha256": digest}
        )


def labelled_atoms(entry: dict[str, Any], label: dict[str, Any]) -> Atoms:
    """A ledger entry with its label as ASE reads it; `info` keeps key, split and origin."""
    atoms = to_atoms(Structure.from_dict(entry["structure"]))
    results: dict[str, Any] = {"energy": label["free_energy"], "forces": np.array(label["forces"])}
    if label.get("stress") is not None:
        results["stress"] = to_voigt(label["stress"])
    atoms.calc = SinglePointCalculator(atoms, **results)
    origin = {name: entry["origin"].get(name) for name in ("phase", "temperature", "k", "pressure")}
    atoms.info |= {"key": entry["key"], "split": label.get("split")}
    atoms.info |= {name: entry[name] for name in ("position", "iteration", "stage")}
    atoms.info |= {name: value for name, value in origin.items() if value is not None}
    return atoms
