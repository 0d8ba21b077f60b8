"""A table for `bench-selectors --preset khan-2026`: features and energies of binary metals.

Energies per atom at the volume of the lowest energy, by SevenNet-0 (weights in its wheel: a
teacher, not DFT), of cells in the prototypes B2 (CsCl), B1 (NaCl) and L1₂ (Cu₃Au), against the
atoms its training data is counted from: cohesive energies but for spin. Formation energies are
beyond these features: R² stays near 0 at 120 rows, whatever is chosen. The features are those of
entropy_flows.bench.features. Run again, it goes on where it was.

    python examples/selectors/make_table.py binaries.csv --rows 500 entropy-flows bench-selectors
    binaries.csv -C bench-c --preset khan-2026 --set target=energy_per_atom
"""

from __future__ import annotations

import argparse
import csv
from itertools import permutations
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.batch import Batch
from entropy_flows.bench.features import features
from entropy_flows.potentials import load_batch_model

ELEMENTS = (
    "Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Sc", "Ti", "V", "Cr", "Fe", "Co", "Ni", "Cu", "Zn", "Y", "Zr", "Nb", "Mo",
    "Ru", "Rh", "Pd", "Ag", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au",
)  # fmt: skip
PROTOTYPES = ("B2", "B1", "L12")
TARGET = "energy_per_atom"
SCALES = np.linspace(0.85, 1.2, 15)
"""Of the edge."""


def cell(prototype: str, a: str, b: str, volume: float) -> Atoms:
    """A prototype with so many Å³ an atom; L1₂ has three of A."""
    if prototype == "B2":
        return bulk(f"{a}{b}", "cesiumchloride", a=(2 * volume) ** (1 / 3))
    if prototype == "B1":
        return bulk(f"{a}{b}", "rocksalt", a=(8 * volume) ** (1 / 3))
    edge = (4 * volume) ** (1 / 3)
    places = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([b, a, a, a], scaled_positions=places, cell=[edge] * 3, pbc=True)


def relaxed(model, start: Atoms) -> tuple[Atoms, float]:
    """The cell scaled to its lowest energy, by a parabola through the three lowest of a scan; and eV/atom there."""
    scan = [start.copy() for _ in SCALES]
    for atoms, scale in zip(scan, SCALES, strict=True):
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    energies = model(Batch.of(scan)).energy.numpy() / len(start)
    best = int(np.clip(np.argmin(energies), 1, len(SCALES) - 2))
    near = slice(best - 1, best + 2)
    a, b, c = np.polyfit(SCALES[near], energies[near], 2)
    scale = (
        float(np.clip(-b / (2 * a), SCALES[best - 1], SCALES[best + 1]))
        if a > 0
        else float(SCALES[best])
    )
    found = start.copy()
    found.set_cell(found.cell * scale, scale_atoms=True)
    return found, float(np.polyval([a, b, c], scale))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    model = load_batch_model("SevenNet-0")
    volumes = {}
    for symbol in ELEMENTS:  # in the crystals of ase.data.reference_states
        atoms, _ = relaxed(model, bulk(symbol))
        volumes[symbol] = atoms.get_volume() / len(atoms)
    known = set()
    if given.table.is_file():
        with given.table.open(newline="") as stream:
            known = {row["name"] for row in csv.DictReader(stream)}
    pairs = [
        (p, a, b) for p in PROTOTYPES for a, b in permutations(ELEMENTS, 2) if p == "L12" or a < b
    ]
    order = np.random.default_rng(0).permutation(len(pairs))[: given.rows]
    with given.table.open("a", newline="") as stream:
        for done, place in enumerate(order, 1):
            prototype, a, b = pairs[place]
            name, share = f"{a}-{b}-{prototype}", 0.75 if prototype == "L12" else 0.5
            if name in known:
                continue
            volume = share * volumes[a] + (1 - share) * volumes[b]
            atoms, energy = relaxed(model, cell(prototype, a, b, volume))
            row = {"name": name, **features(AseAtomsAdaptor.get_structure(atoms)), TARGET: energy}
            table = csv.DictWriter(stream, list(row))
            if stream.tell() == 0:
                table.writeheader()
            table.writerow(
                {
                    key: f"{value:.8g}" if isinstance(value, float) else value
                    for key, value in row.items()
                }
            )
            stream.flush()
            if done % 20 == 0:
                print(f"{done} of {len(order)}: {name} {energy:+.3f} eV/atom", flush=True)


if __name__ == "__main__":
    main()
