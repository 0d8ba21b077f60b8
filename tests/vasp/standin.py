#!/usr/bin/env python
"""A stand-in for VASP in tests: VASP's files with another engine's numbers. It is not VASP.

STANDIN_ENGINE   "module:callable" that makes an ASE calculator; default pair:PairPotential
STANDIN_FAULTS   "crash=0.1 hang=0.05 …": shares of cells, chosen by a hash, that fail in these ways
STANDIN_UNCONVERGED_STEP   number of an ionic step whose electronic steps never end
STANDIN_CONVERGES   INCAR tags, "ALGO=Damped TIME=0.1", without which the electronic steps never end

With NSW > 0 the ions are moved after each step, the last one as well, and with ISIF = 3 the cell,
too. F is the engine's energy; the smearing's −TS = −0.2 σ² n (eV, n atoms) is made up: E = F + TS,
E₀ = F + TS/2.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import standin_files as files

STEP = float(os.environ.get("STANDIN_STEP", "0"))  # s


def fault(atoms) -> str:
    """Return the fault that this cell has, "" for none."""
    digits = (
        np.round([*atoms.cell.array, *atoms.positions], 2) + 0.0
    )  # the same on another processor
    number = int.from_bytes(hashlib.sha256(digits.tobytes()).digest()[:4], "big") / 2**32
    for entry in os.environ.get("STANDIN_FAULTS", "").split():
        name, _, share = entry.partition("=")
        if (number := number - float(share or 1)) < 0:
            return name
    return ""


def calculator():
    """The engine behind."""
    module, _, name = os.environ.get("STANDIN_ENGINE", "pair:PairPotential").partition(":")
    return getattr(importlib.import_module(module), name)()


def electronic_steps(
    free: float, entropy: float, incar: dict[str, str], converges: bool, ionic: int
) -> tuple[list[float], bool]:
    """Return F after each step, up to EDIFF, NELM or a STOPCAR with LABORT."""
    steps: list[float] = []
    for number in range(1, int(incar.get("NELM", 60)) + 1):
        off = 0.1**number if converges else 0.3 * (-1) ** number
        steps.append(free + off)
        files.write_outcar_step(number, steps[-1], entropy, ionic)
        print(f"DAV: {number:3d} {steps[-1]:.8f}", flush=True)
        time.sleep(STEP)
        if (
            converges
            and number > 1
            and abs(steps[-1] - steps[-2]) < float(incar.get("EDIFF", 1e-4))
        ):
            return [*steps[:-1], free], True
        if Path("STOPCAR").is_file() and "LABORT" in Path("STOPCAR").read_text():
            return steps, False
    return steps, False


def main() -> None:
    start = time.perf_counter()
    incar = files.read_incar()
    atoms = files.read_poscar()
    name = fault(atoms)
    print(
        " running on    1 total cores\n distrk:  each k-point on    1 cores,    1 groups",
        flush=True,
    )
    files.write_outcar_head()
    before(name, incar)
    first = atoms.copy()
    run = Run(name, incar)
    moves = int(incar.get("NSW", 0)) > 0 and incar.get("IBRION", "0") != "-1"
    for number in range(1, (int(incar["NSW"]) if moves else 1) + 1):
        run.step(atoms, number)
        if moves:
            move(atoms, incar, number)
    files.write_vasprun(first, incar, run.calculations, atoms)
    files.write_oszicar(
        run.steps,
        [f + (1.0 if name == "wrong_oszicar" else 0.0) for f in run.free],
        run.extrapolated,
    )
    files.write_contcar(atoms)
    files.write_outcar_moments(incar, atoms)
    files.write_outcar_tail(time.perf_counter() - start)
    after(name)


class Run:
    """The numbers that the ionic steps have printed so far."""

    def __init__(self, name: str, incar: dict[str, str]):
        self.name = name
        self.incar = incar
        self.calculations: list[str] = []
        self.steps: list[list[float]] = []
        self.free: list[float] = []
        self.extrapolated: list[float] = []

    def step(self, atoms, number: int) -> None:
        """Electronic steps, energies, forces and stress of the cell as it is."""
        name, incar = self.name, self.incar
        atoms.calc = calculator()
        free = atoms.get_potential_energy()
        forces = atoms.get_forces()
        stress = atoms.get_stress(voigt=False)
        slope = 2.0 if name == "metal" else 0.2  # eV⁻¹ per atom
        entropy = -slope * float(incar.get("SIGMA", 0.2)) ** 2 * len(atoms)
        required = [entry.split("=") for entry in os.environ.get("STANDIN_CONVERGES", "").split()]
        converges = all(incar.get(tag, "").upper() == value.upper() for tag, value in required)
        converges &= name != "unconverged" and number != int(
            os.environ.get("STANDIN_UNCONVERGED_STEP", "0")
        )
        steps, converged = electronic_steps(free, entropy, incar, converges, number)
        shift = 0.5 if name == "wrong_energy" else 0.0  # of the final energy alone
        shift += (
            float(incar.get("PSTRESS", 0)) * atoms.get_volume() / files.KBAR
        )  # P V, as VASP has it
        free = steps[-1] + shift
        energies = {
            "e_fr_energy": free,
            "e_wo_entrp": free - entropy,
            "e_0_energy": free - entropy / 2,
        }
        if incar.get("IBRION") == "0":
            energies |= {"kinetic": 0.7, "lattice kinetic": 0.0, "nosepot": 0.1, "nosekinetic": 0.2}
            energies["total"] = free + 1.0
        forces = forces + ([0.5, 0, 0] if name == "net_force" else [0, 0, 0])
        self.calculations.append(
            files.calculation(atoms, steps, energies, entropy, forces, -stress * files.KBAR)
        )
        self.steps.append(steps)
        self.free.append(steps[-1])
        self.extrapolated.append(free - entropy / 2)
        files.write_outcar_ionic(free, entropy, converged)


def move(atoms, incar: dict[str, str], number: int) -> None:
    """Move the ions, and the cell with ISIF = 3, as VASP does after the forces of each step."""
    rng = np.random.default_rng(number)
    if incar.get("ISIF") == "3":
        atoms.set_cell(
            atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.004, size=(3, 3))), scale_atoms=True
        )
    steps = rng.normal(scale=0.06, size=(len(atoms), 3))
    atoms.positions += steps - steps.mean(axis=0)


def before(name: str, incar: dict[str, str]) -> None:
    """Fail before there are results."""
    if name == "crash":
        print("forrtl: severe (174): SIGSEGV, segmentation fault occurred", file=sys.stderr)
        sys.exit(139)
    if name == "out_of_memory":
        print("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0.", file=sys.stderr)
        sys.exit(137)
    if name == "edddav" and incar.get("ALGO", "Normal").upper() == "NORMAL":
        print(" Error EDDDAV: Call to ZHEGV failed. Returncode =   7 1   8", flush=True)
        sys.exit(1)
    if name == "hang":
        time.sleep(600)


def after(name: str) -> None:
    """Spoil what was written."""
    if name == "truncated_xml":
        text = Path("vasprun.xml").read_text()
        Path("vasprun.xml").write_text(text[: len(text) * 3 // 5])
    if name == "missing_oszicar":
        Path("OSZICAR").unlink()
    if name == "late_crash":
        print("forrtl: error (78): process killed (SIGTERM)", file=sys.stderr)
        sys.exit(139)


if __name__ == "__main__":
    main()
