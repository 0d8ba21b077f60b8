"""Make a model's compiled form: `python -m entropy_flows.compiled.program MODEL CELLS SIZE DEVICE`.

It is a process of its own, for a compiler takes memory that a worker would keep, and code that does
not run on its machine ends the process. CELLS is a file of cells like those that the model will be
called with, SIZE the cells of a call. The form's facts are written last.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from ase import Atoms

from entropy_flows.allocator import keep_freed_memory
from entropy_flows.batch import Batch
from entropy_flows.compiled.cache import CompiledFacts, CompiledForm, compiled_form
from entropy_flows.compiled.speed import measure_speed
from entropy_flows.digest import file_sha256
from entropy_flows.files import read_json
from entropy_flows.geometry import cell_from_dict
from entropy_flows.potentials import BatchModel, load_batch_model, split_model

NICENESS = 10
"""By how much a compiler gives way to the dynamics that runs beside it."""
MAX_ENERGY_DIFFERENCE = 1e-5
"""Difference of the energies per atom (eV) of both forms at which the compiled one is refused."""
MAX_FORCE_DIFFERENCE = 1e-3
"""The same of force components (eV/Å)."""


def main(model: str, cells: str, size: str, device: str) -> None:
    """Compile, compare the form with the model, time both, and write the facts."""
    os.nice(NICENESS)
    keep_freed_memory()
    eager = load_batch_model(model, device)
    form = compiled_form(model, eager)
    if form is None:
        raise ValueError(f"{model} has no compiled form")
    atoms = [cell_from_dict(each) for each in read_json(Path(cells), [])]
    started = time.perf_counter()
    form.family.compile(split_model(model)[0], form.path, device)
    seconds = time.perf_counter() - started
    form.write_facts(describe(form, model, eager, atoms, int(size), seconds))


def describe(
    form: CompiledForm,
    model: str,
    eager: BatchModel,
    cells: Sequence[Atoms],
    size: int,
    seconds: float,
) -> CompiledFacts:
    """Load a form that was made, and write down whether it is right, and how fast both are.

    Parameters
    ----------
    form
        The form.
    model, eager
        The model that it was made of.
    cells, size
        Cells like those of its calls, and their number in a call.
    seconds
        Time that making it took.
    """
    compiled = form.load(eager, model)
    reason = difference(eager, compiled, cells)
    return CompiledFacts(
        machine=form.machine.as_dict(),
        model=file_sha256(split_model(model)[0]),
        sha256=None if reason else file_sha256(form.path),
        reason=reason,
        seconds=seconds,
        size=size,
        eager=astuple(measure_speed(eager, cells, size)),
        compiled=astuple(measure_speed(compiled, cells, size)),
    )


def difference(eager: BatchModel, compiled: BatchModel, cells: Sequence[Atoms]) -> str | None:
    """Say how a compiled form differs from its model by more than rounding; None if it does not."""
    batch = Batch.of(cells, eager.device)
    expected = eager(batch)
    actual = compiled(batch)
    sizes = batch.cells.vectors.new_tensor(batch.cells.sizes)
    energy = float(((actual.energy - expected.energy) / sizes).abs().max())
    forces = float((actual.forces - expected.forces).abs().max())
    if energy <= MAX_ENERGY_DIFFERENCE and forces <= MAX_FORCE_DIFFERENCE:
        return None
    return (
        f"the compiled model differs from the model by {1e3 * energy:.3g} meV/atom "
        f"and {1e3 * forces:.3g} meV/Å"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
