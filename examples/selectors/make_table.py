r"""Make a table for `bench-selectors --preset khan-2026`: features and energies of binary metals.

The cells have the prototypes B2 (CsCl), B1 (NaCl) and L1₂ (Cu₃Au). Their energies per atom are
SevenNet-0's (weights in its wheel: a teacher, not DFT), at the volume of the lowest energy. They
are counted from the atoms that its training data is counted from: cohesive energies but for spin.
Formation energies are beyond these features: R² stays near 0 at 120 rows, whatever is chosen. The
features are those of entropy_flows.bench.features. Run again, it goes on from its last row.

    python examples/selectors/make_table.py binaries.csv --rows 500
    entropy-flows bench-selectors binaries.csv -C bench-khan --preset khan-2026 \
        --set target=energy_per_atom
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
    "Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Sc", "Ti", "V", "Cr", "Fe", "Co", "Ni", "Cu", "Zn",
    "Y", "Zr", "Nb", "Mo", "Ru", "Rh", "Pd", "Ag", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au",
)  # fmt: skip
PROTOTYPES = ("B2", "B1", "L12")
TARGET = "energy_per_atom"
SCALES = np.linspace(0.85, 1.2, 15)
"""Scales of a cell's edge that are scanned."""


def cell(prototype: str, a: str, b: str, volume: float) -> Atoms:
    """Return a prototype with a volume in Å³ per atom; L1₂ has three atoms of A."""
    if prototype == "B2":
        return bulk(f"{a}{b}", "cesiumchloride", a=(2 * volume) ** (1 / 3))
    if prototype == "B1":
        return bulk(f"{a}{b}", "rocksalt", a=(8 * volume) ** (1 / 3))
    edge = (4 * volume) ** (1 / 3)
    sites = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([b, a, a, a], scaled_positions=sites, cell=[edge] * 3, pbc=True)


def relaxed(model, start: Atoms) -> tuple[Atoms, float]:
    """Scale a cell to its lowest energy; return it, and its energy in eV/atom.

    The minimum is that of a parabola through the three lowest points of a scan.
    """
    scan = [start.copy() for _ in SCALES]
    for atoms, scale in zip(scan, SCALES, strict=True):
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    energies = model(Batch.of(scan)).energy.numpy() / len(start)
    best = int(np.clip(np.argmin(energies), 1, len(SCALES) - 2))
    lowest = slice(best - 1, best + 2)
    a, b, c = np.polyfit(SCALES[lowest], energies[lowest], 2)
    scale = float(SCALES[best])
    if a > 0:
        scale = float(np.clip(-b / (2 * a), SCALES[best - 1], SCALES[best + 1]))
    atoms = start.copy()
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    return atoms, float(np.polyval([a, b, c], scale))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int, default=500)
    options = parser.parse_args()
    model = load_batch_model("SevenNet-0")
    volumes = {}
    # Elements in the crystals of ase.data.reference_states.
    for symbol in ELEMENTS:
        atoms, _ = relaxed(model, bulk(symbol))
        volumes[symbol] = atoms.get_volume() / len(atoms)
    finished = set()
    if options.table.is_file():
        with options.table.open(newline="") as stream:
            finished = {row["name"] for row in csv.DictReader(stream)}
    pairs = [
        (p, a, b) for p in PROTOTYPES for a, b in permutations(ELEMENTS, 2) if p == "L12" or a < b
    ]
    order = np.random.default_rng(0).permutation(len(pairs))[: options.rows]
    with options.table.open("a", newline="") as stream:
        for count, index in enumerate(order, 1):
            prototype, a, b = pairs[index]
            name = f"{a}-{b}-{prototype}"
            share = 0.75 if prototype == "L12" else 0.5
            if name in finished:
                continue
            volume = share * volumes[a] + (1 - share) * volumes[b]
            atoms, energy = relaxed(model, cell(prototype, a, b, volume))
            row = {"name": name, **features(AseAtomsAdaptor.get_structure(atoms)), TARGET: energy}
            table = csv.DictWriter(stream, list(row))
            if stream.tell() == 0:
                table.writeheader()
            texts = {
                key: f"{value:.8g}" if isinstance(value, float) else value
                for key, value in row.items()
            }
            table.writerow(texts)
            stream.flush()
            if count % 20 == 0:
                print(f"{count} of {len(order)}: {name} {energy:+.3f} eV/atom", flush=True)


if __name__ == "__main__":
    main()
