"""Which model a campaign goes on from: worse beyond the noise is worse, and nothing else is."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.evaluate import advise
from entropy_flows.evaluate.errors import errors
from entropy_flows.evaluate.succession import FLOOR, compare, decision_lines
from entropy_flows.train.align import energy_shifts, moved


def of(energy, force, n=20):
    """Those of normally distributed errors; MAEs in meV/atom and meV/Å."""
    found = {"n": n, "energy_mae": energy / 1e3, "forces_mae": force / 1e3}
    return found | {name.replace("mae", "rmse"): np.sqrt(np.pi / 2) * found[name] for name in FLOOR}


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (of(9.5, 110), of(44.8, 240), "worse"),
        (of(9.5, 110), of(44.8, 90), "worse"),  # forces fell, but by much less
        (of(0.0, 0.0), of(10.6, 50), "worse"),  # the base model is the label engine
        (of(0.0, 0.0), of(0.05, 0.5), "no worse"),  # rounding
        (of(44.8, 240), of(9.5, 110), "better"),
        (of(3000, 100), of(10, 150), "better"),
        (of(10, 100), of(10.5, 104), "no worse"),  # within the noise of 20 cells
        (of(10, 100, 2000), of(11, 110, 2000), "worse"),  # not within that of 2000
        (of(10, 100, 1), of(13, 130, 1), "no worse"),
        (of(10, 100), of(20, 50), "no worse"),
        (of(10, 100), of(np.nan, 50), "worse"),
        (of(np.nan, 100), of(10, 50), "better"),
        (of(np.inf, np.inf), of(np.inf, 50), "worse"),
        ({"n": 0}, {"n": 0}, "no validation cell"),
    ],
)
def test_a_verdict(before, after, verdict):
    found = compare(before, after)
    assert found.text.startswith(verdict)
    assert found.worse is (verdict == "worse")


def test_the_numbers_are_told():
    assert compare(of(9.5, 110), of(44.8, 240)).text == (
        "worse: energy MAE 9.5 → 44.8 meV/atom, force MAE 110 → 240 meV/Å on 20 validation cells"
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_model_of_the_same_quality_is_called_worse_only_now_and_then(seed):
    rng = np.random.default_rng(seed)
    called = 0
    for _ in range(200):
        pair = []
        for _ in range(2):
            off = np.abs(rng.normal(size=(2, 12)))
            mae, rmse = off.mean(axis=1), np.sqrt((off**2).mean(axis=1))
            pair.append(
                dict(
                    zip(
                        ("energy_mae", "forces_mae", "energy_rmse", "forces_rmse"),
                        [*mae, *rmse],
                        strict=True,
                    )
                )
                | {"n": 12}
            )
        called += compare(*pair).worse
    assert 0 < called < 0.3 * 200


class Shifted:
    """A calculator of one kind of cell that is right but for the zero of its energies."""

    implemented_properties = ("energy", "forces")

    def get_property(self, name, atoms):
        symbols = atoms.get_chemical_symbols()
        energy = -3.0 * len(atoms) + 2.0 * symbols.count("Mg") - 1.0 * symbols.count("O")
        return energy if name in ("energy", "free_energy") else np.zeros((len(atoms), 3))

    def get_potential_energy(self, atoms=None, force_consistent=False):
        return self.get_property("energy", atoms)

    def get_forces(self, atoms=None):
        return np.zeros((len(atoms), 3))


def test_another_zero_of_the_energies_is_no_error():
    frames = []
    for symbols in ("MgO", "Mg2O", "MgO2", "Mg3O"):
        atoms = Atoms(
            symbols,
            positions=np.arange(3 * len(Atoms(symbols))).reshape(-1, 3),
            cell=[9] * 3,
            pbc=True,
        )
        atoms.calc = SinglePointCalculator(
            atoms, energy=-3.0 * len(atoms), forces=np.zeros((len(atoms), 3))
        )
        frames.append(atoms)
    shifts = energy_shifts(frames, Shifted())
    assert shifts == pytest.approx({"Mg": -2.0, "O": 1.0}, abs=1e-6)
    assert errors(frames, Shifted()).energy_mae > 0.4
    opposite = {element: -shift for element, shift in shifts.items()}
    assert errors([moved(atoms, opposite) for atoms in frames], Shifted()).energy_mae < 1e-6
    assert frames[0].get_potential_energy() == -6.0


def iteration(number, before, after, worse=False, parent=0):
    decision = {
        "iteration": parent if worse else number,
        "is_new": not worse,
        "worse": worse,
        "reason": "worse: so",
    }
    evaluate = {"before": before, "after": after, "continues": decision}
    return {
        "iteration": number,
        "train": {"cells": 40 * number},
        "label": {"labelled": 40},
        "evaluate": evaluate,
    }


def test_lines_for_people():
    docs = [
        iteration(1, of(5, 50), of(4, 40)),
        iteration(2, of(4, 40), of(9, 90), worse=True, parent=1),
    ]
    assert decision_lines(docs) == [
        "iteration 2: its model is worse: so; the campaign goes on from the model of iteration 1"
    ]
    assert decision_lines([{"iteration": 1}, {"iteration": 2, "evaluate": {}}]) == []


def test_advice_knows_a_training_that_did_harm():
    docs = [
        iteration(1, of(5, 50), of(4, 40)),
        iteration(2, of(4, 40), of(9, 90), worse=True, parent=1),
    ]
    assert advise(docs).verdict == "worse"


def test_the_law_follows_the_models_that_were_kept():
    """1 → 0.5, then one that doubles the error and is left, then 0.5 → 0.25: β of the others."""
    docs = [
        iteration(1, of(10, 100), of(5, 50)),
        iteration(2, of(5, 50), of(10, 100), worse=True, parent=1),
        iteration(3, of(5, 50), of(2.5, 25)),
    ]
    from entropy_flows.evaluate.advice import _chained

    before, after = (
        np.array([doc["evaluate"][when]["energy_mae"] for doc in docs])
        for when in ("before", "after")
    )
    np.testing.assert_allclose(_chained(docs, before, after), [5e-3, 10e-3, 2.5e-3])
