"""torch-sim's models, and a bias as one of them, on the card as on the CPU."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from cells import rattled
from pretend_card import NAME, Card

pytest.importorskip("torch_sim")
from torch_sim.models.lennard_jones import LennardJonesModel
from torch_sim.state import SimState

from entropy_flows.batch import Batch
from entropy_flows.biases.torchsim import TorchSimBias
from entropy_flows.entropy import LocalBias
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials.torchsim import TorchSimModel


@pytest.fixture(autouse=True)
def card():
    with Card() as card:
        yield card


def argon(device):
    """Search neighbours by tensor operations: torch-sim's list of pairs is another package's."""
    return LennardJonesModel(
        3.405, 0.0104, torch.device(device), torch.float64,
        compute_stress=True, use_neighbor_list=False, cutoff=6.0,
    )  # fmt: skip


def test_a_model_and_its_batches(card):
    cells = [bulk("Ar", a=5.2, cubic=True), bulk("Ar", a=5.4, cubic=True).repeat((2, 1, 1))]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.1, seed=seed)
    expected = TorchSimModel(argon("cpu"))(Batch.of(cells))
    result = TorchSimModel(argon(NAME))(Batch.of(cells, NAME))
    assert card.kernels
    for part in ("energy", "forces", "stress"):
        one, other = getattr(result, part), getattr(expected, part)
        assert one.device.type == NAME
        np.testing.assert_allclose(one.cpu(), other, atol=1e-10)
    with pytest.raises(ValueError, match="the model on card"):
        TorchSimModel(argon(NAME))(Batch.of(cells))


def test_a_bias_as_a_model():
    cells = [rattled(seed=1), rattled(repeat=1, seed=2)]
    results = []
    for device in ("cpu", NAME):
        batch = Batch.of(cells, device)
        state = SimState(
            positions=batch.positions,
            masses=torch.ones(len(batch.positions), device=device, dtype=torch.float64),
            cell=batch.cells.vectors.mT.contiguous(),
            pbc=True,
            atomic_numbers=batch.cells.species,
            system_idx=batch.cells.owner,
        )
        bias = LocalBias(GOM(cutoff=3.0, natx=8, elements=("Si",), device=device))
        results.append(TorchSimBias(bias, 0.5)(state))
    for name in ("energy", "forces", "stress", "entropy"):
        np.testing.assert_allclose(results[1][name].cpu(), results[0][name], atol=1e-8)
