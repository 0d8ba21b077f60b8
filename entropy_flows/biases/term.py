"""A bias as an energy term of many cells: what another program adds to its own model.

    E = −k B,    F = k ∂B/∂r,    σ = −(k/V) ∂B/∂ε                                                (1)

=======  =============================================================
symbol   meaning
=======  =============================================================
B        entropy of a cell, or log of its gain (`entropy.bias`)
k        strength of the bias, eV; positive seeks entropy
V, ε     volume, strain of atoms and cell alike
=======  =============================================================

These are equations (1) to (3) of `entropy.surface` without the base model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.entropy import Bias, Mode


@dataclass(frozen=True)
class TermOutput:
    """The term of B cells with n atoms in all, float64 and without gradients."""

    energy: Tensor
    """−k B (B,) in eV."""
    forces: Tensor
    """k ∂B/∂r (n, 3) in eV/Å."""
    stress: Tensor
    """−(k/V) ∂B/∂ε (B, 3, 3) in eV/Å³, positive in tension; zero for a cell without a volume."""
    measure: Tensor
    """What the bias reports (B,): the entropy, or the gain."""


class BiasTerm:
    """−k B of many cells, from the tensors that programs of dynamics have.

    Parameters
    ----------
    bias
        One of `biases.frames`, or any of `entropy.bias`.
    k
        eV; may be changed between calls, as a ramp does.
    mode
        Mode of a data set that `bias` has in both; None takes the only one it has.

    Raises
    ------
    ValueError
        If k is not finite, or the data set has several modes and none is named.
    """

    def __init__(self, bias: Bias, k: float, mode: Mode | None = None) -> None:
        self.bias = bias
        self.k = k
        self._mode = _mode_of(bias, mode)
        self._key: tuple[Tensor, ...] = ()
        self._batch: Batch | None = None

    @property
    def k(self) -> float:
        """Strength of the bias in eV."""
        return self._k

    @k.setter
    def k(self, k: float) -> None:
        if not np.isfinite(k):
            raise ValueError(f"k is {k}; it must be a finite energy in eV")
        self._k = float(k)

    @property
    def name(self) -> str:
        """Name of the measure: "entropy" or "gain"."""
        return self.bias.name

    @property
    def device(self) -> torch.device:
        """Device on which the fingerprints are computed."""
        return torch.device(self.bias.fingerprint.device)

    def __call__(
        self, positions: Tensor, numbers: Tensor, lattice: Tensor, pbc: Tensor, owner: Tensor
    ) -> TermOutput:
        """Compute the term.

        Parameters
        ----------
        positions
            (n, 3) in Å, any precision; the atoms of a cell follow one another.
        numbers
            Atomic numbers (n,).
        lattice
            Lattice vectors (B, 3, 3) in Å, one a row.
        pbc
            Which of them repeat (B, 3).
        owner
            Number of each atom's cell (n,).

        Raises
        ------
        ValueError
            For a cell that has no environments, or an element that the fingerprint does not have.
        """
        where = positions.detach().to(self.device, torch.float64, copy=True)
        batch = self._cells(where, numbers, lattice, pbc, owner).at(where)
        output = self.bias(batch, [self._mode] * len(batch))
        volumes = batch.cells.volumes[:, None, None]
        stress = torch.where(volumes > 0, -self.k * output.strain / volumes, 0.0)
        return TermOutput(-self.k * output.value, self.k * output.gradient, stress, output.measure)

    def _cells(
        self, positions: Tensor, numbers: Tensor, lattice: Tensor, pbc: Tensor, owner: Tensor
    ) -> Batch:
        """Return the cells; those of the last call, whose neighbour tables are kept, if equal."""
        key = (numbers, lattice, pbc, owner)
        same = len(self._key) == len(key) and all(map(_equal, self._key, key))
        if self._batch is None or not same:
            self._batch = Batch.of(_structures(positions, *key), str(self.device))
            self._key = tuple(tensor.detach().clone() for tensor in key)
        return self._batch


def _mode_of(bias: Bias, mode: Mode | None) -> Mode:
    """Return the mode in which cells are judged; biases without a data set know no difference."""
    modes: list[Mode] = list(getattr(bias, "statistics", {"atom": None}))
    if mode is None and len(modes) == 1:
        return modes[0]
    if mode is None or mode not in modes:
        raise ValueError(f"mode is {mode!r}; the data set has {', '.join(modes)}")
    return mode


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def _structures(
    positions: Tensor, numbers: Tensor, lattice: Tensor, pbc: Tensor, owner: Tensor
) -> list[Atoms]:
    """Return ASE's cells of the tensors.

    Raises
    ------
    ValueError
        If the atoms of a cell do not follow one another.
    """
    owners = owner.detach().cpu().numpy()
    if (np.diff(owners) < 0).any():
        raise ValueError("the atoms of a cell must follow one another, cell after cell")
    ends = np.cumsum(np.bincount(owners, minlength=len(lattice)))[:-1]
    species = np.split(numbers.detach().cpu().numpy(), ends)
    where = np.split(positions.cpu().numpy(), ends)
    vectors = lattice.detach().to("cpu", torch.float64).numpy()
    repeats = pbc.detach().cpu().numpy()
    return [
        Atoms(numbers=number, positions=position, cell=cell, pbc=repeat)
        for number, position, cell, repeat in zip(species, where, vectors, repeats, strict=True)
    ]
