"""Odd labels are found, in whatever company; good ones are let be."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from cells import Spring, rattled

from entropy_flows.label.outliers import OutlierParams, odd_labels

PARAMS = OutlierParams()


def labelled(seed, offset=0.0, energy=0.0, force=0.0, noise=0.02, stress=None):
    """Make a cell whose label is the model's, with an offset (eV/atom), noise or a fault."""
    rng = np.random.default_rng(seed)
    atoms = rattled("Si", 1, seed=seed)
    model = atoms.copy()
    model.calc = Spring()
    values = {
        "energy": model.get_potential_energy()
        + len(atoms) * (offset + energy + noise * rng.normal()),
        "forces": model.get_forces() + noise * rng.normal(size=(len(atoms), 3)),
    }
    values["forces"][0, 1] += force
    if stress is not None:
        values["stress"] = model.get_stress() + 0.1 * noise * rng.normal(size=6) + stress
    atoms.calc = SinglePointCalculator(atoms, **values)
    return atoms


def good(n=40, **changes):
    return [labelled(seed, **changes) for seed in range(n)]


@pytest.mark.parametrize("offset", [0.0, -170.0])
def test_an_offset_and_noise_are_nothing_odd(offset):
    assert odd_labels(good(offset=offset), Spring(), PARAMS) == {}


def test_what_is_wrong_is_named_with_its_numbers():
    frames = good()
    frames[7] = labelled(7, energy=2.0)
    frames[30] = labelled(30, force=5.0)
    odd = odd_labels(frames, Spring(), PARAMS)
    assert sorted(odd) == [7, 30]
    assert "energy +2" in odd[7]
    assert "eV/atom from the model's" in odd[7]
    assert "force" in odd[30]
    assert "times the usual deviation" in odd[30]


def test_a_fifth_of_them_may_be_wrong():
    """A mean and a standard deviation would have been carried along: z would be below 2.3."""
    frames = [*good(32), *(labelled(seed, energy=3.0) for seed in range(100, 108))]
    assert sorted(odd_labels(frames, Spring(), PARAMS)) == list(range(32, 40))


def test_limits_hold_without_a_model_and_for_few_labels():
    frames = [labelled(0), labelled(1, force=500.0), labelled(2, energy=5e3)]
    for model in (None, Spring()):
        odd = odd_labels(frames, model, PARAMS)
        assert sorted(odd) == [1, 2]
        assert "limit 100" in odd[1]
        assert "limit 1000" in odd[2]


def test_a_stress_far_from_the_models_is_odd():
    """Also among labels without a stress, which have none to compare."""
    frames = [*good(32, stress=0.0), *good(4), labelled(90, stress=0.3)]
    odd = odd_labels(frames, Spring(), PARAMS)
    assert list(odd) == [36]
    assert "stress 0.3" in odd[36]
    assert "eV/Å³ from the model's" in odd[36]


def test_stresses_have_limits_of_their_own():
    """One above all limits, one that is impossible for the distances in its cell."""
    frames = [labelled(0, stress=0.0), labelled(1, stress=50.0), labelled(2, stress=2.0)]
    odd = odd_labels(frames, None, PARAMS)
    assert sorted(odd) == [1, 2]
    assert "limit 10" in odd[1]
    assert "is it in kBar?" in odd[2]


def test_few_labels_have_no_usual_deviation():
    frames = [*good(8), labelled(50, energy=3.0)]
    assert odd_labels(frames, Spring(), PARAMS) == {}
    assert list(odd_labels(frames, Spring(), OutlierParams(fewest=9))) == [8]


def test_an_exact_model_makes_no_outliers_of_rounding():
    assert odd_labels(good(noise=1e-9), Spring(), PARAMS) == {}


def test_turned_off_and_nothing_to_look_at():
    assert odd_labels([labelled(0, force=1e4)], None, OutlierParams(enabled=False)) == {}
    assert odd_labels([], Spring(), PARAMS) == {}
