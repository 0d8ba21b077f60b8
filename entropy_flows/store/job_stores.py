"""jobflow's stores with seals of an output's fields and the SHA-256 of its arrays' bytes."""

from __future__ import annotations

from typing import Any

from gridfs import GridFS
from maggma.stores.gridfs import GridFSStore
from maggma.stores.mongolike import MongoStore
from monty.json import jsanitize

from entropy_flows.digest import bytes_sha256
from entropy_flows.store.fence import current_launch, merge
from entropy_flows.store.seals import sealed


class Outputs(MongoStore):
    """The store of what jobs return."""

    def update(
        self, docs: list[dict[str, Any]] | dict[str, Any], key: list | str | None = None
    ) -> None:
        """Write outputs, each in place of one of the same key.

        Outputs of a launch that has lost its job are refused.
        """
        rows = docs if isinstance(docs, list) else [docs]
        plain = [jsanitize(row, allow_bson=True, recursive_msonable=True) for row in rows]
        documents = [sealed("outputs", row) for row in plain]
        if current_launch() is None:
            super().update(documents, key)
            return
        names = key or self.key
        merge(
            self._collection,
            documents,
            on=[names] if isinstance(names, str) else names,
            matched="replace",
        )


class Arrays(GridFSStore):
    """The large arrays in what jobs return; the checksum of each file is in its metadata."""

    def connect(self, force_reset: bool = False) -> None:
        """Connect to the database."""
        super().connect(force_reset=force_reset)
        if not isinstance(self._coll, _Hashed):
            self._coll = _Hashed(self._files_collection.database, self.collection_name)


class _Hashed(GridFS):
    """A bucket that stores the SHA-256 of a file with the file."""

    def put(self, data: Any, **fields: Any) -> Any:
        """Write a file, its SHA-256 in the metadata."""
        metadata = {**fields.pop("metadata", {}), "sha256": bytes_sha256(data)}
        return super().put(data, metadata=metadata, **fields)
