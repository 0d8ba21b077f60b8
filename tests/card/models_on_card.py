"""Models, their features, committees, errors and a step of training: on the card as on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from cells import rattled
from pretend_card import NAME, Card
from small_models import labelled, small_sevennet

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.evaluate.committee import Committee
from entropy_flows.evaluate.errors import errors
from entropy_flows.explore import equation_of_state
from entropy_flows.fingerprints.features import Features
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials import BatchOfOne, load_batch_model, load_feature_model

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
CELLS = [rattled(repeat=1, seed=1), rattled(seed=2), rattled(repeat=1, seed=3)]


@pytest.fixture(autouse=True)
def card():
    with Card() as card:
        yield card
    assert not card.unrepeatable  # every operation has a deterministic form


@pytest.fixture(scope="module", params=["allegro", "sevennet"])
def path(request, tmp_path_factory):
    if request.param == "allegro":
        return SI_SMALL
    return small_sevennet(tmp_path_factory.mktemp("model") / "small.sevennet.pth")


class Counting:
    """A model that counts its calls, and refuses cells of one atom."""

    def __init__(self, model):
        self.model, self.device, self.calls = model, model.device, 0

    def __call__(self, batch):
        self.calls += 1
        if 1 in batch.cells.sizes:
            raise ValueError("a lone atom")
        return self.model(batch)


def on_card(model):
    """Move a model that was loaded for the CPU."""
    model.model.to(NAME)
    model.device = NAME
    return model


@pytest.fixture(scope="module")
def models(path):
    on_cpu, moved = load_batch_model(path), load_batch_model(path)
    with Card():
        return on_cpu, on_card(moved)


def test_models_and_their_batches(models):
    on_cpu, moved = models
    for cells in (CELLS, CELLS[1:2]):
        expected = on_cpu(Batch.of(cells))
        result = moved(Batch.of(cells, NAME))
        for part in ("energy", "forces", "stress"):
            one, other = getattr(result, part), getattr(expected, part)
            np.testing.assert_allclose(one.cpu(), other, atol=2e-5, rtol=2e-6)


def test_features(path, monkeypatch):
    features = Features(model=str(path))
    expected = features.spectra(CELLS)
    w = torch.ones_like(expected.q)
    model = load_feature_model(str(path), "cpu")
    on_card(model._model)
    model.device = NAME
    monkeypatch.setattr(Features, "_model", lambda _: model)
    result = features.spectra(Batch.of(CELLS, NAME))
    np.testing.assert_allclose(result.q.cpu(), expected.q, atol=1e-9)
    pulled = zip(result.pullback(w.to(NAME)), expected.pullback(w), strict=True)
    for one, other in pulled:
        np.testing.assert_allclose(one.cpu(), other, atol=1e-9)


def test_committee_errors_and_equation_of_state(models):
    results = []
    for model in models:
        committee = Committee.__new__(Committee)
        committee.members, committee.device = [model, model], model.device
        frames = [labelled(seed) for seed in range(3)]
        energies, forces = committee.predict(CELLS)
        many = Counting(model)
        found = errors(frames, BatchOfOne(many))
        assert many.calls == 1
        results.append([energies, np.concatenate(forces, axis=1), found.forces_mae])
        if model.device == NAME and hasattr(model, "compiled"):
            state = equation_of_state(rattled(repeat=1, stdev=0.0), model)
            assert state.volume == pytest.approx(20.4, abs=1)
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=2e-6)


def test_a_cell_that_is_refused_says_so_when_it_is_asked_for(models):
    calculator = BatchOfOne(Counting(models[1]))
    cells = [*CELLS, Atoms("Si", cell=[5, 5, 5], pbc=True)]
    calculator.ahead(cells)
    calls = calculator.model.calls
    expected = [models[0](Batch.of([atoms])).energy.item() for atoms in CELLS]
    energies = [calculator.get_property("energy", atoms) for atoms in CELLS]
    np.testing.assert_allclose(energies, expected, rtol=2e-6)
    assert calculator.model.calls == calls
    with pytest.raises(ValueError, match="a lone atom"):
        calculator.get_property("energy", cells[-1])


def sevennet_step(model, batch):
    """Return forces and energies by SevenNet's network."""
    result = model.model(model.graph(batch.cells, neighbors(batch, model.cutoff)))
    return result["inferred_force"], result["inferred_total_energy"]


def allegro_step(model, batch):
    """Return forces and energies by NequIP's network."""
    result = model.model(model._inputs(batch))
    return result["forces"], result["total_energy"]


def test_a_step_of_training(path):
    """Forces in the loss: derivatives of derivatives. The trainers themselves are programs."""
    step = allegro_step if path == SI_SMALL else sevennet_step
    weights = []
    for device in ("cpu", NAME):
        model = load_batch_model(path)
        network = model.model.train().requires_grad_(True)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        network.to(device)
        model.device = device
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        forces, energies = step(model, Batch.of(CELLS, device))
        loss = forces.square().mean() + energies.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        weights.append([parameter.detach().cpu() for parameter in network.parameters()])
        moved = zip(weights[-1], before, strict=True)
        assert any(not torch.equal(one, other) for one, other in moved)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
