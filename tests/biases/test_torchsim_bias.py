"""The bias as a model of torch-sim 0.6 and newer, which needs Python 3.12."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from known_biases import BIASES, CELLS, DATASET, KNOWN

pytest.importorskip("torch_sim", reason="torch-sim is not installed")

import torch_sim as ts
from torch_sim.models import interface
from torch_sim.models.lennard_jones import LennardJonesModel

from entropy_flows.biases import dataset_bias, local_bias
from entropy_flows.biases.torchsim import TorchSimBias
from entropy_flows.conventions import to_matrix
from entropy_flows.entropy import BiasedSurface
from entropy_flows.potentials.onebyone import BatchOfOne
from entropy_flows.potentials.torchsim import TorchSimModel

pytestmark = pytest.mark.skipif(
    not hasattr(interface, "SumModel"), reason="this torch-sim has no SumModel, as 0.6 has"
)
CPU = torch.device("cpu")


def lennard_jones(dtype=torch.float64):
    return LennardJonesModel(2.0, 0.2, dtype=dtype, compute_stress=True, cutoff=4.5)


def state_of(cells, dtype=torch.float64):
    return ts.io.atoms_to_state(cells, CPU, dtype)


@pytest.mark.parametrize("kind", BIASES)
def test_the_sum_equals_our_own_surface(kind):
    bias = BIASES[kind]()
    (mode,) = getattr(bias, "statistics", ["atom"])
    model = interface.SumModel(lennard_jones(), TorchSimBias(bias, k=0.7))
    results = model(state_of(CELLS))
    first = 0
    for index, atoms in enumerate(CELLS):
        surface = BiasedSurface(BatchOfOne(TorchSimModel(lennard_jones())), bias, 0.7, mode)
        energy = surface.get_potential_energy(atoms)
        assert results["energy"][index].item() == pytest.approx(energy, rel=0, abs=1e-10)
        forces = results["forces"][first : first + len(atoms)].numpy()
        np.testing.assert_allclose(forces, surface.get_forces(atoms), rtol=0, atol=1e-10)
        stress = to_matrix(surface.get_stress(atoms))
        np.testing.assert_allclose(results["stress"][index].numpy(), stress, rtol=0, atol=1e-10)
        assert results[bias.name][index].item() == pytest.approx(surface.results[bias.name])
        first += len(atoms)


def test_torch_sim_finds_it_a_model():
    """Its own check: shapes, batches, periodicity, a molecule."""
    bias = local_bias(["Si", "Mg", "Fe", "C", "H"])
    interface.validate_model_outputs(TorchSimBias(bias, k=0.3), CPU, torch.float64)


def test_beside_a_model_in_single_precision():
    bias = BIASES["dataset"]()
    single = TorchSimBias(bias, k=0.3, dtype=torch.float32)
    results = interface.SumModel(lennard_jones(torch.float32), single)(
        state_of(CELLS, torch.float32)
    )
    exact = interface.SumModel(lennard_jones(), TorchSimBias(bias, k=0.3))(state_of(CELLS))
    for name, value in exact.items():
        assert results[name].dtype == torch.float32
        scale = max(1.0, value.abs().max().item())
        assert torch.allclose(results[name].double(), value, rtol=0, atol=2e-5 * scale)


def test_energy_is_conserved_without_a_thermostat():
    """What is left, in a batch of two cells, is the integrator's error, which falls with step²."""
    model = interface.SumModel(lennard_jones(), TorchSimBias(dataset_bias(KNOWN, DATASET), k=0.1))
    cells = [bulk("Si", cubic=True), bulk("Si") * (2, 2, 1)]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.05, seed=seed)

    def spread(step):
        state = ts.nve_init(state_of(cells), model, kT=0.03, seed=1)
        totals = []
        for _ in range(round(0.02 / step)):
            state = ts.nve_step(state, model, dt=torch.tensor(step))
            kinetic = ts.calc_kinetic_energy(
                masses=state.masses, momenta=state.momenta, system_idx=state.system_idx
            )
            totals.append(state.energy + kinetic)
        totals = torch.stack(totals)
        return (totals.amax(0) - totals.amin(0)).max().item()

    coarse, fine = spread(1e-3), spread(2.5e-4)
    assert fine < coarse / 8
    assert fine < 1e-4


def test_no_more_is_computed_than_is_asked_for():
    model = TorchSimBias(local_bias(["Si"]), k=0.3)
    model.compute_stress = model.compute_forces = False
    assert set(model(state_of(CELLS))) == {"energy", "entropy"}
    model.k = 0.6
    assert model.k == model.term.k == 0.6
