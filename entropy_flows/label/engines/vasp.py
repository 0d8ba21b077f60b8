"""VASP as a label engine: the papers' presets, and any of atomate2's and pymatgen's Makers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ase.data import chemical_symbols
from pydantic import Field, field_validator

from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.params import LabelParams
from entropy_flows.label.reasons import EngineError, Reason

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.label.read import Label
    from entropy_flows.label.vasp_inputs import Inputs

_INPUT_SET_KEYS = (
    *("kpoint_length", "spin", "hubbard_u"),
    *("user_incar_settings", "user_potcar_functional", "user_potcar_settings"),
)
_BY_ELEMENT = ("MAGMOM", "LDAUU", "LDAUJ", "LDAUL")
_NONCOLLINEAR = ("LSORBIT", "LNONCOLLINEAR")
_FUNCTIONALS = {"PE": "PBE", "PS": "PBEsol", "R2SCAN": "r2SCAN"}
_PUBLISHED = {"MatPESStaticSet": "MatPES", "MPStaticSet": "MP", "OMat24StaticSet": "OMat24"}
# LargeSigmaHandler makes another calculation of a metal; PositiveEnergyErrorHandler refuses a cell
# that is squeezed enough.
_UNWANTED_HANDLERS = ("LargeSigmaHandler", "PositiveEnergyErrorHandler")


SPIN_OPTION = "label: {spin: true}"
"""The setting that turns spin polarisation on, of every preset that has it."""


class VaspRunParams(LabelParams):
    """Keys that all presets of VASP take: changes of the input set, and how VASP runs."""

    user_incar_settings: dict[str, Any] = Field(default_factory=dict)
    """INCAR tags on top of the preset; None removes one."""
    user_potcar_functional: str | None = None
    """POTCAR family, such as PBE_64; None is the preset's, which for the papers' is atomate2's
    (PBE_54)."""
    user_potcar_settings: dict[str, str] = Field(default_factory=dict)
    """POTCARs by element on top of the preset's."""
    run_vasp_kwargs: dict[str, Any] = Field(default_factory=dict)
    """How VASP runs: command, custodian handlers, walltime; see atomate2's `run_vasp`. The presets
    leave out LargeSigmaHandler and PositiveEnergyErrorHandler, which take a metal or a squeezed
    cell for a bad run."""

    def check_tags(self) -> None:
        """Refuse INCAR tags that cannot follow the atoms of one cell after the other.

        Raises
        ------
        EngineError
            If there is one.
        """
        tags = self.user_incar_settings
        for tag in _BY_ELEMENT:
            if tags.get(tag) is not None and not isinstance(tags[tag], dict):
                hint = "; moments atom by atom are `magmoms` of a phase" if tag == "MAGMOM" else ""
                raise EngineError(
                    f"{tag} {tags[tag]!r}: expected a value for each element, such as "
                    f"{{Ni: 2}}{hint}"
                )
        if any(tags.get(tag) for tag in _NONCOLLINEAR):
            raise EngineError(
                f"{' and '.join(_NONCOLLINEAR)}: only collinear moments are carried from cell to "
                f"cell"
            )

    def run_settings(self) -> dict[str, Any]:
        """Return arguments of atomate2's `run_vasp`."""
        from atomate2.vasp.run import DEFAULT_HANDLERS

        handlers = [
            handler
            for handler in DEFAULT_HANDLERS
            if type(handler).__name__ not in _UNWANTED_HANDLERS
        ]
        return {"handlers": handlers, **self.run_vasp_kwargs}


class VaspParams(VaspRunParams):
    """VASP through atomate2's StaticMaker, with the input set of one of the presets."""

    engine: Literal["vasp-pbe", "vasp-r2scan-rvv10"] = "vasp-pbe"
    """Functional: PBE, or r²SCAN with rVV10."""
    kpoint_length: float = Field(40.0, gt=0)
    """Length ℓ of the presets' k-point rule (Å)."""
    spin: bool = False
    """Whether the calculation is spin-polarised (ISPIN = 2); MAGMOM is the moments of the cell, see
    `phases.magmoms`.
    """
    hubbard_u: dict[str, float] = Field(default_factory=dict)
    """U_eff = U − J (eV) by element (Dudarev), such as {Ni: 6.2}: on d states, on f states of
    lanthanides and actinides."""

    @field_validator("hubbard_u")
    @classmethod
    def _positive_u(cls, hubbard_u: dict[str, float]) -> dict[str, float]:
        for symbol, value in hubbard_u.items():
            if symbol not in chemical_symbols[1:]:
                raise ValueError(f"{symbol!r} is not a chemical symbol")
            if value <= 0:
                raise ValueError(f"U of {symbol} is {value:g} eV; expected a positive number")
        return hubbard_u

    def make_maker(self) -> Maker:
        """Build atomate2's StaticMaker with the preset's input set.

        Raises
        ------
        EngineError
            If INCAR tags are given that no input set can carry from cell to cell.
        """
        self.check_tags()
        from atomate2.vasp.jobs.core import StaticMaker

        from entropy_flows.label.dft import PBEStaticSetGenerator, R2SCANrVV10StaticSetGenerator

        generators = {
            "vasp-pbe": PBEStaticSetGenerator,
            "vasp-r2scan-rvv10": R2SCANrVV10StaticSetGenerator,
        }
        arguments = self.model_dump(include=set(_INPUT_SET_KEYS))
        return StaticMaker(
            input_set_generator=generators[self.engine](**arguments),
            run_vasp_kwargs=self.run_settings(),
        )


class VaspEngine(MakerEngine):
    """A Maker that writes VASP's files."""

    spin_option = SPIN_OPTION

    @staticmethod
    def runs(maker: Any) -> bool:
        """Return whether a Maker has an input set of VASP; pymatgen is not imported for it."""
        generator = getattr(maker, "input_set_generator", None)
        return any(cls.__name__ == "VaspInputSet" for cls in type(generator).__mro__)

    @property
    def has_spin(self) -> bool | None:
        """True if ISPIN is 2."""
        return self._incar().get("ISPIN", 1) == 2

    @property
    def name(self) -> str:
        """VASP and the functional, such as "VASP r2SCAN+rVV10" or "VASP PBE+U"."""
        tags = self._incar()
        maker: Any = self.maker
        published = _PUBLISHED.get(type(maker.input_set_generator).__name__)
        of_potcar = "PBE" if published else "POTCAR's functional"
        functional = str(tags.get("METAGGA") or tags.get("GGA") or of_potcar)
        functional = _FUNCTIONALS.get(functional.upper(), functional)
        hybrid = "hybrid " if tags.get("LHFCALC") else ""
        correction = ""
        if tags.get("LUSE_VDW"):
            correction = "+rVV10" if tags.get("METAGGA") else "+vdW-DF"
        has_u = tags.get("LDAU") if published else _has_hubbard_u(tags.get("LDAUU"))
        name = f"VASP {hybrid}{functional}{correction}{'+U' if has_u else ''}"
        return f"{name} as {published}" if published else name

    def hash_input(self) -> dict[str, Any]:
        """Return INCAR tags, k-point rule and pseudopotentials."""
        from entropy_flows.label.vasp_settings import vasp_settings

        return vasp_settings(self.maker)

    def prepare(self, structure: Structure) -> Structure:
        """Return the structure with its atoms sorted by species.

        atomate2's input sets (0.1.5) mean to sort and do not. VASP would have one POTCAR for each
        run of equal atoms.
        """
        return structure.get_sorted_structure()

    def validate(self, label: Label) -> Label:
        """Check the files of a run that has numbers, or whose electronic steps ran out."""
        from entropy_flows.label.vasp_validation import validate_vasp_output

        if label.converged or label.reason is Reason.SCF_NOT_CONVERGED:
            return validate_vasp_output(label)
        return label

    def scf_retries(self, limit: int) -> Iterator[tuple[dict[str, Any], VaspEngine]]:
        """Yield INCAR changes for the SCF, and the engine with each of them."""
        from entropy_flows.label.scf_retries import CHANGES, with_changes

        for changes in CHANGES[:limit]:
            yield changes, VaspEngine(with_changes(self.maker, changes))

    def input_fault(self, structure: Structure) -> str | None:
        """Return what the input set raises, if it writes no inputs of an ordinary cell either."""
        from entropy_flows.label.vasp_preflight import fault_of, ordinary_cell

        if fault_of(self.maker, structure) is None:
            return None
        return fault_of(self.maker, ordinary_cell(structure))

    def check(self, cells: Mapping[str, Structure]) -> None:
        """Write each cell's inputs in memory, and find their pseudopotentials if there are any."""
        from entropy_flows.label.vasp_preflight import fault_of, missing_potcar

        for name, cell in cells.items():
            if (fault := fault_of(self.maker, cell)) is not None:
                raise EngineError(f"{self.name} cannot write the inputs of {name!r}: {fault}")
        for cell in cells.values():
            if (potcar := missing_potcar(self.maker, cell)) is not None:
                raise EngineError(f"{self.name} has no {potcar}")

    def missing_here(self) -> str | None:
        """Return which POTCARs or which command this machine lacks."""
        from entropy_flows.label.vasp_preflight import missing_program

        return missing_program(self.maker)

    def queue_warnings(self, queue_file: Path, keys: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with a queue job's cores, VASP's command and its POTCARs."""
        from entropy_flows.label.vasp_queue import vasp_warnings

        return vasp_warnings(queue_file, keys, self.maker)

    def moment_table(self) -> dict[str, float] | None:
        """Return the table of MAGMOM; None without spin, or if no MAGMOM is written."""
        tags = self._incar()
        table = tags.get("MAGMOM") if tags.get("ISPIN", 1) == 2 else None
        return dict(table) if isinstance(table, Mapping) else None

    def planned_inputs(self, structure: Structure) -> Inputs | None:
        """Return INCAR, KPOINTS, POSCAR and the pseudopotentials for a cell."""
        from entropy_flows.label.vasp_inputs import planned_inputs

        return planned_inputs(structure, self.maker)

    def _incar(self) -> dict[str, Any]:
        from entropy_flows.label.vasp_settings import resolved_incar

        return resolved_incar(self.maker)


def usual_moments() -> dict[str, float] | None:
    """Return initial moments (μ_B) by element or oxidation state: those of the VASP presets."""
    return VaspEngine(VaspParams(spin=True).make_maker()).moment_table()


def _has_hubbard_u(table: Any) -> bool:
    """Return whether LDAUU has a U by element.

    atomate2's own table is by anion, and most cells have no use for it.
    """
    if not isinstance(table, Mapping):
        return False
    return any(value for value in table.values() if not isinstance(value, dict))
