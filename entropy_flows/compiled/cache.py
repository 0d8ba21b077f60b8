"""Where compiled forms are, and what is known of them.

    CACHE/compiled/ARCHITECTURE-MACHINE/model.nequip.pt2    the machine code
    CACHE/compiled/ARCHITECTURE-MACHINE/facts.json          its facts, written when it is whole

A form without facts, or with another SHA-256 than they have, does not count. So a process that is
killed while it makes one leaves nothing that anybody would load.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from entropy_flows.compiled.machine import MachineKind, machine_kind
from entropy_flows.digest import file_sha256
from entropy_flows.files import write_json
from entropy_flows.potentials import BatchModel, find_model, match_model
from entropy_flows.potentials.base import ModelFamily
from entropy_flows.potentials.loaded_models import load_once
from entropy_flows.settings import settings

FACTS = "facts.json"


class CompiledFacts(BaseModel):
    """Record what is known of a compiled form, or of the attempt to make one."""

    model_config = ConfigDict(extra="forbid")

    machine: dict[str, Any]
    """Kind of the machine that it was made on."""
    model: str
    """SHA-256 of the file of the model that it was made of."""
    sha256: str | None = None
    """SHA-256 of the form; None if there is none."""
    reason: str | None = None
    """Why there is none."""
    seconds: float
    """Time that making it took (s)."""
    size: int = 1
    """Cells of the larger call that was timed."""
    eager: tuple[float, float] | None = None
    """Seconds of a call and of each cell, of the eager model."""
    compiled: tuple[float, float] | None = None
    """The same of the compiled form."""


class CompiledForm(NamedTuple):
    """The place of a model's compiled form for this kind of machine.

    Attributes
    ----------
    family
        The family of the model.
    path
        The form's file, whether it is there or not.
    machine
        The kind of this machine.
    """

    family: ModelFamily
    path: Path
    machine: MachineKind

    @property
    def facts_path(self) -> Path:
        """The file of what is known of it."""
        return self.path.with_name(FACTS)

    @property
    def folder(self) -> Path:
        """The folder of the form alone."""
        return self.path.parent

    def facts(self) -> CompiledFacts | None:
        """Return what is known of the form; None before anybody has tried to make it."""
        return _read_facts(self.facts_path)

    def write_facts(self, facts: CompiledFacts) -> None:
        """Write what is known of the form, which is whole by now."""
        write_json(self.facts_path, facts.model_dump(mode="json"))

    def latest_facts(self) -> CompiledFacts | None:
        """Return the facts of the form that was made last for this kind of machine, of any model.

        None if none was.
        """
        files = self.folder.parent.glob(f"*-{self.machine.hash}/{FACTS}")
        for file in sorted(files, key=lambda each: each.stat().st_mtime, reverse=True):
            facts = _read_facts(file)
            if facts is not None and facts.sha256 is not None:
                return facts
        return None

    @property
    def is_there(self) -> bool:
        """True if the form is there, whole and as it was made."""
        facts = self.facts()
        if facts is None or facts.sha256 is None or not self.path.is_file():
            return False
        return file_sha256(self.path) == facts.sha256

    def fits(self, model: BatchModel, name: str) -> bool:
        """Tell whether the form is there and takes the weights of a model that is loaded."""
        if not self.is_there:
            return False
        try:
            self.load(model, name)
        except ValueError:
            return False
        return True

    def load(self, model: BatchModel, name: str) -> BatchModel:
        """Load the form with the weights of a model that is loaded.

        Within a job the process keeps it, as it keeps the model.

        Raises
        ------
        ValueError
            If the form is not of this architecture.
        """
        key = ("compiled", str(self.path), name, model.device)
        loaded: BatchModel = load_once(key, lambda: self.family.load_compiled(model, self.path))
        return loaded


def can_be_compiled(model: str) -> bool:
    """Tell whether a model is of a family that has compiled forms; the model need not be there."""
    match = match_model(model)
    return match is not None and bool(match.family.compiled_suffix)


def compiled_form(name: str, model: BatchModel) -> CompiledForm | None:
    """Find where a model's compiled form is, or would be; None if its family has none.

    Parameters
    ----------
    name
        Name or path of the model, with its arguments.
    model
        The model, loaded.
    """
    family, path, _ = find_model(name)
    architecture = family.architecture(model)
    if architecture is None or path.endswith(family.compiled_suffix):
        return None
    machine = machine_kind(model.device)
    folder = settings().cache.expanduser() / "compiled" / f"{architecture[:16]}-{machine.hash}"
    return CompiledForm(family, folder / f"model{family.compiled_suffix}", machine)


def _read_facts(path: Path) -> CompiledFacts | None:
    """Read a file of facts; None if there is none, or it is damaged."""
    try:
        return CompiledFacts.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None
