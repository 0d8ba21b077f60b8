"""Spread and calibration against their definitions."""

import numpy as np
import pytest
from cells import Spring, rattled
from small_models import labelled

from entropy_flows.evaluate import committee
from entropy_flows.evaluate.committee import Calibration, Committee
from entropy_flows.potentials import OneByOne
from entropy_flows.report.error_plots import calibration_plot

STIFF = ("0.8", "1.0", "1.3")


class Scaled(Spring):
    """A spring whose energy and forces are multiplied."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results = {name: self.factor * value for name, value in self.results.items()}


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(
        committee, "load_batch_model", lambda name, device: OneByOne(Scaled(float(name)), device)
    )
    monkeypatch.setattr(committee, "BATCH_CELLS", 3)
    return Committee(STIFF)


def test_spread_and_calibration_by_the_definition(three):
    cells = [labelled(seed) for seed in range(7)]
    factors = np.array([float(each) for each in STIFF])
    energy = np.array([atoms.get_potential_energy() / len(atoms) for atoms in cells])
    forces = [atoms.get_forces() for atoms in cells]
    np.testing.assert_allclose(
        three.spread(cells, "energy"), np.abs(energy) * factors.std(ddof=1), rtol=1e-9
    )
    root = np.array([np.sqrt(np.mean(own**2)) for own in forces])
    np.testing.assert_allclose(three.spread(cells, "forces"), root * factors.std(ddof=1), rtol=1e-9)
    found = three.calibration(cells)
    off = abs(factors.mean() - 1)
    np.testing.assert_allclose(found["energy"].error, np.abs(energy) * off, rtol=1e-7)
    np.testing.assert_allclose(found["forces"].error, root * off, rtol=1e-7)
    for part in found.values():
        assert part.n == 7
        assert part.spearman == pytest.approx(1)  # error and spread are proportional
        assert part.ratio == pytest.approx(off / factors.std(ddof=1))
    figure = calibration_plot({"one": {name: part.as_dict() for name, part in found.items()}})
    assert len(figure.axes) == 2


def test_calibration_of_a_spread_that_is_the_error_and_of_one_that_is_none():
    rng = np.random.default_rng(0)
    spread = rng.exponential(size=4000)
    good = Calibration.of(spread, np.abs(spread * rng.normal(size=4000)))
    assert good.ratio == pytest.approx(1, abs=0.1)
    assert 0.3 < good.spearman < 0.9
    assert abs(Calibration.of(spread, rng.permutation(spread)).spearman) < 0.1
    for empty in (
        Calibration.of(np.zeros(5), spread[:5]),
        Calibration.of(np.zeros(0), np.zeros(0)),
    ):
        assert (empty.spearman, empty.ratio) == (None, None)


def test_one_model_is_no_committee():
    with pytest.raises(
        ValueError, match="a committee of 1 models has no spread; expected two or more"
    ):
        Committee(["SevenNet-0"])


def test_no_cells(three):
    assert three.spread([], "energy").shape == three.spread([], "forces").shape == (0,)
    assert three.spread([rattled("Si", 1)], "forces").shape == (1,)
