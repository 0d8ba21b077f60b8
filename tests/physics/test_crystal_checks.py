"""Laws of equations of state, elastic constants and relaxations."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from cells import rotated
from physics.crystals import SHARP, Springs, copper

from entropy_flows.conventions import GPA, pressure
from entropy_flows.evaluate.physics import (
    CheckError,
    PhysicsParams,
    enthalpy,
    relaxed,
    space_group,
    standard_cell,
)
from entropy_flows.evaluate.physics.elastic import elastic
from entropy_flows.evaluate.physics.eos import eos


@pytest.fixture(scope="module")
def equation():
    return eos(copper(), EMT(), SHARP)


@pytest.fixture(scope="module")
def constants():
    pytest.importorskip("matcalc")
    return elastic(copper(), EMT(), SHARP)


def test_bulk_modulus_is_minus_v_dp_dv_of_the_stresses(equation):
    pressures = []
    for strain in (-0.01, 0.01):
        atoms = bulk("Cu")
        atoms.set_cell(
            atoms.cell * (equation.volume * (1 + strain) / atoms.get_volume()) ** (1 / 3),
            scale_atoms=True,
        )
        atoms.calc = EMT()
        pressures.append(GPA * pressure(atoms.get_stress()))

    assert equation.bulk_modulus == pytest.approx((pressures[0] - pressures[1]) / 0.02, rel=0.01)
    assert equation.volumes[4] == pytest.approx(equation.volume, rel=1e-3)
    assert equation.rms < 1e-4


def test_constants_of_a_cubic_crystal_are_symmetric_and_give_the_bulk_modulus(equation, constants):
    c = np.array(constants.constants)

    assert c == pytest.approx(c.T, rel=0.01, abs=0.1)
    assert [c[1, 1], c[2, 2]] == pytest.approx([c[0, 0]] * 2, rel=1e-3)
    assert [c[4, 4], c[5, 5]] == pytest.approx([c[3, 3]] * 2, rel=1e-3)
    assert (c[0, 0] + 2 * c[0, 1]) / 3 == pytest.approx(equation.bulk_modulus, rel=0.02)
    assert constants.bulk_modulus == pytest.approx(equation.bulk_modulus, rel=0.02)
    assert constants.lowest > 0


def test_a_turned_supercell_has_the_same_constants(constants):
    turned = elastic(rotated(bulk("Cu") * (1, 2, 1)), EMT(), SHARP)

    assert turned.constants == pytest.approx(np.array(constants.constants), rel=1e-3, abs=0.05)


def test_a_crystal_that_shears_by_itself_has_a_negative_eigenvalue():
    pytest.importorskip("matcalc")

    assert elastic(bulk("Cu", "bcc", a=2.85), EMT(), SHARP).lowest < 0


def test_strained_cells_that_do_not_relax_give_no_constants():
    pytest.importorskip("matcalc")
    silicon = bulk("Si", a=5.43)
    springs = Springs(k=10.0, r0=5.43 * 3**0.5 / 4, reach=2.8)
    assert elastic(silicon, springs, PhysicsParams(fmax=1e-4, max_steps=300)).bulk_modulus > 0
    with pytest.raises(
        CheckError, match=r"a strained cell is not relaxed to 0.0001 eV/Å after 1 steps"
    ):
        elastic(silicon, springs, PhysicsParams(fmax=1e-4, max_steps=1))


def test_slope_of_the_enthalpy_is_the_volume():
    found = enthalpy(copper(), EMT(), SHARP, [0.0, 5.0, 10.0])
    P, H, V = (np.array(values) for values in (found.pressures, found.enthalpies, found.volumes))

    # Simpson's rule for ∫ V dP
    assert GPA * (H[2] - H[0]) == pytest.approx(
        (V[0] + 4 * V[1] + V[2]) * (P[2] - P[0]) / 6, rel=1e-4
    )
    assert found.curve()(7.0) == pytest.approx(
        float(enthalpy(copper(), EMT(), SHARP, [0.0, 7.0]).enthalpies[1]), abs=1e-4
    )
    assert found.reasons == {}


def test_a_phase_that_becomes_another_is_told():
    a = 2.6
    tetragonal = Atoms(
        "Cu2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[a, a, 1.3 * a], pbc=True
    )

    assert space_group(tetragonal) == "I4/mmm (139)"
    with pytest.raises(CheckError, match=r"I4/mmm \(139\) became Fm-3m \(225\) at 0 GPa"):
        relaxed(standard_cell(tetragonal), EMT(), SHARP)


def test_a_relaxation_that_does_not_converge_says_how_far_it_is():
    with pytest.raises(
        CheckError, match=r"not relaxed at 30 GPa after 2 steps: \S+ eV/Å left, over fmax = 0.0001"
    ):
        relaxed(copper(), EMT(), SHARP.model_copy(update={"max_steps": 2}), pressure=30.0)


def test_energies_without_a_minimum_are_no_equation_of_state():
    """In a window narrower than what relaxation leaves open, the minimum lies outside."""
    narrow = SHARP.model_copy(update={"volume_strain": 1e-5, "volumes": 5, "fmax": 0.05})

    with pytest.raises(CheckError, match="have no minimum: fitted V0"):
        eos(copper(), EMT(), narrow)
