"""How a name becomes a model of many cells."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.potentials import OneByOne, load_batch_model, load_calculator
from entropy_flows.potentials.nequip import NequIPFamily, compiled_for_batches

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"


def compiled(path, inputs):
    """A file with a compiled model's metadata and no model."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/model/x.wrapper_metadata.json", json.dumps(inputs))
    return path


def test_a_class_of_ase_is_called_cell_after_cell():
    model = load_batch_model("ase.calculators.emt.EMT")

    assert isinstance(model, OneByOne)
    assert model(Batch.of([bulk("Cu"), bulk("Al")])).energy.shape == (2,)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("SuperNet", ValueError, "'SuperNet' is not known.*SevenNet-0.*CHGNet"),
        ("model.bin", ValueError, "'model.bin' is not known"),
        ("no.such.Calculator", ValueError, "'no.such.Calculator' cannot be imported"),
        (
            "ase.atoms.Atoms",
            ValueError,
            "gives a Atoms, expected an ASE calculator or a model of torch-sim",
        ),
        ("ase.units.kB", ValueError, "is a float, expected a class or a function"),
        (
            "/nowhere/model.nequip.zip",
            FileNotFoundError,
            "/nowhere/model.nequip.zip does not exist",
        ),
        ("/nowhere/model.nequip.pt2", FileNotFoundError, "does not exist"),
    ],
)
def test_wrong_names_say_what_is_expected(name, error, message):
    with pytest.raises(error, match=message):
        load_batch_model(name)


def test_compiled_files_tell_what_they_were_made_for(tmp_path):
    one, many = (
        {"nequip_aoti_inputs": "pos cell"},
        {"nequip_aoti_inputs": "pos cell batch num_atoms"},
    )

    assert not compiled_for_batches(compiled(tmp_path / "a.nequip.pt2", one))
    assert compiled_for_batches(compiled(tmp_path / "b.nequip.pt2", many))
    with pytest.raises(ValueError, match="does not name its inputs"):
        compiled_for_batches(compiled(tmp_path / "c.nequip.pt2", {}))
    (tmp_path / "d.nequip.pt2").write_text("no archive")
    with pytest.raises(ValueError, match="is not a compiled model"):
        compiled_for_batches(tmp_path / "d.nequip.pt2")


def test_a_model_compiled_for_one_cell_is_called_cell_after_cell(tmp_path, monkeypatch):
    path = compiled(tmp_path / "model.nequip.pt2", {"nequip_aoti_inputs": "pos cell"})
    monkeypatch.setattr(NequIPFamily, "load_calculator", lambda *_: EMT())

    with pytest.warns(UserWarning, match=r"one cell at a time.*entropy-flows model"):
        model = load_batch_model(path)
    assert isinstance(model, OneByOne)


def test_models_take_turns_and_leave_torch_as_it_was():
    pytest.importorskip("sevenn")
    small, teacher = load_batch_model(SI_SMALL), load_batch_model("SevenNet-0")
    cells = Batch.of([bulk("Si"), bulk("Si", cubic=True)])
    first = [model(cells).energy for model in (small, teacher)]

    state = torch.get_rng_state()
    load_calculator("7net-0")
    second = [model(cells).energy for model in (small, load_batch_model("7net-0"))]
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert (
        first[0] - first[1]
    ).abs().max() < 0.5  # eV: the small model was trained on the teacher's labels


def test_the_first_load_of_a_process_leaves_random_numbers_alone():
    code = f"""
import random, numpy, torch
from entropy_flows.potentials import load_batch_model
seeded = lambda: (random.seed(1), numpy.random.seed(1), torch.manual_seed(1))
drawn = lambda: (random.random(), numpy.random.rand(), torch.rand(1).item())
seeded(); expected = drawn()
seeded(); load_batch_model({str(SI_SMALL)!r})
print(drawn() == expected)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
