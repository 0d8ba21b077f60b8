"""Single points by electronic structure through ASE's calculators, in atomate2's Maker for ASE.

Each cell is calculated from scratch, on one core: started from the wave functions of the cell
before, its numbers would depend on what that was. It has its initial moments with spin alone.

    energy       E₀, extrapolated to zero smearing
    free_energy  F, whose derivatives forces and stress are
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from atomate2.ase.jobs import AseRelaxMaker
from pymatgen.core import Lattice

from entropy_flows.label.dft import kpoint_mesh
from entropy_flows.label.engines.ase_static import AseStaticEngine


@dataclass
class AseStaticMaker(AseRelaxMaker):
    """A single point in plane waves by a program that ASE drives.

    Parameters
    ----------
    name
        Job name.
    steps, relax_cell
        Leave them: atomate2's words for a single point.
    cutoff
        Plane-wave cutoff (eV).
    kpoint_length
        ℓ of the k-point rule (Å), see `dft.kpoint_mesh`.
    smearing
        σ of the smearing (eV).
    walltime
        Time (s) after which a calculation is given up; None for no limit.
    spin
        True for a spin-polarised calculation, from the moments of the cell.
    calculator_kwargs
        Arguments of the calculator on top of the preset.
    """

    name: str = "static"
    steps: int = 1
    relax_cell: bool = False
    cutoff: float = 600.0
    kpoint_length: float = 40.0
    smearing: float = 0.05
    walltime: float | None = None
    spin: bool = False

    @property
    @abstractmethod
    def engine_name(self) -> str:
        """Name of the program and the functional."""

    @abstractmethod
    def deciding_parameters(self) -> dict[str, Any]:
        """Return all that decides the numbers.

        Raises
        ------
        EngineError
            If the program or its setups are not installed here.
        """

    @abstractmethod
    def calculate(self, atoms: Atoms, mesh: tuple[int, int, int]) -> dict[str, Any]:
        """Calculate a cell in the current directory, from scratch.

        Parameters
        ----------
        atoms
            The cell; with initial moments if `spin`, else without.
        mesh
            Divisions of the mesh centred at Γ.

        Returns
        -------
        dict
            energy, free_energy, forces and stress in ASE's units; version, that of the program;
            with spin, the final moments magmoms (n,) and magmom, that of the cell, in μ_B.
        """

    def missing_here(self) -> str | None:
        """Return which program this machine lacks; None if nothing."""
        return None

    def missing_element(self, symbol: str) -> str | None:
        """Return why an element cannot be calculated here; None if it can, or is not known."""
        return None

    def as_engine(self) -> AseStaticEngine:
        """Return what is known of the program as a label engine."""
        return AseStaticEngine(self)

    def _get_calculator(self) -> Calculator:
        return FromScratch(self._calculate_on_mesh, self.engine_name, self.spin)

    def _calculate_on_mesh(self, atoms: Atoms) -> dict[str, Any]:
        mesh = kpoint_mesh(Lattice(atoms.cell.array), self.kpoint_length)
        return self.calculate(atoms, mesh)


class FromScratch(Calculator):
    """An ASE calculator that starts each cell from scratch.

    All properties of a cell come from one calculation, of which nothing is left for the next.

    Parameters
    ----------
    calculate
        Returns the results of a cell.
    name
        Name of the code.
    has_spin
        Whether a cell's initial moments count, and there are final ones.

    Attributes
    ----------
    version
        Version of the code; None before it has run.
    """

    def __init__(self, calculate: Callable[[Atoms], dict[str, Any]], name: str, has_spin: bool):
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        if has_spin:
            self.implemented_properties += ["magmoms", "magmom"]
        self.version: str | None = None
        self._calculate = calculate
        self._name = name
        self._has_spin = has_spin

    @property
    def name(self) -> str:
        """Name of the code, which the task document keeps."""
        return self._name

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Calculate a cell, of which nothing else is known."""
        super().calculate(atoms, properties, system_changes)
        moments = atoms.get_initial_magnetic_moments() if self._has_spin else None
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, magmoms=moments)
        results = self._calculate(bare)
        self.version = results.pop("version")
        self.results = results
