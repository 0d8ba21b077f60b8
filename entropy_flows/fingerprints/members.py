"""Which atoms the overlap matrices of a batch are made of, as tables on its device.

The tables hold what does not change while the atoms move a little, and their shapes do not depend
on positions: members that leave the cutoff stay in, as rows of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.neighbors import Pairs

MAX_ELEMENTS = 2**24
"""Matrix elements worked on at once: 128 MiB an array."""
GRAIN = 8
"""Matrices are padded to a multiple of this."""
SMALLEST = 32
"""Rows up to which matrices of all sizes are one problem; batched solvers of GPUs end there."""
FAR = 1e4
"""Distance (Å) of the members that stand for padding."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The matrices that an atom has, when there are s species."""

    species: Any
    """Species number of each atom (n,), int64."""
    gamma: Array
    """γ (s, s) in Å⁻² and log c (s, s) of each pair of species."""
    log_c: Array
    coefficients: Array
    """K of `overlap` (6 s, 6 s)."""
    allowed: Any
    """Species that the matrices of each block have as members (blocks, s), bool."""
    with_centre: bool
    """Whether the centre is a member whatever its species."""

    def on(self, device: torch.device) -> dict[str, Tensor]:
        """Return arrays by name on a device, where they stay."""
        if device not in self._tensors:
            names = ("species", "coefficients", "allowed")
            arrays = {name: torch.from_numpy(getattr(self, name)) for name in names}
            self._tensors[device] = {name: array.to(device) for name, array in arrays.items()}
        return self._tensors[device]

    @cached_property
    def _tensors(self) -> dict[torch.device, dict[str, Tensor]]:
        return {}


@dataclass(frozen=True)
class Group:
    """B matrices of at most L rows each, L a multiple of `GRAIN`; s species."""

    centers: Tensor
    """Atom i of each matrix (B,)."""
    cells: Tensor
    """Its cell (B,)."""
    members: Tensor
    """Atoms j (B L,); the centre itself stands for padding."""
    translations: Tensor
    """What leads from j to its image (B, L, 3) in Å; to far away for padding."""
    species: Tensor
    """Species number of each member (B, L, 1, 1), and 1 in its place of s (B, L, s, 1)."""
    is_species: Tensor
    one: Tensor
    """Ones (B, L, 1)."""
    components: Tensor
    """Where the largest eigenvalues, ascending, stand among all fingerprints (B, L or natx)."""


def groups(batch: Batch, pairs: Pairs, blocks: Blocks, natx: int) -> Iterator[Group]:
    """Group the matrices of a batch by about their sizes; empty ones are in no group.

    Parameters
    ----------
    batch
        The cells.
    pairs
        Their neighbours, each atom itself included.
    blocks
        What members the matrices have. Matrix i · blocks + block is one of atom i.
    natx
        Eigenvalues kept of each matrix.
    """
    cells = batch.cells
    count = len(blocks.allowed)
    species = blocks.on(cells.device)["species"]
    every_species = torch.arange(len(blocks.gamma), device=cells.device)
    lattices = cells.vectors.index_select(0, cells.owner)
    pair, matrix = _by_matrix(pairs, blocks)
    sizes = _count(matrix, len(cells.numbers) * count)
    first = sizes.cumsum(0) - sizes
    sizes, by_size = sizes.sort(stable=True)
    for start, stop, L in _spans(sizes.tolist()):
        matrices = by_size[start:stop]
        centers = matrices // count
        column = torch.arange(L, device=cells.device)
        is_padding = column >= sizes[start:stop, None]
        rows = pair[(first[matrices][:, None] + column).masked_fill_(is_padding, 0)]
        members = torch.where(is_padding, centers[:, None], pairs.members[rows])
        translations = torch.einsum("blk,bkc->blc", pairs.shifts[rows], lattices[centers])
        kinds = species[members][:, :, None, None]
        n_values = min(natx, L)
        rank = torch.arange(n_values - 1, -1, -1, device=cells.device)
        yield Group(
            centers=centers,
            cells=cells.owner[centers],
            members=members.view(-1),
            translations=translations.masked_fill_(is_padding[:, :, None], FAR),
            species=kinds,
            is_species=(kinds == every_species[:, None]).to(translations),
            one=torch.ones_like(translations[:, :, :1]),
            components=matrices[:, None] * natx + rank,
        )


def _by_matrix(pairs: Pairs, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """Return the pair behind each row of all matrices (R,), and its matrix (R,), ascending."""
    tables = blocks.on(pairs.members.device)
    species = tables["species"].index_select(0, pairs.members)
    inside = tables["allowed"].T.index_select(0, species)
    if blocks.with_centre:
        is_centre = (pairs.members == pairs.centers) & ~pairs.shifts.any(dim=1)
        inside = inside | is_centre[:, None]
    pair, block = inside.nonzero().unbind(1)
    matrix, order = (pairs.centers[pair] * len(blocks.allowed) + block).sort(stable=True)
    return pair[order], matrix


def _count(indices: Tensor, n: int) -> Tensor:
    """Count how often each of n numbers occurs (n,); `bincount` would make the host wait."""
    return indices.new_zeros(n).index_add_(0, indices, torch.ones_like(indices))


def _spans(sizes: list[int]) -> Iterator[tuple[int, int, int]]:
    """Cut ascending sizes into (first, last, L) of about equal ones, none above L.

    Each call of an eigenvalue solver makes the host wait: matrices of one to `SMALLEST` rows share
    one, larger ones share it with those of four fifths of their rows or more.
    """
    stop = next((index for index, size in enumerate(sizes) if size), len(sizes))
    while stop < len(sizes):
        start = stop
        L = _padded(max(SMALLEST, sizes[start] * 5 // 4))
        most = start + max(1, MAX_ELEMENTS // L**2)
        while stop < len(sizes) and stop < most and sizes[stop] <= L:
            stop += 1
        yield start, stop, _padded(sizes[stop - 1])


def _padded(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
