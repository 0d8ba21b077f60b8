"""Copies of a campaign's documents under the name of another one, each written once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.entry import structure_id
from entropy_flows.store.seals import SEALS, insert_each_once

BATCH = 200
"""Documents that are copied in one request."""
MODELS = {
    "models": ("campaign", "iteration"),
    "members": ("campaign", "iteration", "member"),
}
"""Collection → unique key, of the models of iterations."""
CHECK_KEY = ("campaign", "model", "check", "phase", "check_hash")


def copy_documents(
    target: CampaignStore, collection: str, key: tuple[str, ...], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write documents of a campaign under the name of another one.

    Parameters
    ----------
    target
        The other one.
    collection
        Collection of the documents.
    key
        Fields that name one; a document that is there stays.
    rows
        The documents.
    """
    documents = target.database[collection]
    batch = []
    for row in rows:
        copy = {name: value for name, value in row.items() if name not in ("_id", SEALS)}
        copy["campaign"] = target.name
        if "structure_id" in row:
            copy["structure_id"] = structure_id(target.name, row["key"])
        batch.append(copy)
        if len(batch) == BATCH:
            insert_each_once(documents, key, batch)
            batch = []
    if batch:
        insert_each_once(documents, key, batch)


def copy_exclusions(source: CampaignStore, target: CampaignStore, end: int) -> list[int]:
    """Copy what was said of the entries before a position, numbered without gaps.

    Returns
    -------
    list of int
        Numbers of these rows in the campaign that is forked, in their order.
    """
    shared = [row for row in source.exclusions() if row["position"] < end]
    rows = [{**row, "number": number} for number, row in enumerate(shared)]
    copy_documents(target, "exclusions", ("campaign", "number"), rows)
    return [row["number"] for row in shared]


def copy_models(
    source: CampaignStore, target: CampaignStore, before: Mapping[str, Any], shared: Sequence[int]
) -> None:
    """Copy models, their further versions, what they predict, and what was computed with them.

    That is checks, replay cells and equations of state.

    Parameters
    ----------
    source, target
        The campaign that is forked, and the new one.
    before
        Query of the documents of the iterations that are shared.
    shared
        Numbers of the source's rows of exclusions that are shared.
    """
    database = source.database
    for collection, key in MODELS.items():
        copy_documents(target, collection, key, database[collection].find(before))
    _copy_versions(source, target, before, shared)
    _copy_predictions(source, target, before)
    models = database["models"].distinct("reference", before)
    query = {"campaign": source.name, "model": {"$in": models}}
    copy_documents(target, "checks", CHECK_KEY, database["checks"].find(query))
    replays = database["replays"].find({"campaign": source.name})
    copy_documents(target, "replays", ("campaign", "replay_hash"), replays)
    equations = database["equations"].find(query)
    copy_documents(target, "equations", ("campaign", "model", "cell_hash"), equations)


def _copy_versions(
    source: CampaignStore, target: CampaignStore, before: Mapping[str, Any], shared: Sequence[int]
) -> None:
    """Copy the further versions of models, with the exclusions that counted for each.

    One that was compared with a model of a later iteration, which the fork has not, stays
    behind. Rows about entries that are not shared may stand between those that are.
    """
    rows = list(source.database["versions"].find(before))
    references = {row["reference"] for row in rows}
    references.update(source.database["models"].distinct("reference", before))
    copies = [
        {**row, "exclusions": bisect_left(shared, row["exclusions"])}
        for row in rows
        if row["replaced"] in references
    ]
    copy_documents(target, "versions", ("campaign", "iteration", "version"), copies)


def _copy_predictions(
    source: CampaignStore, target: CampaignStore, before: Mapping[str, Any]
) -> None:
    """Copy what models predict for held-out cells, of the evaluations that the fork has."""
    versions = {(row["iteration"], row["version"]) for row in target.versions()}
    rows = (
        row
        for row in source.database["predictions"].find(before)
        if row["version"] == 1 or (row["iteration"], row["version"]) in versions
    )
    copy_documents(target, "predictions", ("campaign", "iteration", "version"), rows)
