"""Task documents of atomate2 as labelled cells, in jobflow's store or as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from entropy_flows.label.frame import Existing
from entropy_flows.label.read import read_label, structure_of

_RUN_SPECIFIC = ("kpoints", "n_kpoints", "electronic_steps", "directory", "version", "free_energy")


def read_tasks(rows: Iterable[Mapping[str, Any]], collection: str) -> Iterator[Existing]:
    """Task documents, as atomate2 stores them through jobflow or as they are."""
    for row in rows:
        stored = "uuid" in row and "index" in row
        name = str(row["uuid"] if stored else row.get("task_id", row.get("_id")))
        task = row.get("output") if stored else row
        yield of_task(task, f"{collection}: {name}", {"collection": collection, "task": name})


def of_task(task: Any, place: str, source: dict[str, Any]) -> Existing:
    """A task document as a frame."""
    try:
        label, structure = read_label(task), structure_of(task)
    except Exception as err:  # any document may be in a collection
        return Existing(place, source, defect=f"no label: {err}")
    if not label.converged:
        return Existing(place, source, defect=f"{label.reason}: {label.evidence}")
    if len(structure) != label.n_atoms or not structure.is_ordered:
        return Existing(place, source, defect=f"forces of {label.n_atoms} atoms, {len(structure)} sites")
    settings = {name: value for name, value in label.provenance.items() if name not in _RUN_SPECIFIC}
    calculations = task.get("calcs_reversed") if isinstance(task, Mapping) else None
    inputs = dict(calculations[0].get("input") or {}) if calculations else None
    return Existing(place, source, structure, label, settings, inputs)
