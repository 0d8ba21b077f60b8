"""A campaign that is held: paused, cancelled, or on its way back.

The campaign's document says what is asked for, and the jobs follow: whoever starts a job looks at
the document first. So a command that is killed after it has written the document has lost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from entropy_flows.processes import author
from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.seals import set_fields, setting


class HoldKind(StrEnum):
    """The kinds of a hold."""

    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"


HOLD_STATES = {HoldKind.PAUSE: "paused", HoldKind.CANCEL: "cancelled"}
"""Kind of a hold in which no job starts → state of the campaign, in words."""


@dataclass(frozen=True)
class Hold:
    """A request to a campaign's jobs, by somebody at some time.

    Attributes
    ----------
    kind
        In a pause and after a cancellation no job starts. A resumption is over, and the hold gone,
        when all jobs have been let go on.
    now
        Whether the jobs that run are stopped.
    by
        User and machine.
    since
        When it was asked for.
    """

    kind: HoldKind
    now: bool
    by: str
    since: datetime

    @property
    def keeps_jobs(self) -> bool:
        """True if no job may start."""
        return self.kind in HOLD_STATES

    def __str__(self) -> str:
        return f"by {self.by} since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


class Holds(CampaignCollections):
    """Requests to the jobs of one campaign."""

    def hold(self) -> Hold | None:
        """Return what was asked of the campaign's jobs last; None if nothing holds them."""
        document = self.database["campaigns"].find_one({"name": self.name}, {"hold": 1})
        return hold_of(document or {})

    def set_hold(self, kind: HoldKind, now: bool = False) -> Hold:
        """Ask something of the campaign's jobs.

        What was asked before, and is the same, stays as it is.
        """
        before = self.hold()
        if before is not None and before.kind == kind and before.now >= now:
            return before
        hold = Hold(kind, now, author(), datetime.now(UTC))
        key = {"name": self.name}
        set_fields(self.database["campaigns"], key, {"hold": asdict(hold)})
        return self.hold() or hold

    def end_resumption(self, hold: Hold) -> None:
        """Let go of the campaign, unless something else was asked for meanwhile."""
        key = {"name": self.name}
        unchanged = {"hold.kind": hold.kind.value, "hold.since": hold.since}
        free = setting("campaigns", key, {"hold": None})
        self.database["campaigns"].update_one({**key, **unchanged}, {"$set": free})


def hold_of(document: Mapping[str, Any]) -> Hold | None:
    """Return the hold that a campaign's document keeps; None if there is none."""
    hold = document.get("hold")
    if hold is None:
        return None
    since = hold["since"]
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return Hold(HoldKind(hold["kind"]), hold["now"], hold["by"], since)


def standing(document: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the state of a campaign and the message that belongs to it, as people read them.

    A campaign that is held is "paused" or "cancelled", whatever its jobs have recorded, unless it
    is done.
    """
    hold = hold_of(document)
    state = document["state"]
    if hold is None or not hold.keeps_jobs or state == "done":
        return state, document["message"]
    return HOLD_STATES[hold.kind], str(hold)
