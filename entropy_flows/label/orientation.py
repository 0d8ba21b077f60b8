"""The order of atoms and the orientation in which a calculation gives a cell back.

VASP sorts atoms by species and turns left-handed cells by inversion, so atoms are matched and
vectors turned back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entropy_flows.label.reasons import InconsistentOutputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SAME_CELL = 1e-4  # deviation from a pure rotation; VASP prints eight decimals
_SAME_SITE = 1e-2  # Å


def alignment(calculated: Structure, submitted: Structure) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return the order and rotation that carry the document's forces to the submitted structure.

    Cells as rows: L_calculated R = L_submitted with R orthogonal, possibly an inversion; a force
    row f becomes f R.

    Parameters
    ----------
    calculated, submitted
        The document's cell, and the one that it was made of.

    Returns
    -------
    tuple
        Indices (n,) into the document's atoms, and R (3, 3).

    Raises
    ------
    InconsistentOutputError
        If the two are not the same cell with the same atoms.
    """
    if len(calculated) != len(submitted):
        raise InconsistentOutputError(
            f"the task document has {len(calculated)} atoms, the structure {len(submitted)}"
        )
    turn: NDArray[Any] = np.linalg.solve(calculated.lattice.matrix, submitted.lattice.matrix)
    if np.abs(turn @ turn.T - np.eye(3)).max() > _SAME_CELL:
        raise InconsistentOutputError(
            "the task document's cell is not the submitted one: was it relaxed?"
        )
    for exact in (np.eye(3), -np.eye(3)):
        if np.abs(turn - exact).max() < _SAME_CELL:
            turn = exact  # without the noise of printed digits
    steps = submitted.frac_coords[:, None] - calculated.frac_coords[None]  # (n, n, 3)
    distances = np.linalg.norm((steps - np.round(steps)) @ submitted.lattice.matrix, axis=-1)
    numbers = [np.array([site.specie.Z for site in s]) for s in (submitted, calculated)]
    distances[numbers[0][:, None] != numbers[1][None]] = np.inf
    order: NDArray[np.intp] = np.argmin(distances, axis=1)
    if distances[np.arange(len(order)), order].max() > _SAME_SITE or len(set(order.tolist())) < len(
        order
    ):
        raise InconsistentOutputError(
            "the task document's atoms are not the submitted ones: were they moved?"
        )
    return order, turn
