from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from entropy_flows.train.params import TrainParams
from entropy_flows.train.recipe import nequip_config, packaged_model, small_allegro

FILES = {"train": Path("/d/train.extxyz"), "val": Path("/d/val.extxyz")}


def config(params=None, stress=True, files=FILES):
    return nequip_config(
        packaged_model(Path("/m/a.nequip.zip")),
        files,
        params or TrainParams(),
        Path("/run"),
        stress,
    )


def test_the_default_is_the_published_recipe():
    module = config()["training_module"]
    trainer = config()["trainer"]

    assert module["optimizer"] == {"_target_": "torch.optim.Adam", "lr": 5e-5}
    assert module["ema_decay"] == 0.999
    assert [term["coeff"] for term in module["loss"]["metrics"]] == [1.0, 1.0, 0.01]
    assert module["lr_scheduler"]["scheduler"]["patience"] == 15
    assert module["lr_scheduler"]["scheduler"]["factor"] == 0.5
    assert trainer["accumulate_grad_batches"] == 4
    assert trainer["gradient_clip_val"] == 0.015
    assert trainer["callbacks"][1]["patience"] == 30
    assert config()["data"]["train_dataloader"]["batch_size"] == 1


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [(None, "cpu", 1), ("cpu", "cpu", 1), ("cuda", "gpu", 1), ("cuda:1", "gpu", [1])],
)
def test_it_runs_where_the_recipe_says(device, accelerator, devices):
    trainer = config(TrainParams(device=device))["trainer"]
    assert (trainer["accelerator"], trainer["devices"]) == (accelerator, devices)


def test_without_stress_there_is_no_stress_term():
    module = config(stress=False)["training_module"]

    for section in ("loss", "val_metrics", "test_metrics"):
        assert not any("stress" in term["name"] for term in module[section]["metrics"])


def test_a_test_set_adds_a_test_run():
    assert config()["run"] == ["train"]
    assert config(files={**FILES, "test": Path("/d/test.extxyz")})["run"] == ["train", "test"]


def test_the_configuration_is_plain_yaml():
    assert yaml.safe_load(yaml.safe_dump(config())) == config()
    new = nequip_config(small_allegro(["Si"]), FILES, TrainParams(), Path("/run"), True)
    assert yaml.safe_load(yaml.safe_dump(new)) == new


def test_a_preset_fills_what_is_not_given_and_is_stored_explicitly():
    params = TrainParams(preset="small", max_epochs=7)

    assert params.learning_rate >= 1e-3
    assert params.max_epochs == 7
    assert params.model_dump()["clip"] > 0.015
    assert TrainParams.from_dict(params.as_dict()) == params


def test_the_default_preset_equals_the_field_defaults():
    from entropy_flows.train.params import PRESETS

    defaults = {name: field.default for name, field in TrainParams.model_fields.items()}
    assert {key: defaults[key] for key in PRESETS["oam-l"]} == PRESETS["oam-l"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "huge"}, "oam-l"),
        ({"learning_rat": 1e-3}, "learning_rate"),
        ({"device": "gpu"}, "cuda"),
        ({"fractions": (0.8, 0.1, 0.2)}, "add up to 1"),
        ({"weight_bins": ((-7.0, 3.0), (-8.0, 1.0), (None, 0.5))}, "rising"),
        ({"weight_bins": ((-7.0, 3.0),)}, "end with null"),
        ({"energy_coefficient": 0.0, "forces_coefficient": 0.0}, "nothing to train on"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(ValidationError, match=message):
        TrainParams(**values)


def batch(energy, forces, stress, weights):
    return {
        "total_energy": torch.tensor(energy).reshape(-1, 1),
        "forces": torch.tensor(forces),
        "stress": torch.tensor(stress),
        "structure_weight": torch.tensor(weights).reshape(-1, 1),
        "num_atoms": torch.tensor([1, 2]),
        "batch": torch.tensor([0, 1, 1]),
    }


@pytest.fixture
def target():
    return batch([0.0, 0.0], [[0.0] * 3] * 3, [[[0.0] * 3] * 3] * 2, [2.0, 0.5])


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("total_energy", (2.0 * 0.02 + 0.5 * 0.02) / 2),  # errors 0.2 and 0.4 / 2 eV/atom
        (
            "forces",
            (2.0 * 0.005 + 2 * 0.5 * (3.0 - 0.5)) / 3,
        ),  # 0.1 on the first atom; 3 on two others: the linear part
        ("stress", (2.0 * 0.5 * 0.04 + 0.5 * 0.5 * 0.04) / 2),
    ],
)
def test_weighted_huber_by_hand(target, field, expected):
    from entropy_flows.train.nequip_extension import WeightedHuber

    prediction = batch(
        [0.2, 0.4], [[0.1] * 3, [3.0] * 3, [3.0] * 3], [[[0.2] * 3] * 3] * 2, [2.0, 0.5]
    )
    metric = WeightedHuber(field)

    assert metric(prediction, target).item() == pytest.approx(expected, rel=1e-6)


def test_a_weight_scales_the_loss_at_batch_size_one(target):
    from entropy_flows.train.nequip_extension import WeightedHuber

    losses = []
    for weight in (1.0, 3.0):
        one = {
            "total_energy": torch.ones(1, 1),
            "num_atoms": torch.tensor([1]),
            "batch": torch.tensor([0]),
        }
        zero = {
            **one,
            "total_energy": torch.zeros(1, 1),
            "structure_weight": torch.full((1, 1), weight),
        }
        losses.append(WeightedHuber("total_energy")(one, zero).item())

    assert losses[1] == pytest.approx(3 * losses[0])


def test_unknown_stress_counts_for_nothing(target):
    from entropy_flows.train.nequip_extension import WeightedHuber

    prediction = batch([0.0, 0.0], [[0.0] * 3] * 3, [[[0.2] * 3] * 3] * 2, [2.0, 0.5])
    prediction["stress"].requires_grad_(True)
    target["stress"][1] = torch.nan
    loss = WeightedHuber("stress")(prediction, target)
    loss.backward()

    assert loss.item() == pytest.approx(2.0 * 0.5 * 0.04)
    assert torch.isfinite(prediction["stress"].grad).all()
    target["stress"][:] = torch.nan
    assert WeightedHuber("stress")(prediction, target).item() == 0.0
