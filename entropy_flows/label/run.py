"""Run one label as one job; a calculation that fails becomes a label too.

The nested static Maker's calculation runs in the current directory, through the function under its
`@job` decorator. A Maker that needs several jobs is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows import progress
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.engines import Engine, engine_of
from entropy_flows.label.process_state import torch_dtype_kept, working_in
from entropy_flows.label.read import Label, read_label
from entropy_flows.label.reasons import (
    EngineError,
    InconsistentOutputError,
    Reason,
    check_geometry,
    is_not_set_up,
    not_started,
)

if TYPE_CHECKING:
    from jobflow import Job, Maker
    from pymatgen.core import Structure

    from entropy_flows.label.params import LabelParams


def labels_per_job(params: LabelParams, maker: Maker | None = None) -> int:
    """Return the number of structures that a job labels.

    Parameters
    ----------
    params
        The engine's parameters; their `batch_size` has the last word.
    maker
        The engine's static Maker; None makes it of the parameters.
    """
    if params.batch_size is not None:
        return params.batch_size
    return engine_of(params.make_maker() if maker is None else maker).labels_per_job


def label_one(
    maker: Maker,
    structure: Structure,
    directory: str | Path | None = None,
    min_distance_fraction: float = 0.5,
    scf_retries: int = 0,
    on_document: Callable[[Any], None] = lambda _: None,
) -> Label:
    """Label one structure; a calculation that fails is a label too.

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
        Times that a run whose electronic steps ran out is done again with other settings that lead
        to the same numbers, each in a folder of its own (`again_1`, …); see
        `Engine.scf_retries`.
    on_document
        Called with the task document of each run.

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
    engine = engine_of(maker)
    provenance = engine.provenance()
    if (defect := check_geometry(structure, min_distance_fraction)) is not None:
        return Label.failed(len(structure), Reason.BAD_GEOMETRY, defect, provenance=provenance)
    start = time.perf_counter()
    changes: list[dict[str, Any]] = []
    with working_in(directory):
        label = _attempt(engine, structure, on_document)
        if label.reason is Reason.SCF_NOT_CONVERGED:
            label, changes = _retry_scf(engine, structure, label, scf_retries, on_document)
    provenance |= label.provenance
    if changes:
        provenance["scf_retries"] = changes
    # The engine knows the time of its last run alone.
    seconds = None if changes else label.wall_seconds
    return replace(
        label, provenance=provenance, wall_seconds=seconds or time.perf_counter() - start
    )


def label_batch(
    maker: Maker,
    structures: Sequence[Structure],
    min_distance_fraction: float = 0.5,
    scf_retries: int = 0,
    on_document: Callable[[int, Any], None] = lambda *_: None,
) -> Iterator[Label]:
    """Label several structures with one Maker, each in its own subdirectory of the current one.

    A batch of one runs in the current directory itself, where one expects the files of a VASP job.
    An engine that takes many cells has all of them in one call. If that fails, or leaves a cell
    without a label, such cells are labelled alone, so that each has a reason of its own.
    `on_document` is called with a structure's index and the task document of each of its runs.

    Yields
    ------
    Label
        The label of each structure, when it is there.
    """
    single = len(structures) == 1
    together: dict[int, Label] = {}
    if engine_of(maker).takes_many and not single:
        progress.report(0, len(structures), "labels")
        together = _labels_together(maker, structures, min_distance_fraction, on_document)
    for index, structure in enumerate(structures):
        progress.report(index, len(structures), "labels")
        yield together.get(index) or label_one(
            maker,
            structure,
            None if single else f"label_{index:04d}",
            min_distance_fraction,
            scf_retries,
            partial(on_document, index),
        )


def _labels_together(
    maker: Maker,
    structures: Sequence[Structure],
    min_distance_fraction: float,
    on_document: Callable[[int, Any], None],
) -> dict[int, Label]:
    """Label cells in one call; return index → label of those that this gave a good one."""
    engine = engine_of(maker)
    sound = {
        index: structure
        for index, structure in enumerate(structures)
        if check_geometry(structure, min_distance_fraction) is None
    }
    if not sound:
        return {}
    start = time.perf_counter()
    try:
        with working_in("together"):
            document = run_static(maker, [engine.prepare(cell) for cell in sound.values()])
        documents = engine.documents(document, len(sound))
    except Exception as exc:
        if is_machine_fault(exc) and engine.failure(exc)[0] is not Reason.OUT_OF_MEMORY:
            raise
        # one of the cells is to blame, or their number; alone, each says why
        return {}
    seconds = (time.perf_counter() - start) / len(sound)
    labels = {}
    for (index, structure), task in zip(sound.items(), documents, strict=True):
        with contextlib.suppress(InconsistentOutputError):
            label = engine.validate(read_label(task, structure))
            if label.converged:
                on_document(index, task)
                provenance = engine.provenance() | label.provenance
                labels[index] = replace(label, provenance=provenance, wall_seconds=seconds)
    return labels


def _retry_scf(
    engine: Engine,
    structure: Structure,
    label: Label,
    limit: int,
    on_document: Callable[[Any], None],
) -> tuple[Label, list[dict[str, Any]]]:
    """Run again until the SCF converges; return the last label and the changes of each run."""
    tried = []
    for number, (changes, changed_engine) in enumerate(engine.scf_retries(limit), 1):
        with working_in(f"again_{number}"):
            label = _attempt(changed_engine, structure, on_document)
        tried.append(changes)
        if label.reason is not Reason.SCF_NOT_CONVERGED:
            break
    return label, tried


def _attempt(engine: Engine, structure: Structure, on_document: Callable[[Any], None]) -> Label:
    """Label a structure by one run in the current directory, or say why that failed."""
    try:
        result = run_static(engine.maker, engine.prepare(structure))
        [document] = engine.documents(result, 1)
        on_document(document)
        label = read_label(document, structure, free_energy=engine.free_energy())
        return engine.validate(label)
    except Exception as exc:
        if is_not_set_up(exc):
            words = not_started(".") or str(exc)
            raise EngineError(f"{engine.name} cannot run here: {' '.join(words.split())}") from exc
        if (fault := engine.input_fault(structure)) is not None:
            raise EngineError(f"{engine.name} writes no cell's inputs: {fault}") from exc
        reason, evidence = engine.failure(exc)
        # A lack of memory is the machine's fault, but depends on the cell as well.
        if is_machine_fault(exc) and reason is not Reason.OUT_OF_MEMORY:
            raise
        return Label.failed(len(structure), reason, evidence)


def run_static(maker: Maker, structure: Structure | Sequence[Structure]) -> Any:
    """Run one static calculation in the current directory, and return its task document.

    Parameters
    ----------
    maker
        A Maker whose `make(structure)` is one job. Hand in the same object for many structures:
        ASE-based Makers keep their calculator, so a model is loaded once.
    structure
        The cell, or several for a Maker that takes them.

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
    with torch_dtype_kept():
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
        raise EngineError(
            f"{type(maker).__name__}.make gives a {type(result).__name__}; a label must be one job "
            f"of one structure"
        )
    return result


def _call(job: Job) -> Any:
    """Run a job's function without a store, bound to its object if it is a method."""
    owner = getattr(job.function, "__self__", None)
    function = getattr(job.function, "original", None)
    if function is None or owner is None:
        return (function or job.function)(*job.function_args, **job.function_kwargs)
    return function(owner, *job.function_args, **job.function_kwargs)
