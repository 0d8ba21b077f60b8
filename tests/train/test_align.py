"""The zero of the energies is found, and moved in the model itself."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from cells import Spring

from entropy_flows.potentials import load_calculator
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.align import energy_shifts
from entropy_flows.train.recipe import small_allegro

ZERO = 4.25
"""eV/atom."""


class Flat(Calculator):
    """No energy anywhere."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms, *args):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def cell(symbols, energy):
    atoms = Atoms(symbols, np.arange(3.0 * len(symbols)).reshape(-1, 3), cell=np.eye(3) * 20, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(symbols), 3)))
    return atoms


def test_each_elements_shift_is_found_and_outliers_do_not_move_it():
    rng = np.random.default_rng(0)
    shifts = {"Cl": -1.5, "Na": 0.7}
    frames = []
    for n in range(20):
        symbols = ["Na"] * (1 + n % 3) + ["Cl"] * (1 + n % 4)
        energy = sum(shifts[s] for s in symbols) + len(symbols) * rng.normal(0, 1e-3)
        frames.append(cell(symbols, energy + 30.0 * len(symbols) * (n == 7)))
    found = energy_shifts(frames, Flat())
    assert found == pytest.approx(shifts, abs=0.02)


def test_one_stoichiometry_leaves_the_smallest_shifts():
    found = energy_shifts([cell(["Na", "Cl"], 3.0), cell(["Na", "Cl"] * 2, 6.0)], Flat())
    assert found == pytest.approx({"Cl": 1.5, "Na": 1.5})


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    frames = []
    for seed in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
        results = Spring()
        source = atoms.copy()
        source.calc = results
        numbers = {"energy": source.get_potential_energy(), "forces": source.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **numbers)
        moved = atoms.copy()
        moved.calc = SinglePointCalculator(moved, **{**numbers, "energy": numbers["energy"] + ZERO * len(atoms)})
        frames.append((atoms, moved))
    old, new = ([pair[which] for pair in frames] for which in (0, 1))
    params = TrainParams(preset="small", max_epochs=1, learning_rate=1e-9, batch_size=3)
    network = small_allegro(["Cu"], cutoff=4.0, scalars=8, tensors=4)
    base = fine_tune(old[:4], old[4:], [], network, params, tmp_path_factory.mktemp("base"))
    made = {}
    for align in (True, False):
        changed = params.model_copy(update={"align_energies": align})
        made[align] = fine_tune(new[:4], new[4:], [], base.model, changed, tmp_path_factory.mktemp(f"tuned{align}"))
    return old, base, made


def predicted(model, frames):
    found = []
    calculator = load_calculator(model)
    for atoms in frames:
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        atoms.calc = calculator
        found.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces()))
    return [energy for energy, _ in found], np.array([forces for _, forces in found])


def test_the_packaged_result_has_the_labels_zero_and_the_same_forces(trainings):
    frames, base, made = trainings
    (before, forces), (after, same), (never, _) = (predicted(r.model, frames) for r in (base, made[True], made[False]))
    shift = json.loads((made[True].model.parent / "run" / "zero.json").read_text())["Cu"]
    np.testing.assert_allclose(np.array(after) - before, shift, atol=1e-5)
    assert shift == pytest.approx(ZERO, abs=0.05)
    np.testing.assert_allclose(same, forces, atol=1e-5)
    np.testing.assert_allclose(never, before, atol=1e-5)
    assert not (made[False].model.parent / "run" / "zero.json").exists()
