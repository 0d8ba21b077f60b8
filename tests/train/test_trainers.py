"""Laws of every trainer: the loss falls, a killed training goes on, a finished one stays."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from small_models import labelled, small_sevennet

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.digest import file_sha256
from entropy_flows.potentials import load_batch_model, load_calculator, model_elements
from entropy_flows.settings import settings
from entropy_flows.train import TrainParams, fine_tune, process, trainer_for

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
ZERO = -3.0
"""eV/atom: the labels' zero, that the base models do not have."""
TRAIN = [labelled(seed, stress=seed != 3, zero=ZERO) for seed in range(6)]
VAL, TEST = [labelled(10, zero=ZERO), labelled(11, zero=ZERO)], [labelled(20, zero=ZERO)]
RECIPES = {
    "nequip": TrainParams(preset="small", max_epochs=3, batch_size=2),
    "sevennet": TrainParams(preset="sevennet-0", max_epochs=30, learning_rate=1e-2, batch_size=2),
}


OWN_TRAINER = """
from entropy_flows.train import TrainParams

class Mine:
    takes = TrainParams

    def accepts(self, model):
        return True

    def check(self, params):
        pass

    def fine_tune(self, train, val, test, base_model, params, workdir, on_progress=None):
        return {result}
"""


class StoppedError(Exception):
    """In place of a worker's death: the training program is killed with it."""


class Family:
    """A base model and a training of it that was killed after its first epoch and called again."""

    def __init__(self, name, folder):
        pytest.importorskip("sevenn" if name == "sevennet" else "allegro")
        self.params = RECIPES[name]
        self.workdir = folder / "training"
        self.seen = []
        # Components of a stress in the program's average.
        self.components = {"nequip": 9, "sevennet": 6}[name]
        self.base = SI_SMALL if name == "nequip" else small_sevennet(folder / "base.pth")
        with pytest.MonkeyPatch.context() as patch:
            # A small SevenNet does some epochs in half a second.
            patch.setattr(process, "POLL_SECONDS", 0.02)
            with pytest.raises(StoppedError):
                self.train(self.stop)
        self.result = self.train(self.note)

    def train(self, on_progress=None, train=TRAIN):
        return fine_tune(
            train, VAL, TEST, self.base, self.params, self.workdir, on_progress=on_progress
        )

    def note(self, progress):
        self.seen.append(progress.epoch)

    def stop(self, progress):
        self.note(progress)
        raise StoppedError


@pytest.fixture(scope="module", params=[pytest.param("nequip", marks=pytest.mark.slow), "sevennet"])
def family(forked_programs, request, tmp_path_factory):
    return Family(request.param, tmp_path_factory.mktemp(request.param))


def test_the_loss_falls_and_the_history_has_its_columns(family):
    losses = [row["val_loss"] for row in family.result.history]
    columns = {
        "epoch",
        "learning_rate",
        "train_loss",
        "val_loss",
        "energy_mae",
        "forces_mae",
        "stress_mae",
    }

    assert min(losses) < losses[0]
    assert all(
        set(row) == columns and np.isfinite(list(row.values())).all()
        for row in family.result.history
    )


def test_a_killed_training_goes_on(family):
    assert family.result.attempts == 2
    assert [row["epoch"] for row in family.result.history] == list(
        range(1, family.params.max_epochs + 1)
    )
    assert family.seen[0] == 1
    assert family.seen[1:] == list(range(family.seen[1], family.params.max_epochs + 1))


def test_the_same_inputs_are_not_trained_twice(family):
    assert family.train() == family.result
    assert family.train().reused


def test_nor_again_on_another_device(family):
    elsewhere = family.params.model_copy(update={"device": "cuda"})
    assert fine_tune(TRAIN, VAL, TEST, family.base, elsewhere, family.workdir).reused


def test_the_result_loads_by_its_path_as_calculator_and_for_batches(family):
    atoms = TEST[0].copy()
    atoms.calc = load_calculator(family.result.model)
    many = load_batch_model(family.result.model)(Batch.of([atoms]))

    assert family.result.sha256 == file_sha256(family.result.model)
    assert model_elements(family.result.model) == ("Si",)
    assert many.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(many.forces.numpy(), atoms.get_forces(), atol=1e-4)


def test_errors_are_in_our_units_of_the_best_epochs_model(family):
    """Stress included: sign, order and unit of what the program was told are ASE's."""
    calculator = load_calculator(family.result.model)
    row = family.result.history[family.result.best_epoch - 1]
    for errors, cells in ((row, VAL), (family.result.test, TEST)):
        off = {name: [] for name in ("energy_mae", "forces_mae", "stress_mae")}
        for label in cells:
            atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=True)
            atoms.calc = calculator
            off["energy_mae"].append(
                (atoms.get_potential_energy() - label.get_potential_energy()) / len(atoms)
            )
            off["forces_mae"].append(atoms.get_forces() - label.get_forces())
            stresses = [cell.get_stress(voigt=family.components == 6) for cell in (atoms, label)]
            off["stress_mae"].append(stresses[0] - stresses[1])
        for name, values in off.items():
            assert errors[name] == pytest.approx(np.abs(values).mean(), rel=2e-3, abs=1e-5), name


def test_the_labels_zero_is_taken_over(family):
    shift = json.loads((family.workdir / "run" / "zero.json").read_text())["Si"]

    assert abs(shift) > 1.0
    assert family.result.history[0]["energy_mae"] < 1.0


def test_an_element_the_base_does_not_know_is_named(family):
    with pytest.raises(ValueError, match="base model knows Si, the cells also hold Al"):
        family.train(train=[bulk("Al")])


def test_which_trainer():
    assert (
        trainer_for("x.nequip.zip")
        is trainer_for("nequip.net:a/b:1")
        is trainer_for("x.nequip.zip", "nequip")
    )
    assert (
        trainer_for("SevenNet-0")
        is trainer_for("7net-l3i5")
        is trainer_for(Path("x.pth"))
        is not trainer_for("x.nequip.zip")
    )
    with pytest.raises(ValueError, match=r"CHGNet cannot be fine-tuned: expected a \.nequip\.zip"):
        trainer_for("CHGNet")
    with pytest.raises(ValueError, match=r"'sevennet' does not take x\.nequip\.zip"):
        trainer_for("x.nequip.zip", "sevennet")
    for name in ("nothing", "no.such.module"):
        with pytest.raises(ValueError, match=f"unknown trainer '{name}'"):
            trainer_for("x.nequip.zip", name)


def test_a_trainer_of_ones_own_is_one_module(tmp_path, monkeypatch):
    (tmp_path / "constant_trainer.py").write_text(OWN_TRAINER.format(result="base_model"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "constant_trainer.py").rename(tmp_path / "mine" / "constant.py")
    monkeypatch.syspath_prepend(tmp_path)

    params = TrainParams(preset="small", trainer="mine.constant:Mine")
    assert fine_tune(TRAIN, VAL, TEST, "any model", params, tmp_path) == "any model"


@pytest.mark.parametrize(("named", "expected"), [(None, "cuda:1"), ("cpu", "cpu")])
def test_it_trains_on_the_workers_device_unless_the_recipe_names_one(
    named, expected, tmp_path, monkeypatch
):
    (tmp_path / "telling").mkdir()
    (tmp_path / "telling" / "trainer.py").write_text(OWN_TRAINER.format(result="params.device"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ENTROPY_FLOWS_DEVICE", "cuda:1")
    settings.cache_clear()
    params = TrainParams(preset="small", trainer="telling.trainer:Mine", device=named)
    device = fine_tune(TRAIN, VAL, TEST, "any model", params, tmp_path)
    settings.cache_clear()
    assert device == expected
