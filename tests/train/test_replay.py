"""Laws of replay and of a frozen backbone, on trainings of seconds."""

from pathlib import Path

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from cells import Spring
from small_models import labelled, small_sevennet

import entropy_flows
from entropy_flows.potentials import load_calculator
from entropy_flows.train import TrainParams, fine_tune, process, run, trainer_for
from entropy_flows.train.align import base_shifts, energy_shifts, fit_shifts, moved
from entropy_flows.train.dataset import REPLAY_WEIGHT, WEIGHT_KEY, is_replay, loss_weights
from entropy_flows.train.replay import replay_cells
from entropy_flows.train.steps import inputs_sha256, mean_errors, write_data
from entropy_flows.train.trainers import recipe_for

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
ZERO = -3.0
TRAIN = [labelled(seed, zero=ZERO) for seed in range(6)]
VAL = [labelled(10, zero=ZERO), labelled(11, zero=ZERO)]
REPLAY = [labelled(seed, zero=ZERO) for seed in range(30, 34)]
RECIPE = TrainParams(preset="sevennet-0", max_epochs=3, learning_rate=1e-2, batch_size=2)


class Weightless:
    """A trainer that knows neither key."""

    takes = TrainParams

    def check(self, params):
        """Take any."""


def recipe(weight, **changes):
    keys = RECIPE.model_dump(mode="json") | {"replay": {"weight": weight}} | changes
    return TrainParams.model_validate(keys)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    pytest.importorskip("sevenn")
    return small_sevennet(tmp_path_factory.mktemp("base") / "base.pth")


@pytest.fixture(scope="module")
def train(forked_programs, base, tmp_path_factory):
    """Train in a folder of its own, or one that is given."""

    def run(params, replay=REPLAY, cells=TRAIN):
        folder = tmp_path_factory.mktemp("training") / "t"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process, "POLL_SECONDS", 0.02)
            return fine_tune(cells, VAL, [], base, params, folder, replay=replay)

    return run


@pytest.fixture(scope="module")
def frozen(train):
    """A training with replay and a frozen backbone."""
    return train(recipe(0.5, freeze="backbone"))


def test_weights_are_of_replay_times_that_of_the_energy():
    cells = [*TRAIN[:2], *replay_cells(REPLAY[:2], 0.5, TRAIN)]
    energy = max(atoms.get_potential_energy() / len(atoms) for atoms in cells) + 1.0

    assert loss_weights(cells, ()).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert loss_weights(cells, ((energy, 3.0), (None, 1.0))).tolist() == [3.0, 3.0, 1.5, 1.5]
    assert [is_replay(atoms) for atoms in cells] == [False, False, True, True]
    assert not any(is_replay(atoms) for atoms in REPLAY)  # copies carry the weight


def test_stresses_are_replayed_only_beside_labelled_ones():
    bare = [labelled(1, stress=False)]
    assert "stress" not in replay_cells(REPLAY, 0.5, bare)[0].calc.results
    np.testing.assert_array_equal(
        replay_cells(REPLAY, 0.5, TRAIN)[0].calc.results["stress"], REPLAY[0].get_stress()
    )


def test_a_constant_per_atom_in_the_labels_moves_the_energies_by_it_and_nothing_else():
    constant = 7.25
    shifts = energy_shifts(TRAIN, Spring())
    other = energy_shifts([moved(atoms, {"Si": constant}) for atoms in TRAIN], Spring())
    for atoms in REPLAY:
        first = moved(atoms, shifts)
        second = moved(atoms, other)
        assert second.get_potential_energy() - first.get_potential_energy() == pytest.approx(
            constant * len(atoms), abs=1e-9
        )
        np.testing.assert_array_equal(second.get_forces(), atoms.get_forces())
        np.testing.assert_array_equal(second.get_stress(), atoms.get_stress())


def test_a_model_that_is_moved_as_its_labels_has_no_error_on_them():
    """δ of the labelled cells is that of replay: base and replay labels stay together."""
    shifts = energy_shifts(TRAIN, Spring())
    cells = []
    for atoms in REPLAY:
        cell = atoms.copy()
        cell.calc = Spring()
        results = {"energy": cell.get_potential_energy(), "forces": cell.get_forces()}
        cell.calc = SinglePointCalculator(cell, **results)
        cells.append(moved(cell, shifts))
    assert energy_shifts(cells, Spring()) == pytest.approx(shifts, abs=1e-9)
    assert fit_shifts(cells, np.zeros(len(cells))) == {"Si": 0.0}


class Recorder:
    """A trainer that writes its data, and returns the checksum of its inputs."""

    takes = TrainParams
    offers = frozenset({"freeze", "replay"})

    def check(self, params):
        """Take any."""

    def fine_tune(self, train, val, test, base_model, params, workdir, on_progress=None):
        """Return what a training is recognised by."""
        workdir.mkdir()
        data = write_data({"train": train, "val": val, "test": test}, params, workdir)
        return inputs_sha256("base", data, params, workdir, {"torch": "2.13.0"})


def test_a_weight_of_0_is_the_training_without_replay(tmp_path, monkeypatch):
    """Data and recipe are the same, bit by bit, and a finished training is that of its inputs."""
    monkeypatch.setattr(run, "trainer_for", lambda *_: Recorder())

    def inputs(name, params, replay):
        return fine_tune(TRAIN, VAL, [], "base", params, tmp_path / name, replay=replay)

    without = inputs("without", RECIPE, ())
    assert inputs("zero", recipe(0.0), REPLAY) == without
    assert inputs("none", RECIPE.model_copy(update={"replay": None}), REPLAY) == without
    some = inputs("some", recipe(0.5), REPLAY)
    assert some == inputs("again", recipe(0.5), REPLAY)
    assert some not in (without, inputs("less", recipe(0.25), REPLAY))


@pytest.mark.slow
def test_a_weight_of_0_gives_the_same_model_bit_for_bit_and_so_does_the_same_seed(train):
    without = train(RECIPE, replay=())
    none = train(recipe(0.0))
    assert none.sha256 == without.sha256
    assert none.history == without.history
    replayed = train(recipe(0.5))
    assert train(recipe(0.5)).sha256 == replayed.sha256 != without.sha256


def test_the_program_gets_each_cells_weight(frozen):
    written = read(frozen.model.parent / "data" / "train.extxyz", ":")
    weights = [atoms.info[WEIGHT_KEY] for atoms in written]
    assert weights == [1.0] * len(TRAIN) + [0.5] * len(REPLAY)
    assert REPLAY_WEIGHT not in written[-1].info
    lists = sorted(path.name for path in (frozen.model.parent / "run").glob("train-*.extxyz"))
    assert lists == ["train-0.extxyz", "train-1.extxyz"]


def test_replay_has_no_say_in_the_zero(tmp_path):
    pytest.importorskip("sevenn")
    base = str(small_sevennet(tmp_path / "base.pth"))
    far = replay_cells([moved(atoms, {"Si": 100.0}) for atoms in REPLAY], 0.5, TRAIN)
    expected = energy_shifts(TRAIN, load_calculator(base))
    # one model computes cells one by one, the other in batches
    assert base_shifts(tmp_path, [*TRAIN, *far], base, "cpu") == pytest.approx(expected, abs=1e-7)


def test_a_frozen_backbone_is_bit_identical_and_the_readout_moves(base, frozen):
    import torch

    from entropy_flows.environments.foreign.sevennet_readout import READOUT

    before, after = (
        torch.load(path, weights_only=False)["model_state_dict"] for path in (base, frozen.model)
    )
    changed = {
        name.split(".")[0]
        for name, value in after.items()
        if not torch.equal(value, before[name].expand_as(value))
    }
    assert changed <= set(READOUT)
    assert {"reduce_input_to_hidden", "reduce_hidden_to_energy"} <= changed
    assert any(name.split(".")[0] not in READOUT for name in after)


@pytest.mark.slow
def test_more_weight_keeps_more(train):
    """Forces of replay cells, which contradict those of the labels, are fitted by their weight."""
    opposite = []
    for atoms in TRAIN:
        cell = atoms.copy()
        results = {**atoms.calc.results, "forces": -atoms.get_forces()}
        cell.calc = SinglePointCalculator(cell, **results)
        opposite.append(cell)
    errors = [
        mean_errors(opposite, load_calculator(train(recipe(weight, max_epochs=25), opposite).model))
        for weight in (0.1, 10.0)
    ]
    assert errors[1]["forces_mae"] < errors[0]["forces_mae"]


def test_only_allegros_readout_is_left_to_the_optimiser():
    pytest.importorskip("allegro")
    from nequip.model import ModelFromPackage

    from entropy_flows.train.nequip_extension import readout_parameters

    model = ModelFromPackage(package_path=str(SI_SMALL), compile_mode="eager")
    readout = readout_parameters(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trainable} <= {id(parameter) for parameter in readout}
    assert 0 < sum(p.numel() for p in readout) < sum(p.numel() for p in model.parameters()) / 2


@pytest.mark.slow
def test_allegros_frozen_backbone_is_bit_identical(tmp_path):
    pytest.importorskip("allegro")
    import torch
    from nequip.model import ModelFromPackage

    from entropy_flows.train.nequip_extension import READOUT

    params = TrainParams(preset="small", max_epochs=2, batch_size=3, freeze="backbone")
    result = fine_tune(TRAIN, VAL, [], SI_SMALL, params, tmp_path / "t")
    before, after = (
        dict(ModelFromPackage(package_path=str(path), compile_mode="eager").named_parameters())
        for path in (SI_SMALL, result.model)
    )
    moved_names = [name for name in after if not torch.equal(after[name], before[name])]
    assert moved_names
    assert all(set(name.split(".")) & set(READOUT) for name in moved_names)
    assert len(moved_names) < len(after)
    # the next training of this model may move all of it
    assert all(after[name].requires_grad == before[name].requires_grad for name in after)


def test_what_a_trainer_does_not_offer_is_refused_in_one_line():
    with pytest.raises(ValueError, match="freeze is backbone, but Weightless trains all param"):
        recipe_for(Weightless(), recipe(0.0, freeze="backbone"))
    with pytest.raises(ValueError, match=r"replay has weight 0\.5, but Weightless has no weights"):
        recipe_for(Weightless(), recipe(0.5))
    assert recipe_for(Weightless(), recipe(0.0)) == recipe(0.0)
    for model in ("x.nequip.zip", "SevenNet-0"):
        assert {"freeze", "replay"} <= trainer_for(model).offers


def test_a_new_model_has_no_backbone_to_freeze(tmp_path):
    from entropy_flows.train.recipe import small_allegro

    params = TrainParams(preset="small", freeze="backbone")
    with pytest.raises(ValueError, match="freeze is backbone, but a new model has learnt nothing"):
        fine_tune(TRAIN, VAL, [], small_allegro(["Si"]), params, tmp_path)
