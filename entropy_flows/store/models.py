"""A campaign's models: files in GridFS under their SHA-256, one per iteration."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile

from entropy_flows.digest import bytes_sha256, file_sha256
from entropy_flows.files import whole_file
from entropy_flows.potentials import file_suffix, split_model, with_arguments
from entropy_flows.settings import settings
from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.connection import StoreError
from entropy_flows.store.fence import check_launch
from entropy_flows.store.seals import insert_once


class Models(CampaignCollections):
    """The models of one campaign."""

    def save_model(self, iteration: int, model: str | Path, **fields: Any) -> str:
        """Register the model of an iteration (0: the base model); a file goes to GridFS.

        Returns
        -------
        str
            Reference to hand to jobs: "sha256:…" for a file, the name itself for a named model;
            keyword arguments stay behind it.
        """
        key = {"campaign": self.name, "iteration": iteration}
        return self._register("models", key, model, fields)

    def model(self, iteration: int) -> dict[str, Any] | None:
        """Return the model document of an iteration."""
        return self.database["models"].find_one({"campaign": self.name, "iteration": iteration})

    def first_trained_from(self) -> str:
        """Return the reference of the model that the first training starts from.

        It is the student, registered under −1, or the base model without one.

        Raises
        ------
        StoreError
            If the campaign has no model yet.
        """
        first = self.model(-1) or self.model(0)
        if first is None:
            raise StoreError(f"campaign {self.name!r} has no base model in the database")
        return str(first["reference"])

    def model_iteration(self, reference: str) -> int:
        """Return the iteration that a model is registered under, the last one of several.

        Raises
        ------
        StoreError
            If there is no model of this reference.
        """
        return int(self._of_reference(reference)["iteration"])

    def model_in_use(self) -> dict[str, Any] | None:
        """Return the model that the campaign goes on from.

        It is the one that its last evaluation decided for, or a training again after that; else the
        latest model.
        """
        decided = {"campaign": self.name, "evaluate.continues": {"$type": "object"}}
        last = self.database["iterations"].find_one(
            decided, {"iteration": 1, "evaluate.continues": 1}, sort=[("iteration", -1)]
        )
        if last is not None:
            choice = last["evaluate"]["continues"]["model"]
            return self._of_reference(self.continues_with(last["iteration"], choice))
        ours = {"campaign": self.name}
        return self.database["models"].find_one(ours, sort=[("iteration", -1)])

    def continues_with(self, iteration: int, choice: str) -> str:
        """Return the reference of the model that the campaign goes on from after an iteration.

        Parameters
        ----------
        iteration
            The iteration.
        choice
            Reference of the model that its evaluation decided for. It holds unless the iteration's
            model was trained again since.
        """
        versions = self.versions(iteration)
        return str(versions[-1]["evaluate"]["continues"]["model"]) if versions else choice

    def save_version(self, iteration: int, version: int, model: str | Path, **fields: Any) -> str:
        """Register a further version (from 2) of an iteration's model; returns its reference."""
        key = {"campaign": self.name, "iteration": iteration, "version": version}
        return self._register("versions", key, model, fields)

    def version(self, iteration: int, version: int) -> dict[str, Any] | None:
        """Return the document of a further version of an iteration's model."""
        key = {"campaign": self.name, "iteration": iteration, "version": version}
        return self.database["versions"].find_one(key)

    def versions(self, iteration: int | None = None) -> list[dict[str, Any]]:
        """Return the further versions of an iteration's model, or of all, in their order."""
        query = {"campaign": self.name}
        rows = self.database["versions"].find(
            query if iteration is None else {**query, "iteration": iteration}
        )
        return list(rows.sort([("iteration", 1), ("version", 1)]))

    def save_member(self, iteration: int, member: int, model: str | Path, **fields: Any) -> str:
        """Register a further member (from 2) of an iteration's committee; returns its reference."""
        key = {"campaign": self.name, "iteration": iteration, "member": member}
        name, arguments = split_model(model)
        path = Path(name).resolve(strict=True)  # a member is always a file
        return self._register("members", key, with_arguments(path, arguments), fields)

    def member(self, iteration: int, member: int) -> dict[str, Any] | None:
        """Return the document of a committee's further member."""
        return self.database["members"].find_one(
            {"campaign": self.name, "iteration": iteration, "member": member}
        )

    def committee(self, iteration: int) -> list[str]:
        """Return the references of an iteration's model and of its trained further members."""
        first = self.model(iteration)
        others = (
            self.database["members"]
            .find({"campaign": self.name, "iteration": iteration})
            .sort("member", 1)
        )
        return [document["reference"] for document in ([first] if first else []) + list(others)]

    def fetch_model(self, reference: str) -> str:
        """Return what a reference is loaded from: a verified copy of the file, or the name.

        A local copy is verified each time, so one that was changed is replaced.

        Raises
        ------
        StoreError
            If the file is missing in the database or does not match its checksum, or the reference
            is a path: what is loaded runs as code, so a file is taken by its checksum only.
        """
        name, arguments = split_model(reference)
        if not name.startswith("sha256:"):
            if file_suffix(reference):
                raise StoreError(
                    f"model {name} is not in the database: it was no file when it was registered"
                )
            return reference
        digest = name.removeprefix("sha256:")
        query = {"campaign": self.name, "sha256": digest}
        models = self.database["models"]
        document = (
            models.find_one(query)
            or self.database["members"].find_one(query)
            or self.database["versions"].find_one(query)
        )
        if document is None:
            raise StoreError(f"model {digest[:12]}… is not in the database")
        suffix = file_suffix(with_arguments(document["name"], arguments))
        path = settings().cache.expanduser() / "models" / f"{digest}{suffix}"
        if path.is_file() and file_sha256(path) == digest:
            return with_arguments(path, arguments)
        bucket = GridFSBucket(self.database, "models")
        try:
            data = bucket.open_download_stream(document["file"]).read()
        except (NoFile, CorruptGridFile):
            raise StoreError(
                f"the file of model {digest[:12]}… is not in the database, or not whole"
            ) from None
        if bytes_sha256(data) != digest:
            raise StoreError(f"model {digest[:12]}… in the database does not match its checksum")
        path.parent.mkdir(parents=True, exist_ok=True)
        # another worker may be fetching the same file
        with whole_file(path) as file:
            file.write(data)
        return with_arguments(path, arguments)

    def _of_reference(self, reference: str) -> dict[str, Any]:
        """Return the document of a model or of a version; of several the last iteration's.

        Raises
        ------
        StoreError
            If there is none of this reference.
        """
        query = {"campaign": self.name, "reference": reference}
        for collection in ("models", "versions"):
            row = self.database[collection].find_one(query, sort=[("iteration", -1)])
            if row is not None:
                return row
        raise StoreError(f"model {reference[:20]} of campaign {self.name!r} is not in the database")

    def _register(
        self, collection: str, key: dict[str, Any], model: str | Path, fields: dict[str, Any]
    ) -> str:
        """Store a model under its key, once, and return its reference."""
        name, arguments = split_model(model)
        path = Path(name)
        body = {**fields, "name": str(model), "sha256": None, "file": None, "reference": str(model)}
        if path.is_file():
            data = path.read_bytes()
            digest = bytes_sha256(data)
            reference = with_arguments(f"sha256:{digest}", arguments)
            body |= {
                "sha256": digest,
                "file": self._put(digest, file_suffix(model), data),
                "reference": reference,
            }
            body["name"] = path.name
        insert_once(self.database[collection], key, {**body, "created": datetime.now(UTC)})
        document = self.database[collection].find_one(key)
        assert document is not None, "it was there or has just been written"
        return str(document["reference"])

    def _put(self, digest: str, suffix: str, data: bytes) -> Any:
        entry = self.database["models.files"].find_one({"metadata.sha256": digest})
        if entry is not None:
            return entry["_id"]
        check_launch(self.database)
        return GridFSBucket(self.database, "models").upload_from_stream(
            f"{digest}{suffix}", data, metadata={"sha256": digest}
        )
