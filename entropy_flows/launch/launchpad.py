"""FireWorks' launchpad on the database of the campaigns."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad
from pymongo import ReturnDocument
from pymongo.collection import Collection

from entropy_flows.store.connection import configured_uri, database_name
from entropy_flows.store.uri import journaled


def launchpad(
    uri: str | None = None, database: str | None = None, logdir: str | None = None
) -> LaunchPad:
    """FireWorks' launchpad on the same server."""
    name = database_name(uri, database)
    address = journaled(uri or configured_uri())
    pad = LaunchPad(host=address, name=name, uri_mode=True, logdir=logdir, strm_lvl="ERROR")
    pad.fw_id_assigner = _Counters(pad.fw_id_assigner)
    return pad


class _Counters:
    """The collection of FireWorks' counters, which gives no number to two processes, also on SecantusDB.

    FireWorks asks for a counter as it was before it is raised. SecantusDB raises it for each
    process that asks, but may show two of them the same number before; what it shows after is
    right.
    """

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def find_one_and_update(
        self, query: dict[str, Any], update: dict[str, dict[str, int]]
    ) -> dict[str, Any] | None:
        """Raise counters; the document as it was before."""
        after = self.collection.find_one_and_update(
            query, update, return_document=ReturnDocument.AFTER
        )
        raised = update["$inc"]
        return (
            None
            if after is None
            else {**after, **{name: after[name] - raised[name] for name in raised}}
        )
