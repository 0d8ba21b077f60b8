"""Cells at another density: the same cell but for one length."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from cells import skewed

from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import rescaled


def test_all_lengths_scale_alike():
    atoms = skewed("CSi2C2")
    scaled = rescaled(atoms, 17.3)
    factor = np.cbrt(17.3 * len(atoms) / atoms.get_volume())
    assert scaled.get_volume() / len(scaled) == pytest.approx(17.3)
    np.testing.assert_allclose(scaled.cell.array, factor * atoms.cell.array, rtol=1e-12)
    np.testing.assert_allclose(scaled.positions, factor * atoms.positions, rtol=1e-12)


def test_fingerprints_are_those_of_a_scaled_cutoff_and_radius():
    atoms = skewed("CSi2C", seed=1)
    scaled = rescaled(atoms, 2.0**3 * atoms.get_volume() / len(atoms))
    settings = {"natx": 20, "species": "single", "overlap": "normalized"}
    radii = {"C": 0.8, "Si": 1.1}
    here = GOM(cutoff=3.0, radii=radii, **settings)(atoms)
    there = GOM(cutoff=6.0, radii={"C": 1.6, "Si": 2.2}, **settings)(scaled)
    np.testing.assert_allclose(here, there, atol=1e-10)


def test_the_original_stays_and_results_do_not_travel():
    atoms = Atoms(
        "Cu2", positions=[[0, 0, 0], [1.8, 1.8, 1.8]], cell=[3.6] * 3, pbc=True, info={"key": "a"}
    )
    atoms.calc = EMT()
    atoms.get_potential_energy()
    scaled = rescaled(atoms, 30.0)
    assert scaled.calc is None
    assert scaled.info == {"key": "a"}
    assert atoms.get_volume() == pytest.approx(3.6**3)


@pytest.mark.parametrize("volume", [0.0, -1.0, float("nan"), float("inf")])
def test_a_volume_that_is_none_is_named(volume):
    with pytest.raises(ValueError, match=f"volume per atom is {volume}"):
        rescaled(Atoms("Cu", cell=[3] * 3, pbc=True), volume)


def test_a_molecule_has_no_density():
    with pytest.raises(ValueError, match="1 atoms and 0 vectors"):
        rescaled(Atoms("Cu"), 10.0)
