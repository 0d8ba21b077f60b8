"""Any static Maker as a label engine: what can be said of one that this package does not know."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from entropy_flows.digest import digest
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.engines.base import Engine
from entropy_flows.label.engines.contents import package_version, paths_replaced
from entropy_flows.label.params import LabelParams
from entropy_flows.label.reasons import EngineError, Reason, reason_from_exception

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label.read import Label
    from entropy_flows.label.vasp_inputs import Inputs

# Every field of a Maker decides its numbers but those that only name, run, copy or store.
_NOT_PHYSICS = re.compile(
    r"@version|name|tags|ionic_step_data|store_trajectory|write_additional_data"
    r"|(run|copy|task|stop)_.*kwargs"
)


class CustomParams(LabelParams):
    """A static Maker of the user's own."""

    engine: Literal["custom"] = "custom"
    """Names this engine; implied by `maker`."""
    maker: str | dict[str, Any]
    """Your own static Maker: its MSON dictionary, or "package.module:name" of a Maker or of a
    function making one.
    """

    @field_validator("maker", mode="before")
    @classmethod
    def _as_data(cls, maker: Any) -> Any:
        """Make a Maker its dictionary: jobflow revives objects on their way through a database."""
        if not hasattr(maker, "as_dict"):
            return maker
        from monty.json import MontyEncoder

        return json.loads(MontyEncoder().encode(maker))

    def make_maker(self) -> Maker:
        """Revive the Maker, or fetch it by its import path.

        Raises
        ------
        ValueError
            If there is no such Maker.
        """
        from jobflow import Maker

        path, maker = _revive(self.maker) if isinstance(self.maker, dict) else _load(self.maker)
        if not isinstance(maker, Maker):
            kind = type(maker).__name__
            raise ValueError(f"label engine '{path}' is a {kind}, not a jobflow Maker")
        return maker


class MakerEngine(Engine):
    """A static Maker of any code.

    Parameters
    ----------
    maker
        The static Maker.
    """

    in_memory: bool = False
    takes_many: bool = False
    spin_option: str | None = None

    def __init__(self, maker: Maker):
        self.maker = maker

    @property
    def labels_per_job(self) -> int:
        """One where a label is a run of a program, several from a calculator in memory."""
        return 8 if self.in_memory else 1

    @property
    def has_spin(self) -> bool | None:
        """None: an unknown code may know of moments."""
        return None

    @property
    def name(self) -> str:
        """The Maker's class."""
        return type(self.maker).__name__

    @property
    def hash(self) -> str:
        """SHA-256 of `hash_input`."""
        return digest(self.hash_input(), default=str)

    def hash_input(self) -> dict[str, Any]:
        """Return the Maker's fields, without those that decide no numbers, and the versions."""
        fields = {
            key: value
            for key, value in self.maker.as_dict().items()
            if not _NOT_PHYSICS.fullmatch(key)
        }
        package = type(self.maker).__module__.split(".")[0]
        return {
            "version": package_version(package),
            "ase": package_version("ase"),
            "maker": paths_replaced(fields),
        }

    def provenance(self) -> dict[str, Any]:
        """Return the engine's name."""
        return {"engine": self.name}

    def prepare(self, structure: Structure) -> Structure:
        """Return the structure as it is."""
        return structure

    def documents(self, document: Any, number: int) -> Sequence[Any]:
        """Return the document, which is of the one cell."""
        return [document]

    def free_energy(self) -> float | None:
        """Return F (eV) of the calculator that an ASE Maker keeps; its documents have E₀ alone."""
        calculator = getattr(self.maker, "_calculator", None)
        results = getattr(calculator, "results", None) or {}
        value = results.get("free_energy")
        return None if value is None else float(value)

    def failure(self, error: BaseException) -> tuple[Reason, str]:
        """Return what the exception, custodian's log and the last words on disk say."""
        return reason_from_exception(error)

    def validate(self, label: Label) -> Label:
        """Return the label: nothing is known of the output."""
        return label

    def scf_retries(self, limit: int) -> Iterator[tuple[dict[str, Any], Engine]]:
        """Yield nothing: no settings are known to help."""
        return iter(())

    def input_fault(self, structure: Structure) -> str | None:
        """Return None: no inputs can be looked at."""
        return None

    def check(self, cells: Mapping[str, Structure]) -> None:
        """Pass: no inputs can be looked at."""

    def missing_here(self) -> str | None:
        """Return None: what the engine needs is not known before it runs."""
        return None

    def check_here(self) -> None:
        """Raise an EngineError if `missing_here` names something."""
        if (missing := self.missing_here()) is not None:
            raise EngineError(f"{self.name} cannot run here: {missing}")

    def queue_warnings(self, queue_file: Path, keys: Mapping[str, Any]) -> list[str]:
        """Return nothing: what the engine needs of a queue is not known."""
        return []

    def calculator(self) -> Calculator | None:
        """Return None: the engine works through files."""
        return None

    def models(self) -> list[str]:
        """Return nothing: no potential is known."""
        return []

    def moment_table(self) -> dict[str, float] | None:
        """Return None: no initial moments are known."""
        return None

    def planned_inputs(self, structure: Structure) -> Inputs | None:
        """Return None: no input files are known."""
        return None


def import_object(path: str) -> Any:
    """Import "package.module:name".

    Raises
    ------
    ValueError
        If that is no import path, or nothing can be imported by it.
    """
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(
            f"label engine '{path}' is not an import path; write 'package.module:name'"
        )
    try:
        imported = importlib.import_module(module)
        for attribute in name.split("."):
            imported = getattr(imported, attribute)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"label engine '{path}' cannot be imported: {exc}") from exc
    return imported


def _revive(data: dict[str, Any]) -> tuple[str, Any]:
    """Return the import path and the object of a MSON dictionary."""
    from monty.json import MontyDecoder

    if not {"@module", "@class"} <= data.keys():
        raise ValueError("a Maker given as a dictionary needs its '@module' and '@class'")
    path = f"{data['@module']}:{data['@class']}"
    import_object(path)  # monty would leave the dictionary as it is
    return path, MontyDecoder().process_decoded(data)


def _load(path: str) -> tuple[str, Any]:
    """Return an import path and the Maker there, or what the function there makes."""
    from jobflow import Maker

    maker = import_object(path)
    if isinstance(maker, Maker) or not callable(maker):
        return path, maker
    try:
        return path, maker()
    except Exception as exc:
        if is_machine_fault(exc):
            raise
        raise ValueError(f"label engine '{path}' cannot be made without arguments: {exc}") from exc
