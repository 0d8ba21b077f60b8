"""The protocol of label engines: all that the package asks of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label.read import Label
    from entropy_flows.label.reasons import Reason
    from entropy_flows.label.vasp_inputs import Inputs


class Engine(Protocol):
    """A static Maker, and what is known of the code that it runs.

    `MakerEngine` answers for any Maker. An engine that knows more derives from it and overrides
    what it knows better; its Maker then has a method `as_engine` that returns it.
    """

    maker: Maker
    """The static Maker: its `make(structure)` is one job."""
    in_memory: bool
    """Whether labels come from a calculator in this process, in seconds; else it works through
    files."""
    spin_option: str | None
    """The setting of a campaign file that turns spin polarisation on; None if there is none."""

    takes_many: bool
    """Whether the Maker takes a list of cells, too, and computes them together."""

    @property
    def labels_per_job(self) -> int:
        """Labels that a job makes where nobody has said how many: as many as are worth a job."""

    @property
    def has_spin(self) -> bool | None:
        """True if magnetic moments decide anything; None if that cannot be told."""

    @property
    def name(self) -> str:
        """Name of the engine for people, such as "VASP PBE"; a force field is never called DFT."""

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the engine's numbers, as hexadecimal digits.

        It is the same on every machine and in every process. It does not depend on the job's name,
        commands, walltimes, directories or parallelisation. A force field counts with its package's
        version, and a model file with its content.
        """

    def hash_input(self) -> dict[str, Any]:
        """Return what `hash` digests: all that decides the engine's numbers."""

    def provenance(self) -> dict[str, Any]:
        """Return what each label says of the engine before it has run."""

    def prepare(self, structure: Structure) -> Structure:
        """Return the structure as it is handed to the Maker."""

    def documents(self, document: Any, number: int) -> Sequence[Any]:
        """Return the task document of each cell of a call.

        Parameters
        ----------
        document
            What the Maker's job returned.
        number
            Number of cells that it was given.
        """

    def free_energy(self) -> float | None:
        """Return F (eV) of the last run where the task document has no field for it."""

    def failure(self, error: BaseException) -> tuple[Reason, str]:
        """Return why a run in the current directory failed, and evidence for it.

        Parameters
        ----------
        error
            What the Maker raised.
        """

    def validate(self, label: Label) -> Label:
        """Check the output of a run in the current directory; return the label, or a failed one."""

    def scf_retries(self, limit: int) -> Iterator[tuple[dict[str, Any], Engine]]:
        """Yield changes of settings that may converge the SCF, and an engine with each of them.

        Only settings that lead to the same numbers by another way are changed, so `hash` stays.

        Parameters
        ----------
        limit
            Number of retries at most.
        """

    def input_fault(self, structure: Structure) -> str | None:
        """Return why no inputs can be written, for this cell and any other of its elements."""

    def check(self, cells: Mapping[str, Structure]) -> None:
        """Raise an EngineError if the inputs of one of these cells cannot be written.

        Parameters
        ----------
        cells
            Name → cell.
        """

    def missing_here(self) -> str | None:
        """Return what this machine lacks to run the engine, in words; None if nothing."""

    def check_here(self) -> None:
        """Raise an EngineError if this machine lacks what the engine needs to run."""

    def queue_warnings(self, queue_file: Path, keys: Mapping[str, Any]) -> list[str]:
        """Return what keeps the engine from running well in a queue's jobs, a sentence each.

        Parameters
        ----------
        queue_file
            The queue file of the labels, to be named in the sentences.
        keys
            Its keys and values, with the campaign's changes.
        """

    def calculator(self) -> Calculator | None:
        """Return the calculator of an engine that works in memory, for what is no label."""

    def models(self) -> list[str]:
        """Return names or files of the potentials that the engine is, to compare with others."""

    def moment_table(self) -> dict[str, float] | None:
        """Return initial moments (μ_B) by element or oxidation state; None if there are none."""

    def planned_inputs(self, structure: Structure) -> Inputs | None:
        """Return the input files for a cell, in memory; None if the engine has none to show."""
