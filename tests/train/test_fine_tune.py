"""A NequIP model is fine-tuned: what comes out, what is refused, and that it can be repeated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from small_models import labelled

import entropy_flows
from entropy_flows.digest import file_sha256
from entropy_flows.evaluate.errors import errors
from entropy_flows.potentials import load_calculator, model_elements
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import TrainingError
from entropy_flows.train.recipe import small_allegro
from entropy_flows.train.run import fine_tune

BASE = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
PARAMS = TrainParams(preset="small", max_epochs=3, batch_size=2, stress_coefficient=1.0)
TRAIN = [labelled(seed, stress=seed != 3) for seed in range(6)]
VAL, TEST = [labelled(10), labelled(11)], [labelled(20)]


@pytest.fixture(scope="module")
def training(forked_programs, tmp_path_factory):
    """A shipped model, fine-tuned once for all tests, and the progress that was reported."""
    seen = []
    folder = tmp_path_factory.mktemp("tuned with space")
    result = fine_tune(TRAIN, VAL, TEST, BASE, PARAMS, folder, on_progress=seen.append)
    return result, seen


@pytest.fixture(scope="module")
def tuned(training):
    return training[0]


def test_result_and_progress(training):
    result, seen = training

    assert result.sha256 == file_sha256(result.model)
    assert result.epochs == 3
    assert [p.epoch for p in seen] == [row["epoch"] for row in result.history] == [1, 2, 3]
    assert seen[-1].val_loss == result.history[-1]["val_loss"]
    assert seen[0].learning_rate == PARAMS.learning_rate
    assert set(result.test) == {"energy_mae", "forces_mae", "stress_mae"}
    assert np.isfinite([*result.history[-1].values(), *result.test.values()]).all()
    assert model_elements(result.model) == ("Si",)


def test_nequips_test_errors_are_ours(tuned):
    ours = errors(TEST, load_calculator(tuned.model))

    assert tuned.test["energy_mae"] == pytest.approx(ours.energy_mae, rel=1e-4)
    assert tuned.test["forces_mae"] == pytest.approx(ours.forces_mae, rel=1e-4)


def test_fine_tuning_starts_from_the_base_and_lowers_the_loss(tuned):
    before = errors(VAL, load_calculator(BASE))

    assert tuned.history[0]["forces_mae"] == pytest.approx(before.forces_mae, rel=0.2)
    assert tuned.history[0]["forces_mae"] < before.forces_mae
    assert tuned.history[-1]["val_loss"] < tuned.history[0]["val_loss"]


def test_a_finished_training_is_not_repeated(tuned):
    again = fine_tune(TRAIN, VAL, TEST, BASE, PARAMS, tuned.model.parent)

    assert again == tuned
    assert again.reused


@pytest.mark.slow
def test_training_twice_gives_the_same_predictions_to_the_bit(tuned, tmp_path):
    twin = fine_tune(TRAIN, VAL, TEST, BASE, PARAMS, tmp_path)
    atoms = TEST[0].copy()
    predictions = []
    for result in (tuned, twin):
        atoms.calc = load_calculator(result.model)
        predictions.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))

    assert not twin.reused
    assert twin.inputs_sha256 == tuned.inputs_sha256
    assert twin.history == tuned.history
    assert all(np.array_equal(a, b) for a, b in zip(*predictions, strict=True))


def test_failure_shows_the_end_of_the_log(forked_programs, tmp_path):
    broken = {**small_allegro(["Si"]), "num_layers": "many"}

    with pytest.raises(TrainingError, match=r"nequip-train ended with code 1(.|\n)*Error"):
        fine_tune(TRAIN, VAL, [], broken, PARAMS, tmp_path)


def test_inputs_are_checked_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="base model knows Si, the cells also hold Al"):
        fine_tune([bulk("Al")], VAL, [], BASE, PARAMS, tmp_path)
    with pytest.raises(ValueError, match="6 given, 6 × too many edges"):
        fine_tune(TRAIN, VAL, [], BASE, PARAMS.model_copy(update={"max_edges": 1}), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.nequip\.zip"):
        fine_tune(TRAIN, VAL, [], "nothing.nequip.zip", PARAMS, tmp_path)


def test_torch_is_left_as_it_was():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_calculator(BASE)

    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.rand(3), expected)
