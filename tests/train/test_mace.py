"""What is written for MACE's program, and what is read of its environment; MACE is not needed."""

import json
import pickle

import numpy as np
import pytest
import torch
import yaml
from ase.io import read
from small_models import labelled
from torch import fx

from entropy_flows.environments.foreign import adapter_file, serve
from entropy_flows.files import write_json
from entropy_flows.potentials import check_name, file_suffix, find_model, with_family_of
from entropy_flows.train import TrainParams, check_recipe, fine_tune, recipe_for, trainer_for
from entropy_flows.train.dataset import REPLAY_WEIGHT, energy_per_atom
from entropy_flows.train.mace import MaceTrainer, _base_settings
from entropy_flows.train.mace_input import mace_config, write_cells
from entropy_flows.train.mace_params import MaceParams
from entropy_flows.train.params import AnyTrainParams
from entropy_flows.train.steps import write_data

RECIPE = MaceParams(
    preset="small",
    energy_coefficient=2.0,
    forces_coefficient=1.0,
    stress_coefficient=5.0,
    huber_delta=0.3,
    ema_decay=0.9,
    clip=None,
    batch_size=3,
    max_epochs=7,
    learning_rate=0.02,
    seed=11,
)


def replay(seed, weight):
    atoms = labelled(seed)
    atoms.info[REPLAY_WEIGHT] = weight
    return atoms


def written(tmp_path, params, multihead, cells):
    data = write_data({"train": cells, "val": cells[:2], "test": []}, params, tmp_path)
    (tmp_path / "run").mkdir(exist_ok=True)
    write_cells(data, params, tmp_path, multihead)
    return {path.stem: read(path, ":") for path in (tmp_path / "run").glob("*.extxyz")}


def test_the_configuration_says_what_the_recipe_says():
    config = yaml.safe_load(yaml.safe_dump(mace_config(RECIPE, stress=True, multihead=False)))
    weights = [config[f"{name}_weight"] for name in ("energy", "forces", "stress")]

    assert weights == pytest.approx([0.25, 0.125, 0.625])
    assert config["loss"] == "universal"  # the one loss of MACE's with weights and absent stresses
    assert config["huber_delta"] == 0.3
    assert (config["lr"], config["max_num_epochs"], config["batch_size"]) == (0.02, 7, 3)
    assert (config["ema"], config["ema_decay"], config["clip_grad"]) == (True, 0.9, None)
    assert config["E0s"] == "foundation"  # those of the file that was written, which are moved
    assert config["foundation_model_elements"] is True
    assert config["multiheads_finetuning"] is False
    assert "pt_train_file" not in config


def test_without_stresses_they_have_no_weight():
    config = mace_config(RECIPE, stress=False, multihead=False)

    assert (config["energy_weight"], config["stress_weight"]) == pytest.approx((2 / 3, 0.0))


def test_what_is_frozen_and_on_which_device():
    frozen = RECIPE.model_copy(update={"freeze": "backbone", "device": "cuda:1"})
    config = mace_config(frozen, stress=True, multihead=False)

    assert (config["freeze"], config["device"]) == (6, "cuda")
    assert mace_config(RECIPE, True, False)["freeze"] == 0


def test_cells_have_labels_and_roots_of_their_weights(tmp_path):
    """The program takes the square of a difference that it has multiplied by the weight."""
    cells = [labelled(0), labelled(1, stress=False), labelled(2), replay(3, 0.25)]
    edge = float(np.median([energy_per_atom(atoms) for atoms in cells[:3]])) + 1e-6
    params = MaceParams(preset="small", weight_bins=((edge, 4.0), (None, 1.0)))
    frames = written(tmp_path, params, False, cells)["train"]
    light = [4.0 if energy_per_atom(atoms) < edge else 1.0 for atoms in cells]

    assert len(frames) == 4
    for atoms, label, weight in zip(frames, cells, np.array(light) * [1, 1, 1, 0.25], strict=True):
        assert atoms.info["REF_energy"] == pytest.approx(label.get_potential_energy())
        np.testing.assert_allclose(atoms.arrays["REF_forces"], label.get_forces(), atol=1e-7)
        assert atoms.info["config_energy_weight"] == pytest.approx(np.sqrt(weight))
        assert atoms.info["config_forces_weight"] == pytest.approx(np.sqrt(weight))
    np.testing.assert_allclose(frames[0].info["REF_stress"], cells[0].get_stress(), atol=1e-7)
    assert "REF_stress" not in frames[1].info
    assert frames[1].info["config_stress_weight"] == 0.0


def test_replay_cells_are_a_head_of_their_own(tmp_path):
    cells = [labelled(0), labelled(1), replay(2, 0.25), replay(3, 0.25)]
    files = written(tmp_path, RECIPE, True, cells)
    config = mace_config(RECIPE, stress=True, multihead=True)

    assert {name: len(frames) for name, frames in files.items()} == {
        "train": 2,
        "val": 2,
        "replay": 2,
        "replay-val": 1,
    }
    assert files["replay"][0].info["config_energy_weight"] == pytest.approx(0.5)
    assert config["multiheads_finetuning"] is True
    assert config["pt_train_file"] == "run/replay.extxyz"
    assert config["real_pt_data_ratio_threshold"] == 0.0


def test_elements_energies_are_moved_in_the_model_to_start_from(tmp_path):
    (tmp_path / "a.model").write_bytes(b"weights")
    model = f'{tmp_path}/a.model?{{"environment": "mace", "head": "PBE"}}'
    settings = _base_settings(model, {"O": -1.5, "Si": 0.25})
    write_json(tmp_path / "base.json", settings)

    assert json.loads((tmp_path / "base.json").read_text()) == {
        "model": str(tmp_path / "a.model"),
        "head": "PBE",
        "shifts": {"8": -1.5, "14": 0.25},
        "output": "run/base.model",
    }
    published = _base_settings('MACE-MPA-0?{"environment": "mace"}', {})
    assert published["model"] == "medium-mpa-0"


def test_which_models_are_maces_and_where_they_are_trained(tmp_path):
    model = 'a.model?{"environment": "mace"}'
    trained = with_family_of(model, tmp_path / "mace.model")

    assert find_model(model).family.name == "mace"
    assert isinstance(trainer_for(model), MaceTrainer)
    assert file_suffix(trained) == ".model"
    assert find_model(trained).family.trainer == "mace"
    assert not MaceTrainer().accepts("SevenNet-0")
    with pytest.raises(ValueError, match=r"MACE.*mace-mpa-0"):
        check_name("MACE-MPA-1")
    with pytest.raises(ValueError, match=r"training 'a\.model' needs MACE: entropy-flows environ"):
        fine_tune([labelled(0)], [], [], "a.model", RECIPE, tmp_path)


def test_a_recipe_for_mace_is_read_with_its_own_keys():
    from pydantic import TypeAdapter, ValidationError

    section = TypeAdapter(AnyTrainParams)
    params = section.validate_python({"trainer": "mace", "multihead": False, "dtype": "float32"})

    assert isinstance(params, MaceParams)
    assert (params.multihead, params.dtype) == (False, "float32")
    assert section.validate_python(params.model_dump()) == params
    with pytest.raises(ValidationError, match="dtype"):
        section.validate_python({"trainer": "mace", "dtype": "half"})


def test_what_the_program_lacks_is_refused():
    model = 'a.model?{"environment": "mace"}'
    with pytest.raises(ValueError, match=r"accumulate is 4 \(preset oam-l\).*preset: mace-mp"):
        check_recipe(model, TrainParams())
    recipe = recipe_for(MaceTrainer(), TrainParams(preset="mace-mp", max_epochs=3))
    assert isinstance(recipe, MaceParams)
    assert (recipe.max_epochs, recipe.huber_delta, recipe.multihead) == (3, 0.01, True)


# -- files of MACE's are pickled: what is in them is looked at before it is run --


@pytest.fixture(scope="module")
def reader():
    return serve.load_file(adapter_file("mace"), "entropy_flows_adapter_mace")


class Shell:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


class Squared(torch.nn.Module):
    def forward(self, x):
        return torch.functional.einsum("ab,ab->a", x, x)


def test_a_file_that_would_run_something_is_refused(reader, tmp_path):
    torch.save({"weights": torch.zeros(2), "more": Shell(tmp_path / "ran")}, tmp_path / "a.model")
    with pytest.raises(ValueError, match=r"names posix\.system, which is not called"):
        reader.read_model(tmp_path / "a.model")
    assert not (tmp_path / "ran").exists()

    (tmp_path / "b.model").write_bytes(pickle.dumps(Shell(tmp_path / "ran")))
    with pytest.raises(ValueError, match="no archive of torch's"):
        reader.read_model(tmp_path / "b.model")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "c.model")
    with pytest.raises(ValueError, match="it holds a Linear"):
        reader.read_model(tmp_path / "c.model")


def test_code_of_a_contraction_is_run_and_no_other(reader, tmp_path):
    graph = fx.symbolic_trace(Squared())
    torch.save({"graph": graph}, tmp_path / "a.model")
    with pytest.raises(ValueError, match="it holds a dict"):  # it was read to its end
        reader.read_model(tmp_path / "a.model")
    for line in (
        "torch.load('x')",
        "torch.functional.torch.load('x')",
        "__import__('os').system('x')",
        "(lambda: x)()",
        "self.forward.__globals__",
        "x.numpy().tofile('x')",
    ):
        code = f"def forward(self, x):\n    y = {line}\n    return y\n"
        with pytest.raises(pickle.UnpicklingError, match="its code has"):
            reader.check_code(code, "import torch")
    with pytest.raises(pickle.UnpicklingError, match="import os"):
        reader.check_code("def forward(self, x):\n    return x\n", "import os")
