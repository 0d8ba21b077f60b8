"""The bias in NVIDIA's ALCHEMI toolkit 0.3 and newer."""

import numpy as np
import pytest
import torch
from known_biases import BIASES, CELLS, DATASET, KNOWN

pytest.importorskip("nvalchemi.enhanced_sampling", reason="nvalchemi-toolkit is not installed")

from nvalchemi.data import AtomicData, Batch
from nvalchemi.dynamics.integrators.nve import NVE
from nvalchemi.enhanced_sampling import EnhancedSampling
from nvalchemi.models.lj import LennardJonesModelWrapper

from entropy_flows.biases import dataset_bias
from entropy_flows.biases.nvalchemi import AlchemiBias


def lennard_jones():
    model = LennardJonesModelWrapper(0.2, 2.0, 4.5)
    model.set_config("active_outputs", {"energy", "forces", "stress"})
    return model


def batch_of(cells, dtype=torch.float64):
    """Cells with the places for results that the toolkit's dynamics need."""
    graphs = []
    for atoms in cells:
        graph = AtomicData.from_atoms(atoms, dtype=dtype)
        graph.forces = torch.zeros(len(atoms), 3, dtype=dtype)
        graph.energy = torch.zeros(1, 1, dtype=dtype)
        graph.stress = torch.zeros(1, 3, 3, dtype=dtype)
        graph.velocities = torch.zeros(len(atoms), 3, dtype=dtype)
        graphs.append(graph)
    return Batch.from_data_list(graphs)


def unbiased(cells):
    """The model's own results."""
    batch = batch_of(cells)
    NVE(lennard_jones(), dt=0.0, hooks=lennard_jones().make_neighbor_hooks(), n_steps=1).run(batch)
    return batch


@pytest.mark.parametrize("kind", ["local", "target"])
def test_the_run_adds_it_to_the_models_energy_forces_and_stress(kind):
    """A step of no length leaves what the dynamics saw."""
    bias = AlchemiBias(BIASES[kind](), k=0.3)
    sampling = EnhancedSampling(
        model=lennard_jones(),
        engine=NVE,
        engine_kwargs={"dt": 0.0},
        extra_hooks=lennard_jones().make_neighbor_hooks(),
        biases={bias.name: bias},
    )
    batch = sampling.run(batch_of(CELLS), n_steps=1)
    model, contribution = unbiased(CELLS), bias(batch)
    assert contribution["forces"].abs().max() > 1e-3
    for name in ("energy", "forces", "stress"):
        expected = model[name] + contribution[name]
        np.testing.assert_allclose(batch[name], expected, rtol=0, atol=1e-10)


def test_it_is_a_model_to_be_summed_and_conserves_energy():
    bias = AlchemiBias(dataset_bias(KNOWN, DATASET), k=0.1)

    def spread(step):
        model = lennard_jones() + bias
        batch = batch_of([cell * (1, 1, 1) for cell in KNOWN[:2]])
        dynamics = NVE(model, dt=step, hooks=model.make_neighbor_hooks(), n_steps=1)
        totals = []
        for _ in range(round(10.0 / step)):
            dynamics.run(batch)
            kinetic = 0.5 * batch.atomic_masses[:, None] * batch.velocities**2
            totals.append((kinetic.sum() + batch.energy.sum()).item())
        return max(totals) - min(totals)

    coarse, fine = spread(1.0), spread(0.25)
    assert fine < coarse / 8
    assert fine < 1e-4


def test_without_a_stress():
    bias = AlchemiBias(BIASES["local"](), k=0.3)
    bias.model_config.active_outputs = {"energy", "forces"}
    assert set(bias(batch_of(CELLS))) == {"energy", "forces", "diagnostics/entropy"}
