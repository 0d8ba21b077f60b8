"""Dynamics that survive, and every way in which they break."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from physics.crystals import SHARP, copper

from entropy_flows.evaluate.physics import run_check
from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.evaluate.physics.stability import stability
from entropy_flows.faults import is_machine_fault

PARAMS = PhysicsParams(steps=100, friction=0.05, temperature=600.0, pressure=5.0)


class Breaking(EMT):
    """EMT until it is told to break."""

    implemented_properties = EMT.implemented_properties

    def __init__(self, after, how):
        super().__init__()
        self.after, self.how, self.calls = after, how, 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.calls += 1
        if self.calls > self.after:
            self.how(self.results)


def refuse(_results):
    raise RuntimeError("atoms too close")


def nobody_answers(_results):
    raise OSError(28, "No space left on device")


def push(results):
    results["forces"][0] += (
        2e5  # of which the constraint of the centre of mass leaves three quarters
    )


def squeeze(results):
    results["forces"] = np.zeros_like(results["forces"])
    results["forces"][:2, 0] = [900, -900]


def nothing(results):
    results["forces"] = np.full_like(results["forces"], np.nan)


def test_a_sane_potential_survives_at_its_temperature():
    found = stability(copper(2), EMT(), PARAMS, 600.0, 5.0)

    assert (found.survived, found.broke) == (100, None)
    assert found.mean_temperature == pytest.approx(600, rel=0.25)
    assert 1.8 < found.shortest < 2.55


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (refuse, "calculator: RuntimeError: atoms too close"),
        (push, "exploded: force 1500"),
        (squeeze, "collapsed: shortest distance|exploded: temperature"),
        (nothing, "exploded: positions are not finite"),
    ],
)
def test_a_run_that_breaks_says_why(how, reason):
    potential = Breaking(60, how)
    found = stability(copper(), potential, PARAMS, 600.0, 0.0)

    assert found.survived < 100
    assert found.mean_temperature is None
    assert any(found.broke.startswith(part) for part in reason.split("|")), found.broke


def test_a_check_never_raises_but_for_the_machine():
    outcome = run_check("eos", copper(), Breaking(3, refuse), SHARP)
    assert (outcome.result, outcome.reason) == (None, "RuntimeError: atoms too close")
    with pytest.raises(OSError, match="No space") as raised:
        run_check("stability", copper(), Breaking(30, nobody_answers), PARAMS)
    assert is_machine_fault(raised.value)
