r"""Density functional theory without a licence: single points in plane waves by GPAW.

The papers' settings (see `dft`) in GPAW's words: PBE, no spin unless it is asked for, a plane-wave
cutoff, Gaussian smearing, the same explicit mesh centred at Γ, stress on. GPAW and its PAW setups
are the optional extra `gpaw`.

    smearing     σ of Methfessel-Paxton occupations of order 0, half a complementary error function
"""

from __future__ import annotations

import functools
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.digest import bytes_sha256
from entropy_flows.label.ase_static import AseStaticMaker
from entropy_flows.label.reasons import EngineError

if TYPE_CHECKING:
    from types import ModuleType

    from ase import Atoms

LOG = "gpaw.txt"
"""What GPAW says, in the job's folder."""
_PRESET: dict[str, Any] = {
    "xc": "PBE",
    # eV and electrons per electron, eV².
    "convergence": {"energy": 1e-6, "density": 1e-5, "eigenstates": 1e-9},
    "maxiter": 200,
}
# How the same numbers are reached, not which.
_NOT_PHYSICS = {"maxiter", "mixer", "eigensolver", "parallel", "random"}


@dataclass
class GPAWStaticMaker(AseStaticMaker):
    """A single point by GPAW.

    Parameters
    ----------
    **kwargs
        As of `AseStaticMaker`; `calculator_kwargs` are arguments of GPAW (xc, setups, convergence,
        mixer, …). The walltime is looked at between electronic steps.
    """

    name: str = "GPAW static"

    @property
    def engine_name(self) -> str:
        """GPAW and the functional."""
        return f"GPAW {self.parameters()['xc']}"

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of GPAW but for the k points, which belong to the cell."""
        mode = {"name": "pw", "ecut": self.cutoff}
        occupations = {"name": "methfessel-paxton", "order": 0, "width": self.smearing}
        preset = {"mode": mode, "occupations": occupations, "spinpol": self.spin, **_PRESET}
        return preset | self.calculator_kwargs

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

    def calculate(self, atoms: Atoms, mesh: tuple[int, int, int]) -> dict[str, Any]:
        """Run GPAW in the current directory.

        Raises
        ------
        EngineError
            If an element has no setup here.
        TimeoutError
            If the walltime is over. GPAW's KohnShamConvergenceError, if the electronic steps ran
            out.
        """
        package = installed_gpaw()
        gpaw = package.GPAW(kpts={"size": mesh, "gamma": True}, txt=LOG, **self.parameters())
        try:
            _converge(gpaw, atoms, self.walltime, package.KohnShamConvergenceError)
        except FileNotFoundError as exc:
            raise EngineError(f"GPAW: {' '.join(str(exc).split())}") from exc
        moments = {}
        if self.spin:
            moments = {
                "magmoms": gpaw.get_magnetic_moments(atoms),
                "magmom": float(gpaw.get_magnetic_moment(atoms)),
            }
        return {
            **moments,
            "version": package.__version__,
            "energy": float(gpaw.get_potential_energy(atoms)),
            "free_energy": float(gpaw.get_potential_energy(atoms, force_consistent=True)),
            "forces": gpaw.get_forces(atoms),
            "stress": gpaw.get_stress(atoms),
        }


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


def _converge(
    gpaw: Any, atoms: Atoms, walltime: float | None, unconverged: type[Exception]
) -> None:
    """Run the electronic steps to their end, or to that of the walltime."""
    start = time.monotonic()
    step = 0
    try:
        for step, _ in enumerate(gpaw.icalculate(atoms), 1):
            seconds = time.monotonic() - start
            if walltime is not None and seconds > walltime:
                raise TimeoutError(
                    f"GPAW was stopped in electronic step {step}, after {seconds:.0f} of "
                    f"{walltime:g} s"
                )
    except unconverged as exc:  # raised without a word
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
