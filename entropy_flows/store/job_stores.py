"""jobflow's stores with seals of an output's fields and the SHA-256 of its arrays' bytes.

They use the connection that the process has, so to close one is to let go of it.
"""

from __future__ import annotations

from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from gridfs import GridFS
from maggma.stores.gridfs import GridFSStore
from maggma.stores.mongolike import MongoStore
from monty.json import jsanitize
from pymongo.database import Database

from entropy_flows.digest import bytes_sha256
from entropy_flows.store.connection import shared_client
from entropy_flows.store.fence import current_launch, merge
from entropy_flows.store.seals import sealed


class Outputs(MongoStore):
    """The store of what jobs return."""

    def connect(self, force_reset: bool = False) -> None:
        """Take the collection from the connection of this process."""
        if self._coll is None or force_reset:
            collection: Any = _database(self)[self.collection_name]
            self._coll = collection

    def close(self) -> None:
        """Let go of the collection."""
        self._coll = None

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
        """Take the bucket from the connection of this process."""
        if self._coll is not None and not force_reset:
            return
        database = _database(self)
        self._coll = _Hashed(database, self.collection_name)
        self._files_collection = database[f"{self.collection_name}.files"]
        self._chunks_collection = database[f"{self.collection_name}.chunks"]
        files: Any = MongoStore.from_collection(self._files_collection)
        files.last_updated_field = f"metadata.{self.last_updated_field}"
        files.key = self.key
        self._fs = files

    def close(self) -> None:
        """Let go of the bucket."""
        self._coll = None


class _Hashed(GridFS):
    """A bucket that stores the SHA-256 of a file with the file."""

    def put(self, data: Any, **fields: Any) -> Any:
        """Write a file, its SHA-256 in the metadata."""
        metadata = {**fields.pop("metadata", {}), "sha256": bytes_sha256(data)}
        return super().put(data, metadata=metadata, **fields)


def _database(store: MongoStore | GridFSStore) -> Database:
    """Return a store's database, with times as jobflow reads them: without a zone."""
    return shared_client(str(store.uri)).get_database(
        store.database, codec_options=DEFAULT_CODEC_OPTIONS
    )
