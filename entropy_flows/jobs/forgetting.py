"""What a model has forgotten of the first one: its errors on the first model's own labels.

    e = E_r/N − E'_r/N − Σ_e x_re δ_e

E_r, E'_r  energy of replay cell r by the first model, and by the one that is asked (eV)
δ_e        shift of element e, fitted to these cells as `train.align` does

The zero of energies is moved by every training, to that of the labels. It is no knowledge, so δ is
taken out. Forces and stresses are compared as they are. The first model has forgotten nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate import Parity
from entropy_flows.evaluate.errors import cell_parities
from entropy_flows.train.align import fit_shifts


def forgotten(frames: Sequence[Atoms], calculator: Calculator) -> dict[str, Any]:
    """Compute a model's errors on cells with the first model's labels.

    Parameters
    ----------
    frames
        Held-out replay cells, the kind of each in `info`.
    calculator
        The model.

    Returns
    -------
    dict
        Errors as `evaluate.Errors.as_dict` returns them, and under `kinds` those of each kind of
        cell. {"n": 0} without cells.
    """
    if not frames:
        return {"n": 0}
    pairs = cell_parities(frames, calculator)
    differences = np.array([pair.energy[0, 0] - pair.energy[1, 0] for pair in pairs])
    shifts = fit_shifts(frames, differences)
    pairs = [_shifted(atoms, pair, shifts) for atoms, pair in zip(frames, pairs, strict=True)]
    kinds = [atoms.info["kind"] for atoms in frames]
    by_kind = {
        kind: Parity.joined([pair for pair, of in zip(pairs, kinds, strict=True) if of == kind])
        for kind in dict.fromkeys(kinds)
    }
    return {
        **Parity.joined(pairs).errors.as_dict(),
        "kinds": {kind: joined.errors.as_dict() for kind, joined in by_kind.items()},
    }


def _shifted(atoms: Atoms, pair: Parity, shifts: dict[str, float]) -> Parity:
    """Return a cell's labels and predictions, the predicted energy moved by the shifts."""
    shift = float(np.mean([shifts[symbol] for symbol in atoms.get_chemical_symbols()]))
    return replace(pair, energy=pair.energy + np.array([[0.0], [shift]]))
