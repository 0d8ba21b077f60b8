"""Have a model's compiled form made, by a process that ends with this one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from entropy_flows.compiled.cache import CompiledFacts, CompiledForm
from entropy_flows.digest import file_sha256
from entropy_flows.faults import MachineError
from entropy_flows.files import UNFINISHED, delete_unfinished, replacing
from entropy_flows.geometry import cell_as_dict
from entropy_flows.potentials import split_model
from entropy_flows.processes import child, locked

POLL_SECONDS = 2.0
MAX_SECONDS = 3600.0
"""Time after which a compiler is ended."""
LOCK_SECONDS = 5.0
"""Time to wait for another process that makes the same form."""


class NotMadeError(RuntimeError):
    """A compiled form was not made; the message is the reason."""


class StoppedError(NotMadeError):
    """Nobody needs the compiled form any more."""


def make_form(
    form: CompiledForm,
    model: str,
    cells: Sequence[Atoms],
    size: int,
    device: str,
    stop: Callable[[], str | None],
    replaces: bool = False,
) -> None:
    """Make a compiled form, unless another process has made it meanwhile.

    Parameters
    ----------
    form
        The form to make.
    model
        Name or path of the model that it is made of.
    cells, size
        Cells like those that it will be called with, and their number in a call.
    device
        Torch device.
    stop
        Asked every two seconds; returns the reason if nobody needs the form any more.
    replaces
        Whether one that is there is made again.

    Raises
    ------
    NotMadeError
        If it was not made, or is not right.
    """
    started = time.perf_counter()
    try:
        with locked(form.folder / "lock", "the compiled form", LOCK_SECONDS), _tidy(form.folder):
            if replaces or not form.is_there:
                _run_program(form, model, cells, size, device, stop)
                _refuse_unless_made(form)
    except MachineError:
        raise NotMadeError("another process is at it") from None
    except StoppedError:
        raise
    except NotMadeError as error:
        form.write_facts(
            CompiledFacts(
                machine=form.machine.as_dict(),
                model=file_sha256(split_model(model)[0]),
                reason=str(error),
                seconds=time.perf_counter() - started,
            )
        )
        raise


@contextlib.contextmanager
def _tidy(folder: Path) -> Iterator[None]:
    """Delete what was left unfinished in a folder, before and after; its lock is held."""
    delete_unfinished(folder)
    try:
        yield
    finally:
        delete_unfinished(folder)


def _refuse_unless_made(form: CompiledForm) -> None:
    """See that the program has made the form, and raise its reason if it has not."""
    facts = form.facts()
    if facts is None or not form.is_there:
        reason = facts.reason if facts is not None else None
        raise NotMadeError(reason or "the compiled form is not whole")


def _run_program(
    form: CompiledForm,
    model: str,
    cells: Sequence[Atoms],
    size: int,
    device: str,
    stop: Callable[[], str | None],
) -> None:
    """Run the program to its end, or until nobody needs its result any more."""
    with replacing(form.folder / "log") as log, _work_folder(form) as work:
        file = work / "cells.json"
        file.write_text(json.dumps([cell_as_dict(atoms) for atoms in cells]))
        arguments = [model, str(file), str(size), device]
        command = [sys.executable, "-m", "entropy_flows.compiled.program", *arguments]
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(work), "TMPDIR": str(work)}
        with log.open("w") as out:
            options: dict[str, Any] = {"stdout": out, "stderr": out, "env": environment}
            with child(command, **options) as process:
                _wait(process, stop)
        if process.returncode:
            lines = log.read_text(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "without a word"
            raise NotMadeError(f"compiling ended with code {process.returncode}: {last}")


def _wait(process: subprocess.Popen, stop: Callable[[], str | None]) -> None:
    """Wait for the end of the program; end it if it takes too long or nobody needs it."""
    started = time.monotonic()
    while process.poll() is None:
        reason = stop()
        if reason is not None:
            raise StoppedError(reason)
        if time.monotonic() - started > MAX_SECONDS:
            raise NotMadeError(f"it was not done after {MAX_SECONDS:.0f} s")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)


@contextlib.contextmanager
def _work_folder(form: CompiledForm) -> Iterator[Path]:
    """Make a folder for what the compiler writes meanwhile, which is deleted in the end."""
    folder = form.folder / f"{UNFINISHED}work"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
