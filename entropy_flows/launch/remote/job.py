"""Run a job of jobflow-remote: `python -m entropy_flows.launch.remote.job FOLDER`.

It is the `execution_cmd` of a worker, in the place of jobflow-remote's own `jf execution run`, and
does what that does, safe against the death of everything around it.

    submitted twice           the second process waits for the first, and finds the job done
    SIGTERM                   the stage saves, the job is READY again, the process ends
    the database is away      wait for it, then do the job again
    the job was taken away    the process ends, and the database refuses what it still writes
    the campaign is held      the job is not begun, and PAUSED
    run a second time         jobs it added the first time are not added again

A job that needs no database (`metadata.store_free`) asks for none: its inputs are in the folder,
and so is what it returns.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import signal
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monty.json import MontyDecoder, MontyEncoder

from entropy_flows.faults import Terminated, handle_sigterm
from entropy_flows.files import whole_file
from entropy_flows.launch.heartbeat import Heartbeat
from entropy_flows.launch.job_log import JobLog
from entropy_flows.launch.remote.launch import RunningRemoteJob, begin
from entropy_flows.launch.remote.project import translate
from entropy_flows.launch.running import (
    abandon,
    exit_now,
    is_held,
    refuse_old_package,
    retry_on_disconnect,
)
from entropy_flows.launch.worker import GIVEN_BACK
from entropy_flows.modules import use_folder
from entropy_flows.processes import PR_SET_PDEATHSIG, locked
from entropy_flows.progress import heard_by
from entropy_flows.store import CampaignStore, connect
from entropy_flows.store.fence import LaunchLostError, check_launch, running
from entropy_flows.store.remote_stores import AUXILIARY, JOBS

if TYPE_CHECKING:
    from jobflow import Response
    from pymongo.database import Database

LOCK_FILE = "entropy_flows.lock"
INPUT_FILE = "jfremote_in.json"
OUTPUT_FILE = "jfremote_out.json"
"""Names that jobflow-remote gives the files of a job's folder."""
WORKERS = "entropy_flows_workers"
"""Field of a document beside jobflow-remote's: what its workers' queues can be asked for."""


def main(folder: str) -> None:
    """Run the job of a folder, once, and write what it returns beside it."""
    _end_with_parent()
    home = Path(folder).resolve()
    with (
        locked(home / LOCK_FILE, "this job", patience=math.inf),
        contextlib.chdir(home),
    ):
        if has_ended(home):
            print("this job has ended before: it was submitted twice", flush=True)
            return
        inputs = json.loads((home / INPUT_FILE).read_text())
        job = inputs["job"]
        if job["metadata"].get("store_free"):
            _write_output(home, _run(inputs))
        else:
            _run_with_database(home, inputs)


def has_ended(folder: Path) -> bool:
    """Return True if a process has written the end of the folder's job."""
    path = folder / OUTPUT_FILE
    if not path.is_file():
        return False
    output = json.loads(path.read_text())
    return bool(output.get("response") or output.get("error"))


def _run_with_database(folder: Path, inputs: dict[str, Any]) -> None:
    """Run a job as a launch, whose writes the database accepts while it is the job's own."""
    document = inputs["job_doc"]
    metadata = inputs["job"]["metadata"]
    database = retry_on_disconnect(connect)
    launch = retry_on_disconnect(lambda: begin(database, document["uuid"], document["index"]))
    if launch is None:
        print("nobody has asked for this job any more", flush=True)
        return
    job = RunningRemoteJob(database, launch, inputs["job"]["name"])
    log = JobLog(job)
    with handle_sigterm():
        try:
            if retry_on_disconnect(lambda: _keep(job, metadata)):
                return
            with Heartbeat(job, log, metadata["campaign"]), running(launch), heard_by(log):
                output = _run(inputs, database)
                retry_on_disconnect(lambda: check_launch(database))
                _write_output(folder, output)
                log.end()
        except LaunchLostError as lost:
            abandon(lost)
            raise  # where the process was not ended: in a test
        except Terminated as reason:
            _release(job, metadata["campaign"], str(reason))
            raise


def _run(inputs: dict[str, Any], database: Database | None = None) -> dict[str, Any]:
    """Do a job's work; return what jobflow-remote reads of it, an error included."""
    started = datetime.now(UTC)
    output: dict[str, Any] = {"response": None, "error": None, "start_time": started}
    metadata = inputs["job"]["metadata"]
    try:
        use_folder(metadata.get("modules"))
        if database is not None:
            retry_on_disconnect(lambda: refuse_old_package(metadata["campaign"]))
        decoder = MontyDecoder()
        job = decoder.process_decoded(inputs["job"])
        if isinstance(job.function, dict):
            raise ImportError(f"this Python has no {job.function}")
        store = decoder.process_decoded(inputs["store"])
        store.connect()
        response = retry_on_disconnect(lambda: job.run(store=store))
        store.close()
        response.output = None  # it is in the store
        if database is not None:
            _prepare_added(database, response)
        output["response"] = response
    except Exception:
        traceback.print_exc()
        output["error"] = traceback.format_exc()
    return {**output, "end_time": datetime.now(UTC)}


def _prepare_added(database: Database, response: Response) -> None:
    """Leave out jobs that were added before, and put the others into jobflow-remote's words."""
    table = database[AUXILIARY].find_one({WORKERS: {"$exists": True}}) or {}
    for kind in ("detour", "addition", "replace"):
        flow = getattr(response, kind)
        if flow is None:
            continue
        uuids = list(flow.job_uuids)
        if database[JOBS].count_documents({"uuid": {"$in": uuids}}) == len(uuids):
            setattr(response, kind, None)
            continue
        for job, _ in flow.iterflow():
            translate(job, table.get(WORKERS, {}))


def _write_output(folder: Path, output: Mapping[str, Any]) -> None:
    """Write what a job has returned, all of it or nothing."""
    with whole_file(folder / OUTPUT_FILE) as file:
        file.write(json.dumps(output, cls=MontyEncoder).encode())


def _keep(job: RunningRemoteJob, metadata: Mapping[str, Any]) -> bool:
    """Pause a job that may not start; return True if it was.

    Whoever lets the campaign go on meanwhile has not seen the job paused: it is looked at again.
    """
    if not must_wait(metadata, job.launch.uuid):
        return False
    if job.hand_back("PAUSED") and not must_wait(metadata, job.launch.uuid):
        ours = {"uuid": job.launch.uuid, "index": job.launch.index, "state": "PAUSED"}
        job.database[JOBS].update_one(ours, {"$set": {"state": "READY"}})
    return True


def must_wait(metadata: Mapping[str, Any], uuid: str) -> bool:
    """Return True if a job may not start: its campaign is held, or its cells are to be approved."""
    campaign = metadata["campaign"]
    if is_held(campaign):
        return True
    is_asked = bool(metadata.get("awaits_approval"))
    return is_asked and CampaignStore.open(campaign).awaits_approval(uuid)


def _release(job: RunningRemoteJob, campaign: str, reason: str) -> None:
    """Give the running job back, and end this process."""
    try:
        job.hand_back("PAUSED" if is_held(campaign) else "READY")
        print(f"{job.name} was given back: {reason}", file=sys.stderr, flush=True)
    finally:
        exit_now(GIVEN_BACK)


def _end_with_parent() -> None:
    """Have the kernel end this process with the script that started it, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
