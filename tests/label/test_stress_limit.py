"""Which stresses a cell can have: none of a real solid is refused, those of another unit are."""

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from cells import skewed

from entropy_flows.conventions import GPA
from entropy_flows.geometry import to_structure
from entropy_flows.label.stress_limit import repulsion_virial, stress_defect

SOLIDS = {
    # structure, Å³ per atom, B in GPa, B': static or room temperature, from the literature
    "He": ("fcc", 30.0, 0.1, 8.5),
    "Li": ("fcc", 20.0, 12.0, 3.5),
    "Be": ("fcc", 8.1, 112.0, 3.6),
    "B": ("fcc", 6.0, 250.0, 3.5),
    "C": ("diamond", 5.67, 443.0, 3.7),
    "Ne": ("fcc", 22.2, 1.1, 8.4),
    "Na": ("bcc", 38.0, 6.3, 3.9),
    "Mg": ("fcc", 23.2, 35.0, 4.1),
    "Al": ("fcc", 16.5, 74.0, 4.5),
    "Si": ("fcc", 14.5, 90.0, 4.2),
    "Ar": ("fcc", 37.5, 2.7, 7.2),
    "K": ("bcc", 74.0, 3.0, 4.0),
    "Ca": ("fcc", 43.6, 18.0, 3.4),
    "Ti": ("fcc", 17.6, 110.0, 3.5),
    "Fe": ("fcc", 11.2, 165.0, 5.0),
    "Cu": ("fcc", 11.8, 135.0, 5.3),
    "Xe": ("fcc", 58.0, 3.6, 7.3),
    "Cs": ("bcc", 110.0, 1.8, 3.7),
    "Ta": ("bcc", 18.0, 194.0, 3.8),
    "W": ("bcc", 15.8, 305.0, 4.3),
    "Os": ("fcc", 14.0, 400.0, 4.5),
    "Pt": ("fcc", 15.1, 276.0, 5.1),
    "Au": ("fcc", 16.9, 167.0, 5.9),
    "Pb": ("fcc", 30.3, 41.0, 5.7),
    "U": ("bcc", 20.7, 130.0, 5.0),
}
ATOMS = {"fcc": 4, "bcc": 2, "diamond": 8}


def vinet(ratio, modulus, slope):
    """Pressure in GPa at a share of the volume at rest."""
    x = np.cbrt(ratio)
    return 3 * modulus * (1 - x) / x**2 * np.exp(1.5 * (slope - 1) * (1 - x))


def solid(symbol, ratio=1.0):
    structure, volume = SOLIDS[symbol][:2]
    return to_structure(
        bulk(symbol, structure, a=(ratio * volume * ATOMS[structure]) ** (1 / 3), cubic=True)
    )


@pytest.mark.parametrize("symbol", SOLIDS)
def test_no_equation_of_state_is_refused(symbol):
    for ratio in (1.3, 1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2):
        pressure = vinet(ratio, *SOLIDS[symbol][2:])
        if pressure < 2500:
            assert stress_defect(solid(symbol, ratio), -pressure / GPA * np.eye(3)) is None


def test_shocked_carbon_is_not_refused():
    """1.2 TPa, and a third of it as shear."""
    carbon = solid("C", 0.47)
    assert 1150 < vinet(0.47, 443.0, 3.7) < 1250
    stress = -1200 / GPA * np.eye(3)
    stress[0, 1] = stress[1, 0] = 400 / GPA
    assert stress_defect(carbon, stress) is None


@pytest.mark.parametrize("symbol", SOLIDS)
@pytest.mark.parametrize(("factor", "least"), [(1602.1766, 0.02), (160.21766, 0.2)])
def test_another_unit_is_refused(symbol, factor, least):
    """From a compression of 2 % on for kBar, of 20 % for GPa; by either sign."""
    modulus, slope = SOLIDS[symbol][2:]
    if modulus < 60:  # of soft solids the numbers stay small
        return
    ratio = 1 - least
    stress = -vinet(ratio, modulus, slope) / GPA * np.eye(3)
    for sign in (1, -1):
        assert "is it in kBar?" in stress_defect(solid(symbol, ratio), sign * factor * stress)


def test_the_repulsion_is_the_derivative_of_its_energy():
    """W = −∂E/∂ε, by differences, of the universal potential written down once more."""
    atoms = skewed("Si2CW", 3)
    weights, decays = [0.18175, 0.50986, 0.28022, 0.02817], [3.1998, 0.94229, 0.4029, 0.20162]

    def energy(cell):
        i, j, r = neighbor_list("ijd", cell, 6.0)
        z1, z2 = cell.numbers[i], cell.numbers[j]
        x = r * (z1**0.23 + z2**0.23) / 0.4685
        screening = sum(a * np.exp(-b * x) for a, b in zip(weights, decays, strict=True))
        return 0.5 * float((14.399645 * z1 * z2 / r * screening).sum())

    strain = 1e-5
    expected = np.zeros((3, 3))
    for a in range(3):
        values = []
        for sign in (1, -1):
            turned = atoms.copy()
            turned.set_cell(atoms.cell.array * (1 + sign * strain * np.eye(3)[a]), scale_atoms=True)
            values.append(energy(turned))
        expected[a, a] = -(values[0] - values[1]) / (2 * strain)
    virial = repulsion_virial(to_structure(atoms))
    np.testing.assert_allclose(np.diag(virial), np.diag(expected), rtol=2e-3)
    np.testing.assert_allclose(virial, virial.T)
