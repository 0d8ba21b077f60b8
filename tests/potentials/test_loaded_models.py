"""A process keeps a few loaded models from one job to the next, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import rattled

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.geometry import to_structure
from entropy_flows.label.engines import engine_of
from entropy_flows.label.engines.forcefield import ForceFieldParams
from entropy_flows.label.run import label_one
from entropy_flows.potentials import load_batch_model, load_calculator
from entropy_flows.potentials.loaded_models import MAX_KEPT, forget_models, keep_models, load_once

MODELS = Path(entropy_flows.__file__).parent / "models"
SI, NACL = MODELS / "si-small.nequip.zip", MODELS / "nacl-small.nequip.zip"


@pytest.fixture(autouse=True)
def nothing_kept():
    forget_models()
    yield
    forget_models()


def evaluated(model):
    result = model(Batch.of([rattled(repeat=1, seed=3)]))
    return result.energy, result.forces, result.stress


def test_the_next_job_gets_the_same_model_and_the_same_numbers(tmp_path):
    copy = shutil.copy(SI, tmp_path / "copy.nequip.zip")
    fresh = evaluated(load_batch_model(SI))
    with keep_models():
        first = load_batch_model(SI)
        calculator = load_calculator(SI)
    evaluated(first)
    with keep_models():
        again = load_batch_model(copy)  # the content counts, and not the path
        assert load_calculator(copy) is calculator
    assert again is first
    assert first.model is calculator.model  # their parameters are in memory once
    assert all(torch.equal(*pair) for pair in zip(evaluated(again), fresh, strict=True))
    atoms = rattled(repeat=1, seed=3)
    atoms.calc = calculator
    alone = atoms.copy()
    alone.calc = load_calculator(SI)
    assert np.array_equal(atoms.get_forces(), alone.get_forces())


def test_another_file_at_the_same_path_is_another_model(tmp_path):
    path = tmp_path / "model.nequip.zip"
    with keep_models():
        shutil.copy(SI, path)
        silicon = load_calculator(path)
        shutil.copy(NACL, path)
        salt = load_calculator(path)
    assert salt is not silicon
    assert "Cl" in salt.model.metadata["type_names"]


def test_outside_of_jobs_and_for_code_that_may_change_nothing_is_kept():
    with keep_models():
        inside = load_calculator(SI)
        emt = load_calculator("ase.calculators.emt.EMT")
        assert load_calculator("ase.calculators.emt.EMT") is not emt
    assert load_calculator(SI) is not inside


def test_those_used_last_stay():
    with keep_models():
        models = [load_once((number,), object) for number in range(MAX_KEPT)]
        assert load_once((0,), object) is models[0]  # used again, so number 1 is the oldest now
        load_once((MAX_KEPT,), object)
        for number in (0, *range(2, MAX_KEPT)):
            assert load_once((number,), object) is models[number]
        assert load_once((1,), object) is not models[1]


def test_a_label_job_takes_over_the_teacher_of_the_one_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # atomate2 writes files
    pytest.importorskip("sevenn")
    cell = to_structure(rattled(repeat=1, seed=1))
    labels, calculators = [], []
    for _ in range(2):
        maker = ForceFieldParams(model="SevenNet-0").make_maker()  # as a job brings its own
        with keep_models():
            labels.append(label_one(maker, cell))
        calculators.append(engine_of(maker).calculator())
    assert calculators[0] is calculators[1]
    assert labels[0].energy == labels[1].energy
    assert np.array_equal(labels[0].forces, labels[1].forces)
    other = ForceFieldParams(model="SevenNet-0", calculator_kwargs={"device": "cpu"}).make_maker()
    with keep_models():
        assert engine_of(other).calculator() is not calculators[0]
