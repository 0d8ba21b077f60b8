"""One label as one job: a static Maker's calculation run inside ours, and its failure made a label too.

The nested Maker's calculation runs in the current directory, through the function under its `@job`
decorator; a Maker that needs several jobs is refused.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.engine_check import writes_no_inputs
from entropy_flows.label.engines import engine_name, is_vasp
from entropy_flows.label.read import Label, read_label
from entropy_flows.label.reasons import (
    EngineError,
    Reason,
    check_geometry,
    is_not_set_up,
    not_started,
    reason_from_exception,
)
from entropy_flows.label.scf_retries import scf_changes, with_changes
from entropy_flows.label.vasp_validation import validate_vasp_output

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from jobflow import Job, Maker
    from pymatgen.core import Structure


def label_one(
    maker: Maker,
    structure: Structure,
    directory: str | Path | None = None,
    min_distance_fraction: float = 0.5,
    scf_retries: int = 0,
) -> Label:
    """Label of one structure; a calculation that fails is a label too.

    Parameters
    ----------
    maker
        Static Maker.
    structure
        The cell.
    directory
        Where to run, created if need be; None is the current directory.
    min_distance_fraction
        See `check_geometry`.
    scf_retries
        Times that a VASP run whose electronic steps ran out is done again with other means to the
        same end, each in a folder of its own (`again_1`, …); see `label.scf_retries`.

    Returns
    -------
    Label
        With numbers, or with a reason and evidence.

    Raises
    ------
    EngineError
        If the engine is not in order on this worker (packages, executable, pseudopotentials): every
        structure would fail, and none is to blame. Interrupts and what else the machine did wrong
        (a full disk) pass through as well.
    """
    physics = {"settings": maker.physics()} if hasattr(maker, "physics") else {}
    known: dict[str, Any] = {"provenance": {"engine": engine_name(maker), **physics}}
    if defect := check_geometry(structure, min_distance_fraction):
        return Label.failed(len(structure), Reason.BAD_GEOMETRY, defect, **known)
    start, tried = time.perf_counter(), []
    with _inside(directory):
        label = _attempt(maker, structure)
        for number, changes in enumerate(scf_changes(maker, scf_retries), 1):
            if label.reason is not Reason.SCF_NOT_CONVERGED:
                break
            with _inside(f"again_{number}"):
                label = _attempt(with_changes(maker, changes), structure)
            tried.append(changes)
    known["provenance"] |= {**label.provenance, **({"scf_retries": tried} if tried else {})}
    seconds = None if tried else label.wall_seconds  # the engine knows only its last run
    return replace(
        label, provenance=known["provenance"], wall_seconds=seconds or time.perf_counter() - start
    )


def _attempt(maker: Maker, structure: Structure) -> Label:
    """Label of one run in the current directory, or why there is none."""
    try:
        # atomate2's sets mean to sort and do not (0.1.5): one POTCAR for each run of equal atoms
        # would be the price
        doc = run_static(maker, structure.get_sorted_structure() if is_vasp(maker) else structure)
        label = read_label(doc, structure, free_energy=_free_energy(maker))
        looked_at = label.converged or label.reason is Reason.SCF_NOT_CONVERGED
        return validate_vasp_output(label) if looked_at and is_vasp(maker) else label
    except Exception as exc:
        if is_not_set_up(exc):
            words = not_started(".") or str(exc)
            raise EngineError(
                f"{engine_name(maker)} cannot run here: {' '.join(words.split())}"
            ) from exc
        if (fault := writes_no_inputs(maker, structure)) is not None:
            raise EngineError(f"{engine_name(maker)} writes no cell's inputs: {fault}") from exc
        reason, evidence = reason_from_exception(exc)
        if (
            is_machine_fault(exc) and reason is not Reason.OUT_OF_MEMORY
        ):  # that depends on the cell as well
            raise
        return Label.failed(len(structure), reason, evidence)


def label_batch(
    maker: Maker,
    structures: Sequence[Structure],
    min_distance_fraction: float = 0.5,
    scf_retries: int = 0,
) -> list[Label]:
    """Labels of several structures with one Maker, each in its own subdirectory of the current one.

    A batch of one runs in the current directory itself, where one expects the files of a VASP job.
    """
    single = len(structures) == 1
    folders = [None if single else f"label_{i:04d}" for i in range(len(structures))]
    return [
        label_one(maker, s, folder, min_distance_fraction, scf_retries)
        for s, folder in zip(structures, folders, strict=True)
    ]


def run_static(maker: Maker, structure: Structure) -> Any:
    """Task document of one static calculation, run here and now in the current directory.

    Parameters
    ----------
    maker
        A Maker whose `make(structure)` is one job. Hand in the same object for many structures:
        ASE-based Makers keep their calculator, so a model is loaded once.
    structure
        The cell.

    Returns
    -------
    Any
        What the Maker's job returns.

    Raises
    ------
    EngineError
        If the Maker makes a flow, or its job asks for more jobs.
    """
    from jobflow import Flow, Job, Response

    make = getattr(type(maker).make, "original", None)
    with _torch_dtype_kept():
        result = maker.make(structure) if make is None else make(maker, structure)
        if isinstance(result, Job):  # a plain method that hands out another Maker's job
            result = _call(result)
    if isinstance(result, Response):
        if result.replace or result.detour or result.addition:
            raise EngineError(
                f"{type(maker).__name__}'s job starts further jobs; a label must be one job"
            )
        result = result.output
    if isinstance(result, (Flow, Job, list)):
        what = type(result).__name__
        raise EngineError(
            f"{type(maker).__name__}.make gives a {what}; a label must be one job of one structure"
        )
    return result


def engine_calculator(maker: Maker) -> Calculator | None:
    """The calculator of an engine that works in memory, for what is no label; None for one that works through files.

    GPAW's calculator is not handed out: a relaxation with it takes hours, and belongs on a worker
    of its own.
    """
    if not hasattr(maker, "calculator_meta"):
        return None
    with _torch_dtype_kept():
        return maker.calculator  # type: ignore[attr-defined]


def _call(job: Job) -> Any:
    """Run a job's function without a store, bound to its object if it is a method."""
    owner = getattr(job.function, "__self__", None)
    function = getattr(job.function, "original", None)
    if function is None or owner is None:
        return (function or job.function)(*job.function_args, **job.function_kwargs)
    return function(owner, *job.function_args, **job.function_kwargs)


def _free_energy(maker: Maker) -> float | None:
    """F (eV) of an ASE calculator that has just run; its task document keeps only E₀."""
    results = getattr(getattr(maker, "_calculator", None), "results", None) or {}
    value = results.get("free_energy")
    return None if value is None else float(value)


@contextlib.contextmanager
def _inside(directory: str | Path | None) -> Iterator[None]:
    """Work in a directory, for a while."""
    here = Path.cwd()
    if directory is not None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _torch_dtype_kept() -> Iterator[None]:
    """Give torch its default dtype back: several force fields set it on loading, also when they then fail."""
    torch = sys.modules.get("torch")
    before = torch.get_default_dtype() if torch else None
    try:
        yield
    finally:
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_default_dtype(before or torch.float32)
