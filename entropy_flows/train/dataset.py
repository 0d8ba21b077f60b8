"""From labelled cells to the files of a training: weights, split, edge limit, extxyz."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from ase import Atoms

Split = Literal["train", "val", "test"]
Key = TypeVar("Key", bound=Hashable)

WEIGHT_KEY = "structure_weight"
REPLAY_WEIGHT = "replay_weight"
"""Key of `Atoms.info` with the loss weight of a replay cell; a labelled cell has none."""
TARGET_WEIGHT = "target_weight"
"""Key of `Atoms.info` with the loss weight that a labelled cell has for a target."""


class LeftOut(NamedTuple):
    """A cell that is not trained on."""

    position: int
    """Position of the cell in the list given."""
    reason: str
    """Kind of the reason, a colon, and the numbers."""


def energy_per_atom(atoms: Atoms) -> float:
    """Return the labelled energy per atom.

    Parameters
    ----------
    atoms
        A labelled cell.

    Returns
    -------
    float
        Energy in eV/atom.
    """
    return float(atoms.get_potential_energy()) / len(atoms)


def is_replay(atoms: Atoms) -> bool:
    """Return whether a cell's label is the first model's own rather than the engine's."""
    return REPLAY_WEIGHT in atoms.info


def loss_weights(frames: Sequence[Atoms], bins: Sequence[tuple[float | None, float]]) -> np.ndarray:
    """Return the loss weight of each cell: by its energy per atom, for a target and in replay.

    Parameters
    ----------
    frames
        Labelled cells, and those of replay.
    bins
        Upper edge (eV/atom, exclusive; None for "the rest") and weight, rising, as
        `TrainParams.weight_bins` has them.

    Returns
    -------
    ndarray, shape (n,)
        Products of the weights; 1 where there is none.
    """
    infos = [atoms.info for atoms in frames]
    factors = [info.get(REPLAY_WEIGHT, 1.0) * info.get(TARGET_WEIGHT, 1.0) for info in infos]
    product = np.array(factors, dtype=float)
    if not bins:
        return product
    edges = [np.inf if edge is None else edge for edge, _ in bins]
    weights = np.array([weight for _, weight in bins])
    energies = [energy_per_atom(atoms) for atoms in frames]
    return product * weights[np.searchsorted(edges, energies, side="right")]


def count_edges(atoms: Atoms, cutoff: float) -> int:
    """Count the directed neighbour pairs of a cell, periodic images included.

    Parameters
    ----------
    atoms
        The cell.
    cutoff
        Largest distance, Å.

    Returns
    -------
    int
        Number of edges.
    """
    from entropy_flows.batch import Batch
    from entropy_flows.neighbors import neighbors

    if not atoms.pbc.all():
        # The neighbour list needs a cell around the atoms.
        atoms = atoms.copy()
        atoms.center(vacuum=cutoff, axis=np.flatnonzero(~atoms.pbc))
    return len(neighbors(Batch.of([atoms]), cutoff).centers)


def within_edge_limit(
    frames: Sequence[Atoms], max_edges: int, cutoff: float
) -> tuple[list[Atoms], list[LeftOut]]:
    """Leave out cells with too many edges.

    Parameters
    ----------
    frames
        Cells.
    max_edges
        Most edges a cell may have.
    cutoff
        Distance up to which edges count, Å.

    Returns
    -------
    accepted, left_out
        The cells to train on, in order, and the others' positions with the reason.
    """
    accepted = []
    left_out = []
    for position, atoms in enumerate(frames):
        edges = count_edges(atoms, cutoff)
        if edges <= max_edges:
            accepted.append(atoms)
        else:
            reason = f"too many edges: {edges} within {cutoff} Å, the limit is {max_edges}"
            left_out.append(LeftOut(position, reason))
    return accepted, left_out


def with_a_pair(frames: Sequence[Atoms], cutoff: float) -> tuple[list[Atoms], list[LeftOut]]:
    """Leave out cells that have no neighbour pair.

    Parameters
    ----------
    frames
        Cells.
    cutoff
        Largest distance of a pair, Å: that of the model.

    Returns
    -------
    accepted, left_out
        The same as of `within_edge_limit`.
    """
    accepted = []
    left_out = []
    for position, atoms in enumerate(frames):
        if count_edges(atoms, cutoff):
            accepted.append(atoms)
        else:
            reason = f"no neighbour pair: none within the model's cutoff of {cutoff:g} Å"
            left_out.append(LeftOut(position, reason))
    return accepted, left_out


def count_reasons(left_out: Iterable[LeftOut | tuple[int, str]]) -> dict[str, int]:
    """Count cells that were left out by the kind of their reason, most frequent first."""
    return dict(Counter(reason.partition(":")[0] for _, reason in left_out).most_common())


def stratified_split(
    energies_per_atom: Sequence[float],
    keys: Sequence[Key],
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[Key, Split]:
    """Split cells so that each set spans the energies.

    The validation and test sets get the rounded share of n cells, at least one each when n ≥ 3 and
    their fraction is not 0; training keeps the rest, and all of n ≤ 2. A set of m cells takes one
    random cell from each of m strata of the cells sorted by energy.

    Parameters
    ----------
    energies_per_atom
        Energy of each cell, eV/atom.
    keys
        Name of each cell. A cell's set depends on the names and energies, not on their order.
    fractions
        Shares of training, validation and test set.
    seed
        Seed of the draw.

    Returns
    -------
    dict
        Set of each key.
    """
    return assign_splits({}, energies_per_atom, keys, fractions, seed)


def assign_splits(
    assigned: Mapping[Key, Split],
    energies_per_atom: Sequence[float],
    keys: Sequence[Key],
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[Key, Split]:
    """Extend a split to new cells.

    Cells that are assigned stay where they are, so a cell once in the test set never trains. The
    sizes aimed at are those of `stratified_split` for all cells together; new cells fill what
    is missing.

    Parameters
    ----------
    assigned
        Set of each cell assigned before; its keys need not all be among `keys`.
    energies_per_atom, keys, fractions, seed
        The same as of `stratified_split`, of old and new cells together (old ones may be left out).

    Returns
    -------
    dict
        Set of every key in `assigned` and `keys`.
    """
    if len(energies_per_atom) != len(keys) or len(set(keys)) != len(keys):
        raise ValueError(
            "every cell needs one energy and one key of its own, "
            f"got {len(energies_per_atom)} energies and {len(keys)} keys, "
            f"{len(set(keys))} of them different"
        )
    result = dict(assigned)
    new = sorted(
        (energy, str(key), key)
        for energy, key in zip(energies_per_atom, keys, strict=True)
        if key not in result
    )
    remaining = [key for *_, key in new]
    total = len(result) + len(remaining)
    # A seed that grows with the data set: new cells are drawn anew, old ones stay assigned.
    rng = np.random.default_rng([seed, total])
    held_out: tuple[tuple[Split, float], ...] = (("test", fractions[2]), ("val", fractions[1]))
    for split, fraction in held_out:
        present = sum(value == split for value in result.values())
        for key in _one_per_stratum(remaining, _set_size(total, fraction) - present, rng):
            result[key] = split
        remaining = [key for key in remaining if key not in result]
    return result | dict.fromkeys(remaining, "train")


def write_extxyz(
    path: Path, frames: Sequence[Atoms], weights: Sequence[float] | np.ndarray
) -> None:
    """Write labelled cells with their loss weights, as NequIP reads them.

    Parameters
    ----------
    path
        File to write.
    frames
        Cells with energy, forces and maybe stress; one without stress gets NaN, which the loss
        ignores.
    weights
        Loss weight of each.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    plain: list[Atoms] = []
    for atoms, weight in zip(frames, weights, strict=True):
        results = atoms.calc.results if atoms.calc is not None else {}
        missing = sorted({"energy", "forces"} - set(results))
        if missing:
            raise ValueError(
                f"cell {len(plain)} ({atoms.get_chemical_formula()}) has no "
                f"{' and no '.join(missing)}"
            )
        info = {WEIGHT_KEY: float(weight)}
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)
        bare.calc = SinglePointCalculator(
            bare,
            energy=float(atoms.get_potential_energy()),
            forces=np.asarray(atoms.get_forces(apply_constraint=False)),
            stress=np.asarray(results["stress"]) if has_stress(atoms) else np.full(6, np.nan),
        )
        plain.append(bare)
    write(path, plain, format="extxyz")


def has_stress(atoms: Atoms) -> bool:
    """Return whether a labelled cell carries a stress."""
    return atoms.calc is not None and atoms.calc.results.get("stress") is not None


def _set_size(total: int, fraction: float) -> int:
    return max(1, round(total * fraction)) if total >= 3 and fraction > 0.0 else 0


def _one_per_stratum(keys: Sequence[Key], count: int, rng: np.random.Generator) -> list[Key]:
    """Draw one key from each of `count` consecutive groups of nearly equal size."""
    # One cell at least is left to train on.
    count = min(max(count, 0), max(len(keys) - 1, 0))
    groups = np.array_split(np.arange(len(keys)), count) if count else []
    return [keys[int(rng.choice(group))] for group in groups]
