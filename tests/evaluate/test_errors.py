import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.evaluate.errors import errors, parity


class Shifted(Calculator):
    """EMT with known errors: 0.1 eV/atom, 0.2 eV/Å and 0.3 eV/Å³ everywhere."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        bare = atoms.copy()
        bare.calc = EMT()
        self.results = {
            "energy": bare.get_potential_energy() + 0.1 * len(atoms),
            "forces": bare.get_forces() + 0.2,
            "stress": bare.get_stress() - 0.3,
        }


def labelled(seed, size=1, stress=True):
    atoms = bulk("Cu", cubic=True) * (size, 1, 1)
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    source = atoms.copy()
    source.calc = EMT()
    results = {"energy": source.get_potential_energy(), "forces": source.get_forces()}
    if stress:
        results["stress"] = source.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def test_known_shifts_are_the_errors():
    result = errors([labelled(0), labelled(1, size=2)], Shifted())

    assert result.n == 2
    for name, shift in {"energy": 0.1, "forces": 0.2, "stress": 0.3}.items():
        assert getattr(result, f"{name}_mae") == pytest.approx(shift)
        assert getattr(result, f"{name}_rmse") == pytest.approx(shift)


def test_a_perfect_model_has_no_error_and_full_r2():
    result = errors([labelled(0), labelled(1)], EMT())

    assert (result.energy_mae, result.forces_mae, result.stress_mae) == pytest.approx(
        (0, 0, 0), abs=1e-12
    )
    assert (result.energy_r2, result.forces_r2, result.stress_r2) == pytest.approx((1, 1, 1))


def test_r2_is_zero_for_predicting_the_mean():
    frames = [labelled(0), labelled(1), labelled(2)]
    pair = parity(frames, EMT()).energy
    constant = type(parity(frames, EMT()))(
        np.array([pair[0], np.full(3, pair[0].mean())]), pair, None
    )

    assert constant.errors.energy_r2 == pytest.approx(0.0)


def test_cells_without_stress_are_left_out_of_stress_errors():
    mixed = [labelled(0), labelled(1, stress=False)]

    assert parity(mixed, Shifted()).stress.shape == (2, 6)
    assert errors(mixed[1:], Shifted()).stress_mae is None


def test_one_cell_has_no_energy_r2_and_the_dictionary_is_json():
    result = errors([labelled(0)], Shifted())

    assert result.energy_r2 is None
    assert json.loads(json.dumps(result.as_dict())) == result.as_dict()


def test_labels_are_not_changed():
    atoms = labelled(0)
    before = dict(atoms.calc.results)

    errors([atoms], Shifted())

    assert atoms.calc.results.keys() == before.keys()
    assert atoms.get_potential_energy() == before["energy"]


def test_empty_set_is_an_error():
    with pytest.raises(ValueError, match="no cells"):
        errors([], EMT())
