r"""Single points by Quantum ESPRESSO's pw.x, through ASE's calculator.

The settings of the VASP presets (see `dft`) in pw.x's words: PBE from the pseudopotentials, no
spin unless it is asked for, Gaussian smearing, the same explicit mesh centred at Γ, no symmetry,
forces and stress on.

    F = E − T S          pw.x's total energy; forces and stress are its derivatives
    E₀ = F + T S / 2     extrapolated to zero smearing (Gillan 1989, eq. 5)

ASE reads F, forces and stress. It gives F for E₀, whose entropy is read from the output here, and
so are the final moments: of the atoms within spheres, and of the cell.

    starting_magnetization = m / Z      m: initial moment (μ_B), Z: number of valence electrons

pw.x takes no moments before version 7.3; such shares of the valence all versions take.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import SCFError
from ase.calculators.espresso import Espresso, EspressoProfile
from ase.units import Ry

from entropy_flows.digest import file_sha256
from entropy_flows.faults import is_machine_fault
from entropy_flows.label.ase_static import AseStaticMaker
from entropy_flows.label.reasons import EngineError

OUTPUT = "espresso.pwo"
"""What pw.x says, in the job's folder."""
_PRESET: dict[str, dict[str, Any]] = {
    "control": {"tprnfor": True, "tstress": True, "disk_io": "none"},
    "system": {"occupations": "smearing", "smearing": "gaussian", "nosym": True},
    "electrons": {"conv_thr": 1e-9, "electron_maxstep": 200},
}
# How the same numbers are reached, not which.
_NOT_PHYSICS = ("electron_maxstep", "mixing_beta", "mixing_mode", "mixing_ndim", "diagonalization")
_CUTOFF_RATIO = 4.0


@dataclass
class EspressoStaticMaker(AseStaticMaker):
    """A single point by pw.x.

    Parameters
    ----------
    pseudopotentials
        File by element, in the folder `pseudo_dir`.
    pseudo_dir
        Folder.
    density_cutoff
        Cutoff of the density (eV); None is four times the other.
    command
        How pw.x is started.
    **kwargs
        As of `AseStaticMaker`; `calculator_kwargs` may have `input_data`, pw.x's namelists.
    """

    name: str = "Quantum ESPRESSO static"
    pseudopotentials: dict[str, str] = field(default_factory=dict)
    pseudo_dir: str = "/usr/share/espresso/pseudo"
    density_cutoff: float | None = None
    command: str = "pw.x"

    @property
    def engine_name(self) -> str:
        """Quantum ESPRESSO and the functional."""
        functional = self.namelists()["system"].get("input_dft", "PBE")
        return f"Quantum ESPRESSO {str(functional).upper()}"

    def namelists(self) -> dict[str, dict[str, Any]]:
        """Return pw.x's namelists, in its units."""
        density = self.density_cutoff or _CUTOFF_RATIO * self.cutoff
        cutoffs = {"ecutwfc": self.cutoff / Ry, "ecutrho": density / Ry}
        given = self.calculator_kwargs.get("input_data", {})
        namelists = {name: {**tags, **given.get(name, {})} for name, tags in _PRESET.items()}
        namelists["system"] = {
            **cutoffs,
            "degauss": self.smearing / Ry,
            **({"nspin": 2} if self.spin else {}),
            **namelists["system"],
        }
        return namelists

    def deciding_parameters(self) -> dict[str, Any]:
        """Return all that decides the numbers, with the content of the pseudopotentials.

        Raises
        ------
        EngineError
            If one of the pseudopotentials is not here.
        """
        files = {}
        for symbol, name in sorted(self.pseudopotentials.items()):
            path = Path(self.pseudo_dir) / name
            if not path.is_file():
                raise EngineError(
                    f"no pseudopotential of {symbol}: {path} is not there; apt-get install "
                    f"quantum-espresso-data, or set `pseudo_dir`"
                )
            files[symbol] = file_sha256(path)
        tags = {
            **self.namelists()["system"],
            **{k: v for k, v in self.namelists()["electrons"].items() if k not in _NOT_PHYSICS},
        }
        return {
            "code": "Quantum ESPRESSO",
            "pseudopotentials": files,
            "kpoint_length": self.kpoint_length,
            "tags": tags,
        }

    def missing_here(self) -> str | None:
        """Return that pw.x is not here; None if it is."""
        program = shlex.split(self.command)[0]
        if shutil.which(program) is not None:
            return None
        return f"no {program!r}, of the command {self.command!r}: apt-get install quantum-espresso"

    def missing_element(self, symbol: str) -> str | None:
        """Return that an element has no pseudopotential; None if it has one."""
        if symbol in self.pseudopotentials:
            return None
        return f"`pseudopotentials` names no file for {symbol}, such as {{{symbol}: {symbol}.UPF}}"

    def calculate(self, atoms: Atoms, mesh: tuple[int, int, int]) -> dict[str, Any]:
        """Run pw.x in the current directory.

        Raises
        ------
        EngineError
            If pw.x is not here, or an element has no pseudopotential.
        SCFError
            If the electronic steps ran out.
        TimeoutError
            If the walltime is over.
        RuntimeError
            If pw.x ended with another error.
        """
        for missing in (self.missing_here(), *map(self.missing_element, set(atoms.symbols))):
            if missing is not None:
                raise EngineError(f"{self.engine_name} cannot run: {missing}")
        namelists = self.namelists()
        if self.walltime is not None:
            namelists["control"]["max_seconds"] = self.walltime
        if self.spin:
            moments = atoms.get_initial_magnetic_moments()
            atoms.set_initial_magnetic_moments(moments / self._valences(atoms))
        atoms.calc = Espresso(
            profile=EspressoProfile(self.command, self.pseudo_dir),
            directory=".",
            pseudopotentials={s: self.pseudopotentials[s] for s in set(atoms.symbols)},
            kpts=mesh,
            koffset=(0, 0, 0),
            input_data=namelists,
        )
        try:
            free_energy = float(atoms.get_potential_energy(force_consistent=True))
        except Exception as error:
            if is_machine_fault(error):
                raise
            raise _failure(Path(OUTPUT), error) from error
        text = Path(OUTPUT).read_text()
        _check_converged(text)
        version = re.search(r"Program PWSCF v\.(\S+)", text)
        return {
            "version": version.group(1) if version else None,
            "energy": free_energy - _entropy_term(text) / 2,
            "free_energy": free_energy,
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
            **(_final_moments(text, len(atoms)) if self.spin else {}),
        }

    def _valences(self, atoms: Atoms) -> list[float]:
        """Return the number of valence electrons of each atom, as its pseudopotential has it."""
        valences = {
            symbol: _valence(Path(self.pseudo_dir) / self.pseudopotentials[symbol])
            for symbol in set(atoms.symbols)
        }
        return [valences[symbol] for symbol in atoms.symbols]


def _entropy_term(text: str) -> float:
    """Return −T S (eV) of pw.x's output; 0 without smearing."""
    terms = re.findall(r"smearing contrib\. \(-TS\)\s*=\s*(\S+) Ry", text)
    return float(terms[-1]) * Ry if terms else 0.0


def _valence(path: Path) -> float:
    """Return the number of valence electrons of a pseudopotential's file, UPF 2 or 1.

    Raises
    ------
    EngineError
        If the file does not say it.
    """
    text = path.read_text(errors="replace")
    for pattern in (r'z_valence\s*=\s*"\s*([^"\s]+)', r"^\s*(\S+)\s+Z valence"):
        if (match := re.search(pattern, text, re.MULTILINE)) is not None:
            return float(match.group(1).upper().replace("D", "E"))
    raise EngineError(f"{path} does not say its number of valence electrons (z_valence)")


def _final_moments(text: str, n_atoms: int) -> dict[str, Any]:
    """Return the last moments of pw.x's output, of atoms and of the cell (μ_B)."""
    of_atoms = re.findall(r"^ +atom:? +\d+ .*magn[:=] +(\S+)", text, re.MULTILINE)[-n_atoms:]
    of_cell = re.findall(r"total magnetization +=\s*(\S+) Bohr", text)
    return {"magmoms": np.array(of_atoms, dtype=float), "magmom": float(of_cell[-1])}


def _check_converged(text: str) -> None:
    """Raise if the electronic steps ran out, or time did."""
    if "convergence NOT achieved" in text:
        raise SCFError("pw.x: convergence NOT achieved")
    if "Maximum CPU time exceeded" in text:
        raise TimeoutError("pw.x: maximum CPU time exceeded")
    if "convergence has been achieved" not in text:
        raise RuntimeError("pw.x's output stops short")


def _failure(output: Path, error: Exception) -> Exception:
    """Return why pw.x failed, in its own words if it left any."""
    text = output.read_text(errors="replace") if output.is_file() else ""
    crash = re.search(r"Error in routine (.*?)%%%", text, re.DOTALL)
    try:
        _check_converged(text)
    except (SCFError, TimeoutError) as reason:
        return reason
    except RuntimeError:
        pass
    if crash is not None:
        return RuntimeError(f"pw.x: {' '.join(crash.group(1).split())}")
    if isinstance(error, subprocess.CalledProcessError):
        return RuntimeError(f"pw.x ended with status {error.returncode} and no results")
    return error
