"""How diverse data sets are, side by side, as Subramanyam 2025 compares them (section 2.2).

    D = log det Σ

Σ is the covariance plus λ I, of all atoms' vectors ("per atom") or of the cells' means ("per
config"). Most of a fingerprint's spread comes from the density: a set that is compressed has larger
vectors than one that is not, whatever the order of its atoms. So the sets are made comparable:

    window     a set's cells with |V/V_eq − 1| ≤ w are kept                                     (1)
    "set"      all cells are scaled by V_ref/V_eq                                               (2)
    "cell"     each cell is scaled by V_ref/V                                                   (3)

=======  ========================================================================================
V        volume per atom of a cell
V_eq     equilibrium volume of the set: that of its cell of least energy per atom if all have
         energies and one composition, else the median
V_ref    one for all sets: the first one's V_eq, unless another is given
=======  ========================================================================================

(1) and (2) are the paper's. It says that the distribution of densities within a set still differs,
which it would not after (3). They commute, since (2) leaves V/V_eq as it was. With (3) the window
has to come first: afterwards every cell has the one density, and only the arrangement is left.

log det Σ grows with the number of vectors until that is well above their length. So the full sets
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
from entropy_flows.geometry import periodicity_defect, rescaled
from entropy_flows.params import Params

Rescale = Literal["set", "cell", "none"]


class DiversityParams(Params):
    """Parameters of how sets are made comparable, and how often they are drawn from."""

    window: float | None = Field(0.25, gt=0)
    """w of equation (1); None keeps all cells, as in Subramanyam 2025, Fig. S2."""
    rescale: Rescale = "set"
    """Equation (2), (3), or neither."""
    volume: float | None = Field(None, gt=0)
    """V_ref in Å³ per atom."""
    regularization: float = Field(1e-3, gt=0)
    """λ of the covariance."""
    draws: int = Field(10, ge=2)
    """Number of draws of equal size."""
    seed: int = Field(42, ge=0)
    """Seed of the draws."""


@dataclass(frozen=True)
class CellSet:
    """A data set that was made comparable.

    Attributes
    ----------
    name
        Name of the set.
    total
        Number of cells before the window.
    equilibrium
        V_eq, Å³ per atom.
    rule
        How V_eq was chosen.
    cells
        The cells in the window, scaled.
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
        Number of vectors: atoms, or cells.
    full
        log det Σ of all of them.
    equal
        log det Σ of draws of `drawn` vectors.
    drawn
        Number of vectors of the smallest set.
    nothing
        log det Σ of vectors that are all the same: d log λ.
    """

    count: dict[Mode, int]
    full: dict[Mode, float]
    equal: dict[Mode, Mean]
    drawn: dict[Mode, int]
    nothing: float


def volume_per_atom(atoms: Atoms) -> float:
    """Return the volume per atom in Å³."""
    return float(atoms.get_volume()) / len(atoms)


def equilibrium_volume(cells: Sequence[Atoms]) -> tuple[float, str]:
    """Return V_eq of a set (Å³ per atom), and how it was chosen."""
    energies = [energy / len(atoms) for atoms in cells if (energy := energy_of(atoms)) is not None]
    median = float(np.median([volume_per_atom(atoms) for atoms in cells]))
    if len(energies) < len(cells):
        missing = len(cells) - len(energies)
        return median, f"median: {missing} of {len(cells)} without energy"
    compositions = {atoms.symbols.formula.reduce()[0].format("hill") for atoms in cells}
    if len(compositions) > 1:
        return median, "median: several compositions"
    return volume_per_atom(cells[int(np.argmin(energies))]), "least energy"


def energy_of(atoms: Atoms) -> float | None:
    """Return the labelled energy in eV, if there is one."""
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("free_energy", results.get("energy"))
    return None if energy is None or not np.isfinite(energy) else float(energy)


def comparable(sets: Mapping[str, Sequence[Atoms]], params: DiversityParams) -> list[CellSet]:
    """Make sets comparable: window, scale, and species.

    Sets of one element each become the first one's.

    Raises
    ------
    ValueError
        If a set has no cells, one without a density, or fewer than two in its window.
    """
    for name, cells in sets.items():
        _check_cells(name, cells)
    symbol = common_species(sets)
    equilibria = {name: equilibrium_volume(cells) for name, cells in sets.items()}
    reference = params.volume or next(iter(equilibria.values()))[0]
    cell_sets = []
    for name, cells in sets.items():
        volume, rule = equilibria[name]
        in_window = _in_window(name, cells, volume, params.window)
        scaled = [
            _scaled(_bare(atoms, symbol), volume, reference, params.rescale) for atoms in in_window
        ]
        cell_sets.append(CellSet(name, len(cells), volume, rule, scaled))
    return cell_sets


def _check_cells(name: str, cells: Sequence[Atoms]) -> None:
    """Refuse a set without cells, or with one that has no density."""
    if not cells:
        raise ValueError(f"{name} has no cells")
    for index, atoms in enumerate(cells):
        if len(atoms) == 0:
            raise ValueError(f"{name}[{index}] has no atoms")
        if defect := periodicity_defect(atoms):
            raise ValueError(f"{name}[{index}] has no density, it is {defect}")
        if not np.isfinite(atoms.positions).all():
            raise ValueError(f"{name}[{index}]: positions are not finite numbers")


def _in_window(
    name: str, cells: Sequence[Atoms], equilibrium: float, window: float | None
) -> list[Atoms]:
    """Return the cells in the window around V_eq."""
    selected = [
        atoms
        for atoms in cells
        if window is None or abs(volume_per_atom(atoms) / equilibrium - 1) <= window
    ]
    if len(selected) < 2:
        within = ""
        if window is not None:
            within = f" within {window:.0%} of V_eq = {equilibrium:.3g} Å³ per atom"
        count = f"{len(selected)} of {len(cells)} cells"
        raise ValueError(f"{name} has {count}{within}; at least 2 are needed")
    return selected


def _scaled(atoms: Atoms, equilibrium: float, reference: float, rescale: Rescale) -> Atoms:
    """Scale a cell by equation (2), (3), or neither."""
    if rescale == "none":
        return atoms
    if rescale == "set":
        return rescaled(atoms, reference * volume_per_atom(atoms) / equilibrium)
    return rescaled(atoms, reference)


def common_species(sets: Mapping[str, Sequence[Atoms]]) -> str | None:
    """Return the element that all atoms are taken for.

    It is the first set's if each set has one element, else None.
    """
    species = [
        {symbol for atoms in cells for symbol in atoms.get_chemical_symbols()}
        for cells in sets.values()
    ]
    return min(species[0]) if all(len(symbols) == 1 for symbols in species) else None


def _bare(atoms: Atoms, symbol: str | None) -> Atoms:
    """Copy positions, cell and species, and nothing else."""
    symbols = atoms.get_chemical_symbols() if symbol is None else [symbol] * len(atoms)
    return Atoms(symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def vectors_of(prints: Sequence[Array]) -> dict[Mode, Array]:
    """Return the vectors (n, d) of each mode's covariance: of all atoms, and the cells' means."""
    return {"atom": np.concatenate(prints), "config": np.array([q.mean(axis=0) for q in prints])}


def diversities(
    prints: Mapping[str, Sequence[Array]], params: DiversityParams
) -> dict[str, Diversity]:
    """Compare sets by their fingerprints.

    Parameters
    ----------
    prints
        Set → fingerprints (n_atoms, d) of its cells.
    params
        λ and draws.
    """
    vectors = {name: vectors_of(set_prints) for name, set_prints in prints.items()}
    drawn: dict[Mode, int] = {
        mode: min(len(set_vectors[mode]) for set_vectors in vectors.values()) for mode in MODES
    }
    return {name: _diversity(set_vectors, drawn, params) for name, set_vectors in vectors.items()}


def _diversity(
    vectors: Mapping[Mode, Array], drawn: dict[Mode, int], params: DiversityParams
) -> Diversity:
    """Compute log det Σ of one set, of all its vectors and of draws."""
    seeds = range(params.seed, params.seed + params.draws)
    full: dict[Mode, float] = {}
    equal: dict[Mode, Mean] = {}
    for mode in MODES:
        all_vectors = vectors[mode]
        # Vectors are atoms or cells by now: a draw's covariance is over the vectors themselves.
        full[mode] = log_det([all_vectors], params.regularization, "atom")
        draws = [_drawn(all_vectors, drawn[mode], seed) for seed in seeds]
        equal[mode] = Mean.of([log_det([one], params.regularization, "atom") for one in draws])
    return Diversity(
        count={mode: len(vectors[mode]) for mode in MODES},
        full=full,
        equal=equal,
        drawn=drawn,
        nothing=vectors["atom"].shape[1] * float(np.log(params.regularization)),
    )


def _drawn(vectors: Array, size: int, seed: int) -> Array:
    return vectors[draw(range(len(vectors)), size, seed)]
