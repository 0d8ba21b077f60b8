"""The zero of the energies is fitted, and moved in the model itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from cells import rattled

import entropy_flows
from entropy_flows.potentials import load_calculator
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.align import energy_shifts
from entropy_flows.train.recipe import packaged_model

BASE = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
ZERO = 4.25
"""eV/atom."""


class Flat(Calculator):
    """No energy anywhere."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms, *args):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def cell(symbols, energy):
    atoms = Atoms(
        symbols, np.arange(3.0 * len(symbols)).reshape(-1, 3), cell=np.eye(3) * 20, pbc=True
    )
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
    fitted = energy_shifts(frames, Flat())
    assert fitted == pytest.approx(shifts, abs=0.02)


def test_one_stoichiometry_leaves_the_smallest_shifts():
    fitted = energy_shifts([cell(["Na", "Cl"], 3.0), cell(["Na", "Cl"] * 2, 6.0)], Flat())
    assert fitted == pytest.approx({"Cl": 1.5, "Na": 1.5})


def predicted(model, frames):
    calculator = load_calculator(model)
    results = []
    for atoms in frames:
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        atoms.calc = calculator
        results.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces()))
    return np.array([energy for energy, _ in results]), np.array([force for _, force in results])


def test_the_packaged_result_has_the_labels_zero_and_the_same_forces(forked_programs, tmp_path):
    cells = [rattled("Si", 1, seed=seed) for seed in range(4)]
    before, forces = predicted(BASE, cells)
    for atoms, energy in zip(cells, before, strict=True):
        atoms.calc = SinglePointCalculator(
            atoms, energy=(energy + ZERO) * len(atoms), forces=np.zeros((len(atoms), 3))
        )
    params = TrainParams(preset="small", max_epochs=1, learning_rate=1e-9, batch_size=3)
    result = fine_tune(cells[:3], cells[3:], [], BASE, params, tmp_path)
    after, same = predicted(result.model, cells)
    assert json.loads((tmp_path / "run" / "zero.json").read_text()) == pytest.approx(
        {"Si": ZERO}, abs=1e-5
    )
    np.testing.assert_allclose(after - before, ZERO, atol=1e-5)
    np.testing.assert_allclose(same, forces, atol=1e-5)


def test_without_it_the_package_is_taken_as_it_is():
    assert packaged_model(Path("x"))["_target_"] == "nequip.model.ModelFromPackage"
    assert packaged_model(Path("x"), {"Si": 1.0})["shifts"] == {"Si": 1.0}
