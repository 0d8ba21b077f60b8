"""In its conventions the fingerprint is libfp's, whose own numbers lie beside this file.

They were written by benchmarks/peers/make_reference.py; benchmarks/peers/libfp_client.py has the
map of conventions.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from entropy_flows.fingerprints import GOM

REFERENCE = json.loads(Path(__file__).with_name("libfp.json").read_text())
CELLS = REFERENCE["cells"]
VOIGT = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]


def read(name):
    """Cell, libfp's fingerprints, and our fingerprint in its conventions."""
    cell = CELLS[name]
    atoms = Atoms(cell["symbols"], cell["positions"], cell=cell["cell"], pbc=True)
    q = np.array(cell["fingerprints"])
    return atoms, q, twin(cell["cutoff"], q.shape[1])


def twin(cutoff, natx):
    return GOM(
        cutoff=cutoff,
        natx=natx,
        overlap="normalized",
        exponent=2,
        species="single",
        radii=REFERENCE["radii"],
    )


@pytest.mark.parametrize("name", CELLS)
def test_fingerprints(name):
    atoms, q, gom = read(name)
    np.testing.assert_allclose(gom(atoms), q, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_derivatives(name):
    atoms, q, gom = read(name)
    gradient, strain = gom.vjp(atoms)[1](np.sin(np.arange(q.size)).reshape(q.shape))
    np.testing.assert_allclose(gradient, CELLS[name]["gradient"], rtol=0, atol=1e-10)
    voigt = strain[VOIGT] * [1, 1, 1, 2, 2, 2]  # libfp counts a shear from both of its sides
    np.testing.assert_allclose(voigt, CELLS[name]["strain"], rtol=0, atol=1e-10)


def test_natx_below_the_neighbour_count_keeps_the_largest():
    atoms, q, _ = read("C16, thermal")  # libfp itself ends the process here
    assert (q[:, 40] > 0).all()
    np.testing.assert_allclose(twin(4.5, 30)(atoms), q[:, :30], rtol=0, atol=1e-10)


def test_any_image_of_an_atom_is_as_good():
    atoms, q, gom = read("three species, skewed, atoms outside the cell")
    outside = atoms.get_scaled_positions(wrap=False)
    assert (outside < 0).any()
    assert (outside > 1).any()
    atoms.wrap()  # what libfp needs and was given
    np.testing.assert_allclose(gom(atoms), q, rtol=0, atol=1e-10)
