"""A real compilation: one form serves all models of its architecture, and none of another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from cells import rattled

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.compiled.cache import compiled_form
from entropy_flows.compiled.program import difference
from entropy_flows.explore import ExploreParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import CompileMaker, ExploreMaker, IterationContext
from entropy_flows.potentials import load_batch_model
from entropy_flows.potentials.nequip_weights import architecture
from entropy_flows.schemas import Campaign, TrainDoc
from entropy_flows.store import CampaignStore

MODELS = Path(entropy_flows.__file__).parent / "models"
SI, CARBON = MODELS / "si-small.nequip.zip", MODELS / "c-small.nequip.zip"


def changed(seed):
    """The small Allegro of silicon with other weights and another zero of energy."""
    model = load_batch_model(SI)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
        tensors = model.model.state_dict()
        next(tensor for name, tensor in tensors.items() if name.endswith("shifts")).add_(0.5)
    return model


def test_the_architecture_is_all_but_the_weights():
    silicon = architecture(load_batch_model(SI))
    assert architecture(changed(0)) == silicon
    assert architecture(load_batch_model(CARBON)) != silicon
    other = load_batch_model(SI)
    next(module for module in other.model.modules() if hasattr(module, "num_layers")).num_layers = 9
    assert architecture(other) != silicon


CONFIG = {
    "name": "real",
    "elements": ["Si"],
    "base_model": str(SI),
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}
SEEDS = {"diamond": to_structure(bulk("Si", cubic=True))}
PARAMS = ExploreParams(
    temperatures=(1000.0,),
    entropy_weights=(0.0, 2.0),
    steps=10,
    warm_up=2,
    ramp=2,
    snapshot_every=5,
)
TRAINING = {"parent": "", "trained_on": 1, "left_out": 0, "epochs": 1, "wall_seconds": 1.0}


@pytest.fixture
def store(database):
    opened = CampaignStore(database, "real")
    opened.create(Campaign.model_validate(CONFIG))
    opened.save_model(0, SI)
    opened.set_state("running")
    return opened


def compiled(store, iteration, model):
    """Run the job that compiles, as if an iteration had trained a model."""
    training = TrainDoc(iteration=iteration, model=model, **TRAINING)
    context = IterationContext("real", iteration)
    maker = CompileMaker(calls=[(2, 100)], always=True)
    return CompileMaker.make.original(maker, context, training=training, seeds=SEEDS)


def explored(model, iteration, choice):
    """Run the job that explores; return the positions of each run's snapshots."""
    params = PARAMS.model_copy(update={"compile": choice})
    maker = ExploreMaker(params=params, fingerprint=GOMParams(cutoff=3.0, natx=20), stream=1)
    context = IterationContext("real", iteration, model)
    document = ExploreMaker.make.original(maker, context, batch=0, seeds=SEEDS)
    return [np.array(packed["positions"]) for packed in document.trajectories]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_form_takes_the_weights_of_each_model_of_its_architecture(store):
    reference = store.save_model(1, SI)
    first = compiled(store, 1, reference)
    assert (first.is_there, first.is_new) == (True, True), first.reason
    assert first.compiled < 0.8 * first.eager

    fast = explored(reference, 2, "auto")
    plan = store.iterations()[-1]["plan"]
    assert plan["form_explore_0"] == "compiled"
    slow = explored(reference, 2, "never")
    for one, other in zip(fast, slow, strict=True):
        assert len(one) == 2
        np.testing.assert_allclose(one, other, atol=1e-4)
        assert not np.array_equal(one, other)  # they differ by rounding, so it was another code

    model = load_batch_model(SI)
    form = compiled_form(str(SI), model)
    cells = [rattled(seed=1), rattled(repeat=1, seed=2), bulk("Si")]
    energies = model(Batch.of(cells)).energy
    for seed in (1, 2):
        trained = changed(seed)
        with_its_weights = form.family.load_compiled(trained, form.path)
        assert (trained(Batch.of(cells)).energy - energies).abs().max() > 0.1
        assert difference(trained, with_its_weights, cells) is None
    # the weights of the last one are in no other
    assert difference(model, form.load(model, str(SI)), cells) is None
    again = compiled(store, 2, store.save_model(2, SI))
    assert (again.is_there, again.is_new) == (True, False)

    carbon = load_batch_model(CARBON)
    with pytest.raises(ValueError, match="was compiled with other fixed numbers"):
        form.family.load_compiled(carbon, form.path)
    assert compiled_form(str(CARBON), carbon).path != form.path
