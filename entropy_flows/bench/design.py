"""What the students `linear` and `gp` are linear in: a row of features for each label.

    E/n  = Σ_i c · ψ(p_i) / n + e_Z             one row of a cell                                (1)
    F_j  = −Σ_i c · ∂ψ(p_i)/∂r_j                three rows of an atom                            (2)

    linear   ψ(p) = p / s                                                                        (3)
    gp       ψ(p) = K_zz^(−½) k(z, p),   k(z, p) = (z·p / |z||p|)^ζ                              (4)

Both have blocks of features for each element of the central atom, and constants e_Z for each
element. Rows do not depend on labels nor on a split: they are computed once for a pool. So is the
basis, which is drawn from all cells of the pool.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
p_i      power spectrum of atom i on its principal directions (d,)
s        root mean square of |p| over the pool's sampled atoms
z        landmarks: sampled atoms by pivoted Cholesky, those of largest variance left (M, d)
=======  ==========================================================================================

(Bartók, Payne, Kondor, Csányi, Phys. Rev. Lett. 104, 136403, 2010; Bartók, Csányi, Int. J. Quantum
Chem. 115, 1051, 2015.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from ase import Atoms
from scipy.sparse import csr_matrix

from entropy_flows.bench.params import RegressionParams
from entropy_flows.bench.power_spectrum import PowerSpectrum, Surroundings
from entropy_flows.conventions import Array
from entropy_flows.entropy.landmarks import pivoted_cholesky
from entropy_flows.files import replacing

CONSTANT = 10.0
"""Prior standard deviation of e_Z, in units of that of the other coefficients."""
JITTER = 1e-8
"""Added to the diagonal of K_zz, so that its inverse root has single precision."""


class FeatureMap(Protocol):
    """ψ of the atoms of one element."""

    @property
    def dim(self) -> int:
        """Return the number of features."""
        ...

    def values(self, atoms: Surroundings) -> Array:
        """Return Σ_i ψ(p_i) (dim,)."""
        ...

    def forces(self, atoms: Surroundings, n: int) -> Array:
        """Return −Σ_i ∂ψ(p_i)/∂r (3 n, dim) of a cell of n atoms."""
        ...


@dataclass(frozen=True)
class LinearMap:
    """Equation (3)."""

    scale: float
    dim: int

    @classmethod
    def of(cls, sample: Array) -> LinearMap:
        """Scale by a sample p (n, d)."""
        return cls(float(np.sqrt((sample**2).sum(axis=1).mean())) or 1.0, sample.shape[1])

    def values(self, atoms: Surroundings) -> Array:
        """Return Σ_i ψ(p_i) (dim,)."""
        return atoms.values.sum(axis=0) / self.scale

    def forces(self, atoms: Surroundings, n: int) -> Array:
        """Return −Σ_i ∂ψ(p_i)/∂r (3 n, dim) of a cell of n atoms."""
        assert atoms.gradients is not None
        return _summed(atoms, atoms.gradients.reshape(-1, self.dim), n) / -self.scale


@dataclass(frozen=True)
class KernelMap:
    """Equation (4); landmarks are (M, d) and of length 1, the whitener is K_zz^(−½) (M, M)."""

    landmarks: Array
    whitener: Array
    exponent: int

    @classmethod
    def of(cls, sample: Array, landmarks: int, exponent: int) -> KernelMap:
        """Draw landmarks from a sample p (n, d)."""
        units = sample / np.linalg.norm(sample, axis=1, keepdims=True)
        chosen = pivoted_cholesky(
            lambda index: (units @ units[index]) ** exponent, np.ones(len(units)), landmarks
        )
        z = units[chosen]
        kernel = (z @ z.T) ** exponent + JITTER * np.eye(len(z))
        values, vectors = np.linalg.eigh(kernel)
        return cls(z.astype(np.float32), vectors / np.sqrt(values), exponent)

    @property
    def dim(self) -> int:
        """Return the number M of features."""
        return len(self.landmarks)

    def values(self, atoms: Surroundings) -> Array:
        """Return Σ_i ψ(p_i) (dim,)."""
        units = atoms.values / np.linalg.norm(atoms.values, axis=1, keepdims=True)
        return ((units @ self.landmarks.T) ** self.exponent).sum(axis=0) @ self.whitener

    def forces(self, atoms: Surroundings, n: int) -> Array:
        """Return −Σ_i ∂ψ(p_i)/∂r (3 n, dim) of a cell of n atoms.

        With c = u·z and u = p/|p|, ∂k/∂r = ζ c^(ζ−1) (z − c u)·∂p/∂r / |p|.
        """
        assert atoms.gradients is not None
        assert atoms.centres is not None
        lengths = np.linalg.norm(atoms.values, axis=1, keepdims=True)
        units = (atoms.values / lengths).astype(np.float32)
        cosines = units @ self.landmarks.T
        factors = (self.exponent * cosines ** (self.exponent - 1) / lengths).astype(np.float32)
        along = np.einsum("pxd,pd->px", atoms.gradients, units[atoms.centres])
        changes = atoms.gradients @ self.landmarks.T
        changes -= along[:, :, None] * cosines[atoms.centres][:, None, :]
        changes *= factors[atoms.centres][:, None, :]
        return -_summed(atoms, changes.reshape(-1, self.dim), n) @ self.whitener


def _summed(atoms: Surroundings, changes: Array, n: int) -> Array:
    """Add up changes (3 P, m) of pairs by the atom that moves: (3 n, m)."""
    assert atoms.movers is not None
    rows = (3 * atoms.movers[:, None] + np.arange(3)).ravel()
    entries = np.ones(len(rows), dtype=changes.dtype), (rows, np.arange(len(rows)))
    return csr_matrix(entries, shape=(3 * n, len(rows))) @ changes


@dataclass(frozen=True)
class Design:
    """The rows of all cells of a pool.

    Attributes
    ----------
    rows
        (n_rows, m) in single precision: of each cell the energy's, then the forces' if there are.
    starts
        First row of each cell, and the end (n_cells + 1,).
    """

    rows: Array
    starts: Array

    @classmethod
    def load(cls, file: Path) -> Design:
        """Map stored rows into memory."""
        starts = np.load(file.with_suffix(".starts.npy"), allow_pickle=False)
        return cls(np.load(file, mmap_mode="r", allow_pickle=False), starts)

    def energies(self, cells: Sequence[int]) -> Array:
        """Return the energies' rows (n, m) of cells."""
        return np.asarray(self.rows[self.starts[list(cells)]], dtype=np.float64)

    def forces(self, cell: int) -> Array:
        """Return the forces' rows (3 n_atoms, m) of a cell; (0, m) without forces."""
        return self.rows[self.starts[cell] + 1 : self.starts[cell + 1]]


def store_design(
    file: Path,
    frames: Sequence[Atoms],
    params: RegressionParams,
    kind: str,
    forces: bool,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Compute the rows of all cells, and write them.

    Parameters
    ----------
    file
        Where they go, as .npy; the rows' starts go beside it.
    frames
        All cells of the pool, labelled or not.
    params
        Power spectra, landmarks and kernel.
    kind
        "linear" or "gp".
    forces
        Whether there are rows for forces.
    progress
        Is told how many cells of how many are done.

    Raises
    ------
    ValueError
        If featomic is not installed.
    """
    spectrum = PowerSpectrum(params.power_spectrum, frames)
    maps = feature_maps(spectrum, params, kind)
    counts = [1 + 3 * len(atoms) if forces else 1 for atoms in frames]
    starts = np.concatenate([[0], np.cumsum(counts)])
    width = sum(one.dim for one in maps.values()) + len(maps)
    with replacing(file.with_suffix(".starts.npy")) as path, path.open("wb") as stream:
        np.save(stream, starts)
    with replacing(file) as path:
        rows = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float32, shape=(int(starts[-1]), width)
        )
        for index, atoms in enumerate(frames):
            rows[starts[index] : starts[index + 1]] = cell_rows(atoms, spectrum, maps, forces)
            progress(f"features of the student {kind}", index + 1, len(frames))
        rows.flush()


def feature_maps(
    spectrum: PowerSpectrum, params: RegressionParams, kind: str
) -> dict[int, FeatureMap]:
    """Return element → ψ, "linear" or "gp"."""
    if kind == "linear":
        return {element: LinearMap.of(sample) for element, sample in spectrum.sample.items()}
    share = max(1, params.landmarks // len(spectrum.elements))
    return {
        element: KernelMap.of(sample, share, params.exponent)
        for element, sample in spectrum.sample.items()
    }


def cell_rows(
    atoms: Atoms, spectrum: PowerSpectrum, maps: dict[int, FeatureMap], forces: bool
) -> Array:
    """Return the rows of one cell (1 + 3 n, m), or (1, m) without forces."""
    n = len(atoms)
    rows = np.zeros((1 + 3 * n * forces, sum(one.dim for one in maps.values()) + len(maps)))
    columns = dict(zip(maps, _columns(maps), strict=True))
    for surroundings in spectrum(atoms, forces):
        feature_map = maps[surroundings.element]
        block = columns[surroundings.element]
        rows[0, block] = feature_map.values(surroundings) / n
        if forces:
            rows[1:, block] = feature_map.forces(surroundings, n)
    for number, element in enumerate(maps):
        rows[0, number - len(maps)] = CONSTANT * np.mean(atoms.numbers == element)
    return rows


def _columns(maps: dict[int, FeatureMap]) -> Iterator[slice]:
    """Yield each element's columns."""
    start = 0
    for feature_map in maps.values():
        yield slice(start, start + feature_map.dim)
        start += feature_map.dim
