"""Order of phases and transitions, against common tangents."""

import numpy as np
import pytest
from ase import units
from scipy.optimize import fsolve

from entropy_flows.evaluate.physics import Enthalpy, order_at, transitions

PRESSURES = np.linspace(0.0, 20.0, 9)


def parabola(energy, volume, modulus, pressures=PRESSURES):
    """Enthalpies of E(V) = E₀ + B₀ (V − V₀)² / 2 V₀, from its own minimum of E + P V."""
    P = np.asarray(pressures) * units.GPa
    B = modulus * units.GPa
    V = volume * (1 - P / B)
    H = energy + B * (V - volume) ** 2 / (2 * volume) + P * V
    return Enthalpy(list(map(float, pressures)), H.tolist(), V.tolist(), {})


def common_tangent(one, two):
    """Pressure (GPa) of the straight line that touches both parabolas (E₀, V₀, B₀)."""

    def energy(phase, V):
        return phase[0] + phase[2] * units.GPa * (V - phase[1]) ** 2 / (2 * phase[1])

    def slope(phase, V):
        return phase[2] * units.GPa * (V - phase[1]) / phase[1]

    def equations(V):
        line = (energy(two, V[1]) - energy(one, V[0])) / (V[1] - V[0])
        return [slope(one, V[0]) - line, slope(two, V[1]) - line]

    V = fsolve(equations, [one[1] * 0.95, two[1] * 0.95])
    return -slope(one, V[0]) / units.GPa


def test_transition_is_the_common_tangent():
    open_, dense = (-5.42, 20.4, 90.0), (-5.13, 15.3, 110.0)
    found = transitions({"open": parabola(*open_), "dense": parabola(*dense)})

    assert [(change.below, change.above) for change in found] == [("open", "dense")]
    assert found[0].pressure == pytest.approx(common_tangent(open_, dense), abs=1e-6)


def test_three_phases_in_their_order():
    phases = {
        "c": parabola(-5.0, 14.0, 120.0),
        "a": parabola(-5.42, 20.0, 90.0),
        "b": parabola(-5.3, 17.5, 100.0),
    }
    found = transitions(phases)

    assert [name for name, _ in order_at(phases)] == ["a", "b", "c"]
    assert [above for _, above in order_at(phases)] == pytest.approx([0.0, 0.12, 0.42])
    assert [change.above for change in found] == ["b", "c"]
    assert found[0].pressure < found[1].pressure


def test_a_phase_never_lowest_has_no_transition():
    phases = {"low": parabola(-5.4, 15.0, 90.0), "high": parabola(-5.0, 18.0, 90.0)}

    assert transitions(phases) == []
    assert transitions({"low": phases["low"]}) == []


def test_a_phase_that_is_lost_below_a_pressure_ends_there():
    phases = {"a": parabola(-5.42, 20.4, 90.0), "b": parabola(-5.5, 15.3, 110.0, PRESSURES[4:])}

    assert (
        transitions(phases) == []
    )  # b is the lowest wherever it is known: nothing changes where both are
    assert order_at(phases) == [("a", 0.0)]
    assert order_at(phases, 12.0)[0] == ("b", 0.0)
