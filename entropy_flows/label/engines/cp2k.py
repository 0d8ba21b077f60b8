"""CP2K as a label engine: the preset's parameters, and any other Maker of atomate2's for CP2K."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from entropy_flows.faults import error_line, is_machine_fault
from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.engines.vasp import SPIN_OPTION, usual_moments
from entropy_flows.label.params import LabelParams
from entropy_flows.label.reasons import EngineError, Reason

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label.read import Label

_PRESET = "Cp2kPBESetGenerator"


class Cp2kParams(LabelParams):
    """CP2K through atomate2's StaticMaker and custodian: PBE."""

    engine: Literal["cp2k-pbe"] = "cp2k-pbe"
    """Names this engine."""
    kpoint_length: float = Field(40.0, gt=0)
    """Length ℓ of the k-point rule (Å)."""
    cutoff: float = Field(400.0, gt=0)
    """Cutoff of the finest grid (Ry)."""
    rel_cutoff: float = Field(60.0, gt=0)
    """Cutoff of the grid that a Gaussian is mapped to (Ry)."""
    smearing: float = Field(0.05, gt=0)
    """k_B T of the Fermi-Dirac occupations (eV)."""
    basis: str = "DZVP-MOLOPT-SR-GTH"
    """Basis set, by its name in CP2K's files without the number of electrons."""
    potential: str = "GTH-PBE"
    """Pseudopotential, by its name in CP2K's files without the number of electrons."""
    basis_file: str = "BASIS_MOLOPT"
    """File of CP2K's data that has the basis set."""
    potential_file: str = "GTH_POTENTIALS"
    """File of CP2K's data that has the pseudopotential."""
    walltime: float | None = Field(None, gt=0)
    """Time after which CP2K stops by itself (s)."""
    spin: bool = False
    """Whether the calculation is spin-polarised (UKS), from the moments of the cell; see
    `phases.magmoms`."""
    user_input_settings: dict[str, Any] = Field(default_factory=dict)
    """Settings on top of the preset, as atomate2's CP2K input sets take them."""
    run_cp2k_kwargs: dict[str, Any] = Field(default_factory=dict)
    """How CP2K runs: command, custodian handlers; see atomate2's `run_cp2k`."""

    def make_maker(self) -> Maker:
        """Build atomate2's StaticMaker with the preset's input set.

        Raises
        ------
        EngineError
            If CP2K's basis sets and potentials are not here. Whoever plans the labels needs them,
            since the hash contains their content.
        """
        from entropy_flows.label.cp2k import Cp2kPBESetGenerator, data_folder
        from entropy_flows.label.cp2k_maker import Cp2kStaticMaker, run_settings

        data_folder()
        settings = self.model_dump(exclude={*LabelParams.model_fields, "run_cp2k_kwargs"})
        return Cp2kStaticMaker(
            input_set_generator=Cp2kPBESetGenerator(**settings),
            run_cp2k_kwargs=run_settings(self.run_cp2k_kwargs),
        )


class Cp2kEngine(MakerEngine):
    """A Maker that writes CP2K's files."""

    @staticmethod
    def runs(maker: Any) -> bool:
        """Return whether a Maker has an input set of CP2K."""
        generator = getattr(maker, "input_set_generator", None)
        return any(cls.__name__ == "Cp2kInputGenerator" for cls in type(generator).__mro__)

    @property
    def _generator(self) -> Any:
        return self.maker.input_set_generator  # type: ignore[attr-defined]

    @property
    def _is_preset(self) -> bool:
        return type(self._generator).__name__ == _PRESET

    @property
    def has_spin(self) -> bool | None:
        """The preset's `spin`; None for another input set."""
        return self._generator.spin if self._is_preset else None

    @property
    def spin_option(self) -> str | None:  # type: ignore[override]
        """The preset's setting."""
        return SPIN_OPTION if self._is_preset else None

    @property
    def name(self) -> str:
        """CP2K and the functional."""
        functional = self._generator.user_input_settings.get("xc_functionals")
        if functional is None:
            functional = "PBE" if self._is_preset else ""
        words = functional if isinstance(functional, str) else " ".join(map(str, functional))
        return f"CP2K {words}".strip()

    def hash_input(self) -> dict[str, Any]:
        """Return what decides the numbers, with the content of CP2K's data for the preset."""
        from atomate2 import SETTINGS

        settings = self._generator.deciding_settings() if self._is_preset else super().hash_input()
        return {**settings, "site": dict(SETTINGS.CP2K_INPUT_UPDATES)}

    def provenance(self) -> dict[str, Any]:
        """Return the engine's name and all that decides its numbers."""
        return {**super().provenance(), "engine_settings": self.hash_input()}

    def moment_table(self) -> dict[str, float] | None:
        """Return the moments of VASP's presets: CP2K has no table of its own."""
        return usual_moments() if self.has_spin else None

    def prepare(self, structure: Structure) -> Structure:
        """Return the structure with its atoms sorted, as atomate2's input sets do."""
        return structure.get_sorted_structure()

    def validate(self, label: Label) -> Label:
        """Check the run's output: E₀ and −T S, the unit of the stress, custodian's changes."""
        from entropy_flows.label.cp2k_validation import validate_cp2k_output

        return validate_cp2k_output(label)

    def failure(self, error: BaseException) -> tuple[Reason, str]:
        """Return the reason that CP2K's output gives, else that of the exception."""
        from entropy_flows.label.cp2k_validation import failure_in_output

        return failure_in_output() or super().failure(error)

    def input_fault(self, structure: Structure) -> str | None:
        """Return what the input set raises, if it writes no inputs of an ordinary cell either."""
        from entropy_flows.label.vasp_preflight import ordinary_cell

        if self._fault(structure) is None:
            return None
        return self._fault(ordinary_cell(structure))

    def check(self, cells: Mapping[str, Structure]) -> None:
        """Write each cell's inputs in memory, with basis sets and potentials."""
        for name, cell in cells.items():
            if (fault := self._fault(cell)) is not None:
                raise EngineError(f"{self.name} cannot write the inputs of {name!r}: {fault}")

    def missing_here(self) -> str | None:
        """Return which program this machine lacks."""
        from atomate2 import SETTINGS

        settings = getattr(self.maker, "run_cp2k_kwargs", {})
        command = str(settings.get("cp2k_cmd") or SETTINGS.CP2K_CMD)
        words = shlex.split(os.path.expandvars(command))
        programs = [word for word in words if word == words[0] or "cp2k" in os.path.basename(word)]
        for program in programs:
            if shutil.which(program) is None:
                return (
                    f"no {program!r}, of CP2K's command {command!r} (CP2K_CMD in "
                    f"~/.atomate2.yaml): apt-get install cp2k"
                )
        return None

    def _fault(self, structure: Structure) -> str | None:
        """Return what the input set raises for a cell, in one line; None if nothing."""
        try:
            self._generator.get_input_set(self.prepare(structure))
        except Exception as error:  # input sets raise whatever their code runs into
            if isinstance(error, EngineError):
                return str(error)
            if is_machine_fault(error):
                raise
            return error_line(error)
        return None
