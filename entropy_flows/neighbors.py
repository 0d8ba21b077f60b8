"""Neighbours of every atom of a batch of cells, on any device.

Small cells are searched by trying all images, large ones on a CPU by matscipy's cell lists.

For atoms i, j of one cell with lattice vectors L (rows) and scaled positions s

    w = −round(s_j − s_i),    d⁰ = r_j − r_i + w L                       (1)
    r²(n) = |d⁰ + n L|²,      n ∈ Z³ with |n_k| < r_c/h_k + ½            (2)

=====  ==============================================================================
symbol meaning
=====  ==============================================================================
w      shift that brings j near i: scaled differences then lie within ±½
h_k    distance between the faces of the cell that lattice vector k connects, Å
n      image. |n_k − ½| h_k ≤ r < r_c for any neighbour, hence the bound
=====  ==============================================================================

This grows with N² for a cell of N atoms, and with the images of thin cells; for the cells that
density functional theory can label it is faster than sorting atoms into bins, which takes over at
`CELL_LIST_ATOMS`. On a CPU it is a compiled loop; on a GPU (2) is one matrix product over all pairs
and images of hundreds of cells of one size.
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

MAX_DISTANCES = 2**24
"""Distances that a GPU computes at once: 128 MiB an array."""
CELL_LIST_ATOMS = 400
"""Atoms of a cell from which cell lists are used. They win from 150 atoms at a cutoff of 3 Å, and
from 350 at 4.5 Å.
"""
MAX_IMAGES = 100_000
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
    """b cells of equal size N and with equal images S.

    What does not depend on the positions is looked up for their pairs p = (cell, i, j).
    """

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
    """Find all pairs closer than the cutoff.

    Parameters
    ----------
    batch
        Cells of any shape, periodic in any directions; atoms may lie outside.
    cutoff
        Largest distance (Å).
    itself
        Whether each atom is paired with itself, too (its images always count).

    Raises
    ------
    ValueError
        If a cell is so thin that more than `MAX_IMAGES` of its images would have to be tried.
    """
    cells = batch.cells
    if cutoff not in cells.cache:
        tables = _frames if cells.device.type == "cpu" else _groups
        cells.cache[cutoff] = tables(cells, cutoff)
    if cells.device.type == "cpu":
        return _on_cpu(batch, cells.cache[cutoff], cutoff, itself)
    return on_device(batch, cells.cache[cutoff], cutoff, itself)


def _frames(cells: Cells, cutoff: float) -> tuple[Array, Array, Array]:
    """Return lattices, their inverses (B, 3, 3) and the largest |n_k| (B, 3).

    Lattices and inverses are zero where a cell does not repeat.
    """
    lattices = np.where(cells.pbc[:, :, None], cells.lattice, 0.0)
    inverses = (np.linalg.inv if cells.pbc.all() else np.linalg.pinv)(lattices)
    # 1/h; zero where the cell does not repeat
    slope = np.linalg.norm(inverses, axis=1)
    reach = np.ceil(cutoff * slope - 0.5).clip(0)
    images = np.prod(2 * reach + 1, axis=1)
    if images.max(initial=0) > MAX_IMAGES:
        worst = int(np.argmax(images))
        raise ValueError(
            f"cell {cells.lattice[worst].tolist()} is only {1 / slope[worst].max():.2g} Å thick: "
            f"{images[worst]:.2g} images of it lie within {cutoff:g} Å, "
            f"at most {MAX_IMAGES} are tried"
        )
    return lattices, inverses, reach.astype(np.int64)


def _on_cpu(batch: Batch, tables: tuple[Array, Array, Array], cutoff: float, itself: bool) -> Pairs:
    """Find all pairs: large cells by cell lists, those between them in one compiled loop.

    A cell's own size decides: it has the same pairs, in the same order, in any batch.
    """
    cells = batch.cells
    positions = batch.positions.numpy()
    # a cell list of a cell that does not repeat grows with its extent, which may be any
    is_large = (np.array(cells.sizes) >= CELL_LIST_ATOMS) & cells.pbc.all(axis=1)
    pieces = []
    start = 0
    for large in [*np.flatnonzero(is_large).tolist(), len(cells)]:
        if large > start or not is_large.any():
            first = cells.first[start : large + 1]
            pieces.append(
                _loop(positions, first, *(t[start:large] for t in tables), cutoff, itself)
            )
        if large < len(cells):
            pieces.append(_by_cell_list(batch, large, cutoff, itself))
        start = large + 1
    if len(pieces) == 1:
        return Pairs(*map(torch.from_numpy, pieces[0]))
    return Pairs(
        *(torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*pieces, strict=True))
    )


def _by_cell_list(
    batch: Batch, index: int, cutoff: float, itself: bool
) -> tuple[Array, Array, Array, Array]:
    """Return centres, members, vectors and shifts of a cell's pairs, found by matscipy."""
    from matscipy.neighbours import neighbour_list

    first = int(batch.cells.first[index])
    size = batch.cells.sizes[index]
    positions = batch.positions.numpy()[first : first + size]
    lattice = batch.cells.lattice[index]
    centers, members, shifts = neighbour_list(
        "ijS", positions=positions, cell=lattice, pbc=batch.cells.pbc[index], cutoff=cutoff
    )
    if itself:
        atoms = np.arange(size)
        before = np.searchsorted(centers, atoms)
        centers = np.insert(centers, before, atoms)
        members = np.insert(members, before, atoms)
        shifts = np.insert(shifts, before, 0, axis=0)
    shifts = shifts.astype(np.float64)
    # from our own positions: matscipy wraps them first, which rounds
    vectors = positions[members] - positions[centers] + shifts @ lattice
    return first + centers.astype(np.int64), first + members.astype(np.int64), vectors, shifts


@njit(cache=True, error_model="numpy")
def _loop(positions, first, lattices, inverses, reach, cutoff, itself):
    """Return centres, members, vectors and shifts of all pairs, by a compiled loop."""
    count = 0
    room = 64 * len(positions)
    centers = np.empty(room, dtype=np.int64)
    members = np.empty(room, dtype=np.int64)
    vectors = np.empty((room, 3))
    shifts = np.empty((room, 3))
    for cell in range(len(lattices)):
        L = lattices[cell]
        n, T, square = _sorted_images(L, reach[cell])
        most = len(n) * (first[cell + 1] - first[cell])
        for i in range(first[cell], first[cell + 1]):
            if count + most > room:
                room = 2 * (count + most)
                centers = _longer(centers, room)
                members = _longer(members, room)
                vectors = _longer(vectors, room)
                shifts = _longer(shifts, room)
            for j in range(first[cell], first[cell + 1]):
                x, y, z, u, v, w = _nearest_image(positions[i], positions[j], L, inverses[cell])
                r2 = x**2 + y**2 + z**2
                limit = (cutoff**2 - r2) / 2
                farthest = (cutoff + np.sqrt(r2)) ** 2
                for s in range(1 if i == j and not itself else 0, len(n)):
                    # |d⁰ + T| ≥ |T| − |d⁰|: all that follow are beyond the cutoff, too
                    if square[s] > farthest:
                        break
                    if x * T[s, 0] + y * T[s, 1] + z * T[s, 2] + square[s] / 2 < limit:
                        centers[count] = i
                        members[count] = j
                        vectors[count, 0] = x + T[s, 0]
                        vectors[count, 1] = y + T[s, 1]
                        vectors[count, 2] = z + T[s, 2]
                        shifts[count, 0] = u + n[s, 0]
                        shifts[count, 1] = v + n[s, 1]
                        shifts[count, 2] = w + n[s, 2]
                        count += 1
    return centers[:count], members[:count], vectors[:count], shifts[:count]


@njit(cache=True, error_model="numpy")
def _nearest_image(start, end, L, K):
    """Return d⁰ and w of (1): the vector to the nearest image, and the shift that leads there."""
    x = end[0] - start[0]
    y = end[1] - start[1]
    z = end[2] - start[2]
    u = -np.floor(x * K[0, 0] + y * K[1, 0] + z * K[2, 0] + 0.5)
    v = -np.floor(x * K[0, 1] + y * K[1, 1] + z * K[2, 1] + 0.5)
    w = -np.floor(x * K[0, 2] + y * K[1, 2] + z * K[2, 2] + 0.5)
    x += u * L[0, 0] + v * L[1, 0] + w * L[2, 0]
    y += u * L[0, 1] + v * L[1, 1] + w * L[2, 1]
    z += u * L[0, 2] + v * L[1, 2] + w * L[2, 2]
    return x, y, z, u, v, w


@njit(cache=True, error_model="numpy")
def _sorted_images(L, reach):
    """Return n, n L (S, 3) and |n L|² (S,), the nearest first, which is n = 0."""
    n = _images(reach)
    square = ((n @ L) ** 2).sum(axis=1)
    n = n[np.argsort(square)]
    return n, n @ L, np.sort(square)


@njit(cache=True)
def _images(reach):
    """Return all n with |n_k| ≤ reach_k (S, 3)."""
    a, b, c = 2 * reach + 1
    n = np.empty((a * b * c, 3))
    for s in range(len(n)):
        n[s] = s // (b * c) - reach[0], s // c % b - reach[1], s % c - reach[2]
    return n


@njit(cache=True)
def _longer(array, room):
    """Return the same array with more room at its end."""
    grown = np.empty((room, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def on_device(batch: Batch, groups: list[_Group], cutoff: float, itself: bool) -> Pairs:
    """Find all pairs closer than the cutoff by matrix products."""
    blocks = [
        block for group in groups for block in _search(group, batch.positions, cutoff, itself)
    ]
    if len(blocks) == 1:
        return blocks[0]
    fields = [
        torch.cat([getattr(block, name) for block in blocks]) for name in Pairs.__annotations__
    ]
    if len(groups) == 1:
        return Pairs(*fields)
    order = torch.argsort(fields[0], stable=True)
    return Pairs(*(field[order] for field in fields))


def _groups(cells: Cells, cutoff: float) -> list[_Group]:
    lattices, inverses, reach = _frames(cells, cutoff)
    groups = []
    keys = [(size, *row) for size, row in zip(cells.sizes, reach.tolist(), strict=True)]
    for key in sorted(set(keys)):
        chosen = [index for index, other in enumerate(keys) if other == key]
        N = key[0]
        b = len(chosen)
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
    # several cells at once only if all centres of one fit
    n_centers = max(1, min(N, MAX_DISTANCES // (N * S)))
    n_cells = max(1, MAX_DISTANCES // (N * N * S)) if n_centers == N else 1
    blocks = []
    for cell in range(0, b, n_cells):
        for row in range(0, N, n_centers):
            cells = (cell, min(cell + n_cells, b))
            rows = (row, min(row + n_centers, N))
            blocks.append(_pairs(group, positions, cells, rows, cutoff, itself))
    return blocks


def _pairs(
    group: _Group,
    positions: Tensor,
    cells: tuple[int, int],
    rows: tuple[int, int],
    cutoff: float,
    itself: bool,
) -> Pairs:
    """Find pairs of some of the cells whose centres are some of the rows.

    The rows are all of them if there are several cells.
    """
    chosen = slice(*cells)
    centre = slice(*rows)
    lattice = group.lattice[chosen]
    N = group.atoms.shape[1]
    S = len(group.images)
    r = positions[group.atoms[chosen]]
    s = r @ group.inverse[chosen]
    w = (s[:, centre, None] - s[:, None]).round_().flatten(1, 2)
    d = (r[:, None] - r[:, centre, None]).flatten(1, 2).baddbmm(w, lattice)  # (1)
    r2 = torch.baddbmm(group.square[chosen], d, group.twice[chosen])  # (2), but for |d⁰|²
    close = r2 < (cutoff**2 - (d * d).sum(-1, keepdim=True))
    if not itself:
        row = torch.arange(rows[1] - rows[0], device=r.device)
        # n = 0 is the middle one of the images
        close.view(len(lattice), len(row), N, S)[:, row, row + rows[0], S // 2] = False
    indices = close.view(-1).nonzero()[:, 0]
    pair = indices // S
    image = indices - pair * S
    # number of the pair within the group
    index = pair + (cells[0] * N + rows[0]) * N
    vectors = d.view(-1, 3).index_select(0, pair)
    vectors += group.translations.view(-1, 3).index_select(
        0, group.start.index_select(0, index) + image
    )
    shifts = w.view(-1, 3).index_select(0, pair) + group.images.index_select(0, image)
    centers = group.centers.index_select(0, index)
    members = group.members.index_select(0, index)
    return Pairs(centers, members, vectors, shifts)
