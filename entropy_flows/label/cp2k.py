r"""PBE single points by CP2K, as an input set for atomate2's `cp2k.jobs.core.StaticMaker`.

Quickstep with Gaussians and plane waves, Goedecker pseudopotentials, diagonalisation at k points,
and Fermi-Dirac occupations at k_B T = σ:

    F = E − T S          what CP2K calls the total energy; forces and stress are its derivatives
    E₀ = F + T S / 2     extrapolated to σ → 0 (Gillan 1989, eq. 5)

With spin, the guess of the density has each atom's initial moment, and both spins one Fermi energy.

The k points are the mesh of the VASP presets, centred at Γ, without those that time reversal
repeats. Basis sets and potentials are read from the files that come with CP2K. They are written
into each job's folder by atomate2, so the run depends on no path of CP2K's own.

CP2K's defaults for what is left are made for molecules at Γ. These are changed: the SCF mixes a
third of the new density (Broyden), and the stress is calculated.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import kB
from atomate2.cp2k.sets.core import StaticSetGenerator
from pymatgen.io.cp2k.inputs import BasisFile, PotentialFile
from pymatgen.io.vasp import Kpoints

from entropy_flows.digest import file_sha256
from entropy_flows.label.dft import kpoint_mesh
from entropy_flows.label.reasons import EngineError
from entropy_flows.moments import SITE_PROPERTY, moments_of, set_moments

if TYPE_CHECKING:
    from atomate2.cp2k.sets.base import Cp2kInputSet
    from pymatgen.core import Structure

DATA_FOLDERS = ("/usr/share/cp2k", "/usr/local/share/cp2k", "/opt/cp2k/data")
"""Where CP2K's data lies if CP2K_DATA_DIR names no folder; the first is Debian's."""
_PRINTS = ("dos", "pdos", "ldos", "mo_cubes", "v_hartree", "e_density", "bandstructure")
_CONVERGENCE: dict[str, Any] = {
    "eps_default": 1e-10,
    "eps_pgf_orb": None,
    "eps_scf": 1e-6,
    "alpha": 0.3,
    "beta": 0.5,
    "nbuffer": 8,
}
_MAX_SCF = 100
_NO_MOMENT = 1e-6  # μ_B


@dataclass
class Cp2kPBESetGenerator(StaticSetGenerator):
    """PBE single point, with or without spin.

    Parameters
    ----------
    kpoint_length
        ℓ of the k-point rule (Å), see `dft.kpoint_mesh`.
    cutoff, rel_cutoff
        Cutoffs of the finest grid, and of the grid that a Gaussian is mapped to (Ry).
    smearing
        k_B T of the Fermi-Dirac occupations (eV).
    basis, potential
        Basis set and pseudopotential by their names in CP2K's files, without the number of
        electrons.
    basis_file, potential_file
        Those files.
    walltime
        Time (s) after which CP2K stops by itself; None for no limit.
    spin
        True for a spin-polarised calculation, from the moments of the cell.
    **kwargs
        Whatever atomate2's `Cp2kInputGenerator` takes, such as `user_input_settings`.
    """

    kpoint_length: float = 40.0
    cutoff: float = 400.0
    rel_cutoff: float = 60.0
    smearing: float = 0.05
    basis: str = "DZVP-MOLOPT-SR-GTH"
    potential: str = "GTH-PBE"
    basis_file: str = "BASIS_MOLOPT"
    potential_file: str = "GTH_POTENTIALS"
    walltime: float | None = None
    spin: bool = False
    user_input_settings: dict[str, Any] = field(default_factory=dict)

    def get_input_set(
        self,
        structure: Structure | None = None,  # type: ignore[override]
        prev_dir: str | Path | None = None,
        optional_files: Any = None,
    ) -> Cp2kInputSet:
        """Return the input set of a cell, whose moments are left out without spin.

        Raises
        ------
        EngineError
            If CP2K's data is not here, or has no basis set or potential for an element; if the
            moments of the cell add up to less than 0.
        """
        # atomate2 (0.1.5) merges settings into the table that all its generators share.
        generator = copy.deepcopy(self)
        if structure is not None:
            moments = moments_of(structure) if self.spin else None
            structure = structure.copy()
            for name in structure.site_properties:
                structure.remove_site_property(name)
            set_moments(structure, moments)
            if not generator.user_kpoints_settings:
                generator.user_kpoints_settings = explicit_kpoints(
                    kpoint_mesh(structure.lattice, self.kpoint_length)
                )
        return super(Cp2kPBESetGenerator, generator).get_input_set(
            structure,  # type: ignore[arg-type]
            prev_dir,  # type: ignore[arg-type]
            optional_files,
        )

    def get_input_updates(self, structure: Structure, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return CP2K's settings for a cell."""
        force_eval = {
            "STRESS_TENSOR": "ANALYTICAL",
            "PRINT": {"STRESS_TENSOR": {}},
            "DFT": {"SCF": {"MAX_SCF": _MAX_SCF}},
        }
        limit = {} if self.walltime is None else {"WALLTIME": self.walltime}
        return {
            "run_type": "ENERGY_FORCE",
            "xc_functionals": "PBE",
            "spin_polarized": self.spin,
            "multiplicity": self._multiplicity(structure) if self.spin else 0,
            "ot": False,
            "smearing": True,
            "elec_temp": self.smearing / kB,
            "cutoff": self.cutoff,
            "rel_cutoff": self.rel_cutoff,
            **_CONVERGENCE,
            **{f"print_{what}": False for what in _PRINTS},
            "basis_and_potential": {
                symbol: self.basis_and_potential(symbol) for symbol in structure.symbol_set
            },
            "override_default_params": {"FORCE_EVAL": force_eval, "GLOBAL": limit},
        }

    def _multiplicity(self, structure: Structure) -> int:
        """Return 2 S + 1 of the first density, as near to the cell's moments as electrons allow.

        The SCF starts with these numbers of electrons, and ends with others (SMEAR).

        Raises
        ------
        EngineError
            If the moments add up to less than 0: CP2K has the majority of spins up.
        """
        total = sum(structure.site_properties.get(SITE_PROPERTY, ()))
        if total < -_NO_MOMENT:
            raise EngineError(
                f"the magnetic moments add up to {total:g} μ_B, CP2K takes no less than 0: turn "
                f"all of them over, which changes no energy"
            )
        counts = structure.composition.get_el_amt_dict()
        electrons = sum(
            int(count) * self.basis_and_potential(symbol)["potential"].info.electrons
            for symbol, count in counts.items()
        )
        odd = electrons % 2
        return 1 + odd + 2 * max(0, round((total - odd) / 2))

    def basis_and_potential(self, symbol: str) -> dict[str, Any]:
        """Return basis set and potential of an element: those with the most electrons.

        Raises
        ------
        EngineError
            If CP2K's files have no pair of them.
        """
        folder = data_folder()
        bases = _entries(folder / self.basis_file, BasisFile, symbol, self.basis)
        potentials = _entries(folder / self.potential_file, PotentialFile, symbol, self.potential)
        for electrons in sorted(bases.keys() & potentials.keys(), reverse=True):
            return {
                "basis": bases[electrons],
                "potential": potentials[electrons],
                "aux_basis": None,
            }
        raise EngineError(
            f"CP2K's data has no {self.basis} with {self.potential} for {symbol}: looked in "
            f"{self.basis_file} and {self.potential_file} of {folder}"
        )

    def deciding_settings(self) -> dict[str, Any]:
        """Return all that decides the numbers, with the content of CP2K's files.

        Raises
        ------
        EngineError
            If CP2K's data is not here.
        """
        folder = data_folder()
        fields = (
            *("kpoint_length", "cutoff", "rel_cutoff", "smearing", "spin"),
            *("basis", "potential"),
        )
        return {
            "code": "CP2K",
            **{name: getattr(self, name) for name in fields},
            "eps": {name: value for name, value in _CONVERGENCE.items() if name.startswith("eps")},
            "user_input_settings": self.user_input_settings,
            "user_kpoints_settings": self.user_kpoints_settings,
            "data": {
                name: file_sha256(folder / name) for name in (self.basis_file, self.potential_file)
            },
        }


def explicit_kpoints(mesh: tuple[int, int, int]) -> Kpoints:
    """Return the points of a Γ-centred mesh, one of each pair k and −k.

    CP2K's own Monkhorst-Pack meshes leave Γ out where a number is even.

    Parameters
    ----------
    mesh
        Divisions.
    """
    doubled = np.array(mesh)
    weights: dict[tuple[int, ...], int] = {}
    for point in itertools.product(*(range(n) for n in mesh)):
        opposite = tuple((-np.array(point) % doubled).tolist())
        key = max(point, opposite)
        weights[key] = weights.get(key, 0) + 1
    # Γ comes last: pymatgen takes a list that begins with it for Γ alone.
    points = sorted(weights, reverse=True)
    return Kpoints(
        comment=f"Gamma-centred {mesh}",
        style=Kpoints.supported_modes.Reciprocal,
        num_kpts=len(points),
        kpts=[tuple((np.array(point) / doubled).tolist()) for point in points],
        kpts_weights=[weights[point] for point in points],
    )


def data_folder() -> Path:
    """Return the folder of CP2K's basis sets and potentials.

    Raises
    ------
    EngineError
        If there is none, with how to get it.
    """
    named = os.environ.get("CP2K_DATA_DIR")
    for folder in [named] if named else DATA_FOLDERS:
        if Path(folder).is_dir():
            return Path(folder)
    looked = named or ", ".join(DATA_FOLDERS)
    raise EngineError(
        f"CP2K's basis sets and potentials are not here (looked in {looked}): apt-get install "
        f"cp2k cp2k-data, or name their folder in CP2K_DATA_DIR"
    )


def _entries(path: Path, kind: type, symbol: str, name: str) -> dict[int, Any]:
    """Return the entries of an element with a name: number of electrons → entry."""
    entries = {}
    for entry in _read(path, kind):
        names = {str(entry.name), *map(str, entry.alias_names)}
        electrons = entry.info.electrons
        if str(entry.element) == symbol and names & {name, f"{name}-q{electrons}"}:
            entries[int(electrons)] = entry
    return entries


@functools.cache
def _read(path: Path, kind: type) -> list[Any]:
    """Read a file of basis sets or potentials."""
    if not path.is_file():
        raise EngineError(f"CP2K's data has no file {path.name}: looked in {path.parent}")
    return list(kind.from_file(path).objects)  # type: ignore[attr-defined]
