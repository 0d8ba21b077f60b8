"""Labels in pieces: what a killed run has made stays, and what it has not is made the same."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from entropy_flows.batch import Batch
from entropy_flows.distill import SIZES, StudentTask, new_network
from entropy_flows.distill.labelling import LARGEST_FORCE, batches, labelled
from entropy_flows.distill.make import label_cells
from entropy_flows.distill.networks import element_energies
from entropy_flows.distill.pieces import pieces_of
from entropy_flows.potentials import BatchModel, load_batch_model

EMT = "ase.calculators.emt.EMT"
TASK = StudentTask(
    elements=("Cu",),
    seeds={"fcc": bulk("Cu", a=3.6)},
    teacher=EMT,
    temperatures=(900.0,),
    cells=40,
)


class Interrupted:
    """A teacher that is killed at its n-th call."""

    def __init__(self, model: BatchModel, calls: int) -> None:
        self.model = model
        self.device = model.device
        self.calls = calls

    def __call__(self, batch: Batch):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.model(batch)


def with_teacher(task, teacher):
    """The same task, whose teacher is this object."""
    other = replace(task)
    other.__dict__["model"] = teacher
    return other


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def teacher():
    return load_batch_model(EMT)


@pytest.fixture(scope="module")
def whole(teacher, tmp_path_factory):
    """The labels of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    label_cells(with_teacher(TASK, teacher), folder, lambda _: None)
    return contents(folder)


@pytest.mark.parametrize("calls", [10, 120])
def test_a_killed_run_goes_on_behind_its_last_piece(teacher, whole, calls, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        label_cells(with_teacher(TASK, Interrupted(teacher, calls)), tmp_path, lambda _: None)
    before = contents(tmp_path)
    assert before.items() <= whole.items()
    (tmp_path / ".part-0123-half.extxyz").write_text("9\n")
    lines = []
    label_cells(with_teacher(TASK, teacher), tmp_path, lines.append)
    assert contents(tmp_path) == whole
    assert lines[0].startswith("labels: 0 of ")


def test_all_kinds_are_there_and_the_hot_ones_are_held_out():
    pieces = list(pieces_of(TASK))
    assert sum(piece.count for piece in pieces) == pytest.approx(TASK.cells, abs=3)
    assert [piece.name for piece in pieces if piece.held_out] == ["00-hot-000"]
    assert len({piece.name for piece in pieces}) == len(pieces)


def test_another_task_has_other_files():
    key = TASK.labels_key()
    assert replace(TASK, size="medium", epochs=3).labels_key() == key
    for change in (
        {"seed": 8},
        {"cells": 60},
        {"temperatures": (300.0,)},
        {"seeds": {"fcc": bulk("Cu", a=3.7)}},
        {"more": (bulk("Cu"),)},
    ):
        assert replace(TASK, **change).labels_key() != key


def test_labels_are_the_teachers_and_wild_cells_are_left_out(teacher):
    good = bulk("Cu", a=3.7) * (2, 1, 1)
    good.rattle(0.1, seed=1)
    wild = bulk("Cu", a=3.6) * (2, 1, 1)
    wild.positions[1] = wild.positions[0] + [0.3, 0.0, 0.0]
    (label,) = labelled([wild, good], teacher)
    result = teacher(Batch.of([good]))
    assert label.get_potential_energy() == pytest.approx(float(result.energy[0]))
    assert label.get_forces() == pytest.approx(result.forces.numpy())
    assert float(teacher(Batch.of([wild])).forces.norm(dim=1).max()) > LARGEST_FORCE


def test_a_call_of_the_teacher_has_all_cells_once():
    cells = [bulk("Cu") * (n, 1, 1) for n in (1, 200, 3, 100, 100)]
    assert [len(cell) for batch in batches(cells) for cell in batch] == [1, 200, 3, 100, 100]
    assert all(batch for batch in batches(cells))


def test_too_few_cells_are_refused():
    with pytest.raises(ValueError, match="30 cells are too few for 2 phases: expected 40"):
        replace(TASK, cells=30, seeds={"a": bulk("Cu"), "b": bulk("Cu", "bcc", a=2.9)})


def frame(symbols, energies):
    atoms = Atoms(symbols, np.arange(3 * len(Atoms(symbols))).reshape(-1, 3))
    from ase.calculators.singlepoint import SinglePointCalculator

    total = sum(energies[symbol] for symbol in atoms.get_chemical_symbols())
    atoms.calc = SinglePointCalculator(atoms, energy=total)
    return atoms


def test_elements_have_energies_of_their_own_where_compositions_tell_them():
    energies = {"Cu": -3.5, "Au": -2.0}
    frames = [frame(name, energies) for name in ("Cu3Au", "CuAu3", "Cu4")]
    assert element_energies(frames, ["Cu", "Au"]) == pytest.approx(energies)
    one = element_energies([frame("Cu3Au", energies)] * 3, ["Cu", "Au", "Ag"])
    mean = (3 * -3.5 - 2.0) / 4
    assert one == pytest.approx({"Cu": mean, "Au": mean, "Ag": mean})


@pytest.mark.parametrize("architecture", SIZES)
def test_a_network_reaches_beyond_the_second_neighbours(architecture):
    frames = [frame("Cu2", {"Cu": -3.5})]
    near = new_network(architecture, "small", ["Cu"], frames, bond=2.5, seed=1)
    far = new_network(architecture, "small", ["Cu"], frames, bond=4.0, seed=1)
    assert (near["r_max"], far["r_max"]) == (5.0, 6.0)
    assert near["pair_potential"]["_target_"].endswith("ZBL")
    with pytest.raises(ValueError, match="size 'huge': expected small or medium"):
        new_network(architecture, "huge", ["Cu"], frames, bond=2.5, seed=1)
