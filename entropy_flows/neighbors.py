"""Neighbours of every atom of a batch of cells, on any device, by trying all images.

For atoms i, j of one cell with lattice vectors L (rows) and scaled positions s

    w = −round(s_j − s_i),    d⁰ = r_j − r_i + w L                                                                  (1)
    r²(n) = |d⁰ + n L|²,      n ∈ Z³ with |n_k| < r_c/h_k + ½                                                       (2)

=====  ==============================================================================
symbol meaning
=====  ==============================================================================
w      shift that brings j near i: scaled differences then lie within ±½
h_k    distance between the faces of the cell that lattice vector k connects, Å
n      image. |n_k − ½| h_k ≤ r < r_c for any neighbour, hence the bound
=====  ==============================================================================

This grows with N² for a cell of N atoms, and with the images of thin cells; for the cells that
density functional theory can label it is faster than sorting atoms into bins. On a CPU it is a
compiled loop; on a GPU (2) is one matrix product over all pairs and images of hundreds of cells of
one size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from numba import njit
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.conventions import Array

CHUNK = 2**24
"""Distances worked on at once on a GPU: 128 MiB an array."""
MOST_IMAGES = 100_000
"""Images of a cell that are tried; a cell of two atoms and 3.9 × 3.9 × 0.1 Å has 3000 within 6
Å.
"""


@dataclass(frozen=True)
class Pairs:
    """R pairs (centre i, member j), ordered by centre; atoms of all cells are numbered through."""

    centers: Tensor
    """Atom i (R,)."""
    members: Tensor
    """Atom j (R,), whichever image of it the pair means."""
    vectors: Tensor
    """r_j + shift · lattice − r_i (R, 3), Å."""
    shifts: Tensor
    """The image of j: whole lattice vectors (R, 3), as float64."""


@dataclass(frozen=True)
class _Group:
    """b cells of equal size N and with equal images S, and what can be looked up for their pairs p = (cell, i, j)."""

    atoms: Tensor
    """Their atoms (b, N)."""
    lattice: Tensor
    """(b, 3, 3), and its inverse; zero where the cell does not repeat."""
    inverse: Tensor
    images: Tensor
    """n (S, 3)."""
    translations: Tensor
    """n L (b, S, 3), and 2 n L with |n L|² as the factors of (2)."""
    twice: Tensor
    square: Tensor
    centers: Tensor
    """Atom i (b N²,), atom j (b N²,), and where the cell's images begin in `translations` (b
    N²,).
    """
    members: Tensor
    start: Tensor


def check_thickness(atoms: Atoms, cutoff: float) -> None:
    """Refuse a cell that is too thin for a neighbour search with this cutoff (Å).

    Raises
    ------
    ValueError
        As `neighbors` does.
    """
    _frames(Batch.of([atoms]).cells, cutoff)


def neighbors(batch: Batch, cutoff: float, *, itself: bool = False) -> Pairs:
    """All pairs closer than the cutoff.

    Parameters
    ----------
    batch
        Cells of any shape, periodic in any directions; atoms may lie outside.
    cutoff
        Å.
    itself
        Whether each atom is paired with itself, too (its images always count).

    Raises
    ------
    ValueError
        If a cell is so thin that more than `MOST_IMAGES` of its images would have to be tried.
    """
    cells = batch.cells
    if cutoff not in cells.cache:
        cells.cache[cutoff] = (_frames if cells.device.type == "cpu" else _groups)(cells, cutoff)
    if cells.device.type == "cpu":
        found = _loop(batch.positions.numpy(), cells.first, *cells.cache[cutoff], cutoff, itself)
        return Pairs(*map(torch.from_numpy, found))
    return on_device(batch, cells.cache[cutoff], cutoff, itself)


def _frames(cells: Cells, cutoff: float) -> tuple[Array, Array, Array]:
    """Lattices and their inverses (B, 3, 3), zero where a cell does not repeat, and the largest |n_k| (B, 3)."""
    lattices = np.where(cells.pbc[:, :, None], cells.lattice, 0.0)
    inverses = (np.linalg.inv if cells.pbc.all() else np.linalg.pinv)(lattices)
    slope = np.linalg.norm(inverses, axis=1)  # 1/h; zero where the cell does not repeat
    reach = np.ceil(cutoff * slope - 0.5).clip(0)
    images = np.prod(2 * reach + 1, axis=1)
    if images.max(initial=0) > MOST_IMAGES:
        worst = int(np.argmax(images))
        raise ValueError(
            f"cell {cells.lattice[worst].tolist()} is only {1 / slope[worst].max():.2g} Å thick: "
            f"{images[worst]:.2g} images of it lie within {cutoff:g} Å, at most {MOST_IMAGES} are tried"
        )
    return lattices, inverses, reach.astype(np.int64)


@njit(cache=True, error_model="numpy")
def _loop(positions, first, lattices, inverses, reach, cutoff, itself):
    """Centres, members, vectors and shifts of all pairs."""
    count, room = 0, 64 * len(positions)
    centers, members = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    vectors, shifts = np.empty((room, 3)), np.empty((room, 3))
    for cell in range(len(lattices)):
        L, K = lattices[cell], inverses[cell]
        n = _images(reach[cell])
        square = ((n @ L) ** 2).sum(axis=1)
        n = n[np.argsort(square)]  # nearest first, and thus n = 0
        T, square = n @ L, np.sort(square)
        most = len(n) * (first[cell + 1] - first[cell])
        for i in range(first[cell], first[cell + 1]):
            if count + most > room:
                room = 2 * (count + most)
                centers, members = _longer(centers, room), _longer(members, room)
                vectors, shifts = _longer(vectors, room), _longer(shifts, room)
            for j in range(first[cell], first[cell + 1]):
                x, y = positions[j, 0] - positions[i, 0], positions[j, 1] - positions[i, 1]
                z = positions[j, 2] - positions[i, 2]
                u = -np.floor(x * K[0, 0] + y * K[1, 0] + z * K[2, 0] + 0.5)
                v = -np.floor(x * K[0, 1] + y * K[1, 1] + z * K[2, 1] + 0.5)
                w = -np.floor(x * K[0, 2] + y * K[1, 2] + z * K[2, 2] + 0.5)
                x += u * L[0, 0] + v * L[1, 0] + w * L[2, 0]
                y += u * L[0, 1] + v * L[1, 1] + w * L[2, 1]
                z += u * L[0, 2] + v * L[1, 2] + w * L[2, 2]
                r2 = x**2 + y**2 + z**2
                limit, farthest = (cutoff**2 - r2) / 2, (cutoff + np.sqrt(r2)) ** 2
                for s in range(1 if i == j and not itself else 0, len(n)):
                    if square[s] > farthest:  # |d⁰ + T| ≥ |T| − |d⁰|
                        break
                    if x * T[s, 0] + y * T[s, 1] + z * T[s, 2] + square[s] / 2 < limit:
                        centers[count], members[count] = i, j
                        vectors[count, 0], vectors[count, 1], vectors[count, 2] = (
                            x + T[s, 0],
                            y + T[s, 1],
                            z + T[s, 2],
                        )
                        shifts[count, 0], shifts[count, 1], shifts[count, 2] = (
                            u + n[s, 0],
                            v + n[s, 1],
                            w + n[s, 2],
                        )
                        count += 1
    return centers[:count], members[:count], vectors[:count], shifts[:count]


@njit(cache=True)
def _images(reach):
    """All n with |n_k| ≤ reach_k (S, 3)."""
    a, b, c = 2 * reach + 1
    n = np.empty((a * b * c, 3))
    for s in range(len(n)):
        n[s] = s // (b * c) - reach[0], s // c % b - reach[1], s % c - reach[2]
    return n


@njit(cache=True)
def _longer(array, room):
    """The same, with more room at its end."""
    grown = np.empty((room, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def on_device(batch: Batch, groups: list[_Group], cutoff: float, itself: bool) -> Pairs:
    """`neighbors` by matrix products."""
    parts = [part for group in groups for part in _search(group, batch.positions, cutoff, itself)]
    if len(parts) == 1:
        return parts[0]
    fields = [torch.cat([getattr(part, name) for part in parts]) for name in Pairs.__annotations__]
    if len(groups) == 1:
        return Pairs(*fields)
    order = torch.argsort(fields[0], stable=True)
    return Pairs(*(field[order] for field in fields))


def _groups(cells: Cells, cutoff: float) -> list[_Group]:
    lattices, inverses, reach = _frames(cells, cutoff)
    groups = []
    keys = [(size, *row) for size, row in zip(cells.sizes, reach.tolist(), strict=True)]
    for key in sorted(set(keys)):
        chosen = [index for index, own in enumerate(keys) if own == key]
        N, b = key[0], len(chosen)
        n = _images(np.array(key[1:]))
        translations = n @ lattices[chosen]
        atoms = cells.atoms(chosen).reshape(b, N)
        arrays = (
            atoms,
            lattices[chosen],
            inverses[chosen],
            n,
            translations,
            2 * translations.swapaxes(1, 2),
            (translations**2).sum(-1)[:, None],
            np.repeat(atoms, N, axis=1).ravel(),
            np.tile(atoms, (1, N)).ravel(),
            np.repeat(np.arange(b) * len(n), N * N),
        )
        groups.append(
            _Group(*(torch.from_numpy(np.ascontiguousarray(a)).to(cells.device) for a in arrays))
        )
    return groups


def _search(group: _Group, positions: Tensor, cutoff: float, itself: bool) -> list[Pairs]:
    b, N = group.atoms.shape
    S = len(group.images)
    rows = max(1, min(N, CHUNK // (N * S)))  # centres at once
    step = max(1, CHUNK // (N * N * S)) if rows == N else 1  # cells at once
    return [
        _pairs(
            group, positions, (cell, min(cell + step, b)), (row, min(row + rows, N)), cutoff, itself
        )
        for cell in range(0, b, step)
        for row in range(0, N, rows)
    ]


def _pairs(
    group: _Group,
    positions: Tensor,
    cells: tuple[int, int],
    rows: tuple[int, int],
    cutoff: float,
    itself: bool,
) -> Pairs:
    """Pairs of some of the cells whose centres are some of the rows (all of them if there are several cells)."""
    chosen, centre = slice(*cells), slice(*rows)
    lattice, (N, S) = group.lattice[chosen], (group.atoms.shape[1], len(group.images))
    r = positions[group.atoms[chosen]]
    s = r @ group.inverse[chosen]
    w = (s[:, centre, None] - s[:, None]).round_().flatten(1, 2)
    d = (r[:, None] - r[:, centre, None]).flatten(1, 2).baddbmm(w, lattice)  # (1)
    r2 = torch.baddbmm(group.square[chosen], d, group.twice[chosen])  # (2), but for |d⁰|²
    close = r2 < (cutoff**2 - (d * d).sum(-1, keepdim=True))
    if not itself:
        row = torch.arange(rows[1] - rows[0], device=r.device)
        close.view(len(lattice), len(row), N, S)[:, row, row + rows[0], S // 2] = (
            False  # n = 0 is the middle one
        )
    found = close.view(-1).nonzero()[:, 0]
    pair = found // S
    image, place = found - pair * S, pair + (cells[0] * N + rows[0]) * N
    vectors = d.view(-1, 3).index_select(0, pair)
    vectors += group.translations.view(-1, 3).index_select(
        0, group.start.index_select(0, place) + image
    )
    shifts = w.view(-1, 3).index_select(0, pair) + group.images.index_select(0, image)
    return Pairs(
        group.centers.index_select(0, place), group.members.index_select(0, place), vectors, shifts
    )
