"""A real compilation: one form serves all models of its architecture, and none of another."""

from pathlib import Path

import pytest
import torch
from ase.build import bulk
from cells import rattled

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.compiled.cache import compiled_form
from entropy_flows.compiled.make import make_form
from entropy_flows.compiled.program import difference
from entropy_flows.potentials import load_batch_model
from entropy_flows.potentials.nequip_weights import architecture

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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_form_takes_the_weights_of_each_model_of_its_architecture(database):
    model = load_batch_model(SI)
    form = compiled_form(str(SI), model)
    make_form(form, str(SI), [rattled()], 4, "cpu", lambda: None)
    facts = form.facts()
    assert facts.reason is None
    # a call with nothing but overhead is where compiling gives most
    assert sum(facts.compiled) < 0.7 * sum(facts.eager)
    cells = [rattled(seed=1), rattled(repeat=1, seed=2), bulk("Si")]
    first = model(Batch.of(cells)).energy
    for seed in (1, 2):
        trained = changed(seed)
        compiled = form.family.load_compiled(trained, form.path)
        assert (trained(Batch.of(cells)).energy - first).abs().max() > 0.1
        assert difference(trained, compiled, cells) is None
    # the weights of the last one are in no other
    assert difference(model, form.load(model, str(SI)), cells) is None
    with pytest.raises(ValueError, match="was compiled with other fixed numbers"):
        form.family.load_compiled(load_batch_model(CARBON), form.path)
    assert compiled_form(str(CARBON), load_batch_model(CARBON)).path != form.path
