"""A SevenNet small enough to train in a test, and silicon cells with cheap labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from cells import Spring, rattled, strained


def labelled(seed: int, stress: bool = True, zero: float = 0.0) -> Atoms:
    """Two atoms of silicon, strained and moved, labelled by springs; `zero` is eV per atom."""
    atoms = strained(
        rattled(repeat=1, stdev=0.15, seed=seed),
        0.05 * np.random.default_rng(seed).normal(size=(3, 3)),
    )
    source = atoms.copy()
    source.calc = Spring()
    results = {
        "energy": source.get_potential_energy() + zero * len(atoms),
        "forces": source.get_forces(),
    }
    if stress:
        results["stress"] = source.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def small_sevennet(
    path: Path, elements: tuple[str, ...] = ("Si",), seed: int = 0, modals: tuple[str, ...] = ()
) -> Path:
    """Write the checkpoint of a new SevenNet with one layer and random weights.

    With modalities they differ in their energies per element, and in the layers' modal weights.
    """
    import torch
    from sevenn import __version__
    from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
    from sevenn.model_build import build_E3_equivariant_model
    from sevenn.util import chemical_species_preprocess

    config = {
        **DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        **chemical_species_preprocess(list(elements)),
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 4},
        "cutoff_function": {"cutoff_function_name": "poly_cut"},
        "channel": 4,
        "lmax": 1,
        "num_convolution_layer": 1,
        "weight_nn_hidden_neurons": [8],
        "cutoff": 4.0,
        "shift": 0.0,
        "scale": 1.0,
        "conv_denominator": 4.0,
        "version": __version__,
        "_model_type": "E3_equivariant_model",
        "use_modality": bool(modals),
        **(_modality(modals) if modals else {}),
        "batch_size": 1,
    }
    torch.manual_seed(seed)
    model = build_E3_equivariant_model(config)
    torch.save({"model_state_dict": model.state_dict(), "config": config, "epoch": 0}, path)
    return path


def _modality(modals: tuple[str, ...]) -> dict[str, object]:
    """Return the part of a SevenNet's config that is about its modalities."""
    return {
        "_modal_map": {modal: index for index, modal in enumerate(modals)},
        "_number_of_modalities": len(modals),
        "use_modal_self_inter_intro": True,
        "use_modal_self_inter_outro": True,
        "use_modal_output_block": True,
        "use_modal_wise_shift": True,
        "use_modal_wise_scale": False,
        "shift": {modal: -1.0 - index for index, modal in enumerate(modals)},
    }
