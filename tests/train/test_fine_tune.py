import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.digest import file_sha256
from entropy_flows.evaluate.errors import errors
from entropy_flows.potentials import load_calculator, model_elements
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import TrainingError
from entropy_flows.train.recipe import small_allegro
from entropy_flows.train.run import fine_tune

PARAMS = TrainParams(preset="small", max_epochs=3, batch_size=2, stress_coefficient=1.0)


def labelled(seed, stress=True):
    atoms = bulk("Cu", cubic=True)
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    source = atoms.copy()
    source.calc = EMT()
    results = {"energy": source.get_potential_energy(), "forces": source.get_forces()}
    if stress:
        results["stress"] = source.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


TRAIN = [labelled(seed, stress=seed != 3) for seed in range(6)]
VAL, TEST = [labelled(10), labelled(11)], [labelled(20)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A new model, made by the same code path."""
    seen = []
    folder = tmp_path_factory.mktemp("base with space")
    network = small_allegro(["Cu"], cutoff=4.0, scalars=8, tensors=4)
    result = fine_tune(TRAIN, VAL, TEST, network, PARAMS, folder, on_progress=seen.append)
    return result, seen


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    return fine_tune(TRAIN, VAL, [], base[0].model, PARAMS, tmp_path_factory.mktemp("tuned"))


def test_result_and_progress(base):
    result, seen = base

    assert result.sha256 == file_sha256(result.model)
    assert result.epochs == 3
    assert [p.epoch for p in seen] == [row["epoch"] for row in result.history] == [1, 2, 3]
    assert seen[-1].val_loss == result.history[-1]["val_loss"]
    assert seen[0].learning_rate == PARAMS.learning_rate
    assert set(result.test) == {"energy_mae", "forces_mae", "stress_mae"}
    assert np.isfinite([*result.history[-1].values(), *result.test.values()]).all()
    assert model_elements(result.model) == ("Cu",)


def test_nequips_test_errors_are_ours(base):
    result, _ = base
    ours = errors(TEST, load_calculator(result.model))

    assert result.test["energy_mae"] == pytest.approx(ours.energy_mae, rel=1e-4)
    assert result.test["forces_mae"] == pytest.approx(ours.forces_mae, rel=1e-4)


def test_fine_tuning_starts_from_the_base_and_lowers_the_loss(base, tuned):
    assert tuned.history[0]["val_loss"] < base[0].history[-1]["val_loss"]
    assert tuned.test == {}


def test_a_finished_training_is_not_repeated(base, tuned):
    again = fine_tune(TRAIN, VAL, [], base[0].model, PARAMS, tuned.model.parent)

    assert again == tuned
    assert again.reused


@pytest.mark.slow
def test_training_twice_gives_the_same_predictions_to_the_bit(base, tuned, tmp_path):
    twin = fine_tune(TRAIN, VAL, [], base[0].model, PARAMS, tmp_path)
    atoms = TEST[0].copy()
    predictions = []
    for result in (tuned, twin):
        atoms.calc = load_calculator(result.model)
        predictions.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))

    assert not twin.reused
    assert twin.inputs_sha256 == tuned.inputs_sha256
    assert twin.history == tuned.history
    assert all(np.array_equal(a, b) for a, b in zip(*predictions, strict=True))


def test_failure_shows_the_end_of_the_log(tmp_path):
    broken = {**small_allegro(["Cu"]), "num_layers": "many"}

    with pytest.raises(TrainingError, match=r"nequip-train ended with code 1(.|\n)*Error"):
        fine_tune(TRAIN, VAL, [], broken, PARAMS, tmp_path)


def test_inputs_are_checked_before_anything_runs(base, tmp_path):
    with pytest.raises(ValueError, match="base model knows Cu, the cells also hold Al"):
        fine_tune([bulk("Al")], VAL, [], base[0].model, PARAMS, tmp_path)
    with pytest.raises(ValueError, match="6 given, 6 × too many edges"):
        fine_tune(
            TRAIN, VAL, [], base[0].model, PARAMS.model_copy(update={"max_edges": 1}), tmp_path
        )
    with pytest.raises(FileNotFoundError, match=r"nothing\.nequip\.zip"):
        fine_tune(TRAIN, VAL, [], "nothing.nequip.zip", PARAMS, tmp_path)


def test_torch_is_left_as_it_was(base):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_calculator(base[0].model)

    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.rand(3), expected)
