"""The overlap matrices of `overlap` on a CPU: compiled loops around `lockstep`, LAPACK and BLAS.

Matrices lie side by side in order of size, so that the eigenvalue problem of all of them is one
call. The rest is done one matrix at a time, in the innermost cache. With M, P and G = P ∘ M of
`overlap`

    log M_ab = l_a + l_b + log c_ab − γ_ab r_ab²                                                 (1)
    ∂φ/∂d_a = 2 l'_a d_a Σ_b G_ab − 4 Σ_b γ_ab G_ab (d_a − d_b)                                  (2)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.fingerprints.base import EigenvalueSpectra
from entropy_flows.fingerprints.lockstep import LARGEST, eigh_mixed
from entropy_flows.fingerprints.members import Blocks
from entropy_flows.fingerprints.overlap import Form
from entropy_flows.neighbors import neighbors

compiled = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})

MAX_ELEMENTS = 2**24
"""Matrix elements held at once when only the values are wanted: 128 MiB."""


def spectra(
    batch: Batch, form: Form, blocks: Blocks, natx: int, vectors: bool
) -> EigenvalueSpectra:
    """Spectra of all environments; arguments as in `overlap.spectra`."""
    pairs = neighbors(batch, form.cutoff, itself=True)
    n = len(batch.cells.numbers)
    cells = batch.cells
    centers = pairs.centers.numpy()
    members = pairs.members.numpy()
    d = pairs.vectors.numpy()
    gamma = blocks.gamma
    species = blocks.species[members]
    order, sizes, rows = _plan(n, centers, members, d, species, blocks.allowed, blocks.with_centre)
    row0 = _starts(sizes)
    element0 = _starts(sizes**2)
    q = np.zeros((n, len(blocks.allowed) * natx))
    steps = [(0, len(order))] if vectors else _cut(element0, MAX_ELEMENTS)
    for lo, hi in steps:
        chosen = slice(lo, hi)
        M = np.empty(element0[hi] - element0[lo])
        _assemble(
            sizes[chosen],
            rows,
            row0[chosen],
            d,
            species,
            gamma,
            blocks.log_c,
            form.cutoff,
            form.exponent,
            M,
        )
        torch.from_numpy(M).exp_()  # many at once: several times faster than one by one
        values, V = _decompose(sizes[chosen], M, vectors)
        _spread(order[chosen], sizes[chosen], values, q, natx, n)

    def adjoint(w: Tensor) -> tuple[Tensor, Tensor]:
        gradient, strain = _adjoint(
            w.numpy(), order, sizes, rows, row0, M, V, natx, members, d, species, gamma,
            form.cutoff, form.exponent, cells.owner.numpy(), len(cells),
        )  # fmt: skip
        return torch.from_numpy(gradient), torch.from_numpy(strain)

    return EigenvalueSpectra(torch.from_numpy(q), cells.sizes, adjoint if vectors else None)


def _starts(sizes: Any) -> Any:
    """Return the starts of things of these sizes side by side, and the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)])


def _cut(starts: Any, limit: int) -> list[tuple[int, int]]:
    """Cut consecutive things into runs of about the limit."""
    edges = np.unique(np.searchsorted(starts, np.arange(0, starts[-1], limit), side="left"))
    return list(zip(edges, [*edges[1:], len(starts) - 1], strict=True))


def _decompose(sizes: Any, M: Any, vectors: bool) -> tuple[Any, Any]:
    """Solve matrices of ascending sizes that lie side by side.

    Return ascending eigenvalues, and eigenvectors as rows.

    A matrix' own size alone decides between `lockstep` and LAPACK: its results have the same bits
    in any batch.
    """
    values = np.empty(sizes.sum())
    V = np.empty(len(M) if vectors else 0)
    small = np.searchsorted(sizes, LARGEST, side="right")
    position = sizes[:small].sum()
    element = (sizes[:small] ** 2).sum()
    eigh_mixed(sizes[:small], M[:element], values[:position], V[:element] if vectors else None)
    if not np.isfinite(values[:position]).all():  # LAPACK refuses these by itself
        raise np.linalg.LinAlgError("an overlap matrix has elements that are not finite")
    for size, count in zip(*np.unique(sizes[small:], return_counts=True), strict=True):
        shape = (count, size, size)
        ends = (position + count * size, element + count * size**2)
        matrices = torch.from_numpy(M[element : ends[1]].reshape(shape))
        e = torch.from_numpy(values[position : ends[0]].reshape(count, size))
        if vectors:  # LAPACK writes vectors column by column: into V without a copy
            torch.linalg.eigh(
                matrices, out=(e, torch.from_numpy(V[element : ends[1]].reshape(shape)).mT)
            )
        else:
            torch.linalg.eigvalsh(matrices, out=e)
        position, element = ends
    return values, V


@compiled
def _plan(n, centers, members, d, species, allowed, with_centre):
    """Return the matrices block · n + i by size, without empty ones, their sizes and rows."""
    blocks = len(allowed)
    counts = np.zeros(blocks * n, dtype=np.int64)
    inside = np.zeros((blocks, len(centers)), dtype=np.bool_)
    for r in range(len(centers)):
        itself = (
            with_centre
            and members[r] == centers[r]
            and d[r, 0] == 0
            and d[r, 1] == 0
            and d[r, 2] == 0
        )
        for block in range(blocks):
            if allowed[block, species[r]] or itself:
                inside[block, r] = True
                counts[block * n + centers[r]] += 1
    order = np.argsort(counts, kind="mergesort")
    order = order[np.searchsorted(counts[order], 1) :]
    sizes = counts[order]
    start = np.zeros(blocks * n, dtype=np.int64)
    position = 0
    for k in range(len(order)):
        start[order[k]] = position
        position += sizes[k]
    rows = np.empty(position, dtype=np.int64)
    for block in range(blocks):
        for r in range(len(centers)):
            if inside[block, r]:
                k = block * n + centers[r]
                rows[start[k]] = r
                start[k] += 1
    return order, sizes, rows


@compiled
def _assemble(sizes, rows, row0, d, species, gamma, log_c, cutoff, exponent, M):
    """Fill in the logarithms of the matrices, equation (1), one after another."""
    longest = sizes[-1]
    x = np.empty(longest)
    y = np.empty(longest)
    z = np.empty(longest)
    s = np.zeros(longest, dtype=np.int64)
    log = np.empty(longest)
    g = np.empty((len(gamma), longest))
    c = np.empty((len(gamma), longest))
    element = 0
    for k in range(len(sizes)):
        size = sizes[k]
        for a in range(size):
            row = rows[row0[k] + a]
            x[a] = d[row, 0]
            y[a] = d[row, 1]
            z[a] = d[row, 2]
            s[a] = species[row]
            log[a] = exponent * np.log(_inside(x[a], y[a], z[a], cutoff))
            for t in range(
                len(gamma)
            ):  # what a row of species t meets at a: looked up once, not in the inner loop
                g[t, a] = gamma[t, s[a]]
                c[t, a] = log_c[t, s[a]] + log[a]
        for a in range(size):
            line = M[element : element + size]
            ga = g[s[a]]
            ca = c[s[a]]
            xa = x[a]
            ya = y[a]
            za = z[a]
            la = log[a]
            for b in range(size):
                line[b] = (
                    la + ca[b] - ga[b] * ((xa - x[b]) ** 2 + (ya - y[b]) ** 2 + (za - z[b]) ** 2)
                )
            element += size


@compiled
def _inside(x, y, z, cutoff):
    """u = 1 − r²/r_c²; round-off may put a member on the cutoff."""
    return max(1 - (x**2 + y**2 + z**2) / cutoff**2, 1e-30)


@compiled
def _spread(order, sizes, values, q, natx, n):
    """Eigenvalues, descending, to their atoms and blocks; round-off below zero becomes zero."""
    position = 0
    for k in range(len(order)):
        block = order[k] // n
        i = order[k] % n
        position += sizes[k]
        for m in range(min(natx, sizes[k])):
            q[i, block * natx + m] = max(values[position - 1 - m], 0.0)


@compiled
def _adjoint(
    w,
    order,
    sizes,
    rows,
    row0,
    M,
    V,
    natx,
    members,
    d,
    species,
    gamma,
    cutoff,
    exponent,
    owner,
    cells,
):
    """Gradient (n, 3) and strain gradient (cells, 3, 3) of φ with ∂φ/∂q = w."""
    n = len(w)
    longest = sizes[-1]
    gradient = np.zeros((n, 3))
    strain = np.zeros((cells, 3, 3))
    x = np.empty(longest)
    y = np.empty(longest)
    z = np.empty(longest)
    s = np.zeros(longest, dtype=np.int64)
    g = np.empty((len(gamma), longest))
    scratch = np.empty(longest**2)
    product = np.empty(longest**2)
    element = 0
    for k in range(len(order)):
        size = sizes[k]
        block = order[k] // n
        i = order[k] % n
        elements = slice(element, element + size * size)
        vectors = V[elements].reshape(size, size)
        matrix = M[elements].reshape(size, size)
        element = elements.stop
        scaled = scratch[: size * size].reshape(size, size)
        P = product[: size * size].reshape(size, size)
        for m in range(size):
            rank = size - 1 - m  # eigenvalues ascend, w descends
            weight = w[i, block * natx + rank] if rank < natx else 0.0
            for b in range(size):
                scaled[m, b] = weight * vectors[m, b]
        np.dot(scaled.T, vectors, P)
        for a in range(size):
            row = rows[row0[k] + a]
            x[a] = d[row, 0]
            y[a] = d[row, 1]
            z[a] = d[row, 2]
            s[a] = species[row]
            for t in range(len(gamma)):
                g[t, a] = gamma[t, s[a]]
        for a in range(size):
            row = rows[row0[k] + a]
            ga = g[s[a]]
            total = pull = tx = ty = tz = 0.0
            for b in range(size):
                G = P[a, b] * matrix[a, b]
                h = ga[b] * G
                total = total + G
                pull = pull + h
                tx = tx + h * x[b]
                ty = ty + h * y[b]
                tz = tz + h * z[b]
            along = (
                -4 * exponent / cutoff**2 / _inside(x[a], y[a], z[a], cutoff) * total - 4 * pull
            )  # (2)
            force = (along * x[a] + 4 * tx, along * y[a] + 4 * ty, along * z[a] + 4 * tz)
            for c in range(3):
                gradient[members[row], c] += force[c]
                gradient[i, c] -= force[c]
                strain[owner[i], c, 0] += force[c] * x[a]
                strain[owner[i], c, 1] += force[c] * y[a]
                strain[owner[i], c, 2] += force[c] * z[a]
    return gradient, strain
