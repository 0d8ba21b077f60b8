r"""The largest stress that a cell can have, from how near its atoms are to one another.

    W_ab = ½ Σ_ij −φ'(r_ij) r_a r_b/r      virial of the nuclei's screened repulsion φ          (1)
    w    = ‖σ‖ V/N                         share of each atom in a stress σ, eV                 (2)
    w   ≤  W₀ + c ‖W‖/N                                                                         (3)

======  =======================================================================
symbol  meaning
======  =======================================================================
φ       universal repulsion of Ziegler, Biersack and Littmark (1985), eV
V, N    volume in Å³ and number of atoms of the cell
‖·‖     spectral norm: the largest principal stress, of either sign
W₀      6 eV: bonds, whose largest tension is about a fifth of a bulk modulus
c       1.5
======  =======================================================================

A stress in kBar or GPa that is taken for eV/Å³ is 1602 or 160 times too large and breaks (3),
unless it is small. At rest the limit is between 14 GPa (potassium) and 770 GPa (diamond). Equations
of state up to 2.5 TPa (Vinet; 25 elements from He to U, down to a fifth of their volume at rest)
reach 0.96 of it for xenon at 660 GPa, less than 0.6 for all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.conventions import GPA, Array

if TYPE_CHECKING:
    from pymatgen.core import Structure

BOND_VIRIAL = 6.0
"""W₀ in eV for each atom."""
REPULSION_FACTOR = 1.5
"""c."""
_CUTOFF = 6.0
"""Å; φ' is below 10⁻³ eV/Å there, but for the heaviest elements."""
_COULOMB = 14.399645
"""e²/4πε₀ in eV Å."""
_SCREENING_LENGTH = 0.46850
"""Å, times 1/(Z₁^0.23 + Z₂^0.23)."""
_WEIGHTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
_DECAYS = np.array([3.1998, 0.94229, 0.4029, 0.20162])


def stress_defect(structure: Structure, stress: Array) -> str | None:
    """Say why a stress cannot be a cell's, or None.

    Parameters
    ----------
    structure
        The cell.
    stress
        (3, 3) in eV/Å³.
    """
    largest = float(np.abs(np.linalg.eigvalsh(0.5 * (stress + stress.T))).max())
    volume_per_atom = structure.volume / len(structure)
    if largest * volume_per_atom <= BOND_VIRIAL:
        return None
    repulsion = float(np.linalg.norm(repulsion_virial(structure), 2)) / len(structure)
    limit = (BOND_VIRIAL + REPULSION_FACTOR * repulsion) / volume_per_atom
    if largest <= limit:
        return None
    return (
        f"stress of {largest:.4g} eV/Å³ ({_pressure(largest)}) is impossible for atoms this far "
        f"apart, which bear {limit:.2g} eV/Å³ ({_pressure(limit)}) at most; is it in kBar? "
        f"(eV/Å³ = GPa/160.22 = kBar/1602.2, with the opposite sign if it is VASP's)"
    )


def repulsion_virial(structure: Structure) -> Array:
    """Compute the virial (3, 3) in eV of the nuclear repulsion of all pairs: equation (1)."""
    i, j, images, r = structure.get_neighbor_list(_CUTOFF)
    if len(r) == 0:
        return np.zeros((3, 3))
    positions = structure.cart_coords
    vectors = positions[j] - positions[i] + images @ structure.lattice.matrix
    charges = np.array([site.specie.Z for site in structure], dtype=float)
    strength = _minus_slope(r, charges[i], charges[j]) / r
    return 0.5 * np.einsum("p,pa,pb->ab", strength, vectors, vectors)


def _minus_slope(r: Array, z1: Array, z2: Array) -> Array:
    """Compute −φ'(r) in eV/Å for nuclear charges z1 and z2."""
    length = (_SCREENING_LENGTH / (z1**0.23 + z2**0.23))[:, None]
    terms = _WEIGHTS * np.exp(-_DECAYS * r[:, None] / length)
    screening = terms.sum(axis=1)
    slope = -(terms * _DECAYS / length).sum(axis=1)
    return _COULOMB * z1 * z2 * (screening / r**2 - slope / r)


def _pressure(stress: float) -> str:
    gigapascal = stress * GPA
    return f"{gigapascal / 1000:.3g} TPa" if gigapascal >= 1000 else f"{gigapascal:.3g} GPa"
