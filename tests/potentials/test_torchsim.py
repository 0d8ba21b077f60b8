from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from cells import rattled, skewed

pytest.importorskip("torch_sim")
from torch_sim.io import atoms_to_state
from torch_sim.models.lennard_jones import LennardJonesModel

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model
from entropy_flows.potentials.torchsim import TorchSimModel

SIGMA, EPSILON, CUTOFF = 3.405, 0.0104, 6.0
SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"


def argon(device):
    """What a user's own module would hold."""
    return LennardJonesModel(
        SIGMA, EPSILON, torch.device(device), torch.float64, compute_stress=True, cutoff=CUTOFF
    )


def without_stress():
    return LennardJonesModel(SIGMA, EPSILON, dtype=torch.float32)


@pytest.fixture
def crystals():
    cells = [bulk("Ar", a=5.2, cubic=True), bulk("Ar", a=5.4, cubic=True).repeat((2, 1, 1))]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.1, seed=seed)
        atoms.set_cell(atoms.cell[:] * [[1.0], [1.05], [0.95]], scale_atoms=True)
    return cells


def test_equals_torch_sim_cell_after_cell(crystals):
    model = load_batch_model("test_torchsim.argon")
    assert isinstance(model, TorchSimModel)
    cells = [*crystals, skewed("Ar2", edge=6.0)]
    batch = Batch.of(cells)
    for _ in range(2):
        result, first = model(batch), batch.cells.first
        for index, atoms in enumerate(cells):
            alone = argon("cpu")(atoms_to_state([atoms], torch.device("cpu"), torch.float64))
            assert result.energy[index] == alone["energy"][0]
            assert torch.equal(result.forces[first[index] : first[index + 1]], alone["forces"])
            assert torch.equal(result.stress[index], alone["stress"][0])


def test_equals_ase(crystals):
    result = load_batch_model("test_torchsim.argon")(Batch.of(crystals))
    at_cutoff = (
        4 * EPSILON * ((SIGMA / CUTOFF) ** 12 - (SIGMA / CUTOFF) ** 6)
    )  # ASE shifts each pair's energy by it
    energies = []
    for atoms in crystals:
        atoms.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=CUTOFF)
        pairs = len(neighbor_list("i", atoms, CUTOFF)) / 2
        energies.append(atoms.get_potential_energy() + pairs * at_cutoff)
    assert np.allclose(result.energy, energies, rtol=1e-12)


def test_single_precision_without_stress_or_repetition(crystals):
    model = load_batch_model("test_torchsim.without_stress")
    result = model(Batch.of(crystals))
    assert result.stress is None
    assert result.energy.dtype == result.forces.dtype == torch.float64

    water = molecule("H2O")
    assert model(Batch.of([water])).forces.shape == (3, 3)
    with pytest.raises(ValueError, match="repeat in the same directions"):
        model(Batch.of([water, *crystals]))


def test_nequip_through_torch_sim_equals_nequip():
    """Skewed cells with atoms outside; the pair models of torch-sim 0.3 are wrong there."""
    from nequip.integrations.torchsim import NequIPTorchSimCalc

    cells = Batch.of([rattled(repeat=1), skewed("Si3", seed=4), rattled(seed=1)])
    other = NequIPTorchSimCalc._from_saved_model(
        SI_SMALL, chemical_species_to_atom_type_map=True, neighborlist_backend="matscipy"
    )
    first, second = TorchSimModel(other)(cells), load_batch_model(SI_SMALL)(cells)
    assert torch.allclose(first.energy, second.energy, rtol=1e-6)
    assert torch.allclose(first.forces, second.forces, atol=1e-4)
    assert torch.allclose(first.stress, second.stress, atol=1e-5)
