"""The fast student: a committee of small networks from fingerprints to energies per atom, trained together.

    E/n = σ_E ⟨ f_k((q − μ)/s) ⟩ + μ_E,        f_k = W₃ relu(W₂ relu(W₁ x + b₁) + b₂) + b₃                           (1)
    loss = ⟨ (predicted − label)² ⟩ / σ_E²,    Adam

⟨·⟩ is over a cell's atoms, or q is the cell's mean fingerprint (`NetworkParams.inputs`). Nothing of
the candidates or of the test enters μ, s, μ_E, σ_E: all are of the cells trained on.

=======  ==========================================================================================================
symbol   meaning
=======  ==========================================================================================================
f_k      network k of M; the committee's prediction is the mean over k, its spread the standard deviation
μ, s     mean of each component, and the largest standard deviation of any: one s for all, since a component that
         hardly varies among the cells trained on would put a cell where it does off by
         electronvolts
μ_E, σ_E mean and standard deviation of the labels =======
==========================================================================================================
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
        progress: list[float] | None = None,
    ) -> Networks:
        """Train on cells with fingerprints (n_atoms, d) and targets (n,); `progress` gets each step's loss."""
        rows, _ = _rows(prints, params.inputs)
        scale = float(rows.std(axis=0).max()) or 1.0
        generator = torch.Generator().manual_seed(seed)
        widths = [rows.shape[1], *params.hidden, 1]
        layers = [_layer(params.members, a, b, generator) for a, b in pairwise(widths)]
        size = float(targets.std()) or 1.0
        made = cls(layers, rows.mean(axis=0), scale, float(targets.mean()), size, params.inputs)
        made._train(prints, (targets - made.mean) / size, params, progress)
        return made

    def predict(self, prints: Sequence[Array]) -> Array:
        """Predictions (M, n) of each network for each cell."""
        with torch.no_grad():
            parts = [
                self._forward(*self._inputs(prints[k : k + 512])).numpy()
                for k in range(0, len(prints), 512)
            ]
        return np.concatenate(parts, axis=1).astype(float) * self.spread + self.mean

    def _train(
        self,
        prints: Sequence[Array],
        labels: Array,
        params: NetworkParams,
        progress: list[float] | None,
    ) -> None:
        weights = [weight.requires_grad_() for layer in self.layers for weight in layer]
        optimizer = torch.optim.Adam(weights, lr=params.learning_rate)
        inputs, wanted = self._inputs(prints), torch.tensor(labels, dtype=torch.float32)
        for _ in range(params.steps):
            optimizer.zero_grad()
            loss = (
                ((self._forward(*inputs) - wanted) ** 2).mean(dim=1).sum()
            )  # no network's gradient has another's
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress.append(float(loss.detach()) / params.members)
        for weight in weights:
            weight.requires_grad_(False)

    def _inputs(self, prints: Sequence[Array]) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised rows (n_rows, d), the cell of each, and its share in that."""
        rows, sizes = _rows(prints, self.inputs)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        x = torch.tensor((rows - self.shift) / self.scale, dtype=torch.float32)
        return (
            x,
            torch.tensor(owner),
            torch.tensor(1 / np.repeat(sizes, sizes), dtype=torch.float32),
        )

    def _forward(self, x: Tensor, owner: Tensor, share: Tensor) -> Tensor:
        """Standardised energies (M, n)."""
        for number, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if number < len(self.layers) - 1:
                x = torch.relu(x)
        cells = torch.zeros((len(x), int(owner[-1]) + 1))
        return cells.index_add(1, owner, x[:, :, 0] * share)


def _layer(
    members: int, inputs: int, outputs: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """He's start."""
    weight = torch.randn((members, inputs, outputs), generator=generator) * (2 / inputs) ** 0.5
    return weight, torch.zeros((members, 1, outputs))


def _rows(prints: Sequence[Array], inputs: str) -> tuple[Array, np.ndarray]:
    """Vectors of all cells below one another, and how many each cell has."""
    if inputs == "mean":
        return np.array([q.mean(axis=0) for q in prints]), np.ones(len(prints), dtype=int)
    return np.concatenate(list(prints)), np.array([len(q) for q in prints])
