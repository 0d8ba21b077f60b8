"""How diverse data sets are, side by side, as Subramanyam 2025 compares them (its section 2.2, Figs. 3, 4 and S2).

    D = log det Σ,   Σ the covariance plus λ I of all atoms' vectors ("per atom") or of the cells' means ("per config")

Density is what most of a fingerprint's spread comes from: a set that is compressed has larger
vectors than one that is not, whatever the order of its atoms. So

    window     a set's cells with |V/V_eq − 1| ≤ w are kept                                                          (1)
    "set"      all cells are scaled by V_ref/V_eq                                                                    (2)
    "cell"     each cell is scaled by V_ref/V                                                                        (3)

=======  ==============================================================================================================
V        volume per atom of a cell
V_eq     of the set: that of its cell of least energy per atom if all have energies and one composition, else the median
V_ref    one for all sets: the first one's V_eq, unless another is given
=======  ==============================================================================================================

(1) and (2) are the paper's: it says that the distribution of densities within a set still differs,
which after (3) it would not. They commute, since (2) leaves V/V_eq as it was. With (3) the window
has to come first, for afterwards every cell has the one density, and what is left is arrangement
alone.

log det Σ grows with the number of vectors until that is well above their length, so the full sets
are shown beside draws of equally many vectors of each: atoms of all cells per atom, cells per
config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES, Mode
from entropy_flows.evaluate.coverage import log_det
from entropy_flows.evaluate.curve import Mean, draw
from entropy_flows.geometry import rescaled
from entropy_flows.params import Params

Rescale = Literal["set", "cell", "none"]


class DiversityParams(Params):
    """How sets are made comparable, and how often they are drawn from."""

    window: float | None = Field(0.25, gt=0)
    """w of equation (1); None keeps all cells, as the paper's Fig. S2."""
    rescale: Rescale = "set"
    """Equation (2), (3), or neither."""
    volume: float | None = Field(None, gt=0)
    """V_ref in Å³ per atom."""
    regularization: float = Field(1e-3, gt=0)
    """λ."""
    draws: int = Field(10, ge=2)
    """Draws of equal size."""
    seed: int = Field(42, ge=0)
    """Of the draws."""


@dataclass(frozen=True)
class CellSet:
    """A data set made comparable.

    Attributes
    ----------
    name
        What it is called.
    total
        Cells before the window.
    equilibrium
        V_eq, Å³ per atom.
    rule
        What V_eq is, and why.
    cells
        Those in the window, scaled.
    """

    name: str
    total: int
    equilibrium: float
    rule: str
    cells: list[Atoms]


@dataclass(frozen=True)
class Diversity:
    """log det Σ of a set, per mode.

    Attributes
    ----------
    count
        Vectors: atoms, or cells.
    full
        Of all of them.
    equal
        Of draws of `drawn` vectors.
    drawn
        As many as the smallest set has.
    nothing
        log det Σ of vectors that are all the same: d log λ.
    """

    count: dict[Mode, int]
    full: dict[Mode, float]
    equal: dict[Mode, Mean]
    drawn: dict[Mode, int]
    nothing: float


def volume_per_atom(atoms: Atoms) -> float:
    """Å³."""
    return float(atoms.get_volume()) / len(atoms)


def equilibrium_volume(cells: Sequence[Atoms]) -> tuple[float, str]:
    """V_eq of a set, Å³ per atom, and what it is in words."""
    energies = [energy_of(atoms) for atoms in cells]
    known = [
        energy / len(atoms)
        for energy, atoms in zip(energies, cells, strict=True)
        if energy is not None
    ]
    median = float(np.median([volume_per_atom(atoms) for atoms in cells]))
    if len(known) < len(cells):
        return median, f"median: {len(cells) - len(known)} of {len(cells)} without energy"
    if len({atoms.symbols.formula.reduce()[0].format("hill") for atoms in cells}) > 1:
        return median, "median: several compositions"
    return volume_per_atom(cells[int(np.argmin(known))]), "least energy"


def energy_of(atoms: Atoms) -> float | None:
    """Labelled energy in eV, if there is one."""
    found = atoms.calc.results if atoms.calc is not None else {}
    energy = found.get("free_energy", found.get("energy"))
    return None if energy is None or not np.isfinite(energy) else float(energy)


def comparable(sets: Mapping[str, Sequence[Atoms]], params: DiversityParams) -> list[CellSet]:
    """Window, scale and name alike: sets of one element each become the first one's.

    Raises
    ------
    ValueError
        If a set has no cells, one without a density, or fewer than two in its window.
    """
    for name, cells in sets.items():
        if not cells:
            raise ValueError(f"{name} has no cells")
        for place, atoms in enumerate(cells):
            if len(atoms) == 0 or atoms.cell.rank < 3 or not atoms.pbc.all():
                raise ValueError(
                    f"{name}[{place}] has {len(atoms)} atoms, {atoms.cell.rank} cell vectors and is periodic along "
                    f"{int(atoms.pbc.sum())} of them: no density"
                )
            if not np.isfinite(atoms.positions).all():
                raise ValueError(f"{name}[{place}]: positions are not finite numbers")
    symbol = common_species(sets)
    equilibria = {name: equilibrium_volume(cells) for name, cells in sets.items()}
    reference = params.volume or next(iter(equilibria.values()))[0]
    found = []
    for name, cells in sets.items():
        own, rule = equilibria[name]
        kept = [atoms for atoms in cells if _inside(volume_per_atom(atoms) / own, params.window)]
        if len(kept) < 2:
            within = (
                ""
                if params.window is None
                else f" within {params.window:.0%} of V_eq = {own:.3g} Å³ per atom"
            )
            raise ValueError(
                f"{name} has {len(kept)} of {len(cells)} cells{within}; at least 2 are needed"
            )
        alike = [_scaled(_like(atoms, symbol), own, reference, params.rescale) for atoms in kept]
        found.append(CellSet(name, len(cells), own, rule, alike))
    return found


def _scaled(atoms: Atoms, equilibrium: float, reference: float, rescale: Rescale) -> Atoms:
    """Equation (2), (3), or neither."""
    if rescale == "none":
        return atoms
    return rescaled(
        atoms, reference * volume_per_atom(atoms) / equilibrium if rescale == "set" else reference
    )


def common_species(sets: Mapping[str, Sequence[Atoms]]) -> str | None:
    """The element that all atoms are taken for: the first set's, if each set has one element; else none."""
    species = [
        {symbol for atoms in cells for symbol in atoms.get_chemical_symbols()}
        for cells in sets.values()
    ]
    return min(species[0]) if all(len(own) == 1 for own in species) else None


def _inside(ratio: float, window: float | None) -> bool:
    return window is None or abs(ratio - 1) <= window


def _like(atoms: Atoms, symbol: str | None) -> Atoms:
    """Positions, cell and species, and nothing else."""
    symbols = atoms.get_chemical_symbols() if symbol is None else [symbol] * len(atoms)
    return Atoms(symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def vectors_of(prints: Sequence[Array]) -> dict[Mode, Array]:
    """What the covariance is over in each mode: all atoms' vectors, and the cells' means (n, d)."""
    return {"atom": np.concatenate(prints), "config": np.array([q.mean(axis=0) for q in prints])}


def diversities(
    prints: Mapping[str, Sequence[Array]], params: DiversityParams
) -> dict[str, Diversity]:
    """Compare sets by their fingerprints.

    Parameters
    ----------
    prints
        Set → fingerprints of its cells, (n_atoms, d) each.
    params
        λ and draws.
    """
    vectors = {name: vectors_of(own) for name, own in prints.items()}
    drawn: dict[Mode, int] = {
        mode: min(len(own[mode]) for own in vectors.values()) for mode in MODES
    }
    seeds = range(params.seed, params.seed + params.draws)
    found = {}
    for name, own in vectors.items():
        equal = {
            mode: Mean.of(
                [
                    log_det([_drawn(own[mode], drawn[mode], seed)], params.regularization, "atom")
                    for seed in seeds
                ]
            )
            for mode in MODES
        }
        full = {mode: log_det([own[mode]], params.regularization, "atom") for mode in MODES}
        nothing = own["atom"].shape[1] * float(np.log(params.regularization))
        found[name] = Diversity(
            {mode: len(own[mode]) for mode in MODES}, full, equal, drawn, nothing
        )
    return found


def _drawn(vectors: Array, size: int, seed: int) -> Array:
    return vectors[draw(range(len(vectors)), size, seed)]
