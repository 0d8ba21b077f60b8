#!/usr/bin/env python
"""A stand-in for VASP in tests: reads and writes its files, with another engine's numbers. It is not VASP.

STANDIN_ENGINE   "module:callable" that makes an ASE calculator; default pair:PairPotential
STANDIN_FAULTS   "crash=0.1 hang=0.05 …": shares of cells, told apart by a hash of the cell, that fail in these ways
STANDIN_CONVERGES   INCAR tags, "ALGO=Damped TIME=0.1", without which the electronic steps never end

F is the engine's energy; the smearing's −TS = −0.2 σ² n (eV, n atoms) is made up: E = F + TS, E₀ = F + TS/2.
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
    """Which fault this cell has, "" for none."""
    digits = np.round([*atoms.cell.array, *atoms.positions], 2) + 0.0  # the same on another processor
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


def electronic_steps(free: float, entropy: float, incar: dict[str, str], converges: bool) -> tuple[list[float], bool]:
    """F after each step, until it changes by less than EDIFF, NELM is reached, or STOPCAR says LABORT."""
    steps: list[float] = []
    for number in range(1, int(incar.get("NELM", 60)) + 1):
        off = 0.1**number if converges else 0.3 * (-1) ** number
        steps.append(free + off)
        files.write_outcar_step(number, steps[-1], entropy)
        print(f"DAV: {number:3d} {steps[-1]:.8f}", flush=True)
        time.sleep(STEP)
        if converges and number > 1 and abs(steps[-1] - steps[-2]) < float(incar.get("EDIFF", 1e-4)):
            return [*steps[:-1], free], True
        if Path("STOPCAR").is_file() and "LABORT" in Path("STOPCAR").read_text():
            return steps, False
    return steps, False


def main() -> None:
    start = time.perf_counter()
    incar, atoms = files.read_incar(), files.read_poscar()
    name = fault(atoms)
    print(" running on    1 total cores\n distrk:  each k-point on    1 cores,    1 groups", flush=True)
    files.write_outcar_head()
    before(name, incar)
    atoms.calc = calculator()
    free, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    slope = 2.0 if name == "metal" else 0.2  # eV⁻¹ per atom
    entropy = -slope * float(incar.get("SIGMA", 0.2)) ** 2 * len(atoms)
    wanted = [entry.split("=") for entry in os.environ.get("STANDIN_CONVERGES", "").split()]
    converges = name != "unconverged" and all(incar.get(tag, "").upper() == value.upper() for tag, value in wanted)
    steps, converged = electronic_steps(free, entropy, incar, converges)
    free = steps[-1]
    shift = 0.5 if name == "wrong_energy" else 0.0  # of the final energy alone
    energies = np.array([free, free - entropy, free - entropy / 2]) + shift
    forces = forces + ([0.5, 0, 0] if name == "net_force" else [0, 0, 0])
    files.write_vasprun(atoms, incar, steps, energies, forces, -stress * files.KBAR)
    files.write_oszicar(steps, free + (1.0 if name == "wrong_oszicar" else 0.0), energies[2])
    files.write_contcar(atoms)
    files.write_outcar_moments(incar, atoms)
    files.write_outcar_tail(energies[0], entropy, converged, time.perf_counter() - start)
    after(name)


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
