"""How long a model in an environment takes to load and to evaluate cells."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ase.build import bulk
from ase.data import atomic_numbers

from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model, split_model, with_arguments

if TYPE_CHECKING:
    from entropy_flows.potentials import BatchModel

MIN_ATOMS = 32
COUNTS = (1, 32)
"""Cells in a batch."""
REPEATS = 3


def time_model(model: str, environment: str, element: str) -> list[tuple[str, ...]]:
    """Load a model in an environment and time steps of one cell and of 32.

    Parameters
    ----------
    model
        Its name or path, or a mapping with `name` in JSON.
    environment
        Name or path of the environment.
    element
        Element whose crystal is evaluated.

    Returns
    -------
    list of tuple of str
        Rows of a table, the first of which is its header.

    Raises
    ------
    ValueError
        If there is no crystal of the element, or the model cannot be loaded.
    """
    from entropy_flows.settings import settings

    batches = {count: _crystals(element, count) for count in COUNTS}
    arguments = _arguments(model)
    started = time.perf_counter()
    name = with_arguments(arguments.pop("name"), {**arguments, "environment": environment})
    loaded = load_batch_model(name, settings().device)
    rows: list[tuple[str, ...]] = [("what", "seconds", "energy (eV/atom)")]
    rows.append(("loading", f"{time.perf_counter() - started:.2f}", ""))
    for count, batch in batches.items():
        seconds, energy = _time(loaded, batch)
        atoms = len(batch.positions)
        what = f"a step of {count} cell{'s' if count > 1 else ''}, {atoms} atoms"
        rows.append((what, f"{seconds:.3f}", f"{energy:.4f}"))
    return rows


def _arguments(model: str) -> dict:
    """Return name and arguments of a model that the command line has."""
    if not model.lstrip().startswith("{"):
        name, arguments = split_model(model)
        return {"name": name, **arguments}
    try:
        mapping = json.loads(model)
    except ValueError:
        raise ValueError(f"--model {model} is no JSON") from None
    if not isinstance(mapping.get("name"), str):
        raise ValueError(f"--model {model}: expected a mapping with `name`")
    return mapping


def _crystals(element: str, count: int) -> Batch:
    """Return rattled crystals of an element, of at least 32 atoms each."""
    if element not in atomic_numbers:
        raise ValueError(f"--element {element}: expected a chemical symbol")
    try:
        cell = bulk(element)
    except (ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"--element {element} has no simple crystal: {error}") from None
    repeat = round((MIN_ATOMS / len(cell)) ** (1 / 3) + 0.49)
    structures = []
    for index in range(count):
        atoms = cell * (repeat, repeat, repeat)
        atoms.rattle(0.05, seed=index)
        structures.append(atoms)
    return Batch.of(structures)


def _time(model: BatchModel, batch: Batch) -> tuple[float, float]:
    """Return the shortest time (s) of some steps, and the mean energy (eV/atom)."""
    times = []
    for repeat in range(REPEATS):
        # moved as a whole: a calculator returns what it has for a cell that it has just seen
        moved = batch.at(batch.positions + 0.01 * repeat)
        started = time.perf_counter()
        result = model(moved)
        times.append(time.perf_counter() - started)
    return min(times), float(result.energy.sum()) / len(batch.positions)
