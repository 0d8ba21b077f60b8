"""FireWorks' indexes on the embedded server, which pays for each of them at each command.

It reads the description of every index of a collection before it looks for a document. Of the 24
that FireWorks makes, its web page and `lpad` use most. They are of no use to a campaign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireworks import LaunchPad

USED: dict[str, list[tuple[str, ...]]] = {
    "fireworks": [("fw_id",), ("launches",), ("spec.uuid",), ("spec.campaign", "state")],
    "launches": [("launch_id",), ("fw_id",), ("state",)],
    "workflows": [("nodes",)],
}
"""Collection of the launchpad → keys of the indexes that workers, commands and repairs use."""


def drop_unused_indexes(pad: LaunchPad) -> None:
    """Drop what a campaign does not use, if the server is an embedded one; MongoDB keeps all."""
    if not is_embedded_kind(pad):
        return
    for name, used in USED.items():
        collection = pad.db[name]
        for title, index in collection.index_information().items():
            keys = tuple(key for key, _ in index["key"])
            if keys not in [("_id",), *used]:
                collection.drop_index(title)


def is_embedded_kind(pad: LaunchPad) -> bool:
    """Tell whether a launchpad's server is SecantusDB."""
    return "secantusVersion" in pad.db.command("buildInfo")
