"""Replay: cells labelled by the first model, beside those of the label engine.

    L = Σ_s h_s + w Σ_r h_r        labelled cells s, replay cells r

w     `ReplayParams.weight`, times the weight by energy if there are `weight_bins`
h     terms of the loss of `TrainParams`

Fine-tuning fits what is new, and leaves a network free to change where no label is. Old cells that
are shown again keep it in place (rehearsal: A. Robins, Connection Science 7, 123 (1995)).

The two sorts of label must count energies from one zero. Those of replay are moved by

    E_r → E_r + Σ_e n_re δ_e        (`align.moved`)

n_re  atoms of element e in cell r
δ_e   shift that `align.energy_shifts` fits to the labelled training cells and the first model

That is the shift which the first training gives to the first model itself. So that model, moved,
still has no error on the replay cells, and a constant per atom in the engine's labels moves both
alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.train.dataset import REPLAY_WEIGHT, has_stress


def replay_cells(frames: Sequence[Atoms], weight: float, train: Sequence[Atoms]) -> list[Atoms]:
    """Prepare replay cells to be trained on beside labelled ones.

    Parameters
    ----------
    frames
        Cells with the first model's forces and maybe stress, and with its energy on the labels'
        zero; not changed.
    weight
        w; with 0 there are none.
    train
        The labelled training cells. If none has a stress, those of replay are left out: nothing
        else would be trained on them.

    Returns
    -------
    list of Atoms
        Copies that carry their weight.
    """
    if weight == 0.0:
        return []
    with_stress = any(has_stress(atoms) for atoms in train)
    cells = []
    for frame in frames:
        cell = frame.copy()
        stress = frame.calc.results.get("stress") if with_stress else None
        cell.calc = SinglePointCalculator(cell, **{**frame.calc.results, "stress": stress})
        cell.info[REPLAY_WEIGHT] = float(weight)
        cells.append(cell)
    return cells
