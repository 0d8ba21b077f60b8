"""Long byte strings of a campaign: within their documents while they are short, else in GridFS.

MongoDB takes no document beyond 16 MiB, so bytes are stored beside theirs from 1 MiB on:

    {"data": bytes}    or    {"file": name of a file in the bucket `arrays`}

A file is entered in the list of files before its chunks are written, and its document follows:
whatever is interrupted has left a file that no document names. The next append to the ledger
deletes such files, while it is the only one that writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from bson import Binary
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.database import Database

from entropy_flows.conventions import Array
from entropy_flows.store.connection import StoreError

ARRAYS = "arrays"
"""The GridFS bucket."""
INLINE_BYTES = 2**20
"""Longest byte string that is stored within its document."""
CHUNK_BYTES = 255 * 1024
"""Bytes of a chunk of a GridFS file, as its specification recommends."""
CHUNKS_PER_WRITE = 16
"""Chunks that one request writes."""
OWNERS = ("fingerprints", "covariances", "bases", "targets", "precisions")
"""Collections whose documents may name a file."""


class Arrays:
    """The byte strings of one campaign.

    Parameters
    ----------
    database
        Connected database.
    campaign
        Name of the campaign.
    """

    def __init__(self, database: Database, campaign: str) -> None:
        self.database = database
        self.campaign = campaign
        self.files = database[f"{ARRAYS}.files"]
        self.chunks = database[f"{ARRAYS}.chunks"]

    def put(self, data: bytes) -> dict[str, Any]:
        """Store a byte string.

        Returns
        -------
        dict
            The field that a document keeps it by: `data`, or `file`.
        """
        if len(data) <= INLINE_BYTES:
            return {"data": Binary(data)}
        name = f"{self.campaign}/{uuid.uuid4().hex}"
        entry = {
            "_id": name,
            "length": len(data),
            "chunkSize": CHUNK_BYTES,
            "uploadDate": datetime.now(UTC),
        }
        self.files.insert_one({**entry, "filename": name, "metadata": {"campaign": self.campaign}})
        starts = range(0, len(data), CHUNK_BYTES)
        chunks = [
            {"files_id": name, "n": number, "data": Binary(data[start : start + CHUNK_BYTES])}
            for number, start in enumerate(starts)
        ]
        for first in range(0, len(chunks), CHUNKS_PER_WRITE):
            self.chunks.insert_many(chunks[first : first + CHUNKS_PER_WRITE])
        return {"file": name}

    def get(self, document: dict[str, Any]) -> bytes:
        """Read the byte string that a document keeps.

        Raises
        ------
        StoreError
            If its file is missing or not whole.
        """
        if "file" not in document:
            return bytes(document["data"])
        try:
            return GridFSBucket(self.database, ARRAYS).open_download_stream(document["file"]).read()
        except (NoFile, CorruptGridFile) as err:
            raise StoreError(
                f"campaign {self.campaign!r}: array {document['file']} is not whole in the "
                f"database ({type(err).__name__}); see `entropy-flows verify`"
            ) from None

    def unused(self) -> list[str]:
        """Return the files that no document names.

        An interrupted write has left them, or one that is going on.
        """
        query = {"metadata.campaign": self.campaign}
        names = {file["_id"] for file in self.files.find(query, {"_id": 1})}
        if not names:
            return []
        named: dict[str, Any] = {"campaign": self.campaign, "file": {"$gt": ""}}
        for collection in OWNERS:
            rows = self.database[collection].find(named, {"file": 1})
            names.difference_update(row["file"] for row in rows)
        return sorted(names)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; their entries last, so that an interrupted deletion can be completed."""
        for name in names:
            self.chunks.delete_many({"files_id": name})
            self.files.delete_one({"_id": name})


def pack(q: Array) -> bytes:
    """Pack fingerprints (n_atoms, dim) without the components that are 0 for all atoms.

    The k numbers of the populated components (<u4, ascending), then their values (n_atoms, k) as
    <f8 by rows.
    """
    populated = np.flatnonzero(q.any(axis=0))
    values = np.ascontiguousarray(q[:, populated], dtype="<f8")
    return populated.astype("<u4").tobytes() + values.tobytes()


def unpack(data: bytes, shape: tuple[int, int]) -> Array:
    """Unpack what `pack` has packed, to the last bit.

    Raises
    ------
    ValueError
        If the bytes are not those of fingerprints of this shape.
    """
    n_atoms, dim = shape
    count, rest = divmod(len(data), 4 + 8 * n_atoms)
    populated = np.frombuffer(data, dtype="<u4", count=count)
    ascending = bool((np.diff(populated.astype(np.int64)) > 0).all())
    if rest or not ascending or (count and populated[-1] >= dim):
        raise ValueError(f"{len(data)} bytes are no fingerprints of shape {list(shape)}")
    q = np.zeros((n_atoms, dim))
    q[:, populated] = np.frombuffer(data, dtype="<f8", offset=4 * count).reshape(n_atoms, count)
    return q
