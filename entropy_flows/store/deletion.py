"""Delete a campaign's documents and files, or the outputs of an iteration that is made again.

Files go before the documents that name them, and the campaign's own document at the very end. So
what an interrupted deletion has left is found by the next one, and deleted. The file of a model
stays where another campaign has that model, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pymongo.database import Database

from entropy_flows.store.arrays import Arrays
from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.connection import BLOBS, OUTPUTS
from entropy_flows.store.lease import LEASES
from entropy_flows.store.seals import KEYS

BATCH = 100
"""Documents that one query names: the embedded server's time for it is quadratic."""
LEASE_KINDS = ("ledger", "settings")
"""First parts of the names of a campaign's leases, that of its `run` apart."""
MODEL_COLLECTIONS = ("models", "members", "versions")

T = TypeVar("T")


def delete_campaign(store: CampaignStore) -> None:
    """Delete all that a campaign has stored, its jobs and their outputs apart.

    Who calls it has seen that nothing of it runs, and has deleted its jobs.
    """
    _delete_model_files(store)
    arrays = Arrays(store.database, store.name)
    arrays.delete(row["_id"] for row in arrays.files.find({"metadata.campaign": store.name}))
    campaign = {"campaign": store.name}
    for collection in KEYS:
        if collection not in ("campaigns", OUTPUTS):
            store.database[collection].delete_many(campaign)
    leases = [f"{kind}/{store.name}" for kind in LEASE_KINDS]
    store.database[LEASES].delete_many({"_id": {"$in": leases}})
    store.database["campaigns"].delete_one({"name": store.name})


def delete_outputs(
    store: CampaignStore, uuids: Collection[str] = (), query: Mapping[str, Any] | None = None
) -> None:
    """Delete what a campaign's jobs have returned, with the arrays.

    Parameters
    ----------
    store
        The campaign.
    uuids
        Identifiers of jobs, which may have left arrays without an output.
    query
        Fields of the outputs to delete; None deletes all.
    """
    outputs = store.database[OUTPUTS]
    ours = {"metadata.campaign": store.name, **(query or {})}
    names = {row["uuid"] for row in outputs.find(ours, {"uuid": 1})}
    for batch in _batches(sorted(names.union(uuids))):
        files = store.database[f"{BLOBS}.files"].find({"metadata.job_uuid": {"$in": batch}})
        _delete_files(store.database, BLOBS, [file["_id"] for file in files])
    outputs.delete_many(ours)


def delete_iteration(store: CampaignStore, iteration: int) -> None:
    """Delete the record of an iteration of which nothing is in the ledger, and its outputs."""
    delete_outputs(store, query={"output.iteration": iteration})
    key = {"campaign": store.name, "iteration": iteration}
    store.database["failures"].delete_many(key)
    store.database["iterations"].delete_one(key)


def _delete_model_files(store: CampaignStore) -> None:
    """Delete the files of a campaign's models that no other campaign's document names."""
    ours = {"campaign": store.name, "file": {"$ne": None}}
    files = {
        row["file"]
        for name in MODEL_COLLECTIONS
        for row in store.database[name].find(ours, {"file": 1})
    }
    for batch in _batches(sorted(files)):
        others = {"campaign": {"$ne": store.name}, "file": {"$in": batch}}
        shared = {
            row["file"]
            for name in MODEL_COLLECTIONS
            for row in store.database[name].find(others, {"file": 1})
        }
        _delete_files(store.database, "models", [file for file in batch if file not in shared])


def _delete_files(database: Database, bucket: str, files: Iterable[Any]) -> None:
    """Delete files of GridFS; their entries last, by which they are found."""
    for file in files:
        database[f"{bucket}.chunks"].delete_many({"files_id": file})
        database[f"{bucket}.files"].delete_one({"_id": file})


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
