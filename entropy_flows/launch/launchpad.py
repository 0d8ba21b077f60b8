"""FireWorks' launchpad on the database of the campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from entropy_flows.store.connection import configured_uri, database_name
from entropy_flows.store.fence import Fence, LaunchLostError
from entropy_flows.store.uri import journaled

if TYPE_CHECKING:
    from fireworks import LaunchPad


@dataclass(frozen=True)
class FireworkLaunch:
    """One launch of a job, as which the job's writes are accepted.

    Attributes
    ----------
    fw_id
        FireWorks' number of the job.
    number
        FireWorks' number of the launch, which grows from run to run.
    """

    fw_id: int
    number: int

    @property
    def fence(self) -> Fence:
        """Fence that holds while the job runs as this launch."""
        query = {"fw_id": self.fw_id, "launches": self.number, "state": "RUNNING"}
        message = f"job {self.fw_id} is not launch {self.number}'s any more"
        return Fence("fireworks", query, LaunchLostError, message)


@dataclass(frozen=True)
class RunningFirework:
    """A job of a launchpad that this process works on; see `launch.running.RunningJob`.

    Attributes
    ----------
    pad
        The launchpad.
    launch
        The launch of the job.
    """

    pad: LaunchPad
    launch: FireworkLaunch

    @property
    def name(self) -> str:
        """Name of the job, for people."""
        return f"job {self.launch.fw_id}"

    @property
    def database(self) -> Database:
        """The database of its campaign."""
        return self.pad.db

    def is_ours(self) -> bool:
        """Return True if the job still runs as this launch."""
        return self.launch.fence.holds(self.pad.db)

    def ping(self) -> None:
        """Give a sign of life.

        Raises
        ------
        ValueError
            If the launch is not there, as FireWorks has it.
        """
        from fireworks import LaunchPad

        LaunchPad.ping_launch(self.pad, self.launch.number)

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Write how far the job is into its launch, unless that has ended."""
        is_running = {"launch_id": self.launch.number, "state": "RUNNING"}
        self.pad.launches.update_one(is_running, {"$set": {"progress": progress}})


def launchpad(
    uri: str | None = None,
    database: str | None = None,
    logdir: str | None = None,
    kind: type[LaunchPad] | None = None,
) -> LaunchPad:
    """Open FireWorks' launchpad on the same server as the campaigns.

    Parameters
    ----------
    uri, database
        The server and its database; None takes those of the settings.
    logdir
        Folder of FireWorks' logs; None writes none.
    kind
        Class of the launchpad; None takes FireWorks' own.
    """
    from fireworks import LaunchPad

    name = database_name(uri, database)
    address = journaled(uri or configured_uri())
    make = kind or LaunchPad
    pad = make(host=address, name=name, uri_mode=True, logdir=logdir, strm_lvl="ERROR")
    pad.fw_id_assigner = _Counters(pad.fw_id_assigner)
    return pad


class LaunchPadOnDemand:
    """FireWorks' launchpad for who may only read: its collections are there without FireWorks.

    For all else FireWorks is imported, which takes a large part of a second, and asked.

    Parameters
    ----------
    database
        The database that has the launchpad.
    """

    def __init__(self, database: Database) -> None:
        self.db = database
        self.fireworks = database["fireworks"]
        self.launches = database["launches"]
        self.workflows = database["workflows"]

    def __getattr__(self, name: str) -> Any:
        if name == "_pad":
            raise AttributeError(name)  # it could not be opened
        return getattr(self._pad, name)

    @cached_property
    def _pad(self) -> LaunchPad:
        return launchpad()


class _Counters:
    """The collection of FireWorks' counters, which gives no number to two processes.

    FireWorks asks for a counter as it was before it is raised. SecantusDB raises it for each
    process that asks, but may show two of them the same number before. What it shows after is
    right.
    """

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def find_one_and_update(
        self, query: dict[str, Any], update: dict[str, dict[str, int]]
    ) -> dict[str, Any] | None:
        """Raise counters; return the document as it was before."""
        after = self.collection.find_one_and_update(
            query, update, return_document=ReturnDocument.AFTER
        )
        if after is None:
            return None
        before = {name: after[name] - step for name, step in update["$inc"].items()}
        return {**after, **before}
