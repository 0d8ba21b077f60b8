"""atomate2's Maker of a single point by CP2K, kept from two of its accidents.

atomate2 (0.1.5) looks for a word in every setting that CP2K prints, and stumbles over the first
number, unless the run is spin-polarised. custodian (2026.10) ends a run by the name of its program:
every other CP2K on the machine would end with it. And a CP2K that something else has killed is
started again where it was, from the wave functions that it wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from atomate2.cp2k.jobs.base import cp2k_job
from atomate2.cp2k.jobs.core import StaticMaker
from atomate2.cp2k.schemas import calculation
from custodian.cp2k.handlers import (
    AbortHandler,
    FrozenJobErrorHandler,
    StdErrHandler,
    UnconvergedScfErrorHandler,
)
from custodian.custodian import ErrorHandler
from pymatgen.io.cp2k.outputs import Cp2kOutput

from entropy_flows.label.cp2k_output import moments_of_run, read_run
from entropy_flows.moments import set_moments

if TYPE_CHECKING:
    from jobflow import Response
    from pymatgen.core import Structure

_PATIENCE = 10.0  # s that a process has to end


class KilledHandler(ErrorHandler):
    """Starts a CP2K again that ended without a word: somebody killed it.

    Parameters
    ----------
    max_num_corrections
        Times that it is started again.
    """

    is_monitor = False
    raises_on_max = False

    def __init__(self, max_num_corrections: int = 2):
        self.max_num_corrections = max_num_corrections

    def check(self, directory: str = "./") -> bool:
        """Return whether the output stops short, and no error is said."""
        run = read_run(directory)
        words = Path(directory) / "std_err.txt"
        has_words = words.is_file() and words.stat().st_size > 0
        if run is None or run.has_ended:
            return False
        return not (has_words or run.abort or run.is_unconverged)

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Change nothing: SCF_GUESS RESTART goes on from the wave functions in the folder."""
        return {"errors": ["killed"], "actions": [{"dict": "cp2k.inp", "action": {}}]}


@dataclass
class Cp2kStaticMaker(StaticMaker):
    """atomate2's StaticMaker, which reads restricted runs, and the moments of the others."""

    @cp2k_job
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> Response:
        """Run CP2K; see atomate2's `BaseCp2kMaker.make`."""
        with _restricted_runs_read():
            make: Any = StaticMaker.make
            response = make.original(self, structure, prev_dir)
        set_moments(response.output.output.structure, moments_of_run())
        return response


def run_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of atomate2's `run_cp2k`, on top of which are those of the user.

    Of custodian's handlers those are left out that change the precision, and with it the numbers.

    Parameters
    ----------
    given
        The user's.
    """
    handlers = [
        StdErrHandler(),
        UnconvergedScfErrorHandler(),
        FrozenJobErrorHandler(),
        AbortHandler(),
        KilledHandler(),
    ]
    custodian = {"terminate_func": end_runs_of_this_folder, "terminate_on_nonzero_returncode": True}
    return {"handlers": handlers, "max_errors": 3, "custodian_kwargs": custodian, **given}


def end_runs_of_this_folder(directory: str = "./") -> None:
    """End the child processes that work in a folder, and no others."""
    folder = Path(directory).resolve()
    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if Path(child.cwd()) == folder:
                child.terminate()
                children.append(child)
    _, alive = psutil.wait_procs(children, timeout=_PATIENCE)
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.kill()


class _Words(dict):
    """Settings of which only the words are values; all are items."""

    def values(self) -> Any:
        """Return the words."""
        return [value for value in super().values() if isinstance(value, str)]


class _RestrictedOutput(Cp2kOutput):
    """An output whose settings atomate2 can search for a word."""

    def parse_dft_params(self) -> None:
        """Read the settings."""
        super().parse_dft_params()
        self.data["dft"] = _Words(self.data["dft"])


@contextlib.contextmanager
def _restricted_runs_read() -> Iterator[None]:
    """Have atomate2's task document read with `_RestrictedOutput`."""
    before = calculation.Cp2kOutput
    calculation.Cp2kOutput = _RestrictedOutput  # type: ignore[misc]
    try:
        yield
    finally:
        calculation.Cp2kOutput = before  # type: ignore[misc]
