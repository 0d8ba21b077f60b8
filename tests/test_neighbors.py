"""Neighbours: all of them, once, whatever the cell, on either path."""

import time

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from cells import rattled, skewed

import entropy_flows.neighbors as module
from entropy_flows.batch import Batch
from entropy_flows.geometry import shortest_distance
from entropy_flows.neighbors import neighbors

CELLS = {
    "skewed": skewed("Si2C3", 2),
    "thin": Atoms(
        "Si2", cell=np.diag([0.8, 3.0, 9.0]), positions=[[0, 0, 0], [7, -4, 30]], pbc=True
    ),
    "flat": Atoms(
        "Si2",
        positions=[[0, 0, 0], [9, 7.5, -3]],
        cell=[[4, 0, 0], [3.9, 0.9, 0], [0, 1, 5]],
        pbc=True,
    ),
    "crystal": bulk("Si") * (3, 1, 2),
    "thermal": rattled("C"),
    "slab": Atoms(skewed("SiC2", 4), pbc=(True, False, True)),
    "wire": Atoms(
        "Si3",
        positions=[[0, 0, 0], [1, 1, 1], [-2, 0, 40]],
        cell=np.diag([9, 9, 3.0]),
        pbc=(0, 0, 1),
    ),
    "molecule": molecule("CH3CH2OH"),
    "lone": Atoms("Si"),
    "wide": Atoms(
        "Si3", positions=[[0, 0, 0], [59, 0, 0], [30, 0, 0]], cell=np.eye(3) * 60, pbc=True
    ),
}


def rows(i, j, D, S=None):
    """Pairs in an order of their own, to compare sets of them."""
    table = np.column_stack([i, j, np.asarray(D), *([] if S is None else [S])])
    return table[np.lexsort(np.round(table, 6).T)]


def paths(batch, cutoff, itself):
    yield neighbors(batch, cutoff, itself=itself)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELL_LIST_ATOMS", 2)
        yield neighbors(batch, cutoff, itself=itself)
    yield module.on_device(batch, module._groups(batch.cells, cutoff), cutoff, itself)


@pytest.mark.parametrize("cutoff", [0.5, 2.9, 5.0])
@pytest.mark.parametrize("name", CELLS)
def test_equals_ase(name, cutoff):
    atoms = CELLS[name]
    expected = neighbor_list("ijDS", atoms, cutoff)
    for pairs in paths(Batch.of([atoms]), cutoff, itself=False):
        np.testing.assert_allclose(
            rows(pairs.centers, pairs.members, pairs.vectors, pairs.shifts),
            rows(*expected),
            atol=1e-9,
        )
        assert (np.diff(pairs.centers) >= 0).all()


@pytest.mark.parametrize("chunk", [2**24, 3000, 1])
def test_a_batch_is_its_cells(chunk, monkeypatch):
    monkeypatch.setattr(module, "MAX_DISTANCES", chunk)
    cells = list(CELLS.values()) * 2
    batch = Batch.of(cells)
    for which, pairs in enumerate(paths(batch, 2.9, itself=True)):
        assert (np.diff(pairs.centers) >= 0).all()
        owner = batch.cells.owner[pairs.centers].numpy()
        for index, atoms in enumerate(cells):
            own, first = owner == index, batch.cells.first[index]
            alone = list(paths(Batch.of([atoms]), 2.9, itself=True))[which]
            table = rows(
                pairs.centers[own] - first,
                pairs.members[own] - first,
                pairs.vectors[own],
                pairs.shifts[own],
            )
            np.testing.assert_allclose(
                table, rows(alone.centers, alone.members, alone.vectors, alone.shifts), atol=1e-12
            )
            zero = (pairs.vectors[own] == 0).all(dim=1)
            assert int(zero.sum()) == len(atoms)  # each atom itself, once


def test_vectors_follow_from_shifts():
    cells = [skewed("Si2C3", 2), CELLS["thin"], CELLS["crystal"]]
    batch = Batch.of(cells)
    pairs = neighbors(batch, 4.0)
    lattice = batch.cells.vectors[batch.cells.owner[pairs.centers]]
    moved = (
        batch.positions[pairs.members]
        + (pairs.shifts[:, None] @ lattice)[:, 0]
        - batch.positions[pairs.centers]
    )
    np.testing.assert_allclose(moved, pairs.vectors, atol=1e-12)


def test_the_same_cells_with_atoms_elsewhere():
    batch = Batch.of([rattled("Si")])
    neighbors(batch, 4.0)
    moved = batch.at(
        batch.positions + 0.3 * torch.randn(batch.positions.shape, dtype=torch.float64)
    )
    fresh = Batch.of(moved.structures())
    for again, expected in zip(paths(moved, 4.0, False), paths(fresh, 4.0, False), strict=True):
        np.testing.assert_array_equal(again.vectors, expected.vectors)


def test_cells_without_end_are_refused_at_once():
    """A thin one has too many images, a dense one too many neighbours."""
    thin = Atoms("Si", cell=[[300.0, 0, 0], [299.99, 0.05, 0], [0, 0, 5.0]], pbc=True)
    start = time.process_time()
    with pytest.raises(
        ValueError, match=r"Å thick: .* images of it lie within 6 Å, at most 100000 are tried"
    ):
        neighbors(Batch.of([rattled("Si"), thin]), 6.0)
    dense = Atoms("Si2", [[0, 0, 0], [1.9, 1.9, 0]], cell=[3.86, 3.86, 0.01], pbc=True)
    with pytest.raises(
        ValueError, match=r"2 atoms in 0.149 Å³ are 0.074 Å³ for each; at least 0.2 is expected"
    ):
        Batch.of([dense])
    assert time.process_time() - start < 1.0
    flat = Atoms("Si2", [[0, 0, 0], [1.9, 1.9, 0]], cell=[3.86, 3.86, 0.5], pbc=True)
    assert shortest_distance(flat)[0] == pytest.approx(0.5)


def test_large_cells_among_small_ones():
    """Those that go to cell lists lie first, between and last; atoms may lie outside."""
    large = rattled("Si", repeat=6)
    assert len(large) >= module.CELL_LIST_ATOMS
    large.positions += large.cell[1] * np.random.default_rng(0).integers(-2, 3, (len(large), 1))
    cells = [large, CELLS["thin"], CELLS["slab"], large, CELLS["skewed"], large]
    batch = Batch.of(cells)
    for itself in (False, True):
        pairs = neighbors(batch, 3.2, itself=itself)
        assert (np.diff(pairs.centers) >= 0).all()
        owner = batch.cells.owner[pairs.centers].numpy()
        for index, atoms in enumerate(cells):
            own, first = owner == index, batch.cells.first[index]
            expected = neighbor_list("ijDS", atoms, 3.2)
            table = rows(
                pairs.centers[own] - first,
                pairs.members[own] - first,
                pairs.vectors[own],
                pairs.shifts[own],
            )
            zero = (pairs.vectors[own] == 0).all(dim=1).numpy()
            assert int(zero.sum()) == len(atoms) * itself
            other = table[np.abs(table[:, 2:5]).any(axis=1)]
            np.testing.assert_allclose(other, rows(*expected), atol=1e-9)
