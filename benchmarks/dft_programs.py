"""Labels of the same cells by several programs: relative energies, forces, pressures, minutes.

    python -m benchmarks.dft_programs cells.extxyz results.json

The cells come with labels of a campaign, such as `entropy-flows export` writes. GPAW and Quantum
ESPRESSO calculate them again with the same k points and the same occupations; what is there already
is not calculated again. Energies are relative to their mean over the cells, as each program has a
zero of its own.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.conventions import GPA
from entropy_flows.files import read_json, write_json
from entropy_flows.label import LabelParams, label_one, make_static_maker

KPOINT_LENGTH = 12.0
SMEARING = 0.05
ENGINES = {
    "GPAW": {
        "engine": "gpaw-pbe",
        "cutoff": 280,
        "calculator_kwargs": {
            "occupations": {"name": "fermi-dirac", "width": SMEARING},
            "convergence": {"energy": 1e-5, "density": 1e-4, "eigenstates": 1e-7},
        },
    },
    "Quantum ESPRESSO": {
        "engine": "qe-pbe",
        "cutoff": 350,
        "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"},
        "calculator_kwargs": {"input_data": {"system": {"smearing": "fermi-dirac"}}},
    },
}


def main() -> None:
    """Calculate what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--limit", type=int, help="Number of cells; all.")
    options = parser.parse_args()
    cells = [atoms for atoms in read(options.cells, ":") if atoms.calc is not None]
    cells = cells[: options.limit]
    rows = read_json(options.results, {})
    for name in options.engines:
        label_missing(cells, name, rows, options.results)
    print(table(cells, rows))


def label_missing(cells: list[Atoms], name: str, rows: dict, path: Path) -> None:
    """Label the cells that have no row of a program yet, and write each row at once."""
    settings = {"kpoint_length": KPOINT_LENGTH, "smearing": SMEARING, **ENGINES[name]}
    maker = make_static_maker(LabelParams(**settings))
    for atoms in cells:
        key = f"{name}: {key_of(atoms)}"
        if key in rows:
            continue
        folder = path.with_suffix("") / key.replace(": ", "-").replace(" ", "-")
        before = cpu_seconds()
        label = label_one(maker, AseAtomsAdaptor.get_structure(atoms), folder)
        rows[key] = {**label.as_dict(), "cpu_seconds": cpu_seconds() - before}
        write_json(path, rows)
        print(key, label.reason or f"{label.free_energy:.4f} eV", flush=True)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended (s)."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def key_of(atoms: Atoms) -> str:
    """Return a name of a cell: it follows from its positions."""
    return f"{np.abs(atoms.positions).sum():.6f}"


def table(cells: list[Atoms], rows: dict) -> str:
    """Compare each program with the labels of the cells."""
    lines = [
        "program, cells, failures, energy RMS meV/atom, force RMS meV/Å, correlation, "
        "pressure RMS and mean GPa, CPU s a label"
    ]
    for name in ENGINES:
        found = [(a, rows[k]) for a in cells if (k := f"{name}: {key_of(a)}") in rows]
        good = [(atoms, row) for atoms, row in found if row["converged"]]
        if not good:
            continue
        energies = np.array([reference_energies(a, row) for a, row in good])
        relative = (energies - energies.mean(axis=0)) * 1000
        forces = [np.array([a.get_forces(), row["forces"]]) for a, row in good]
        both = np.concatenate(forces, axis=1)
        gaps = np.array([row["pressure"] - reference_pressure(atoms) for atoms, row in good])
        seconds = np.median([row["cpu_seconds"] for _, row in good])
        lines.append(
            f"{name}, {len(found)}, {len(found) - len(good)}, "
            f"{rms(relative[:, 1] - relative[:, 0]):.1f} of {rms(relative[:, 0]):.0f}, "
            f"{rms(both[1] - both[0]) * 1000:.0f} of {rms(both[0]) * 1000:.0f}, "
            f"{np.corrcoef(both[0].ravel(), both[1].ravel())[0, 1]:.5f}, "
            f"{rms(gaps):.2f}, {gaps.mean():+.2f}, {seconds:.0f}"
        )
    return "\n".join(lines)


def reference_energies(atoms: Atoms, row: dict) -> tuple[float, float]:
    """Return F of the campaign's label and of a program's, per atom (eV)."""
    free_energy = atoms.calc.results.get("free_energy", atoms.get_potential_energy())
    return free_energy / len(atoms), row["free_energy"] / len(atoms)


def reference_pressure(atoms: Atoms) -> float:
    """Return the pressure of the campaign's label (GPa)."""
    return float(-np.trace(atoms.get_stress(voigt=False)) / 3 * GPA)


def rms(values: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
