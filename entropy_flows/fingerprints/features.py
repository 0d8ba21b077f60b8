"""Learned features: what a model's readout is linear in.

    E_i = a(e_i) w · q_i + b(e_i)                                                                (1)
    ∂φ/∂r_j += g_p,   ∂φ/∂r_i −= g_p,   ∂φ/∂ε += g_pᵀ d_p,   g_p = ∂φ/∂d_p                       (2)

q_i is what enters the last linear map of a trained network before an atom's energy: the network's
own description of an environment. Where the readout is a sum over an atom's pairs, as Allegro's,
q_i is the sum. Models add terms to (1) that are no part of the network, such as a pair potential.

The derivatives are by autograd, through the vectors d_p of the pairs p = (i, j), equation (2).

On a CPU each cell is a graph of its own, in double precision and on one thread, so that a cell has
the same bits whatever the batch. It costs nothing: the work is that of the pairs. On a GPU cells
share a graph, and agree to twelve digits.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
w        weights of the last linear map
a, b     scale and shift of the energies of element e_i
d_p      vector (3,) of a pair, from atom i to atom j
ε        strain, r → (1 + ε) r
=======  ==========================================================================================

SevenNet: Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024). Allegro: Musaelian et
al., Nat. Commun. 14, 579 (2023). NequIP: Batzner et al., Nat. Commun. 13, 2453 (2022).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor

from entropy_flows.batch import Batch, Cells
from entropy_flows.digest import file_sha256
from entropy_flows.fingerprints.base import EigenvalueSpectra, FingerprintBase
from entropy_flows.fingerprints.features_params import FeaturesParams
from entropy_flows.potentials import FeatureModel, find_model, load_feature_model, locate_model

GPU_ATOMS = 512
"""Atoms of the cells that share a graph on a GPU, unless one cell has more."""
_MODEL_LOCK = threading.RLock()
"""A model sets torch's defaults while it computes: one thread of a process at a time."""


class Features(FingerprintBase):
    """Features of a model as a fingerprint; takes the fields of `FeaturesParams` as keywords.

    The model is loaded when the first cell comes.

    Examples
    --------
    >>> features = Features(model="SevenNet-0")
    >>> q, pullback = features.vjp(bulk("Si"))
    """

    takes = FeaturesParams
    is_bound = True
    params: FeaturesParams

    @property
    def dim(self) -> int:
        """Number of features."""
        return self._model().dim

    @property
    def device(self) -> str:
        """Torch device of the model."""
        return self.params.device

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the vectors, in JSON types: a file counts by its content."""
        settings: dict[str, Any] = {"fingerprint": "features", "version": 1, **self._identity}
        if self.params.scale is not None:
            settings["scale"] = list(self.params.scale)
        return settings

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """Checksum of the model's file, or its name if it has none, and its arguments."""
        family, name, arguments = find_model(locate_model(self.params.model, Path("/")))
        is_file = family.is_file(name)
        weights = file_sha256(name) if is_file else family.canonical_name(name)
        return {"model": weights, "arguments": arguments}

    def spectra(self, cells: Sequence[Atoms] | Batch, vectors: bool = True) -> EigenvalueSpectra:
        """Features of a batch of cells.

        Parameters
        ----------
        cells
            ASE cells, or a batch, which has to be on the model's device.
        vectors
            Whether the pullback is wanted. It evaluates the model again, so that nothing is kept.
        """
        batch = cells if isinstance(cells, Batch) else Batch.of(cells, self.params.device)
        self._check_elements(batch.cells)
        model = self._model()
        q = [self._features(model, graph, needs_graph=False)[0] for graph in _graphs(batch)]
        scale = self._scale(q[0])

        def adjoint(w: Tensor) -> tuple[Tensor, Tensor]:
            weights = (w / scale).split([len(graph.positions) for graph in _graphs(batch)])
            pulled = [
                self._pull_back(model, graph, rows)
                for graph, rows in zip(_graphs(batch), weights, strict=True)
            ]
            return torch.cat([each[0] for each in pulled]), torch.cat([each[1] for each in pulled])

        return EigenvalueSpectra(
            torch.cat(q) / scale, batch.cells.sizes, adjoint if vectors else None
        )

    def _model(self) -> FeatureModel:
        with _MODEL_LOCK:
            return _loaded(locate_model(self.params.model, Path("/")), self.params.device)

    def _features(
        self, model: FeatureModel, batch: Batch, *, needs_graph: bool
    ) -> tuple[Tensor, Any]:
        """Return q (n_atoms, dim), and the pairs whose vectors it can be derived by."""
        pairs = model.pairs(batch)
        with (
            _MODEL_LOCK,
            one_thread(batch.cells.device),
            torch.set_grad_enabled(needs_graph),
        ):
            pairs = replace(pairs, vectors=pairs.vectors.requires_grad_(needs_graph))
            return model(batch.cells, pairs), pairs

    def _pull_back(self, model: FeatureModel, batch: Batch, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient (n_atoms, 3) and strain gradients (n_cells, 3, 3), equation (2)."""
        q, pairs = self._features(model, batch, needs_graph=True)
        gradient = torch.zeros_like(batch.positions)
        strain = gradient.new_zeros(len(batch), 3, 3)
        if not len(pairs.centers):
            return gradient, strain
        with _MODEL_LOCK, one_thread(batch.cells.device):
            (pull,) = torch.autograd.grad(q, pairs.vectors, w)
        gradient.index_add_(0, pairs.members, pull)
        gradient.index_add_(0, pairs.centers, -pull)
        products = pull[:, :, None] * pairs.vectors.detach()[:, None, :]
        strain.index_add_(0, batch.cells.owner[pairs.centers], products)
        return gradient, strain

    def _scale(self, q: Tensor) -> Tensor:
        """Return what components (dim,) are divided by."""
        scale = self.params.scale or (1.0,)
        if len(scale) not in (1, q.shape[1]):
            raise ValueError(
                f"scale has {len(scale)} numbers; expected 1, or one for each of the "
                f"{q.shape[1]} features of {self.params.model}"
            )
        return torch.tensor(scale, dtype=torch.float64, device=q.device)

    def _check_elements(self, cells: Cells) -> None:
        """Refuse a species that the settings do not list."""
        if self.params.elements is None:
            return
        listed = [atomic_numbers[symbol] for symbol in self.params.elements]
        strange = np.setdiff1d(cells.numbers, listed)
        if len(strange):
            raise ValueError(
                f"element '{chemical_symbols[strange[0]]}' is not among the elements "
                f"({', '.join(self.params.elements)})"
            )


def _graphs(batch: Batch) -> list[Batch]:
    """Return the cells of a batch as graphs: one each on a CPU, several on a GPU."""
    if batch.cells.device.type == "cpu":
        return [batch] if len(batch) == 1 else [batch.take([k]) for k in range(len(batch))]
    ends = np.flatnonzero(np.diff(batch.cells.first[1:] // GPU_ATOMS)) + 1
    return [batch.take(indices.tolist()) for indices in np.split(np.arange(len(batch)), ends)]


@lru_cache(maxsize=4)
def _loaded(model: str, device: str) -> FeatureModel:
    """Load a model once for all fingerprints of a process."""
    return load_feature_model(model, device)


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute on one thread of the CPU: a sum's order, and so its bits, depend on their number."""
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
