"""The process in which models of one environment live, as the job sees it.

The process is started with the first model, and serves all models of its environment. It ends with
the last of them, and with this process, however that ends: the kernel kills it with its parent, and
it watches a pipe that only the parent holds. A process that was lost is started again, and gets the
same request again, since it keeps nothing between two requests.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from entropy_flows.allocator import program_environment
from entropy_flows.environments import foreign
from entropy_flows.environments.foreign import wire
from entropy_flows.environments.locate import ModelEnvironment
from entropy_flows.faults import MachineError
from entropy_flows.processes import dies_with_parent

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_STARTS = 3
"""Times that a process is started for one request before it is the machine's fault."""
START_SECONDS = 300.0
"""Longest time from the start of a Python to its first message; a cold disk takes a minute."""
MAX_LOG = 2**20
"""Bytes of the process's own output that are kept, to be shown if it is lost."""
FOREIGN = Path(foreign.__file__).parent

_running: dict[Path, weakref.ref[ModelProcess]] = {}
"""Python → the process of this job that has it."""
_blocks: list[list[ModelProcess]] = []
"""The processes that each open `processes_end_here` has seen."""


class RefusalError(ValueError):
    """A model refused a cell, or cannot be loaded; on another machine it would do the same."""


class LostError(RuntimeError):
    """The process has ended, or does not answer."""


class ModelProcess:
    """A Python of another environment that holds models.

    Parameters
    ----------
    environment
        Where its Python is.

    Attributes
    ----------
    packages, python_version
        Version by name of all packages of the environment, and that of its Python; empty before
        the first start.
    """

    def __init__(self, environment: ModelEnvironment) -> None:
        self.environment = environment
        self.packages: dict[str, str] = {}
        self.python_version = ""
        self._loads: dict[int, dict[str, Any]] = {}
        self._loaded: set[int] = set()
        self._dropped: list[int] = []
        self._numbers = count(1)
        self._lock = threading.RLock()
        self._handles: _Handles | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None if none is running."""
        return None if self._handles is None else self._handles.process.pid

    def facts(self) -> dict[str, Any] | None:
        """Return the environment's name, Python and packages; None before the first start."""
        if not self.packages:
            return None
        frozen = sorted(f"{name}=={version}" for name, version in self.packages.items())
        name = self.environment.name
        return {"name": name, "python": self.python_version, "packages": frozen}

    def load(
        self, adapter: Path, form: str, name: str, arguments: Mapping[str, Any], device: str
    ) -> tuple[int, dict[str, Any]]:
        """Load a model.

        Parameters
        ----------
        adapter
            File that loads models of its family.
        form
            "batch" for a model of many cells, "calculator" for an ASE calculator.
        name, arguments, device
            As of `ModelFamily.load_calculator`.

        Returns
        -------
        tuple
            Number by which it is called, and what it is: cutoff, elements, stress.

        Raises
        ------
        RefusalError
            If the family does not take the name or the arguments.
        MachineError
            If a package is missing in the environment, or the machine fails.
        """
        model = next(self._numbers)
        self._loads[model] = {
            "model": model,
            "adapter": str(adapter),
            "form": form,
            "name": name,
            "arguments": dict(arguments),
            "device": device,
        }
        try:
            facts = self._persist(lambda: self._load(model))
        except BaseException:
            self.drop(model)
            raise
        return model, facts

    def evaluate(
        self, model: int, arrays: Mapping[str, np.ndarray], stress: bool
    ) -> dict[str, np.ndarray]:
        """Evaluate a batch by a model.

        Raises
        ------
        RefusalError
            If the model refuses the batch.
        MachineError
            If the process is lost again and again, answers with what is no message, or fails for
            a reason of the machine.
        """

        def ask() -> dict[str, np.ndarray]:
            if model not in self._loaded:
                self._load(model)
            fields = {"model": model, "stress": stress}
            answer = self._ask("evaluate", "result", fields, arrays)
            _check_shapes(answer.arrays, arrays)
            return answer.arrays

        return self._persist(ask)

    def drop(self, model: int) -> None:
        """Forget a model; the process does so at the next request.

        A model may be collected in the middle of a request, so nothing is sent here.
        """
        self._loads.pop(model, None)
        self._dropped.append(model)

    def end(self) -> None:
        """End the process; the next request starts another one."""
        handles, self._handles = self._handles, None
        self._loaded.clear()
        if handles is not None:
            handles.close(patience=0.0)

    def _persist(self, request: Callable[[], T]) -> T:
        """Make a request, in a new process if the present one is lost."""
        with self._lock:
            losses: list[str] = []
            while len(losses) < MAX_STARTS:
                try:
                    return request()
                except LostError as error:
                    losses.append(str(error))
                    logger.warning("%s; it is started again", error)
                except (RefusalError, MachineError):
                    raise
                except BaseException:
                    # the answer that is still to come would be taken for that of another request
                    self.end()
                    raise
            raise MachineError(
                f"{losses[-1]}, {len(losses)} times for one request; perhaps there is not enough "
                "memory for it"
            )

    def _load(self, model: int) -> dict[str, Any]:
        import torch

        fields = {**self._loads[model], "threads": torch.get_num_threads()}
        answer = self._ask("load", "loaded", fields)
        self._loaded.add(model)
        return answer.fields

    def _ask(
        self,
        kind: str,
        expected: str,
        fields: dict[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> wire.Message:
        """Send a request and return its answer."""
        handles = self._handles if self._is_ours() else None
        if handles is None:
            handles = self._start()
        handles.trim_log()
        number = next(self._numbers)
        request = wire.Message(kind, {"number": number, **fields}, dict(arrays or {}))
        try:
            self._send_drops(handles)
            wire.send(handles.stream, request)
            answer = wire.receive(handles.stream, expected, "error")
            if answer.fields["number"] != number:
                raise wire.WireError(
                    f"expected the answer to request {number}, got that to "
                    f"{answer.fields['number']}"
                )
        except (wire.ClosedError, ConnectionError):
            raise self._lost(handles) from None
        except wire.WireError as error:
            self.end()
            raise MachineError(f"{self._title} sent what is no answer: {error}") from None
        if answer.kind == "error":
            self._fail(answer.fields)
        return answer

    def _fail(self, fields: dict[str, Any]) -> None:
        """Raise the error that an answer tells of."""
        message = f"{fields['type']}: {fields['message']}"
        if fields["fault"] == "cell":
            raise RefusalError(message)
        if fields["fault"] == "machine":
            self.end()  # after an error of the device nothing else would go well
        if fields["type"] in ("ImportError", "ModuleNotFoundError"):
            message = f"a package is missing ({fields['message']})"
        raise MachineError(f"environment {self.environment.title}: {message}")

    def _send_drops(self, handles: _Handles) -> None:
        while self._dropped:
            model = self._dropped.pop()
            if model in self._loaded:
                self._loaded.discard(model)
                wire.send(handles.stream, wire.Message("drop", {"model": model}))

    def _start(self) -> _Handles:
        """Start the Python and wait for its first message."""
        self._loaded.clear()
        handles = self._handles = _Handles(self.environment)
        handles.stream.settimeout(START_SECONDS)
        try:
            hello = wire.receive(handles.stream, "hello")
        except (wire.ClosedError, ConnectionError):
            lost = self._lost(handles)
            if (handles.process.returncode or 0) > 0:  # so would any other attempt
                raise MachineError(str(lost)) from None
            raise lost from None
        except (wire.WireError, TimeoutError) as error:
            self.end()
            raise MachineError(f"{self._title} did not start: {error}") from None
        handles.stream.settimeout(None)
        self.packages = dict(hello.fields["packages"])
        self.python_version = hello.fields["python"]
        return handles

    def _lost(self, handles: _Handles) -> LostError:
        """Describe how the process ended, with the end of its output."""
        self._handles = None
        self._loaded.clear()
        reason = handles.close(patience=1.0)
        is_killed = handles.process.returncode in (-signal.SIGKILL, -signal.SIGTERM)
        lines = "" if is_killed else handles.last_lines
        return LostError(f"{self._title} {reason}" + (f": {lines}" if lines else ""))

    def _is_ours(self) -> bool:
        """Return whether the process is this one's; one that was forked has to start its own."""
        return self._handles is not None and self._handles.owner == os.getpid()

    @property
    def _title(self) -> str:
        return f"the model process of environment {self.environment.title}"


class _Handles:
    """A running process, the socket to it, and its output."""

    def __init__(self, environment: ModelEnvironment) -> None:
        self.owner = os.getpid()
        self._log = tempfile.TemporaryFile(mode="a+b", buffering=0)  # noqa: SIM115 (closed below)
        self.last_lines = ""
        self.stream, theirs = socket.socketpair()
        watched, self._life = os.pipe()
        command = [str(environment.python), "-I", str(FOREIGN / "serve.py")]
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(watched)],
                pass_fds=(theirs.fileno(), watched),
                env=program_environment(),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                preexec_fn=dies_with_parent(),
            )
        except OSError as error:
            os.close(self._life)
            raise MachineError(f"{environment.python} cannot be run: {error}") from error
        finally:
            theirs.close()
            os.close(watched)
        self._finalizer = weakref.finalize(self, _end, self.process, self._life, self.owner)

    def trim_log(self) -> None:
        """Empty the file of the process's output if it has become large."""
        if os.fstat(self._log.fileno()).st_size > MAX_LOG:
            os.ftruncate(self._log.fileno(), 0)

    def close(self, patience: float) -> str:
        """End the process, and say how it had ended if it had.

        Parameters
        ----------
        patience
            Seconds to wait for a process that may be ending just now.
        """
        self.stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        code = self.process.poll()
        self._finalizer()
        self._log.seek(0)
        text = self._log.read()[-MAX_LOG:].decode(errors="replace")
        self._log.close()
        self.last_lines = " / ".join(text.split("\n")[-4:]).strip(" /")[-500:]
        if code is None:
            return "closed its connection"
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _end(process: subprocess.Popen, life: int, owner: int) -> None:
    """Kill a process and let go of its pipe; in a fork, which has neither, do nothing."""
    if owner != os.getpid():
        return
    os.close(life)
    if process.poll() is None:
        process.kill()
        process.wait()


def model_process(environment: ModelEnvironment) -> ModelProcess:
    """Return this job's process of an environment; the first model starts it."""
    existing = _running.get(environment.python)
    process = existing() if existing is not None else None
    if process is None:
        process = ModelProcess(environment)
        _running[environment.python] = weakref.ref(process)
    if _blocks and process not in _blocks[-1]:
        _blocks[-1].append(process)
    return process


@contextlib.contextmanager
def processes_end_here() -> Iterator[list[ModelProcess]]:
    """Keep the processes of models that are loaded in the block until it ends, and end them then.

    A model may outlive the job that has loaded it, in a cache or a traceback; its process does not.

    Yields
    ------
    list of ModelProcess
        The processes so far.
    """
    processes: list[ModelProcess] = []
    _blocks.append(processes)
    try:
        yield processes
    finally:
        _blocks.remove(processes)
        for process in processes:
            process.end()


def _check_shapes(result: Mapping[str, np.ndarray], request: Mapping[str, np.ndarray]) -> None:
    """Refuse results that are not of the request's cells."""
    cells = len(request["sizes"])
    expected = {"energy": (cells,), "forces": request["positions"].shape, "stress": (cells, 3, 3)}
    for name, array in result.items():
        if array.shape != expected[name]:
            raise MachineError(
                f"a model gave {name} of shape {array.shape}, expected {expected[name]}"
            )
