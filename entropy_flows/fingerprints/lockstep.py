"""Eigenvalues and eigenvectors of many small symmetric matrices, eight in lockstep on a CPU.

LAPACK spends most of its time on a small matrix away from arithmetic. Here element (i, j) of eight
matrices is one vector of eight lanes, and every operation of EISPACK's tred2 and tql2 is done to
all lanes at once: A becomes Q T Qᵀ with T tridiagonal, one row after the other, the last first,

    H = 1 − v vᵀ/h,    v = (A_i0, …, A_i,i−1 − g),                                               (1)
    g = −sign(A_i,i−1) |A_i,0…i−1|,    h = |v|²/2
    p = A v/h,    q = p − (vᵀp/2h) v,    H A H = A − v qᵀ − q vᵀ,    Q = H_n−1 … H_1             (2)

and T becomes diagonal by implicit QL with Wilkinson's shift σ on the block k … m that does not
decouple,

    σ = d_k − e_k / (γ + sign(γ) √(γ² + 1)),    γ = (d_k+1 − d_k) / 2e_k                         (3)
    T ← J T Jᵀ,    J = J_k … J_m−1,    J_i turns columns i and i + 1 of Q by (c, s)              (4)

A lane has its own shift and its own block. Where a rotation is none of its business, it turns by c
= 1, s = 0, so that a matrix has the same bits in any lane and beside any others. These may be
larger: a matrix fills the last rows and columns of its lane, and the zeros before them change
nothing. Rotations of two sweeps are stored and applied together, while a row of Q is in registers.

=======  ===========================================================================================
symbol   meaning
=======  ===========================================================================================
A, Q     lower triangle, then v_i in row i; orthogonal matrix, at the end the eigenvectors
d, e     diagonal of T, and what is right of it: e_i is T_i,i+1
k, m     ends of a lane's block, the lowest with |e_i| > ε ‖T‖, ε = 2⁻⁵³; −1 if none is left
C, S     c and s of two sweeps, (2, n)
=======  ===========================================================================================

Sources: R. S. Martin, C. Reinsch, J. H. Wilkinson, Numer. Math. 11, 181 (1968); A. Dubrulle, R. S.
Martin, J. H. Wilkinson, Numer. Math. 12, 377 (1968); G. H. Golub, C. F. Van Loan, Matrix
Computations, sections 8.3.1-8.3.5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from entropy_flows.fingerprints.lanes import (
    LANES,
    every,
    get,
    largest,
    minus,
    plus,
    put,
    root,
    size,
    where,
)

LARGEST = 80
"""Size up to which this is at least 2.5 times faster than LAPACK when the lanes are full."""
SWEEPS = 30
"""Sweeps per eigenvalue, on average over a matrix, before it is left to LAPACK; two are usual."""
TINY = 1e-280
"""A square that counts as zero in a matrix whose largest element is about 1."""

compiled = njit(cache=True, error_model="numpy")


def eigh_many(M: Any, values: Any, V: Any = None, sweeps: int = SWEEPS) -> None:
    """Solve symmetric matrices M (B, n, n).

    Ascending eigenvalues (B, n) are written to `values`, eigenvectors to the rows of V (B, n, n).
    """
    sizes = np.full(len(M), M.shape[1])
    eigh_mixed(
        sizes, M.reshape(-1), values.reshape(-1), None if V is None else V.reshape(-1), sweeps
    )


def eigh_mixed(sizes: Any, M: Any, values: Any, V: Any = None, sweeps: int = SWEEPS) -> None:
    """Solve matrices of ascending sizes that lie one after another in M.

    So do the results in `values` and V.

    The lower triangles of M are read. A matrix with an element that is not finite has NaN for a
    result. The values are the same with and without V.
    """
    vectors = V is not None
    for b in np.flatnonzero(_solve(sizes, M, values, V if vectors else M[:0], vectors, sweeps)):
        n = sizes[b]
        position = sizes[:b].sum()
        element = (sizes[:b] ** 2).sum()
        values[position : position + n], columns = np.linalg.eigh(
            M[element : element + n * n].reshape(n, n)
        )
        if vectors:
            V[element : element + n * n] = columns.T.reshape(-1)


@compiled
def _solve(sizes, M, values, V, vectors, sweeps):
    """Solve all matrices; returns which did not converge."""
    count = len(sizes)
    most = sizes[-1] if len(sizes) else 0
    position = element = packed = 0
    for b in range(1, count):
        if sizes[b] < sizes[b - 1]:
            raise ValueError("sizes must ascend")
    unsolved = np.zeros(count, dtype=np.bool_)
    A = _vectors((most + 1) * most)
    Q = _vectors((most + 1) * (most + 7) if vectors else 0)
    d = _vectors(most + 1)
    e = _vectors(most + 1)
    x = _vectors(2 * most)
    y = _vectors(2 * most)
    unit = _vectors(1)
    defect = _vectors(1)
    order = np.zeros(most, dtype=np.int64)
    for first in range(0, count, LANES):
        lanes_used = min(LANES, count - first)
        n = sizes[first + lanes_used - 1]
        stride = n + (4 - n) % 8  # columns come in fours, and rows never lie a power of two apart
        A[: (n + 1) * n * LANES] = 0.0
        for lane in range(lanes_used):
            _pack(M, packed, sizes[first + lane], A, lane, n)
            packed += sizes[first + lane] ** 2
        _scale(A, unit, defect, n)
        _tridiagonalise(A, d, e, x, y, n)
        if vectors:
            _accumulate(A, Q, n, stride)
        put(x, 0, _diagonalise(Q, d, e, x, y, n, stride, vectors, sweeps))
        for lane in range(lanes_used):
            b = first + lane
            size = sizes[b]
            empty = n - sizes[b]
            unsolved[b] = x[lane] > sweeps * size // 2
            _sort(d, order, lane, empty, size)
            for m in range(size):
                source = order[m]
                values[position + m] = d[source * LANES + lane] * unit[lane] + defect[lane]
                if vectors:
                    row = element + m * size
                    for k in range(size):  # no zero keeps a sign
                        V[row + k] = (
                            Q[((empty + k) * stride + source) * LANES + lane] + defect[lane]
                        )
            position = position + size
            element = element + size**2
    return unsolved


@compiled
def _pack(M, start, size, A, lane, n):
    """Copy a lower triangle to the last rows and columns of a lane.

    The zeros before them change no bit.
    """
    for i in range(size):
        position = (i + n - size) * n + n - size
        for j in range(i + 1):
            A[(position + j) * LANES + lane] = M[start + i * size + j]


@compiled
def _vectors(count):
    """Return zeros that begin where a cache line does."""
    array = np.zeros((count + 1) * LANES)
    start = -(array.ctypes.data // 8) % LANES
    return array[start : start + count * LANES]


@compiled
def _sort(d, order, lane, first, count):
    """Find the order in which eigenvalues first, first + 1, … of a lane ascend."""
    for m in range(count):
        k = m
        value = d[(first + m) * LANES + lane]
        while k > 0 and d[order[k - 1] * LANES + lane] > value:
            order[k] = order[k - 1]
            k -= 1
        order[k] = first + m


@compiled
def _scale(A, unit, defect, n):
    """Divide by a power of two near the largest element.

    A matrix that is not finite becomes zeros, and its defect NaN.
    """
    zero = every(0.0)
    most = every(1e-300)
    nan = every(0.0)
    for i in range(n):
        for j in range(i + 1):
            x = get(A, i * n + j)
            most = where(size(x) - most, size(x), most)
            nan = nan + (x - x)
    put(unit, 0, where(every(1.0) - nan, most, every(1.0)))
    put(defect, 0, nan)
    for lane in range(LANES):
        unit[lane] = math.ldexp(1.0, math.frexp(unit[lane])[1] - 1)
    factor = every(1.0) / get(unit, 0)
    for i in range(n):
        for j in range(i + 1):
            put(A, i * n + j, where(every(1.0) - nan, get(A, i * n + j) * factor, zero))


@compiled
def _tridiagonalise(A, d, e, p, q, n):
    """Equations (1) and (2); leaves v_i in row i of A, and 1/h in place of its diagonal element.

    The update of A by a reflection and the product of the result with the next one's v are one
    pass.
    """
    zero = every(0.0)
    one = every(1.0)
    for c in range(n):
        put(q, c, zero)
    last = n * n  # row n is zero: nothing to apply yet
    for i in range(n - 1, 0, -1):
        row = i * n
        f = zero
        h = zero
        vi = get(A, last + i)
        qi = get(q, i)
        for c in range(i + 1):
            put(A, row + c, minus(minus(get(A, row + c), vi, get(q, c)), qi, get(A, last + c)))
        put(d, i, get(A, row + i))
        f = get(A, row + i - 1)
        for c in range(i - 1):
            h = plus(h, get(A, row + c), get(A, row + c))
        none = every(TINY) - h
        h = h + f * f
        g = where(f, zero - root(h), root(h))
        scale = where(none, zero, one / (h - f * g))
        put(e, i - 1, where(none, f, g))
        put(A, row + i - 1, f - g)
        put(A, row + i, scale)
        if i % 2:  # the rest of the rows are taken two at a time
            x = get(A, 0) - every(2.0) * get(A, last) * get(q, 0)
            put(A, 0, x)
            put(p, 0, x * get(A, row))
        for r in range(i % 2, i, 2):
            top = r * n
            low = r * n + n
            s = zero
            t = zero
            vr = get(A, last + r)
            qr = get(q, r)
            wr = get(A, row + r)
            vs = get(A, last + r + 1)
            qs = get(q, r + 1)
            ws = get(A, row + r + 1)
            for c in range(r):
                v = get(A, last + c)
                w = get(A, row + c)
                u = get(q, c)
                x = minus(minus(get(A, top + c), vr, u), qr, v)
                y = minus(minus(get(A, low + c), vs, u), qs, v)
                s = plus(s, x, w)
                t = plus(t, y, w)
                put(A, top + c, x)
                put(A, low + c, y)
                put(p, c, plus(plus(get(p, c), x, wr), y, ws))
            x = get(A, top + r) - every(2.0) * vr * qr
            y = get(A, low + r) - (vs * qr + qs * vr)
            z = get(A, low + r + 1) - every(2.0) * vs * qs
            put(A, top + r, x)
            put(A, low + r, y)
            put(A, low + r + 1, z)
            put(p, r, plus(plus(s, x, wr), y, ws))
            put(p, r + 1, plus(plus(t, y, wr), z, ws))
        K = zero
        for c in range(i):
            put(p, c, get(p, c) * scale)
            K = plus(K, get(p, c), get(A, row + c))
        K = K * scale * every(0.5)
        for c in range(i):
            put(q, c, minus(get(p, c), K, get(A, row + c)))
        last = row
    put(d, 0, get(A, 0))
    put(e, n - 1, zero)


@compiled
def _accumulate(A, Q, n, stride):
    """Q of equation (2), four columns at a time."""
    zero = every(0.0)
    one = every(1.0)
    for j in range(0, n, 4):
        for k in range(n):
            for c in range(j, j + 4):
                put(Q, k * stride + c, one if c == k else zero)
        for i in range(j + 1, n):
            row = i * n
            g0 = zero
            g1 = zero
            g2 = zero
            g3 = zero
            for k in range(i):
                v = get(A, row + k)
                at = k * stride + j
                g0 = plus(g0, v, get(Q, at))
                g1 = plus(g1, v, get(Q, at + 1))
                g2 = plus(g2, v, get(Q, at + 2))
                g3 = plus(g3, v, get(Q, at + 3))
            scale = get(A, row + i)
            g0 = g0 * scale
            g1 = g1 * scale
            g2 = g2 * scale
            g3 = g3 * scale
            for k in range(i):
                v = get(A, row + k)
                at = k * stride + j
                put(Q, at, minus(get(Q, at), g0, v))
                put(Q, at + 1, minus(get(Q, at + 1), g1, v))
                put(Q, at + 2, minus(get(Q, at + 2), g2, v))
                put(Q, at + 3, minus(get(Q, at + 3), g3, v))


@compiled
def _diagonalise(Q, d, e, C, S, n, stride, vectors, sweeps):
    """Equations (3) and (4), two sweeps at a time; returns how often a lane took part."""
    zero = every(0.0)
    one = every(1.0)
    norm = every(0.0)
    taken = every(0.0)
    for i in range(n):
        x = size(get(d, i)) + size(get(e, i))
        norm = where(x - norm, x, norm)
    tolerance = norm * every(2.0**-53)
    k, m, g = _block(d, e, tolerance, n)
    for _ in range(sweeps * n // 2 + 1):
        high = 0
        low = n
        taken = where(k + one, taken + one, taken)
        for i in range(2 * n):
            put(C, i, one)
            put(S, i, zero)
        for sweep in range(2):
            top = int(largest(m))
            bottom = n - int(largest(where(k + one, every(float(n)) - k, zero)))
            _sweep(d, e, C, S, sweep * n, k, m, g, bottom, top)
            high = max(high, top)
            low = min(low, bottom)
            k, m, g = _block(d, e, tolerance, n)
        if high <= 0:
            break
        if vectors:
            _turn(Q, C, S, n, stride, low, high)
    return taken


@compiled
def _block(d, e, tolerance, n):
    """Each lane's k and m, −1 if there are none, and d_m − σ of equation (3)."""
    one = every(1.0)
    end = every(n - 1.0)
    d_end = get(d, n - 1)
    k = every(-1.0)
    m = every(-1.0)
    d_k = d_end
    d_next = d_end
    e_k = one
    d_m = d_end
    for i in range(n - 2, -1, -1):
        joined = size(get(e, i)) - tolerance
        here = every(float(i))
        k = where(joined, here, k)
        m = where(joined, end, m)
        d_k = where(joined, get(d, i), d_k)
        d_next = where(joined, get(d, i + 1), d_next)
        e_k = where(joined, get(e, i), e_k)
        d_m = where(joined, d_end, d_m)
        end = where(joined, end, here)
        d_end = where(joined, d_end, get(d, i))
    g = (d_next - d_k) / (e_k + e_k)
    r = root(g * g + one)
    return k, m, d_m - d_k + e_k / (g + where(every(0.0) - g, every(0.0) - r, r))


@compiled
def _sweep(d, e, C, S, start, k, m, g, bottom, top):
    """Chase equation (4) up from m to k, recording the rotations."""
    zero = every(0.0)
    one = every(1.0)
    s = one
    c = one
    p = zero
    for i in range(top - 1, bottom - 1, -1):
        here = every(float(i))
        d_i = get(d, i)
        d_next = get(d, i + 1)
        active = where(k - here, zero, m - here)
        first = m - here - one
        final = where(size(here - k), zero, one)
        f = s * get(e, i)
        b = c * get(e, i)
        h = plus(f * f, g, g)
        turned = h - every(TINY)
        inverse = one / h
        r = root(h)
        sine = where(turned, f * (r * inverse), zero)
        cosine = where(turned, g * (r * inverse), one)
        y = d_next - p
        t = plus(cosine * (b + b), d_i - y, sine)
        put(d, i + 1, where(active, y + sine * t, d_next))
        put(e, i + 1, where(active, where(first, where(turned, r, zero), zero), get(e, i + 1)))
        g = where(active, plus(zero - b, cosine, t), g)
        p = where(active, sine * t, p)
        put(d, i, where(final, d_i - p, d_i))
        put(e, i, where(final, g, get(e, i)))
        s = where(active, sine, s)
        c = where(active, cosine, c)
        put(S, start + i, where(active, sine, zero))
        put(C, start + i, where(active, cosine, one))


@compiled
def _rotate(C, S, i, x, y):
    """Elements x, y of two neighbouring columns, the second first, turned."""
    c = get(C, i)
    s = get(S, i)
    return plus(s * x, c, y), minus(c * x, s, y)


@compiled
def _turn(Q, C, S, n, stride, low, high):
    """Apply two sweeps to two rows of Q at a time, the second sweep one column behind the first."""
    for k in range(0, n, 2):
        # the rows
        u = k * stride
        v = k * stride + stride
        u2, u1 = _rotate(C, S, high - 1, get(Q, u + high - 1), get(Q, u + high))
        v2, v1 = _rotate(C, S, high - 1, get(Q, v + high - 1), get(Q, v + high))
        for i in range(high - 2, low - 1, -1):
            x, u1 = _rotate(C, S, i, get(Q, u + i), u1)
            y, v1 = _rotate(C, S, i, get(Q, v + i), v1)
            x, u2 = _rotate(C, S, n + i + 1, x, u2)
            y, v2 = _rotate(C, S, n + i + 1, y, v2)
            put(Q, u + i + 2, x)
            put(Q, v + i + 2, y)
        x, u2 = _rotate(C, S, n + low, u1, u2)
        y, v2 = _rotate(C, S, n + low, v1, v2)
        put(Q, u + low + 1, x)
        put(Q, v + low + 1, y)
        put(Q, u + low, u2)
        put(Q, v + low, v2)
