"""Places in FireWorks, jobflow and the job store at which a worker can be told to die.

A file named like the place in the folder CHAOS is the order; the first worker that comes there
takes it, notes which job it had, and is gone by SIGKILL, or meets an error of the database.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

PLACES = {
    "taking": "a job was made RESERVED, no launch written",
    "taken": "the launch was written, the job not",
    "body": "in the job's work",
    "output": "output stored, FireWorks not told",
    "arrays": "output stored, its arrays not",
    "ended": "launch COMPLETED, workflow not told",
    "locked": "the workflow's lock held, nothing written",
    "saved": "jobs written, workflow not, lock held",
    "children": "children inserted, workflow not, lock held",
    "addition": "a new workflow's jobs inserted, workflow not",
    "lost_write": "the database fails between jobs and workflow",
}
job: int | None = None


def order(place: str) -> Path:
    """The file that orders a death."""
    return Path(os.environ["CHAOS"]) / place


def taken(place: str) -> bool:
    """Whether this worker is to die here; an order is for one."""
    try:
        order(place).rename(order(f"{place}.{os.getpid()}"))
    except FileNotFoundError:
        return False
    note(place)
    return True


def note(place: str) -> None:
    """Write down what was done to which job."""
    with order("done.jsonl").open("a") as stream:
        stream.write(json.dumps({"fault": place, "job": job, "time": time.time()}) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def die_at(place: str) -> None:
    """Die, if that was ordered."""
    if taken(place):
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: type, name: str):
    """Replace a method by one that is given the method."""

    def decorate(function):
        method = getattr(owner, name)

        @functools.wraps(method)
        def replaced(*args, **kwargs):
            return function(method, *args, **kwargs)

        setattr(owner, name, replaced)

    return decorate


def prepare() -> None:
    """Put the deaths in their places."""
    from fireworks import LaunchPad
    from maggma.stores.gridfs import GridFSStore
    from pymongo.errors import AutoReconnect

    from entropy_flows.launch.task import StageTask

    where: list[str] = []

    @around(LaunchPad, "checkout_fw")
    def _(method, *args, **kwargs):
        where.append("checkout")
        try:
            return method(*args, **kwargs)
        finally:
            where.pop()

    @around(LaunchPad, "_get_a_fw_to_run")
    def _(method, *args, **kwargs):
        global job
        found = method(*args, **kwargs)
        if found is not None and kwargs.get("checkout", True):
            job = found.fw_id
            die_at("taking")
        return found

    @around(LaunchPad, "_upsert_fws")
    def _(method, *args, **kwargs):
        if where == ["checkout"]:
            die_at("taken")
        mapping = method(*args, **kwargs)
        if where[-1:] == ["update"]:
            die_at("children" if mapping else "saved")
            if taken("lost_write"):
                raise AutoReconnect("connection closed")
        if where[-1:] == ["add"]:
            die_at("addition")
        return mapping

    def marked(name: str, mark: str, place: str | None = None) -> None:
        @around(LaunchPad, name)
        def _(method, *args, **kwargs):
            if place is not None:
                die_at(place)
            where.append(mark)
            try:
                return method(*args, **kwargs)
            finally:
                where.pop()

    marked("_update_wf", "update", "locked")
    marked("add_wf", "add")
    marked("complete_launch", "complete")

    @around(LaunchPad, "_refresh_wf")
    def _(method, *args, **kwargs):
        if where == ["complete"]:
            die_at("ended")
        return method(*args, **kwargs)

    @around(StageTask, "_run")
    def _(method, *args, **kwargs):
        if taken("body"):
            death = threading.Timer(
                random.uniform(0.5, 3.0), os.kill, (os.getpid(), signal.SIGKILL)
            )
            death.daemon = True
            death.start()
        action = method(*args, **kwargs)
        die_at("output")
        return action

    @around(GridFSStore, "update")
    def _(method, *args, **kwargs):
        die_at("arrays")
        return method(*args, **kwargs)
