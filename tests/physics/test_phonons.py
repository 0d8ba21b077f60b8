"""Phonons against those of fcc springs, which a book has."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from physics.crystals import SHARP, Springs

from entropy_flows.evaluate.physics.phonons import phonons
from entropy_flows.report.physics_plots import physics_figures
from entropy_flows.report.physics_table import physics_rows

pytest.importorskip("phonopy")
K, R0 = 2.0, 2.55
THZ = units.fs * 1e3
"""ASE's angular frequency of 1 rad/THz⁻¹."""


@pytest.fixture(scope="module")
def springs():
    start = bulk("Cu", a=1.01 * R0 * 2**0.5)
    return phonons(
        start, Springs(K, R0, 1.2 * R0), SHARP.model_copy(update={"supercell_length": 7.0})
    )


def test_frequencies_of_fcc_springs_are_the_analytic_ones(springs):
    mass = bulk("Cu").get_masses()[0]
    unit = np.sqrt(K / mass) * THZ / (2 * np.pi)
    at = dict(zip(springs.labels, springs.label_positions, strict=True))
    bands = {
        name: springs.bands[int(np.argmin(np.abs(np.array(springs.path) - at[name])))]
        for name in "XL"
    }

    # ω² = 4 k/m (twice), 8 k/m at X; 2 k/m (twice), 8 k/m at L
    assert bands["X"] == pytest.approx([2 * unit, 2 * unit, 8**0.5 * unit], rel=2e-3)
    assert bands["L"] == pytest.approx([2**0.5 * unit, 2**0.5 * unit, 8**0.5 * unit], rel=2e-3)
    assert springs.highest == pytest.approx(8**0.5 * unit, rel=2e-3)


def test_acoustic_modes_vanish_at_gamma_and_all_modes_are_counted(springs):
    assert springs.labels[0] == "G"
    assert springs.bands[0] == pytest.approx([0, 0, 0], abs=1e-3)
    assert springs.lowest > -1e-3
    assert np.trapezoid(springs.dos, springs.dos_frequencies) == pytest.approx(3, rel=0.02)


def test_an_unstable_crystal_has_imaginary_frequencies_told_as_negative():
    bcc = phonons(
        bulk("Cu", "bcc", a=2.85), EMT(), SHARP.model_copy(update={"supercell_length": 7.0})
    )

    assert bcc.lowest < -0.1


def test_labels_and_bands_fit_the_table_and_the_figure(springs):
    models = {"springs": {("phonons", "fcc"): {"result": vars(springs), "reason": None}}}
    rows, figures = physics_rows(models), physics_figures(models)

    axis = figures["physics_phonons"][0].axes[0]
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert list(figures) == ["physics_phonons"]
    assert names[0] == "Γ"
    assert "K|U" in names  # there the path jumps
    assert np.isnan(axis.lines[0].get_xdata()).sum() == sum("|" in name for name in names)
    assert ["fcc", "lowest phonon, THz", f"{springs.lowest:.2f}"] in rows


def test_optical_mode_of_two_masses_on_springs():
    """CsCl with springs between unlike neighbours, eight a pair of atoms: μ ω² = (8/3) k at Γ."""
    a = R0 * 2 / 3**0.5
    cell = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[a, a, a], pbc=True)
    found = phonons(
        cell, Springs(K, R0, 1.05 * R0), SHARP.model_copy(update={"supercell_length": 5.0})
    )
    m1, m2 = cell.get_masses()

    expected = np.sqrt(8 / 3 * K * (1 / m1 + 1 / m2)) * THZ / (2 * np.pi)
    assert found.bands[0] == pytest.approx([0, 0, 0, *[expected] * 3], abs=2e-2)
