"""Write tests/fingerprints/libfp.json, libfp's results for a few cells.

Run it by `python -m benchmarks.peers.make_reference`.

Beside cells and fingerprints it holds the derivatives of φ = Σ w q, w = sin(0, 1, 2, …), in
positions and strain.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from ase import Atoms

from benchmarks.cells import C16, NACL64, SI16
from benchmarks.peers.build import ROOT
from benchmarks.peers.libfp_client import RADII, LibFP, twin

FILE = ROOT / "tests" / "fingerprints" / "libfp.json"


def skewed(symbols: str, seed: int, edge: float) -> Atoms:
    """A triclinic cell with atoms anywhere, outside of it too."""
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
    return Atoms(
        symbols,
        scaled_positions=rng.uniform(-1.5, 2.5, (len(Atoms(symbols)), 3)),
        cell=cell,
        pbc=True,
    )


CELLS = {
    "Si16, thermal": (SI16.cells(1)[0], 4.5),
    "C16, thermal": (C16.cells(1)[0], 4.5),
    "NaCl64, thermal": (NACL64.cells(1)[0], 4.5),
    "three species, skewed, atoms outside the cell": (skewed("Si2C3O2", 1, 4.2), 4.0),
    "four species, skewed, atoms outside the cell": (skewed("Na2Cl2ON", 2, 4.6), 4.0),
    "one atom among its images": (skewed("C", 3, 2.2), 4.0),
}


def entry(libfp: LibFP, atoms: Atoms, cutoff: float) -> dict[str, Any]:
    """What libfp says of a cell, without the zeros at the end of the vectors."""
    arrays = libfp.arrays(atoms, cutoff, 200)
    q = arrays["lfp"][:, : int(np.flatnonzero(arrays["lfp"].any(axis=0)).max()) + 1]
    w = np.sin(np.arange(q.size)).reshape(q.shape)
    return {
        "symbols": str(atoms.symbols),
        "cell": atoms.cell[:].tolist(),
        "positions": atoms.positions.tolist(),
        "cutoff": cutoff,
        "fingerprints": q.tolist(),
        "gradient": np.einsum("im,ijxm->jx", w, arrays["dfp"][..., : q.shape[1]]).tolist(),
        "strain": np.einsum("im,ivm->v", w, arrays["dfpe"][..., : q.shape[1]]).tolist(),
    }


def difference(entry: dict[str, Any]) -> str:
    """How far we are from it."""
    q = np.array(entry["fingerprints"])
    atoms = Atoms(entry["symbols"], entry["positions"], cell=entry["cell"], pbc=True)
    ours, pullback = twin(entry["cutoff"], q.shape[1]).vjp(atoms)
    gradient, strain = pullback(np.sin(np.arange(q.size)).reshape(q.shape))
    voigt = (strain + strain.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [0.5, 0.5, 0.5, 1, 1, 1]
    pairs = ((ours, q), (gradient, entry["gradient"]), (voigt, entry["strain"]))
    return ", ".join(f"{np.abs(a - np.array(b)).max():.1e}" for a, b in pairs)


def main() -> None:
    """Write, and say how far apart fingerprints, gradients and strain gradients are."""
    with LibFP() as libfp:
        cells = {name: entry(libfp, *cell) for name, cell in CELLS.items()}
        data = {"libfp": libfp.name, "radii": RADII, "cells": cells}
    FILE.write_text(
        json.dumps(data, indent=None).replace('], "', '],\n"').replace('}, "', '},\n\n"') + "\n"
    )
    for name, cell in cells.items():
        print(f"{name}: {difference(cell)}")


if __name__ == "__main__":
    main()
