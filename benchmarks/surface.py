"""S_local with forces and virial, as the engine computes it; and the bare matrices behind it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from ase import Atoms
from matscipy.neighbours import neighbour_list
from torch import Tensor

from entropy_flows.entropy.local import local_entropies
from entropy_flows.fingerprints import GOM


def surface(gom: GOM, cells: list[Atoms]) -> tuple[Tensor, Tensor, Tensor]:
    """S_local (n_cells,), ∂S/∂r (n, 3) and ∂S/∂ε (n_cells, 3, 3) of a batch."""
    spectra = gom.spectra(cells)
    S, weights = local_entropies(spectra.q, spectra.sizes)
    return S, *spectra.pullback(weights)


class Floor:
    """Build the same matrices from the definition, those of one size in one array."""

    def __init__(self, gom: GOM, cells: list[Atoms]) -> None:
        by_size = defaultdict(list)
        for atoms in cells:
            for matrix in (matrix for own in matrices(gom, atoms) for matrix in own):
                by_size[len(matrix)].append(matrix)
        self.stacks = [
            torch.from_numpy(np.stack(own)).to(gom.params.device)
            for _, own in sorted(by_size.items())
        ]
        self.sizes = np.repeat(list(by_size), [len(own) for own in by_size.values()])

    def solve(self) -> None:
        """The bare eigenvalue problems."""
        for stack in self.stacks:
            torch.linalg.eigh(stack)


def matrices(gom: GOM, atoms: Atoms) -> list[list[np.ndarray]]:
    """M of each block of each atom."""
    params = gom.params
    i, j, D = neighbour_list("ijD", atoms, cutoff=params.cutoff)
    radii = np.array([params.radius(symbol) for symbol in atoms.symbols])
    kinds = np.unique(atoms.numbers)
    blocks = (
        [(s, t) for k, s in enumerate(kinds) for t in kinds[k:]]
        if params.species == "pairs"
        else [kinds]
    )
    found = []
    for atom in range(len(atoms)):
        members, d = np.append(atom, j[i == atom]), np.vstack([np.zeros(3), D[i == atom]])
        inside = [np.isin(atoms.numbers[members], block) for block in blocks]
        found.append(
            [_matrix(d[own], radii[members[own]], params.cutoff, params.exponent) for own in inside]
        )
    return found


def _matrix(d: np.ndarray, radius: np.ndarray, cutoff: float, exponent: float) -> np.ndarray:
    f = (1 - (d**2).sum(axis=1) / cutoff**2) ** exponent
    gamma = 0.5 / np.add.outer(radius**2, radius**2)
    r2 = ((d[:, None] - d) ** 2).sum(axis=-1)
    return np.outer(f, f) * (4 * np.pi * gamma) ** 1.5 * np.exp(-gamma * r2)


def check_floor(gom: GOM, atoms: Atoms, tolerance: float = 1e-10) -> None:
    """The floor is that of these fingerprints: their eigenvalues agree, or nothing is reported."""
    q = gom(atoms).reshape(len(atoms), -1, gom.params.natx)
    for atom, own in enumerate(matrices(gom, atoms)):
        for block, matrix in enumerate(own):
            expected = np.zeros(gom.params.natx)
            expected[: len(matrix)] = np.linalg.eigvalsh(matrix)[::-1]
            worst = np.abs(q[atom, block] - expected).max()
            if not worst < tolerance:
                raise RuntimeError(
                    f"matrices of {atoms.symbols} are not those of {gom}: eigenvalues differ by "
                    f"{worst}"
                )
