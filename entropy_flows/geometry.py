"""Cells as ASE and pymatgen see them, and distances in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from entropy_flows.digest import bytes_sha256
from entropy_flows.moments import collinear, moments_of, set_moments

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch import Tensor

    from entropy_flows.batch import Batch


def periodicity_defect(atoms: Atoms) -> str | None:
    """Return why a cell is not periodic in three directions, and what was expected.

    None if it is. Whether its vectors span a volume is not looked at.
    """
    if atoms.cell.rank < 3:
        return f"not periodic in three directions: it has {atoms.cell.rank} cell vectors"
    if not atoms.pbc.all():
        flags = " ".join("T" if repeats else "F" for repeats in atoms.pbc)
        return (
            f'not periodic in three directions: pbc is "{flags}"; expected "T T T", for a slab or '
            "a molecule with vacuum in its cell"
        )
    return None


def shortest_distance(atoms: Atoms) -> tuple[float, float]:
    """Return the shortest distance: in Å, and as the smallest fraction of covalent radii's sum.

    Periodic images of an atom itself count. (inf, inf) if no pair is closer than the largest sum of
    radii plus 2 Å.
    """
    from entropy_flows.batch import Batch

    distances, ratios = shortest_distances(Batch.of([atoms]))
    return float(distances[0]), float(ratios[0])


def shortest_distances(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return `shortest_distance` of each cell (B,), on the batch's device."""
    import torch

    from entropy_flows.neighbors import neighbors

    radii = batch.cells.radii
    pairs = neighbors(batch, 2 * float(covalent_radii[batch.cells.numbers].max()) + 2.0)
    d = pairs.vectors.norm(dim=1)
    ratio = d / (radii[pairs.centers] + radii[pairs.members])
    nothing = d.new_full((len(batch),), torch.inf)
    owner = batch.cells.owner[pairs.centers]
    distances = nothing.scatter_reduce(0, owner, d, "amin")
    ratios = nothing.scatter_reduce(0, owner, ratio, "amin")
    return distances, ratios


def cell_as_dict(atoms: Atoms) -> dict[str, list]:
    """Return a periodic cell as plain data."""
    return {
        "numbers": atoms.numbers.tolist(),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
    }


def cell_from_dict(data: dict[str, list]) -> Atoms:
    """Return the cell that `cell_as_dict` was given."""
    return Atoms(pbc=True, **data)


def to_atoms(structure: Structure) -> Atoms:
    """Convert pymatgen's cell to ASE's: species, positions, cell and initial moments only."""
    return Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=True,
        magmoms=moments_of(structure),
    )


def to_structure(atoms: Atoms) -> Structure:
    """Convert ASE's cell to pymatgen's: positions not wrapped, with initial moments if any.

    Raises
    ------
    ValueError
        If the moments are not collinear.
    """
    from pymatgen.core import Structure

    symbols = atoms.get_chemical_symbols()
    structure = Structure(np.array(atoms.cell), symbols, atoms.positions, coords_are_cartesian=True)
    if atoms.has("initial_magmoms"):
        set_moments(structure, collinear(atoms.get_initial_magnetic_moments()))
    return structure


def rescaled(atoms: Atoms, volume_per_atom: float) -> Atoms:
    """Copy a cell to another density: cell and positions are scaled alike, angles stay.

    Parameters
    ----------
    atoms
        The cell, with cell vectors; it is not changed. A calculator's results are not taken along:
        they are of the old density.
    volume_per_atom
        New volume per atom (Å³).

    Raises
    ------
    ValueError
        If the cell has no atoms or no volume, or the new one is not a positive number.
    """
    if not (np.isfinite(volume_per_atom) and volume_per_atom > 0):
        raise ValueError(
            f"volume per atom is {volume_per_atom}; it must be a positive number of Å³"
        )
    if len(atoms) == 0 or atoms.cell.rank < 3:
        raise ValueError(
            f"a cell of {len(atoms)} atoms and {atoms.cell.rank} vectors has no volume per atom"
        )
    return scaled_to_volume(atoms, volume_per_atom * len(atoms))


def scaled_to_volume(atoms: Atoms, volume: float) -> Atoms:
    """Copy a cell at another volume (Å³): shape, angles and fractional coordinates are kept."""
    scaled = atoms.copy()
    factor = (volume / atoms.get_volume()) ** (1 / 3)
    scaled.set_cell(atoms.cell * factor, scale_atoms=True)
    return scaled


def cell_hash(structure: Structure) -> str:
    """Return the SHA-256 of a cell as it stands: equal for equal calculations in any campaign.

    Lattice vectors to 1e-6 Å, then the species and the fractional coordinates, modulo 1 and to
    1e-8, in their order; then the initial magnetic moments to 1e-6 μ_B, if there are any, since
    each order has an energy of its own. Symmetry, rotations, permutations and the spin flip are not
    folded: what was calculated for one of these cells is, row by row, what would be calculated for
    the other.
    """
    matrix = np.round(structure.lattice.matrix, 6) + 0.0  # no -0.0
    fractions = np.round(np.mod(structure.frac_coords, 1.0), 8) % 1.0 + 0.0
    numbers = np.array(structure.atomic_numbers, dtype="<i8")
    content = [matrix.astype("<f8"), numbers, fractions.astype("<f8")]
    moments = moments_of(structure)
    if moments is not None:
        content.append((np.round(moments, 6) + 0.0).astype("<f8"))
    return bytes_sha256(array.tobytes() for array in content)
