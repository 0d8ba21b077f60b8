"""Random cells of any shape at a given density, in independent volume windows.

    V_k = V₀ (lowest + k (highest − lowest)/n),    window k = [V_k, V_{k+1}],    k < n    (1)
    R_core = c V_k^{1/3},    R_min = 0.9 R_core                                           (2)

=========  ===================================================================================
symbol     meaning
=========  ===================================================================================
V₀         volume per atom of the element's ground state, Å³
V_k        the window's smallest volume per atom: the exclusion volume ∝ R_core³ scales with it
c          R_core of a sphere packing of unit volume per atom, see `Reference.core`
=========  ===================================================================================

Source: Subramanyam 2025, section 5.1. Its 17 windows between 0.45 and 3 V₀ are each 0.15 V₀ wide.
It says neither what c is nor what shapes are drawn; the docstrings say what is done here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, reference_states
from ase.geometry import cellpar_to_cell
from pydantic import Field, model_validator

from entropy_flows.conventions import Array
from entropy_flows.geometry import rescaled, shortest_distance
from entropy_flows.params import Params

TOUCHING = 0.75
"""R_core in units of the ground state's nearest-neighbour distance at the same density.

For tungsten R_min of the densest window is then 1.4 Å, near the 1.5 Å at which the potentials of
Subramanyam 2025 switch to their core repulsion. At 1 a disordered cell would have to be a perfect
sphere packing.
"""
CLOSE_PACKED = TOUCHING * 2 ** (1 / 6)
"""c = 0.84 of close-packed spheres, whose nearest-neighbour distance is 2^{1/6} V^{1/3}."""
R_MIN = 0.9
"""R_min in units of R_core (Subramanyam 2025)."""
DRAWS = 1000
"""Number of shapes drawn before a cell is given up."""
_TRANSLATIONS = np.array(
    [n for n in itertools.product(range(-2, 3), repeat=3) if any(n)], dtype=float
)


@dataclass(frozen=True)
class Window:
    """Range of volumes per atom (Å³), and the distance r_core (Å) below which atoms repel."""

    index: int
    low: float
    high: float
    r_core: float

    @property
    def r_min(self) -> float:
        """Shortest distance allowed (Å)."""
        return R_MIN * self.r_core


@dataclass(frozen=True)
class Reference:
    """An element's ground state: volume per atom (Å³) and nearest-neighbour distance (Å)."""

    volume: float
    nearest: float

    @property
    def core(self) -> float:
        """The constant c of its own nearest-neighbour distance: 0.82 for bcc, 0.52 for graphite."""
        return TOUCHING * self.nearest / self.volume ** (1 / 3)


class ShapeParams(Params):
    """Set the size and shape of random cells."""

    atoms: tuple[int, int] = (2, 25)
    """Fewest and most atoms, all numbers equally likely."""
    angles: tuple[float, float] = (50.0, 130.0)
    """Smallest and largest angle between lattice vectors (degrees), drawn uniformly."""
    aspect: float = Field(2.5, ge=1, le=10)
    """Largest ratio of two lattice vectors; their logarithms are drawn uniformly."""
    flatness: float = Field(0.35, gt=0, lt=1)
    """Smallest volume of a cell, in that of the box with the same edges at right angles."""

    @model_validator(mode="after")
    def _ordered(self) -> ShapeParams:
        if not 1 <= self.atoms[0] <= self.atoms[1]:
            raise ValueError(f"atoms {self.atoms}: expected (fewest, most) with 1 ≤ fewest ≤ most")
        if not 0 < self.angles[0] <= 90 <= self.angles[1] < 180:
            raise ValueError(
                f"angles {self.angles}: expected 0 < smallest ≤ 90 ≤ largest < 180 degrees"
            )
        return self


def windows(
    v0: float,
    n: int = 17,
    lowest: float = 0.45,
    highest: float = 3.0,
    core: float = CLOSE_PACKED,
    first: int = 0,
) -> list[Window]:
    """Divide the range of volumes by equation (1).

    Parameters
    ----------
    v0
        Volume per atom of the ground state (Å³).
    n
        Number of windows, of equal width.
    lowest, highest
        Ends of the range, in units of v0.
    core
        The constant c of (2).
    first
        Index of the first window.
    """
    edges = v0 * np.linspace(lowest, highest, n + 1)
    return [
        Window(first + k, float(low), float(high), float(core * low ** (1 / 3)))
        for k, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def reference_state(symbol: str) -> Reference:
    """Return an element's crystal as ASE tabulates it.

    Raises
    ------
    ValueError
        If the table has no crystal for it.
    """
    from ase.build import bulk

    try:
        state = reference_states[atomic_numbers[symbol]] or {}
        if state.get("symmetry") == "orthorhombic":
            raise ValueError("orthorhombic, of which the table has the cell without its atoms")
        crystal = bulk(symbol)
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as err:
        raise ValueError(
            f"no crystal of element {symbol!r} in ASE's table ({err}): give `volume` and `nearest`"
        ) from None
    return Reference(float(crystal.get_volume()) / len(crystal), shortest_distance(crystal)[0])


def random_cell(symbol: str, window: Window, shape: ShapeParams, rng: np.random.Generator) -> Atoms:
    """Draw a cell of random size, shape, volume and positions.

    A shape whose shortest translation is below R_core, or which is flatter than allowed, is drawn
    again: no motion of the atoms could separate an atom from its own image.

    Parameters
    ----------
    symbol
        The element.
    window
        Where the volume per atom is drawn, uniformly.
    shape
        Bounds of size and shape.
    rng
        Source of all that is random.

    Raises
    ------
    ValueError
        If no shape will do.
    """
    count = int(rng.integers(shape.atoms[0], shape.atoms[1] + 1))
    volume = rng.uniform(window.low, window.high)
    for _ in range(DRAWS):
        lengths = np.exp(rng.uniform(0, np.log(shape.aspect), 3))
        angles = rng.uniform(*shape.angles, 3)
        c = np.cos(np.deg2rad(angles))
        square = 1 - (c**2).sum() + 2 * c.prod()
        if square < shape.flatness**2:
            continue
        lattice = cellpar_to_cell([*lengths, *angles])
        lattice *= (count * volume / abs(np.linalg.det(lattice))) ** (1 / 3)
        if shortest_translation(lattice) >= window.r_core:
            return Atoms(
                [symbol] * count,
                scaled_positions=rng.uniform(size=(count, 3)),
                cell=lattice,
                pbc=True,
            )
    raise ValueError(
        f"no cell of {count} atoms and {volume:.2f} Å³ each in {DRAWS} draws: shortest "
        f"translation ≥ {window.r_core:.2f} Å does not go with angles {shape.angles} and aspect "
        f"{shape.aspect:g}"
    )


def shortest_translation(lattice: Array) -> float:
    """Return the length (Å) of the shortest combination of up to two of each lattice vector."""
    return float(np.linalg.norm(_TRANSLATIONS @ lattice, axis=1).min())


def for_element(cells: list[Atoms], symbol: str, v0: float, new_v0: float) -> list[Atoms]:
    """Scale cells to another element by the ratio of the ground states' volumes.

    Source: Subramanyam 2025, section 5.3.

    Parameters
    ----------
    cells
        Cells of one element.
    symbol
        The other element.
    v0, new_v0
        Volume per atom of both ground states (Å³).
    """
    scaled_cells = []
    for atoms in cells:
        scaled = rescaled(atoms, atoms.get_volume() / len(atoms) * new_v0 / v0)
        scaled.symbols[:] = symbol
        scaled.info.pop("gain", None)  # it belongs to the other element's fingerprints
        if "r_core" in scaled.info:
            scaled.info["r_core"] *= (new_v0 / v0) ** (1 / 3)
        scaled_cells.append(scaled)
    return scaled_cells
