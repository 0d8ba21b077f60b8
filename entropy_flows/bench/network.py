"""The fast student: small networks from fingerprints to energies per atom, trained together.

    E/n = σ_E ⟨ f_k((q − μ)/s) ⟩ + μ_E,   f_k = W₃ relu(W₂ relu(W₁ x + b₁) + b₂) + b₃           (1)
    loss = ⟨ (predicted − label)² ⟩ / σ_E²,   minimised by Adam

⟨·⟩ is over a cell's atoms, or q is the cell's mean fingerprint (`NetworkParams.inputs`). Nothing of
the candidates or of the test enters μ, s, μ_E, σ_E: all are of the cells that are trained on.

=======  ========================================================================================
symbol   meaning
=======  ========================================================================================
f_k      network k of M; the committee's prediction is the mean over k, its spread the standard
         deviation
μ        mean of each component
s        the largest standard deviation of any component. One s serves all: a component that
         hardly varies among the cells trained on would otherwise put a cell in which it does off
         by electronvolts
μ_E, σ_E mean and standard deviation of the labels
=======  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from entropy_flows.bench.params import NetworkParams
from entropy_flows.conventions import Array

BATCH_CELLS = 512
"""Number of cells that are predicted in one call."""


@dataclass(frozen=True)
class Networks:
    """Trained networks.

    Attributes
    ----------
    layers
        Weights (M, in, out) and biases (M, 1, out) of each layer.
    shift, scale
        μ (d,) and s.
    mean, spread
        μ_E and σ_E.
    inputs
        "atoms" or "mean".
    """

    layers: list[tuple[Tensor, Tensor]]
    shift: Array
    scale: float
    mean: float
    spread: float
    inputs: str

    @classmethod
    def trained(
        cls,
        prints: Sequence[Array],
        targets: Array,
        params: NetworkParams,
        seed: int,
        losses: list[float] | None = None,
    ) -> Networks:
        """Train on cells.

        Parameters
        ----------
        prints
            Fingerprints (n_atoms, d) of each cell.
        targets
            Energies per atom (n,).
        params
            Widths, members and steps.
        seed
            Seed of the initial weights.
        losses
            A list to which the loss of each step is added.
        """
        rows, _ = _rows(prints, params.inputs)
        generator = torch.Generator().manual_seed(seed)
        widths = [rows.shape[1], *params.hidden, 1]
        networks = cls(
            layers=[_layer(params.members, a, b, generator) for a, b in pairwise(widths)],
            shift=rows.mean(axis=0),
            scale=float(rows.std(axis=0).max()) or 1.0,
            mean=float(targets.mean()),
            spread=float(targets.std()) or 1.0,
            inputs=params.inputs,
        )
        labels = (targets - networks.mean) / networks.spread
        networks._train(prints, labels, params, losses)
        return networks

    def predict(self, prints: Sequence[Array]) -> Array:
        """Predict cells (M, n) by each network."""
        predictions = []
        with torch.no_grad():
            for start in range(0, len(prints), BATCH_CELLS):
                inputs = self._inputs(prints[start : start + BATCH_CELLS])
                predictions.append(self._forward(*inputs).numpy())
        return np.concatenate(predictions, axis=1).astype(float) * self.spread + self.mean

    def _train(
        self,
        prints: Sequence[Array],
        labels: Array,
        params: NetworkParams,
        losses: list[float] | None,
    ) -> None:
        weights = [weight.requires_grad_() for layer in self.layers for weight in layer]
        optimizer = torch.optim.Adam(weights, lr=params.learning_rate)
        inputs = self._inputs(prints)
        targets = torch.tensor(labels, dtype=torch.float32)
        for _ in range(params.steps):
            optimizer.zero_grad()
            # The sum over the networks: none has a part in the gradient of another.
            loss = ((self._forward(*inputs) - targets) ** 2).mean(dim=1).sum()
            loss.backward()
            optimizer.step()
            if losses is not None:
                losses.append(float(loss.detach()) / params.members)
        for weight in weights:
            weight.requires_grad_(False)

    def _inputs(self, prints: Sequence[Array]) -> tuple[Tensor, Tensor, Tensor]:
        """Return standardised rows (n_rows, d), the cell of each, and its share of that cell."""
        rows, sizes = _rows(prints, self.inputs)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        x = torch.tensor((rows - self.shift) / self.scale, dtype=torch.float32)
        share = torch.tensor(1 / np.repeat(sizes, sizes), dtype=torch.float32)
        return x, torch.tensor(owner), share

    def _forward(self, x: Tensor, owner: Tensor, share: Tensor) -> Tensor:
        """Predict standardised energies (M, n)."""
        *hidden_layers, last_layer = self.layers
        for weight, bias in hidden_layers:
            x = torch.relu(x @ weight + bias)
        weight, bias = last_layer
        x = x @ weight + bias
        cells = torch.zeros((len(x), int(owner[-1]) + 1))
        return cells.index_add(1, owner, x[:, :, 0] * share)


def _layer(
    members: int, inputs: int, outputs: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the initial weights of a layer as He does; its biases are 0."""
    weight = torch.randn((members, inputs, outputs), generator=generator) * (2 / inputs) ** 0.5
    return weight, torch.zeros((members, 1, outputs))


def _rows(prints: Sequence[Array], inputs: str) -> tuple[Array, np.ndarray]:
    """Return the vectors of all cells one after the other, and their number in each cell."""
    if inputs == "mean":
        return np.array([q.mean(axis=0) for q in prints]), np.ones(len(prints), dtype=int)
    return np.concatenate(list(prints)), np.array([len(q) for q in prints])
