"""One launch of a job of jobflow-remote, as which its writes are accepted.

jobflow-remote knows no launches. A process that begins a job counts one up in the job's document,
and writes its number into `stored_data`. jobflow-remote empties that field whenever a job is run
again and when it ends: from then on the fence refuses what the process still writes.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from entropy_flows.processes import process_name
from entropy_flows.store.fence import Fence, LaunchLostError
from entropy_flows.store.remote_stores import JOBS

if TYPE_CHECKING:
    from pymongo.database import Database

BEGINNING = ("UPLOADED", "SUBMITTED", "RUNNING")
"""States in which jobflow-remote has a job whose process begins."""
LOCK_SECONDS = 60.0
"""Time to wait for jobflow-remote's runner to let go of a job."""


@dataclass(frozen=True)
class RemoteLaunch:
    """One launch of a job.

    Attributes
    ----------
    uuid
        The job's identifier in jobflow.
    index
        The job's index in jobflow.
    number
        Number of the launch, which grows from run to run.
    """

    uuid: str
    index: int
    number: int

    @property
    def query(self) -> dict[str, Any]:
        """Query that the job's document matches while it runs as this launch."""
        return {"uuid": self.uuid, "index": self.index, "stored_data.launch": self.number}

    @property
    def fence(self) -> Fence:
        """Fence that holds while the job runs as this launch."""
        message = f"job {self.uuid} is not launch {self.number}'s any more"
        return Fence(JOBS, self.query, LaunchLostError, message)


def begin(database: Database, uuid: str, index: int) -> RemoteLaunch | None:
    """Begin a launch of a job; None if nobody has asked for it.

    Parameters
    ----------
    database
        The database of the campaign.
    uuid, index
        The job's identifier and index in jobflow.
    """
    now = datetime.now(UTC)
    about = {
        "launch": "$launches",
        "process": {"$literal": process_name()},
        "host": {"$literal": socket.gethostname()},
        "worker": "$worker",
        "started": now,
        "updated": now,
    }
    count = {"$add": [{"$ifNull": ["$launches", 0]}, 1]}
    document = database[JOBS].find_one_and_update(
        {"uuid": uuid, "index": index, "state": {"$in": list(BEGINNING)}},
        [{"$set": {"launches": count}}, {"$set": {"stored_data": about}}],
        projection={"launches": 1},
        return_document=ReturnDocument.AFTER,
    )
    return None if document is None else RemoteLaunch(uuid, index, document["launches"])


@dataclass(frozen=True)
class RunningRemoteJob:
    """A job of jobflow-remote that this process works on; see `launch.running.RunningJob`.

    Attributes
    ----------
    database
        The database of its campaign.
    launch
        The launch of the job.
    name
        Name of the job, for people.
    """

    database: Database
    launch: RemoteLaunch
    name: str

    def is_ours(self) -> bool:
        """Return True if the job still runs as this launch."""
        return self.launch.fence.holds(self.database)

    def ping(self) -> None:
        """Give a sign of life."""
        self._set({"stored_data.updated": datetime.now(UTC)})

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Write how far the job is, unless it is another launch's by now."""
        self._set({"stored_data.progress": progress, "stored_data.updated": datetime.now(UTC)})

    def _set(self, fields: dict[str, Any]) -> None:
        self.database[JOBS].update_one(self.launch.query, {"$set": fields})

    def hand_back(self, state: str) -> bool:
        """Have the job READY for another process, or PAUSED; return False if it is not ours.

        The runner may be writing the job: it is waited for.
        """
        from jobflow_remote.jobs.data import get_reset_job_base_dict

        fields = {**get_reset_job_base_dict(), "state": state, "remote.prerun_cleanup": True}
        deadline = time.monotonic() + LOCK_SECONDS
        while self.is_ours():
            # a lock whose holder has died is left to `repair`
            is_free = {} if time.monotonic() > deadline else {"lock_id": None}
            query = {**self.launch.query, **is_free}
            if self.database[JOBS].update_one(query, {"$set": fields}).modified_count:
                return True
            time.sleep(0.2)
        return False
