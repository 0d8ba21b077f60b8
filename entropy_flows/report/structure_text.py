"""A structure's story in sections of named lines, for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.report.cell_errors import CellPrediction
from entropy_flows.report.model import ROLES
from entropy_flows.report.structure import LabelStory, Neighbour, Statement, StructureStory
from entropy_flows.report.text import MISSING, general, number
from entropy_flows.schemas.stages import IMPORT, Stage

ORIGIN_WORDS: Mapping[str, tuple[str, str]] = {
    "phase": ("phase", ""),
    "temperature": ("temperature", " K"),
    "k": ("entropy weight k", " eV"),
    "pressure": ("nominal pressure", " GPa"),
    "mode": ("mode", ""),
    "run": ("run", ""),
    "step": ("step", ""),
    "seed": ("seed", ""),
    "model": ("model", ""),
    "source": ("file", ""),
}
"""Field of an origin → its name and its unit, in the order of the lines."""
MODES = {"atom": "per atom", "config": "per configuration"}
MODEL_LENGTH = 19
"""Characters of a model's reference that are written: "sha256:" and 12 digits."""


@dataclass(frozen=True)
class Section:
    """A title, and lines of a name and a value each."""

    title: str
    lines: list[tuple[str, str]]


def sections(story: StructureStory) -> list[Section]:
    """Write a story in sections; one without lines is left out."""
    every = [
        Section("origin", list(_origin(story))),
        Section("choice", list(_choice(story))),
        Section("label", list(_label(story))),
        Section("errors", list(_errors(story))),
        Section("nearest entries", list(neighbour_lines(story.neighbours))),
    ]
    return [section for section in every if section.lines]


def headline(story: StructureStory) -> str:
    """Write in one line what the structure is and where it stands."""
    state = "excluded from the data set" if story.excluded else _state(story)
    return (
        f"{story.formula}, {story.n_atoms} atoms, {story.volume_per_atom:.2f} Å³/atom; "
        f"position {story.position}; {state}"
    )


def reason_chosen(story: StructureStory) -> str:
    """Write why the structure is in the ledger, with the numbers."""
    ranked = f"number {story.rank} of {story.rank_of}"
    where = f"in iteration {story.iteration}"
    asked = "" if story.threshold is None else f"; θ was {story.threshold:g}"
    if story.stage == Stage.SELECT:
        by = f" by {story.selector}" if story.selector else ""
        return f"accepted{by} {where}, {ranked}{asked}"
    if story.stage == Stage.REFINE:
        before = number(story.origin.get("refined_from"), 4)
        steps = story.origin.get("refine_steps", MISSING)
        return f"a near miss {where}: {steps} steps uphill, from ΔH {before}, {ranked}{asked}"
    if story.stage == Stage.ANCHOR:
        return f"an anchor {where}, {ranked}: plain dynamics, the selector is not asked"
    if story.stage == IMPORT:
        return f"imported before iteration {story.iteration + 1}, with its label, {ranked}"
    return f"in place of a label {where} that failed, {ranked}{asked}"


def _state(story: StructureStory) -> str:
    """Write what became of the structure."""
    label = story.label
    if label is None:
        return "not labelled"
    if not label.converged:
        return f"its label failed: {label.reason}"
    if label.flagged:
        return "labelled, flagged and not trained on"
    if label.foreign:
        return "labelled by another engine, not trained on"
    return f"labelled, in {story.split}" if story.split else "labelled, in no split yet"


def _origin(story: StructureStory) -> Iterator[tuple[str, str]]:
    yield "stage", f"{story.stage} of iteration {story.iteration}"
    yield from origin_lines(story.origin, _role(story))
    yield "in the ledger since", f"{story.created:%Y-%m-%d %H:%M} UTC"


def origin_lines(origin: Mapping[str, Any], role: str = "") -> Iterator[tuple[str, str]]:
    """Write an origin; `role` says which of the campaign's models its model is."""
    for field, (name, unit) in ORIGIN_WORDS.items():
        value = origin.get(field)
        if value is not None:
            yield name, _origin_text(field, value, unit) + (role if field == "model" else "")


def _role(story: StructureStory) -> str:
    """Write which of the campaign's models has explored."""
    number = story.model_iteration
    return "" if number is None else f" ({ROLES.get(number, f'iteration {number}')})"


def _origin_text(field: str, value: Any, unit: str) -> str:
    if field == "mode":
        return MODES.get(value, str(value))
    if field == "source" and isinstance(value, Mapping):
        return f"{value.get('file')}, frame {value.get('index')}"
    if field == "model" and str(value).startswith("sha256:"):
        return str(value)[:MODEL_LENGTH]
    return f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def _choice(story: StructureStory) -> Iterator[tuple[str, str]]:
    yield "why", reason_chosen(story)
    if story.gain is not None:
        yield "gain ΔH", number(story.gain, 4)
    if story.variance_gain is not None:
        yield "variance gain", f"{story.variance_gain:.3g} of the target's unknown"
    for statement in story.statements:
        yield statement.what, _statement_text(statement)


def _statement_text(statement: Statement) -> str:
    by = f" by {statement.by}" if statement.by else ""
    why = f": {statement.why}" if statement.why else ""
    return f"{statement.at:%Y-%m-%d %H:%M} UTC{by}{why}"


def _label(story: StructureStory) -> Iterator[tuple[str, str]]:
    label = story.label
    if label is None:
        return
    yield "engine", f"{label.engine} ({label.engine_hash[:12]})"
    if not label.converged:
        evidence = f": {label.evidence}" if label.evidence else ""
        yield "failed", f"{label.reason}{evidence}"
    yield from _numbers(label)
    if label.flagged:
        yield "flagged", label.flagged
    if label.foreign:
        yield "foreign", "by another engine than the campaign's"
    if story.split:
        yield "split", story.split
    if story.copied_from:
        yield "copied from", f"{story.copied_from['campaign']}, {story.copied_from['key']}"
    if label.wall_seconds:
        yield "wall time", f"{label.wall_seconds:.3g} s"
    if label.directory:
        yield "folder", label.directory
    for copy in story.copies:
        engine = "same engine" if copy.same_engine else "another engine"
        yield "same cell", f"{copy.campaign}, {copy.key} ({copy.split or 'no split'}, {engine})"


def _numbers(label: LabelStory) -> Iterator[tuple[str, str]]:
    if label.energy is not None:
        yield "energy", f"{label.energy:.5f} eV/atom"
    if label.max_force is not None:
        yield "largest force", f"{label.max_force:.3f} eV/Å"
    if label.pressure is not None:
        yield "pressure", f"{label.pressure:.2f} GPa"
    if label.total_magmom is not None:
        yield "moment", f"{label.total_magmom:.2f} μ_B"


def _errors(story: StructureStory) -> Iterator[tuple[str, str]]:
    errors = story.errors
    if errors is None:
        return
    if errors.first is not None and errors.before is not None:
        yield "first model", _prediction(errors.first)
        yield f"before iteration {story.evaluated_in}", _prediction(errors.before)
    yield f"after iteration {story.evaluated_in}", _prediction(errors.after)


def _prediction(predicted: CellPrediction) -> str:
    energy = 1e3 * predicted.energy_error
    stress = "" if predicted.stress_mae is None else f", stress MAE {predicted.stress_mae:.2f} GPa"
    return (
        f"energy {energy:+.1f} meV/atom, force MAE {1e3 * predicted.forces_mae:.0f} meV/Å{stress}"
    )


def neighbour_lines(neighbours: Sequence[Neighbour]) -> Iterator[tuple[str, str]]:
    """Write what the nearest entries are, and how far they are."""
    for each in neighbours:
        phase = f", {each.phase}" if each.phase else ""
        stage = f"{each.stage} of iteration {each.iteration}"
        yield (
            each.key,
            f"distance {general(round(each.distance, 4))}; {each.formula}{phase}, {stage}",
        )


def plain(value: Any) -> Any:
    """Return a value of JSON of one of a story: times become text."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
