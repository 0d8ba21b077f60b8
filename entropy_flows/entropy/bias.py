"""What the surfaces add to the energy, for many cells at once.

=============  =============================  =============================
class          B                              measure it reports
=============  =============================  =============================
`LocalBias`    S_local of each cell           S_local
`SoftBias`     S_soft of each cell            S_soft
`GlobalBias`   log det Σ(D ∪ {cell})          its gain ΔH over log det Σ(D)
`TargetBias`   log of what it takes off V(D)  its gain V(D) − V(D ∪ {cell})
=============  =============================  =============================

The last one is in `target_bias`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.conventions import Array
from entropy_flows.entropy.local import FLOOR, local_entropies
from entropy_flows.entropy.moments import Mode
from entropy_flows.entropy.soft import SOFTNESS, soft_entropies
from entropy_flows.entropy.statistics import SufficientStatistics
from entropy_flows.fingerprints import EigenvalueSpectra, Fingerprint


@dataclass(frozen=True)
class BiasOutput:
    """B of each cell and its derivatives, on the batch's device."""

    value: Tensor
    """B (n_cells,)."""
    measure: Tensor
    """What is reported (n_cells,)."""
    gradient: Tensor
    """∂B/∂r (n_atoms, 3), Å⁻¹."""
    strain: Tensor
    """∂B/∂ε (n_cells, 3, 3), not divided by the volume."""


class Bias(Protocol):
    """An entropy of cells."""

    name: str
    """What the measure is called among a calculator's results."""
    fingerprint: Fingerprint

    def __call__(self, batch: Batch, modes: Sequence[Mode]) -> BiasOutput:
        """Compute B and its derivatives for each cell, judged in its mode."""

    def measure(self, batch: Batch, modes: Sequence[Mode]) -> Tensor:
        """Compute the measure alone (n_cells,)."""


class CellEntropyBias(ABC):
    """An entropy of a cell's own environments; a mode makes no difference to it.

    Parameters
    ----------
    fingerprint
        Fingerprint of the local entropy; Wang 2026 has a cutoff of 3.0 Å.
    """

    name = "entropy"

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.fingerprint = fingerprint

    @abstractmethod
    def entropies(self, spectra: EigenvalueSpectra) -> tuple[Tensor, Tensor]:
        """Return S of each cell and its derivative with respect to the fingerprints."""

    def __call__(self, batch: Batch, modes: Sequence[Mode]) -> BiasOutput:
        """Compute S and its derivatives."""
        spectra = self.fingerprint.spectra(batch)
        S, dS_dq = self.entropies(spectra)
        return BiasOutput(S, S, *spectra.pullback(dS_dq))

    def measure(self, batch: Batch, modes: Sequence[Mode]) -> Tensor:
        """Compute S alone."""
        return self.entropies(self.fingerprint.spectra(batch, vectors=False))[0]


class LocalBias(CellEntropyBias):
    """S_local, the form of Wang 2026.

    Parameters
    ----------
    fingerprint
        As of `CellEntropyBias`.
    floor
        Floor δ₀ of `local_entropy`.
    """

    def __init__(self, fingerprint: Fingerprint, floor: float = FLOOR) -> None:
        super().__init__(fingerprint)
        self.floor = floor

    def entropies(self, spectra: EigenvalueSpectra) -> tuple[Tensor, Tensor]:
        """Return S_local of each cell and its derivative."""
        return local_entropies(spectra.q, spectra.sizes, floor=self.floor)


class SoftBias(CellEntropyBias):
    """S_soft, the local entropy with a soft minimum.

    Parameters
    ----------
    fingerprint
        As of `CellEntropyBias`.
    floor
        δ₀ of `soft_entropies`, in the units of the fingerprint: `thermal_distance` has one.
    softness
        τ of `soft_entropies`.
    """

    def __init__(self, fingerprint: Fingerprint, floor: float, softness: float = SOFTNESS) -> None:
        super().__init__(fingerprint)
        self.floor = floor
        self.softness = softness

    def entropies(self, spectra: EigenvalueSpectra) -> tuple[Tensor, Tensor]:
        """Return S_soft of each cell and its derivative."""
        return soft_entropies(spectra.q, spectra.sizes, floor=self.floor, softness=self.softness)


class GlobalBias:
    """log det Σ of the dataset with the cell added.

    Parameters
    ----------
    fingerprint
        Fingerprint of the dataset.
    statistics
        The dataset D in each mode; referred to, not copied.
    gradient
        "exact": the derivative. "paper": the printed force formula of Wang 2026, which treats N, μ
        and Σ as if the candidate did not move them.
    """

    name = "gain"

    def __init__(
        self,
        fingerprint: Fingerprint,
        statistics: Mapping[Mode, SufficientStatistics],
        gradient: Literal["exact", "paper"] = "exact",
    ) -> None:
        if gradient not in ("exact", "paper"):
            raise ValueError(f"gradient is {gradient!r}; it must be one of ('exact', 'paper')")
        self.fingerprint, self.statistics, self.gradient = fingerprint, statistics, gradient

    def __call__(self, batch: Batch, modes: Sequence[Mode]) -> BiasOutput:
        """Compute log det Σ(D ∪ {cell}), ΔH and the derivatives.

        The statistics work on the CPU, cell by cell.
        """
        spectra = self.fingerprint.spectra(batch)
        gains, entropies, gradients = [], [], []
        cells = np.split(spectra.q.cpu().numpy(), batch.cells.first[1:-1])
        for mode in set(modes):
            self.statistics[mode].cover(cells)
        for q, mode in zip(cells, modes, strict=True):
            statistics = self.statistics[mode]
            gains.append(statistics.gain(q))
            entropies.append(statistics.entropy())
            exact = self.gradient == "exact"
            gradients.append(statistics.gradient(q) if exact else statistics.paper_gradient(q))
        arrays = (np.array(gains), np.array(entropies), np.concatenate(gradients))
        gain, entropy, w = (beside(spectra.q, array) for array in arrays)
        return BiasOutput(entropy + gain, gain, *spectra.pullback(w))

    def measure(self, batch: Batch, modes: Sequence[Mode]) -> Tensor:
        """Compute ΔH alone."""
        q = self.fingerprint.spectra(batch, vectors=False).q
        cells = np.split(q.cpu().numpy(), batch.cells.first[1:-1])
        for mode in set(modes):
            self.statistics[mode].cover(cells)
        gains = [self.statistics[mode].gain(cell) for cell, mode in zip(cells, modes, strict=True)]
        return beside(q, np.array(gains))


def beside(tensor: Tensor, array: Array) -> Tensor:
    """Put an array on the device of a tensor; the host does not wait for a GPU."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(tensor.device, non_blocking=True)
