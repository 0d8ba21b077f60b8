"""Units, signs and shapes of the whole package, in one place.

========  ===================  ==================================================================
quantity  unit                 shape and sign
========  ===================  ==================================================================
length    Å                    positions (n_atoms, 3)
energy    eV
force     eV/Å                 (n_atoms, 3), minus the gradient of the energy
stress    eV/Å³                (3, 3) or Voigt (6,) in the order xx yy zz yz xz xy; ASE's sign,
                               σ = (1/V) ∂E/∂ε: a compressed solid is negative
strain    1                    r → (1 + ε) r for atoms and cell alike
pressure  eV/Å³; GPa only in   P = −tr σ / 3: a compressed solid is positive
          what people read
time      fs
========  ===================  ==================================================================
"""

from __future__ import annotations

import numpy as np
from ase import units
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

GPA = 1 / units.GPa
"""1 eV/Å³ in GPa (160.21766): multiply eV/Å³ by it, divide GPa by it."""

KBAR = 10 * GPA
"""1 eV/Å³ in kBar."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Row and column of each Voigt component."""

_ROWS, _COLUMNS = (list(axis) for axis in zip(*VOIGT, strict=True))


def to_voigt(stress: ArrayLike) -> Array:
    """Return the Voigt components (6,) of a (3, 3) stress, averaging its off-diagonal halves."""
    matrix = np.asarray(stress, dtype=float)
    if matrix.shape != (3, 3):
        raise ValueError(f"a stress matrix has shape (3, 3), not {matrix.shape}")
    return (0.5 * (matrix + matrix.T))[_ROWS, _COLUMNS]


def to_matrix(voigt: ArrayLike) -> Array:
    """Build the symmetric (3, 3) stress from Voigt components (6,)."""
    components = np.asarray(voigt, dtype=float)
    if components.shape != (6,):
        raise ValueError(f"Voigt components have shape (6,), not {components.shape}")
    matrix = np.empty((3, 3))
    matrix[_ROWS, _COLUMNS] = components
    matrix[_COLUMNS, _ROWS] = components
    return matrix


def stress_from_vasp(kilobar: ArrayLike) -> Array:
    """Return the stress (3, 3) in eV/Å³ from VASP's in kBar, whose sign is the opposite one."""
    matrix = np.asarray(kilobar, dtype=float)
    if matrix.shape != (3, 3):
        raise ValueError(f"a stress matrix has shape (3, 3), not {matrix.shape}")
    return -matrix / KBAR


def pressure(stress: ArrayLike) -> float:
    """Return the pressure in eV/Å³ of a stress given as (3, 3) or Voigt (6,)."""
    array = np.asarray(stress, dtype=float)
    matrix = to_matrix(array) if array.shape == (6,) else array
    return -float(np.trace(matrix)) / 3
