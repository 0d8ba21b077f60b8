"""FireWorks' indexes on the embedded server, which pays for each of them at each command.

It reads the description of every index of a collection before it looks for a document. Of the 24
that FireWorks makes, its web page and `lpad` use most. They are of no use to a campaign, so on that
server they are not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ASCENDING, IndexModel

if TYPE_CHECKING:
    from fireworks import LaunchPad

USED: dict[str, list[tuple[str, ...]]] = {
    "fireworks": [("fw_id",), ("launches",), ("spec.uuid",), ("spec.campaign", "state")],
    "launches": [("launch_id",), ("fw_id",), ("state",)],
    "workflows": [("nodes",)],
}
"""Collection of the launchpad → keys of the indexes that workers, commands and repairs use."""


UNIQUE = {"fireworks": ("fw_id",), "launches": ("launch_id",)}
"""Of these, those that keep two jobs, or two launches, from having the same number."""


def prepare_launchpad(pad: LaunchPad) -> None:
    """Give a new launchpad its counters, and the indexes that its server can afford."""
    if is_embedded_kind(pad):
        # what `reset` does, without the indexes that would be dropped again
        pad._restart_ids(1, 1)
        for name, used in USED.items():
            models = [
                IndexModel([(key, ASCENDING) for key in keys], unique=keys == UNIQUE.get(name))
                for keys in used
            ]
            pad.db[name].create_indexes(models)
    else:
        pad.reset("", require_password=False, max_reset_wo_password=0)


def is_embedded_kind(pad: LaunchPad) -> bool:
    """Tell whether a launchpad's server is SecantusDB."""
    return "secantusVersion" in pad.db.command("buildInfo")
