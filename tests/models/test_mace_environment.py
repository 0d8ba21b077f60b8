"""MACE in its own environment: the same numbers as its calculator, derivatives, and trainings."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from cells import rattled, strained
from small_models import labelled

from entropy_flows.batch import Batch
from entropy_flows.environments import RefusalError
from entropy_flows.files import read_json
from entropy_flows.potentials import load_batch_model, load_calculator, split_model, with_family_of
from entropy_flows.train import fine_tune
from entropy_flows.train.dataset import REPLAY_WEIGHT, energy_per_atom
from entropy_flows.train.mace_params import MaceParams
from entropy_flows.train.steps import mean_errors

pytestmark = [pytest.mark.models, pytest.mark.timeout(1800)]

ZERO = -3.0
"""eV/atom: the labels' zero, that the base model does not have."""
TRAIN = [labelled(seed, stress=seed != 23, zero=ZERO) for seed in range(20, 27)]
VAL = [labelled(seed, zero=ZERO) for seed in (30, 31, 32)]
RECIPE = MaceParams(preset="small", max_epochs=5, batch_size=3)
CELLS = [rattled(repeat=1, seed=1), strained(rattled(repeat=1, seed=2), np.diag([0.1, 0.0, -0.1]))]


class StoppedError(Exception):
    """In place of a worker's death: the training program is killed with it."""


def killed_after(epoch):
    def stop(progress):
        if progress.epoch >= epoch:
            raise StoppedError

    return stop


@pytest.fixture(scope="module")
def model(mace_model):
    return load_batch_model(mace_model)


@pytest.fixture(scope="module")
def trained(mace_model, tmp_path_factory):
    """An undisturbed training."""
    folder = tmp_path_factory.mktemp("trained")
    return fine_tune(TRAIN, VAL, VAL, mace_model, RECIPE, folder), folder


def test_a_batch_equals_maces_calculator(model, mace_model):
    calculator = load_calculator(mace_model)
    cells = [*CELLS, Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]], cell=[9, 9, 9], pbc=False)]
    batch = Batch.of(cells)
    result = model(batch)
    for index, atoms in enumerate(cells):
        first, end = batch.cells.first[index : index + 2]
        alone = atoms.copy()
        alone.calc = calculator
        assert result.energy[index].item() == pytest.approx(alone.get_potential_energy(), abs=1e-10)
        forces = result.forces[first:end].numpy()
        np.testing.assert_allclose(forces, alone.get_forces(), atol=1e-10)
        if atoms.pbc.all():
            stress = alone.get_stress(voigt=False)
            np.testing.assert_allclose(result.stress[index].numpy(), stress, atol=1e-10)


def test_forces_and_stress_are_derivatives_of_the_energy(model):
    """Central differences; the sign and unit of the stress are ASE's, eV/Å³."""
    atoms, step = CELLS[1], 1e-4
    result = model(Batch.of([atoms]))
    moved = []
    for sign in (1, -1):
        for axis in range(3):
            cell = atoms.copy()
            cell.positions[1, axis] += sign * step
            moved.append(cell)
    for sign in (1, -1):
        for a, b in ((0, 0), (1, 2)):
            strain = np.zeros((3, 3))
            strain[a, b] = strain[b, a] = sign * step
            moved.append(strained(atoms, strain))
    energies = model(Batch.of(moved)).energy.numpy()
    forces = -(energies[:3] - energies[3:6]) / (2 * step)
    stresses = (energies[6:8] - energies[8:10]) / (2 * step * atoms.get_volume())
    stress = result.stress[0].numpy()

    np.testing.assert_allclose(result.forces[1].numpy(), forces, atol=1e-6)
    np.testing.assert_allclose([stress[0, 0], 2 * stress[1, 2]], stresses, atol=1e-8)
    assert abs(stress[0, 0]) > 1e-5


def test_an_element_that_it_does_not_know_is_the_cells_fault(model):
    with pytest.raises(RefusalError, match="does not know the elements of atomic numbers"):
        model(Batch.of([Atoms("O", cell=[4, 4, 4], pbc=True)]))
    assert np.isfinite(model(Batch.of([Atoms("Si", cell=[20] * 3, pbc=True)])).energy.item())


def test_it_fits_and_keeps_the_labels_zero(mace_model, trained):
    """From the first epoch on the energies are those of the labels, 3 eV an atom away."""
    result, folder = trained
    base = mean_errors(VAL, load_calculator(mace_model))
    history = result.history
    best = history[result.best_epoch - 1]

    assert base["energy_mae"] > 2.0
    assert read_json(folder / "run" / "zero.json", {})["Si"] == pytest.approx(ZERO, abs=1.0)
    assert history[0]["energy_mae"] < 1.0
    assert len(history) == 5
    assert best["val_loss"] == min(row["val_loss"] for row in history) < history[0]["val_loss"]
    for name in ("energy_mae", "forces_mae"):
        assert result.test[name] == pytest.approx(best[name], rel=1e-4)


def test_a_training_that_is_killed_goes_on_bit_for_bit(mace_model, trained, tmp_path):
    result, _ = trained
    for epoch in (2, 4):
        with pytest.raises(StoppedError):
            fine_tune(TRAIN, VAL, VAL, mace_model, RECIPE, tmp_path, killed_after(epoch))
    again = fine_tune(TRAIN, VAL, VAL, mace_model, RECIPE, tmp_path)

    assert again.attempts == 3
    assert again.history == result.history
    # not the files: TorchScript writes into them how much a process has compiled
    batch = Batch.of(CELLS)
    models = [with_family_of(mace_model, each.model) for each in (again, result)]
    first, second = (load_batch_model(each)(batch) for each in models)
    assert first.energy.tolist() == second.energy.tolist()
    assert first.forces.tolist() == second.forces.tolist()
    assert fine_tune(TRAIN, VAL, VAL, mace_model, RECIPE, tmp_path).reused


def huber_terms(label, calculator, weight, delta):
    """Terms of the loss of one cell: energy per atom, force and stress components."""
    atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=True)
    atoms.calc = calculator
    stress = np.zeros(9)
    if "stress" in label.calc.results:
        stress = (atoms.get_stress(voigt=False) - label.get_stress(voigt=False)).ravel()
    energy = (atoms.get_potential_energy() - label.get_potential_energy()) / len(atoms)
    forces = (atoms.get_forces() - label.get_forces()).ravel()
    off = [np.sqrt(weight) * np.abs(x) for x in (np.array([energy]), forces, stress)]
    return [np.where(x < delta, x**2 / 2, delta * (x - delta / 2)) for x in off]


def test_the_loss_is_the_recipes(mace_model, tmp_path):
    """Weights, coefficients, the corner, and a cell without stress, which has no error of it."""
    edge = float(np.median([energy_per_atom(atoms) for atoms in TRAIN]))
    keys = {"weight_bins": ((edge, 4.0), (None, 0.5)), "huber_delta": 0.3, "ema_decay": 0.0}
    keys |= {"learning_rate": 1e-12, "max_epochs": 1, "align_energies": False}
    params = RECIPE.model_copy(update=keys)
    cells = TRAIN[:5]
    result = fine_tune(TRAIN, cells, [], mace_model, params, tmp_path)
    calculator = load_calculator(mace_model)
    weights = [4.0 if energy_per_atom(atoms) < edge else 0.5 for atoms in cells]
    terms = [
        huber_terms(atoms, calculator, weight, 0.3)
        for atoms, weight in zip(cells, weights, strict=True)
    ]
    losses = []
    for batch in (terms[:3], terms[3:]):
        means = [np.concatenate(each).mean() for each in zip(*batch, strict=True)]
        losses.append(np.dot(means, [20.0, 1.0, 100.0]) / 121.0)

    assert len(set(weights)) == 2
    assert result.history[0]["val_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("multihead", [False, True], ids=["one head", "two heads"])
def test_replay_is_trained_on_and_the_file_has_the_labels_head(mace_model, tmp_path, multihead):
    calculator = load_calculator(mace_model)
    strain = 0.02 * np.eye(3)
    old = [strained(rattled(repeat=1, stdev=0.05, seed=seed), strain) for seed in range(6)]
    for atoms in old:
        atoms.calc = calculator
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        stress = atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        atoms.info[REPLAY_WEIGHT] = 1.0
    new = [labelled(seed) for seed in range(20, 27)]
    val = [labelled(seed) for seed in (30, 31, 32)]
    keys = {"align_energies": False, "learning_rate": 1e-2, "multihead": multihead}
    recipe = RECIPE.model_copy(update=keys)
    result = fine_tune([*new, *old], val, val, mace_model, recipe, tmp_path)
    best = result.history[result.best_epoch - 1]
    log = (tmp_path / "run" / "mace-train.console.log").read_text()

    assert ("head: pt_head" in log) is multihead
    assert result.test["energy_mae"] == pytest.approx(best["energy_mae"], rel=1e-4)
    assert result.test["forces_mae"] == pytest.approx(best["forces_mae"], rel=1e-4)


def test_a_frozen_backbone_stays(mace_model, run_there, tmp_path):
    frozen = RECIPE.model_copy(update={"freeze": "backbone", "max_epochs": 2})
    result = fine_tune(TRAIN, VAL, [], mace_model, frozen, tmp_path)
    script = (
        "import mace, sys, torch\n"
        "a, b = [dict(torch.load(p).named_parameters()) for p in sys.argv[1:]]\n"
        "print('changed', *[n for n in a if not torch.equal(a[n].double(), b[n].double())])\n"
    )
    base = split_model(mace_model)[0]
    output = run_there("mace", "-c", script, base, str(result.model), cwd=tmp_path)
    changed = output.split("changed")[1].split()

    assert changed
    assert all(name.startswith("readouts.") for name in changed)
