"""Label the cells of a system's pools again, by CHGNet's r²SCAN model.

It needs no other part of this package: run it by the Python of an environment with `chgnet`.

    python evidence/relabel.py runs/evidence/silicon/pools runs/evidence/silicon/pools-r2scan
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write


def main() -> None:
    """Label each file that is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pools", type=Path, help="folder of extended XYZ files")
    parser.add_argument("output", type=Path, help="folder of the new ones")
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    for source in sorted(options.pools.glob("*.extxyz")):
        target = options.output / source.name
        if not target.is_file():
            relabel(source, target)
            print(f"written: {target}", flush=True)


def relabel(source: Path, target: Path) -> None:
    """Write the cells of a file with CHGNet's energies, forces and stresses."""
    from chgnet.model import CHGNet, CHGNetCalculator

    model = CHGNet.load(model_name="r2scan", use_device="cpu", verbose=False)
    calculator = CHGNetCalculator(model, use_device="cpu")
    frames = read(source, ":")
    for atoms in frames:
        atoms.calc = calculator
        results = {
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
    part = target.with_name(f".part-{target.name}")
    write(part, frames, format="extxyz")
    part.rename(target)


if __name__ == "__main__":
    main()
