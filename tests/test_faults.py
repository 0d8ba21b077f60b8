"""Whose fault an error is: told by its class, of all packages that a job calls."""

import ast
import errno
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from bson.errors import InvalidDocument
from fireworks.core.launchpad import LockedWorkflowError
from gridfs.errors import CorruptGridFile, NoFile
from pymongo import errors as mongo

import entropy_flows
from entropy_flows.faults import MachineError, by_halves, is_machine_fault, is_out_of_memory
from entropy_flows.label import EngineError
from entropy_flows.store import StoreError
from entropy_flows.store.connection import UnreachableError


def os_error(name):
    return OSError(getattr(errno, name), name)


def raised_from(error, cause):
    error.__cause__ = cause
    return error


def labelled(error):
    error._add_error_label("RetryableWriteError")
    return error


def bulk(code=None, concern=None):
    writes = [] if code is None else [{"code": code, "errmsg": "refused", "index": 0}]
    concerns = [] if concern is None else [{"code": concern, "errmsg": "not journaled"}]
    return mongo.BulkWriteError({"writeErrors": writes, "writeConcernErrors": concerns})


MACHINE = [
    MachineError("x"),
    EngineError("no VASP"),
    StoreError("no such model"),
    UnreachableError("nobody answers"),
    MemoryError(),
    ModuleNotFoundError("No module named 'allegro'"),
    *map(
        os_error,
        (
            "ENOSPC",
            "EDQUOT",
            "EIO",
            "ESTALE",
            "EROFS",
            "EMFILE",
            "ENOMEM",
            "EACCES",
            "ECONNREFUSED",
        ),
    ),
    ConnectionError("cannot be fetched"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    LockedWorkflowError("locked"),
    BrokenProcessPool("a process died"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    mongo.AutoReconnect("connection closed"),
    mongo.NetworkTimeout("timed out"),
    mongo.ServerSelectionTimeoutError("no servers found yet"),
    mongo.NotPrimaryError("not primary"),
    mongo.WaitQueueTimeoutError("pool"),
    mongo.ExecutionTimeout("operation exceeded time limit", 50),
    mongo.WTimeoutError("waiting for replication", 64),
    mongo.WriteConcernError("no majority", 100),
    mongo.CursorNotFound("cursor id 1 not found", 43),
    mongo.OperationFailure("not authorized on test", 13),
    mongo.OperationFailure("available disk space is less than required", 14031),
    labelled(mongo.OperationFailure("stepping down", 1)),
    bulk(code=112),
    bulk(concern=64),
    raised_from(ValueError("cannot be written"), os_error("ENOSPC")),
    raised_from(RuntimeError("outer"), raised_from(KeyError("inner"), mongo.AutoReconnect("gone"))),
]

OWN = [
    ValueError("atoms too close"),
    np.linalg.LinAlgError("Singular matrix"),
    FloatingPointError("overflow"),
    RuntimeError("no convergence"),
    ZeroDivisionError(),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "diamond.cif"),
    TimeoutError("GPAW was stopped after 60 of 60 s"),
    subprocess.CalledProcessError(1, ["vasp"]),
    InvalidDocument("cannot encode object"),
    mongo.DocumentTooLarge("BSON document too large (18000000 bytes)"),
    mongo.DuplicateKeyError("E11000 duplicate key error", 11000),
    mongo.OperationFailure("unknown operator: $sett", 2),
    mongo.OperationFailure("Document failed validation", 121),
    mongo.InvalidOperation("bulk operations can only be executed once"),
    bulk(code=11000),
    bulk(code=10334),
    NoFile("no file in gridfs"),
    CorruptGridFile("truncated chunk"),
]


@pytest.mark.parametrize("error", MACHINE, ids=repr)
def test_the_machines(error):
    assert is_machine_fault(error)


@pytest.mark.parametrize("error", OWN, ids=repr)
def test_not_the_machines(error):
    assert not is_machine_fault(error)
    assert not is_out_of_memory(error)


def test_an_error_that_hides_its_context_is_told_by_itself():
    def refuse():
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("the cell has too many images") from None

    with pytest.raises(ValueError, match="images") as raised:
        refuse()
    assert not is_machine_fault(raised.value)


def test_a_class_of_the_same_name_is_not_the_class():
    class OutOfMemoryError(Exception):
        pass

    assert not is_machine_fault(OutOfMemoryError("of ours"))


def test_lack_of_memory():
    lacking = [error for error in MACHINE if is_out_of_memory(error)]
    assert {type(error) for error in lacking} == {
        MemoryError,
        OSError,
        torch.OutOfMemoryError,
        RuntimeError,
    }
    assert all(
        "llocate" in str(error) or type(error) in (MemoryError, OSError) for error in lacking
    )


def test_nothing_heavy_is_imported_to_tell():
    code = (
        "import sys; from entropy_flows.faults import is_machine_fault; "
        "is_machine_fault(ValueError()); "
        + ("print([name for name in ('torch', 'pymongo', 'fireworks') if name in sys.modules])")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FREE = {
    "cli/app.py": "tells every error in one line, and ends",
    "potentials/nequip.py": "makes it a ConnectionError, which is the machine's",
    "environments/foreign/serve.py": "answers whose fault it is, for the job to raise",
    "launch/remote/job.py": "hands the traceback to the runner, whose job `repair` judges",
    "train/nequip_program.py": "is a fork that prints its traceback, of which its parent asks",
    "bench/materials_project.py": "tells that a service did not answer; nothing is booked",
}
"""File → why its broad handler need not ask."""


def broad(tree):
    """Handlers of Exception, BaseException or anything, and suppressions of them."""
    names = {"Exception", "BaseException"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(
                each is None or (isinstance(each, ast.Name) and each.id in names) for each in types
            ):
                yield node
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from [node for each in node.args if ast.unparse(each) in names]


def test_whoever_catches_everything_asks_whose_fault_it_is():
    package = Path(entropy_flows.__file__).parent
    asking, silent = 0, []
    for path in sorted(package.rglob("*.py")):
        where = str(path.relative_to(package))
        for node in broad(ast.parse(path.read_text())):
            text = ast.unparse(node)
            if "is_machine_fault" in text or text.endswith("\n    raise"):
                asking += 1
            elif where not in FREE:
                silent.append(f"{where}:{node.lineno}")
    assert silent == []
    assert asking > 10


def test_what_is_refused_in_a_batch_is_evaluated_in_halves():
    calls = []

    def evaluate(items):
        calls.append(len(items))
        if len(items) > 4:
            raise MemoryError
        if 3 in items:
            raise ValueError("a three")
        return [item**2 for item in items]

    results = by_halves(range(8), evaluate)
    assert str(results.pop(3)) == "a three"
    assert results == [0, 1, 4, 16, 25, 36, 49]
    assert calls == [8, 4, 2, 2, 1, 1, 4]

    def fails(items):
        raise fault

    for fault in (MemoryError(), OSError(errno.ENOSPC, "full")):
        with pytest.raises(type(fault)):
            by_halves([1, 2], fails)
