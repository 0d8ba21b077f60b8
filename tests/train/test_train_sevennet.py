"""SevenNet's program trains by the recipe: its loss is the same, term by term, from the same
model.
"""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from small_models import labelled, small_sevennet

from entropy_flows.potentials import (
    existing_file,
    load_calculator,
    model_elements,
    with_arguments,
)
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.dataset import energy_per_atom
from entropy_flows.train.sevennet import SevenNetTrainer
from entropy_flows.train.sevennet_epochs import (
    KILOBAR,
    add_finished_epochs,
    is_over,
    resume_history,
)
from entropy_flows.train.sevennet_input import write_base

pytest.importorskip("sevenn")

CELLS = [labelled(seed, stress=seed != 2) for seed in range(8)]
TRAIN, VAL = CELLS[:4], [*CELLS[4:7], CELLS[2]]  # one of the validation cells has no stress


NO_PAIR = "no neighbour pair: none within the model's cutoff of 4 Å"
ONE_EPOCH = TrainParams(preset="sevennet-0", max_epochs=1, align_energies=False)


def alone(pbc=True):
    """An atom that has no neighbour."""
    atoms = Atoms("Si", positions=[[0.0, 0.0, 0.0]], cell=[20.0] * 3, pbc=pbc)
    results = {"energy": 0.3, "forces": np.zeros((1, 3))}
    if pbc:
        results["stress"] = np.zeros(6)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def left_out(result):
    """Cells that were left out, by set, where there are any."""
    return {split: cells for split, cells in result.left_out.items() if cells}


def predicted(model, frames):
    """Energy per atom, force components and stress components less the labels', by cell."""
    calculator = load_calculator(model)
    differences = []
    for label in frames:
        atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=True)
        atoms.calc = calculator
        stress = label.calc.results.get("stress")
        differences.append(
            (
                [(atoms.get_potential_energy() - label.get_potential_energy()) / len(label)],
                (atoms.get_forces() - label.get_forces()).ravel(),
                [] if stress is None else atoms.get_stress() - stress,
            )
        )
    return differences


def huber(x, delta):
    return np.where(np.abs(x) < delta, x**2 / 2, delta * (np.abs(x) - delta / 2))


def test_the_loss_is_the_recipes_with_weights_and_units(forked_programs, tmp_path):
    """Cells without a pair, some of each set, take no part in it."""
    edge = float(np.median([energy_per_atom(atoms) for atoms in VAL]))
    base = small_sevennet(tmp_path / "base.pth")
    params = TrainParams(
        preset="sevennet-0",
        max_epochs=1,
        learning_rate=1e-9,
        weight_bins=((edge, 3.0), (None, 0.5)),
        align_energies=False,
        energy_coefficient=2.0,
        forces_coefficient=0.7,
        stress_coefficient=5.0,
        huber_delta=0.3,
    )
    train = [TRAIN[0], alone(), *TRAIN[1:]]
    val = [*VAL, alone(pbc=False)]
    result = fine_tune(train, val, [alone()], base, params, tmp_path / "t")
    weights = [3.0 if energy_per_atom(atoms) < edge else 0.5 for atoms in VAL]
    terms = list(zip(*predicted(base, VAL), strict=True))
    expected = 0.0
    for off, c, unit in zip(terms, (2.0, 0.7, 5.0 / KILOBAR), (1.0, 1.0, KILOBAR), strict=True):
        each = [w * huber(unit * np.asarray(x), 0.3) for w, x in zip(weights, off, strict=True)]
        expected += c * np.concatenate(each).mean() / 7.7

    assert left_out(result) == {"train": [(1, NO_PAIR)], "val": [(len(VAL), NO_PAIR)]}
    assert np.isfinite(list(result.test.values())).all()
    assert len(set(weights)) == 2
    assert result.history[0]["val_loss"] == pytest.approx(expected, rel=1e-3)
    for before, after in zip(predicted(base, VAL), predicted(result.model, VAL), strict=True):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-5)


def test_a_modality_is_trained_by_its_name(forked_programs, tmp_path):
    """Nearly nothing is learned, so that the result is the modality that it was made of."""
    base = small_sevennet(tmp_path / "base.pth", modals=("PBE", "R2SCAN"))
    params = ONE_EPOCH.model_copy(update={"learning_rate": 1e-9})
    results = {}
    for modal in ("PBE", "R2SCAN"):
        name = with_arguments(base, {"modal": modal})
        result = results[modal] = fine_tune(TRAIN, VAL, [], name, params, tmp_path / modal)
        for before, after in zip(predicted(name, VAL), predicted(result.model, VAL), strict=True):
            for x, y in zip(before, after, strict=True):
                np.testing.assert_allclose(x, y, atol=1e-5)
    one, other = results.values()
    assert one.inputs_sha256 != other.inputs_sha256
    assert abs(predicted(one.model, VAL)[0][0][0] - predicted(other.model, VAL)[0][0][0]) > 0.5
    with pytest.raises(ValueError, match=r"needs one of its modalities PBE, R2SCAN, which is not"):
        fine_tune(TRAIN, VAL, [], base, params, tmp_path / "none")
    again = fine_tune(TRAIN, VAL, [], one.model, params, tmp_path / "again")
    np.testing.assert_allclose(
        predicted(again.model, VAL)[0][1], predicted(one.model, VAL)[0][1], atol=1e-5
    )


@pytest.mark.parametrize(
    "name",
    [
        "7net-0_22may2024",
        pytest.param('7net-mf-0?{"modal": "PBE"}', marks=pytest.mark.slow),
        pytest.param("7net-l3i5", marks=pytest.mark.slow),
    ],
)
def test_any_checkpoint_of_the_wheel_can_be_trained(tmp_path, name):
    """Older ones have other names of their weights; the model to start from is the same."""
    from entropy_flows.train.sevennet import _base_checkpoint

    checkpoint, modal = _base_checkpoint(name)
    write_base(checkpoint, modal, {}, tmp_path / "base.pth")
    for before, after in zip(
        predicted(name, VAL[:2]), predicted(tmp_path / "base.pth", VAL[:2]), strict=True
    ):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_allclose(x, y, atol=2e-5)


def test_what_the_program_lacks_is_refused():
    with pytest.raises(
        ValueError,
        match=r"ema_decay is 0.999 \(preset oam-l\).*no average of the weights: set ema_decay: 0",
    ):
        SevenNetTrainer().check(TrainParams())
    for name, value in (("accumulate", 4), ("clip", 1.0)):
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            SevenNetTrainer().check(TrainParams(preset="sevennet-0", **{name: value}))
    SevenNetTrainer().check(TrainParams(preset="sevennet-0"))


def test_what_is_no_checkpoint_is_told_in_one_line(tmp_path):
    (tmp_path / "other.pth").write_bytes(b"something")
    for load in (model_elements, load_calculator):
        with pytest.raises(
            ValueError, match=r"other\.pth is not a checkpoint of SevenNet"
        ) as caught:
            load(tmp_path / "other.pth")
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"none\.pth does not exist"):
        load_calculator(tmp_path / "none.pth")
    assert existing_file(tmp_path / "other.pth").name == "other.pth"


# -- the folder a killed program leaves --


@pytest.fixture
def left(tmp_path):
    """Epochs 1 and 2 known, 3 in the program's table with a whole checkpoint, 4 with a half."""
    base = small_sevennet(tmp_path / "base.pth").read_bytes()
    row = {"learning_rate": 0.1, "train_loss": 1.0, "energy_mae": 0.1, "forces_mae": 0.1}
    history = [{"epoch": epoch, "val_loss": 1.0 / epoch, **row} for epoch in (1, 2)]
    (tmp_path / "history.json").write_text(json.dumps(history))
    lines = [f"{epoch},0.1,1000000.0,{1e6 / epoch},0.1,0.1" for epoch in (3, 4)]
    header = "epoch,lr,trainset_TotalLoss,validset_TotalLoss,validset_Energy_MAE,validset_Force_MAE"
    (tmp_path / "lc.csv").write_text("\n".join([header, *lines]) + "\n")
    for epoch in (1, 2, 3, 4):
        (tmp_path / f"checkpoint_{epoch}.pth").write_bytes(base[: -100 if epoch == 4 else None])
    return tmp_path


def test_it_goes_on_from_the_last_whole_checkpoint(left):
    history = resume_history(left)

    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[2]["val_loss"] == pytest.approx(1.0 / 3)
    assert {path.name for path in left.glob("checkpoint_*")} == {
        "checkpoint_2.pth",
        "checkpoint_3.pth",
    }
    assert not list(left.glob("lc*.csv"))
    assert resume_history(left) == history


def test_it_goes_back_where_the_newest_is_damaged(left):
    (left / "checkpoint_3.pth").write_bytes(b"")

    assert [row["epoch"] for row in resume_history(left)] == [1, 2]


def test_it_stops_when_nothing_improves_however_far_the_program_is(left):
    params = TrainParams(preset="sevennet-0", early_stopping_patience=1)
    history = [{"epoch": 1, "val_loss": 0.1}, {"epoch": 2, "val_loss": 0.2}]
    assert is_over(history, params)
    add_finished_epochs(history, left, params)
    assert len(history) == 2
    assert not is_over(history[:1], params)
    assert not is_over([], params)


def test_all_validation_cells_and_all_of_a_weight_may_have_no_pair(forked_programs, tmp_path):
    """SevenNet takes a list of files for each weight, and its statistics are by such lists."""
    edge = max(energy_per_atom(atoms) for atoms in CELLS) + 0.05
    params = ONE_EPOCH.model_copy(update={"weight_bins": ((edge, 1.0), (None, 0.5))})
    assert energy_per_atom(alone()) > edge
    base = small_sevennet(tmp_path / "base.pth")
    train = [*CELLS[:3], alone()]
    result = fine_tune(train, [alone()], [CELLS[4]], base, params, tmp_path / "t")
    assert left_out(result) == {"train": [(3, NO_PAIR)], "val": [(0, NO_PAIR)]}
    assert np.isfinite([result.history[0]["val_loss"], *result.test.values()]).all()


def test_nothing_but_cells_without_a_pair_is_refused(tmp_path):
    base = small_sevennet(tmp_path / "base.pth")
    with pytest.raises(ValueError, match="no cell to train on: 2 given, 2 × no neighbour pair"):
        fine_tune([alone(), alone(pbc=False)], VAL, [], base, ONE_EPOCH, tmp_path / "t")
