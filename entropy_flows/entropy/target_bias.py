"""The bias towards where a target is least known, for many cells at once.

    B = log(gain + δ V),    ∂B = ∂gain / (gain + δ V)                                            (1)

The gain of a cell shrinks with every label, and by orders of magnitude with the distance from the
target. Its logarithm keeps a scale: k eV are a factor e in what a label is worth, in any iteration.
Far from the target (1) falls with the square of the distance, which draws a cell back to it, down
to where the floor δ ends the pull.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
gain     what the cell takes off V, see `variance_statistics`
V        share of the target that is not known
δ        `FLOOR`
=======  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.entropy.bias import BiasOutput, beside
from entropy_flows.entropy.moments import Mode
from entropy_flows.entropy.variance_statistics import VarianceStatistics
from entropy_flows.fingerprints import Fingerprint

FLOOR = 1e-6
"""Gain, as a share of all that is unknown, below which a cell is not worth a pull."""


class TargetBias:
    """log of what a cell takes off the unknown of a target; a mode makes no difference to it.

    Parameters
    ----------
    fingerprint
        Fingerprint of the data set.
    variance
        Data set and target; referred to, not copied.
    """

    name = "gain"

    def __init__(self, fingerprint: Fingerprint, variance: VarianceStatistics) -> None:
        self.fingerprint, self.variance = fingerprint, variance

    def __call__(self, batch: Batch, modes: Sequence[Mode]) -> BiasOutput:
        """Compute the logarithm of the gain, the gain and the derivatives."""
        spectra = self.fingerprint.spectra(batch)
        cells = np.split(spectra.q.cpu().numpy(), batch.cells.first[1:-1])
        gains = self.variance.gains(cells)
        offsets = gains + FLOOR * self.variance.value()
        gradients = [
            self.variance.gradient(q) / offset for q, offset in zip(cells, offsets, strict=True)
        ]
        q = spectra.q
        derivatives = spectra.pullback(beside(q, np.concatenate(gradients)))
        return BiasOutput(beside(q, np.log(offsets)), beside(q, gains), *derivatives)

    def measure(self, batch: Batch, modes: Sequence[Mode]) -> Tensor:
        """Compute the gain alone."""
        q = self.fingerprint.spectra(batch, vectors=False).q
        cells = np.split(q.cpu().numpy(), batch.cells.first[1:-1])
        return beside(q, self.variance.gains(cells))
