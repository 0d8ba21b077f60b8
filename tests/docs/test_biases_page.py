"""The lines of the page run as they stand there."""

import pytest
from ase.calculators.calculator import Calculator
from known_biases import CELLS, KNOWN
from page_blocks import blocks


def lines(title):
    (block,) = [block for block in blocks("howto/biases.md") if block.title == title]
    return block.text


def test_in_ase():
    from cells import Spring

    names = {"cells": KNOWN, "calculator": Spring(), "atoms": CELLS[1].copy()}
    exec(lines("ase_bias.py"), names)
    assert isinstance(names["atoms"].calc, Calculator)
    assert abs(names["atoms"].get_potential_energy() - Spring().get_potential_energy(CELLS[1])) > 1


def test_in_torch_sim():
    pytest.importorskip("torch_sim", reason="torch-sim is not installed")
    import torch
    from torch_sim.io import atoms_to_state
    from torch_sim.models import interface
    from torch_sim.models.lennard_jones import LennardJonesModel

    if not hasattr(interface, "SumModel"):
        pytest.skip("this torch-sim has no SumModel, 0.6 and newer have")
    names = {"cells": KNOWN, "model": LennardJonesModel(2.0, 0.2, compute_stress=True)}
    exec(lines("torchsim_bias.py"), names)
    state = atoms_to_state(CELLS, torch.device("cpu"), torch.float64)
    assert set(names["model"](state)) == {"energy", "forces", "stress", "gain"}


def test_in_nvalchemi():
    pytest.importorskip("nvalchemi.enhanced_sampling", reason="nvalchemi-toolkit is not installed")
    import torch
    from nvalchemi.data import AtomicData, Batch
    from nvalchemi.models.lj import LennardJonesModelWrapper

    names = {"cells": KNOWN, "model": LennardJonesModelWrapper(0.2, 2.0, 4.5)}
    exec(lines("nvalchemi_bias.py"), names)
    graph = AtomicData.from_atoms(KNOWN[0], dtype=torch.float64)
    graph.forces = torch.zeros(len(KNOWN[0]), 3, dtype=torch.float64)
    graph.energy = torch.zeros(1, 1, dtype=torch.float64)
    graph.velocities = torch.zeros(len(KNOWN[0]), 3, dtype=torch.float64)
    batch = Batch.from_data_list([graph])
    names["dynamics"].run(batch, n_steps=1)
    assert batch.forces.abs().max() > 0
