"""Task documents of atomate2 as labelled cells, in jobflow's store or as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.document import value_at
from entropy_flows.label.frame import ImportedFrame
from entropy_flows.label.read import read_label, structure_of
from entropy_flows.label.steps import LAST, StepRule
from entropy_flows.label.task_moments import initial_moments
from entropy_flows.moments import set_moments

# Labels that differ in these alone may be mixed.
_RUN_SPECIFIC = (
    *("kpoints", "n_kpoints", "electronic_steps", "directory", "version"),
    *("free_energy", "stress"),
)


def read_tasks(
    rows: Iterable[Mapping[str, Any]], collection: str, rule: StepRule = LAST
) -> Iterator[ImportedFrame]:
    """Read task documents, as atomate2 stores them through jobflow or as they are.

    Parameters
    ----------
    rows
        Documents.
    collection
        Where they are from.
    rule
        Which ionic steps of a run of VASP; a document of another code is one frame.

    Yields
    ------
    ImportedFrame
        At least one for each document.
    """
    for row in rows:
        stored = "uuid" in row and "index" in row
        name = str(row["uuid"] if stored else row.get("task_id", row.get("_id")))
        task = row.get("output") if stored else row
        location = f"{collection}: {name}"
        source = {"collection": collection, "task": name}
        steps = value_at(task, "calcs_reversed", 0, "output", "ionic_steps") or []
        if not steps:
            yield frame_of_task(task, location, source)
            continue
        numbers = rule.numbers(len(steps))
        for number in numbers:
            title = location if rule.every is None else f"{location} step {number}"
            yield frame_of_task(task, title, source | {"step": number}, number - 1)
        if not numbers:
            reason = f"{len(steps)} ionic steps in it, none of which is a {rule.every}th"
            yield ImportedFrame(location, source, defect=reason)


def frame_of_task(
    task: Any, location: str, source: dict[str, Any], step: int = -1
) -> ImportedFrame:
    """Make a frame of a task document.

    Parameters
    ----------
    task
        The document.
    place, source
        See `ImportedFrame`.
    step
        Which ionic step of a run of VASP.

    Returns
    -------
    ImportedFrame
        Its cell and label, or why there are none.
    """
    try:
        label = read_label(task, step=step)
        structure = structure_of(task, step) if label.converged else None
    except Exception as err:  # any document may be in a collection
        if is_machine_fault(err):
            raise
        return ImportedFrame(location, source, defect=f"no label: {err}")
    if structure is None:
        return ImportedFrame(location, source, defect=f"{label.reason}: {label.evidence}")
    if len(structure) != label.n_atoms or not structure.is_ordered:
        return ImportedFrame(
            location, source, defect=f"forces of {label.n_atoms} atoms, {len(structure)} sites"
        )
    # The moments that a final cell has are no start for another calculation.
    structure = structure.copy()
    set_moments(structure, initial_moments(task, label.n_atoms))
    settings = {
        name: value for name, value in label.provenance.items() if name not in _RUN_SPECIFIC
    }
    calculations = task.get("calcs_reversed") if isinstance(task, Mapping) else None
    inputs = dict(calculations[0].get("input") or {}) if calculations else None
    return ImportedFrame(location, source, structure, label, settings, inputs)
