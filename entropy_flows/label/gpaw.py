r"""Density functional theory without a licence: single points in plane waves by GPAW.

The papers' settings (see `dft`) in GPAW's words: PBE, no spin, a plane-wave cutoff, Gaussian
smearing, the same explicit mesh centred at Γ, stress on. GPAW and its PAW setups are the optional
extra `gpaw`.

    energy       E₀, extrapolated to zero smearing
    free_energy  F, whose derivatives forces and stress are
    smearing     σ of Methfessel-Paxton occupations of order 0, half a complementary error function

Each cell is calculated from scratch, on one core: started from the wave functions of the cell
before, its numbers would depend on what that was.
"""

from __future__ import annotations

import functools
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from atomate2.ase.jobs import AseRelaxMaker
from pymatgen.core import Lattice

from entropy_flows.digest import bytes_sha256
from entropy_flows.label.dft import kpoint_mesh
from entropy_flows.label.engines.gpaw import GpawEngine
from entropy_flows.label.reasons import EngineError

if TYPE_CHECKING:
    from types import ModuleType

LOG = "gpaw.txt"
"""What GPAW says, in the job's folder."""
_PRESET: dict[str, Any] = {
    "xc": "PBE",
    "spinpol": False,
    # eV and electrons per electron, eV².
    "convergence": {"energy": 1e-6, "density": 1e-5, "eigenstates": 1e-9},
    "maxiter": 200,
}
# How the same numbers are reached, not which.
_NOT_PHYSICS = {"maxiter", "mixer", "eigensolver", "parallel", "random"}


@dataclass
class GPAWStaticMaker(AseRelaxMaker):
    """A single point by GPAW.

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
        σ of Gaussian smearing (eV).
    walltime
        Time (s) after which a calculation is given up; looked at between electronic steps. None for
        no limit.
    calculator_kwargs
        Arguments of GPAW on top of these (xc, setups, convergence, mixer, …).
    """

    name: str = "GPAW static"
    steps: int = 1
    relax_cell: bool = False
    cutoff: float = 600.0
    kpoint_length: float = 40.0
    smearing: float = 0.05
    walltime: float | None = None

    def as_engine(self) -> GpawEngine:
        """Return what is known of GPAW as a label engine."""
        return GpawEngine(self)

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of GPAW but for the k points, which belong to the cell."""
        mode = {"name": "pw", "ecut": self.cutoff}
        occupations = {"name": "methfessel-paxton", "order": 0, "width": self.smearing}
        return {"mode": mode, "occupations": occupations, **_PRESET, **self.calculator_kwargs}

    def deciding_parameters(self) -> dict[str, Any]:
        """Return all that decides the numbers, with GPAW's version and the content of the setups.

        Raises
        ------
        EngineError
            If GPAW or its setups are not installed here.
        """
        gpaw = installed_gpaw()
        return {
            "code": "GPAW",
            "version": gpaw.__version__,
            "setups": _digest(tuple(str(path) for path in gpaw.setup_paths if Path(path).is_dir())),
            "kpoint_length": self.kpoint_length,
            "parameters": {
                key: value for key, value in self.parameters().items() if key not in _NOT_PHYSICS
            },
        }

    def _get_calculator(self) -> Calculator:
        return _FromScratch(installed_gpaw(), self.parameters(), self.kpoint_length, self.walltime)


def installed_gpaw() -> ModuleType:
    """Import the package GPAW, and make sure that it has setups.

    Raises
    ------
    EngineError
        If one of the two is missing, with how to get it.
    """
    try:
        gpaw = importlib.import_module("gpaw")
        importlib.import_module("gpaw.cgpaw")  # compiled
    except ImportError as exc:
        raise EngineError(
            f"GPAW is not installed ({exc}): apt-get install g++ libxc-dev libopenblas-dev, "
            f"then CC=g++ pip install 'entropy_flows[gpaw]', which compiles it"
        ) from exc
    if not any(Path(path).is_dir() for path in gpaw.setup_paths):
        raise EngineError(
            "GPAW has no PAW setups: pip install gpaw-data, or name their folder in GPAW_SETUP_PATH"
        )
    return gpaw


class _FromScratch(Calculator):
    """GPAW as an ASE calculator that starts each cell from scratch.

    All properties of a cell come from one calculation, of which nothing is left for the next.
    """

    def __init__(
        self,
        gpaw: ModuleType,
        parameters: dict[str, Any],
        kpoint_length: float,
        walltime: float | None,
    ):
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        self._gpaw = gpaw
        self._arguments = parameters
        self._kpoint_length = kpoint_length
        self._walltime = walltime

    @property
    def name(self) -> str:
        """Name and version of the code, which the task document keeps."""
        return f"GPAW {self._gpaw.__version__}"

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Run GPAW in the current directory.

        Raises
        ------
        EngineError
            If an element has no setup here.
        TimeoutError
            If the walltime is over. GPAW's KohnShamConvergenceError, if the electronic steps ran
            out.
        """
        super().calculate(atoms, properties, system_changes)
        # Without magnetic moments, as spin is off.
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        mesh = kpoint_mesh(Lattice(bare.cell.array), self._kpoint_length)
        gpaw = self._gpaw.GPAW(kpts={"size": mesh, "gamma": True}, txt=LOG, **self._arguments)
        try:
            self._converge(gpaw, bare)
        except FileNotFoundError as exc:
            raise EngineError(f"GPAW: {' '.join(str(exc).split())}") from exc
        self.results = {
            "energy": float(gpaw.get_potential_energy(bare)),
            "free_energy": float(gpaw.get_potential_energy(bare, force_consistent=True)),
            "forces": gpaw.get_forces(bare),
            "stress": gpaw.get_stress(bare),
        }

    def _converge(self, gpaw: Any, atoms: Atoms) -> None:
        """Run the electronic steps to their end, or to that of the walltime."""
        start = time.monotonic()
        step = 0
        try:
            for step, _ in enumerate(gpaw.icalculate(atoms), 1):
                seconds = time.monotonic() - start
                if self._walltime is not None and seconds > self._walltime:
                    raise TimeoutError(
                        f"GPAW was stopped in electronic step {step}, after {seconds:.0f} of "
                        f"{self._walltime:g} s"
                    )
        except self._gpaw.KohnShamConvergenceError as exc:  # raised without a word
            raise type(exc)(f"GPAW did not converge in {step} electronic steps; see {LOG}") from exc


@functools.cache
def _digest(folders: tuple[str, ...]) -> str:
    """Return the SHA-256 of all PAW setups: their names and bytes, wherever they lie."""
    paths = [path for folder in folders for path in sorted(Path(folder).iterdir())]
    # A basis is where LCAO starts from, not plane waves.
    setups = [path for path in paths if path.is_file() and "basis" not in path.name]
    chunks: list[bytes] = []
    for path in setups:
        chunks += [path.name.encode(), path.read_bytes()]
    return bytes_sha256(chunks)
