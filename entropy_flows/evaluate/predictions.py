"""What models predict for cells, one row a cell, so that nobody has to ask them again.

    ε = E'/N − E/N,   f = ⟨|F'_ia − F_ia|⟩,   s = ⟨|σ'_v − σ_v|⟩

E, F, σ     label of a cell: energy (eV), force components (eV/Å), stress (eV/Å³, Voigt order)
E', F', σ'  the same by a model
N           number of atoms
ε, f, s     energy error (eV/atom), and force and stress MAE of one cell
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.evaluate.errors import Parity

MAX_COMPONENTS = 20_000
"""Force components that are kept of all cells, by equal steps through them.

They are for a parity plot, in which more points cannot be told apart.
"""


def prediction_rows(
    frames: Sequence[Atoms], predictions: Mapping[str, Sequence[Parity]]
) -> list[dict[str, Any]]:
    """Build the row of each cell: its label, and what each model predicts.

    Parameters
    ----------
    frames
        Labelled cells, with `key` and `position` in `info`.
    predictions
        Role of a model → labels and predictions of each cell, as `cell_parities` returns them.

    Returns
    -------
    list of dict
        Of each cell its key, position, n_atoms, energy (eV/atom) and stress (6,) in eV/Å³ or None.
        Under the role of a model its energy, its stress and `forces_mae` (eV/Å).
    """
    return [
        _row(atoms, {role: parities[index] for role, parities in predictions.items()})
        for index, atoms in enumerate(frames)
    ]


def force_components(predictions: Mapping[str, Sequence[Parity]]) -> dict[str, list[float]]:
    """Return force components (eV/Å) of the labels and of each model, at most `MAX_COMPONENTS`.

    Parameters
    ----------
    predictions
        As in `prediction_rows`; all models have the same cells.

    Returns
    -------
    dict
        "label", and the role of each model → components, in the same order.
    """
    components: dict[str, list[float]] = {}
    for role, parities in predictions.items():
        if not parities:
            return {}
        label, predicted = Parity.joined(parities).forces
        step = -(-len(label) // MAX_COMPONENTS)
        components["label"] = label[::step].tolist()
        components[role] = predicted[::step].tolist()
    return components


def _row(atoms: Atoms, parities: Mapping[str, Parity]) -> dict[str, Any]:
    """Build the row of one cell from its label and the predictions of each model."""
    stress = atoms.calc.results.get("stress")
    row: dict[str, Any] = {
        "key": atoms.info["key"],
        "position": atoms.info["position"],
        "n_atoms": len(atoms),
        "energy": float(atoms.get_potential_energy() / len(atoms)),
        "stress": None if stress is None else np.asarray(stress, dtype=float).tolist(),
    }
    for role, parity in parities.items():
        row[role] = {
            "energy": float(parity.energy[1, 0]),
            "forces_mae": float(np.mean(np.abs(parity.forces[1] - parity.forces[0]))),
            "stress": None if parity.stress is None else parity.stress[1].tolist(),
        }
    return row
