"""Scaled fingerprints: what is divided, and its derivative."""

import numpy as np
import pytest
from cells import rattled

from entropy_flows.fingerprints import GOM
from entropy_flows.fingerprints.scale import block_scale, standard_scale

SETTINGS = {"cutoff": 4.0, "natx": 6, "elements": ("C", "Si")}


def mixed(seed=0):
    atoms = rattled("Si", 2, seed=seed)
    atoms.numbers[::3] = 6
    return atoms


def test_each_component_or_each_matrix_is_divided():
    raw = GOM(**SETTINGS)(mixed())
    components = tuple(np.linspace(0.5, 2.0, 18))
    np.testing.assert_allclose(
        GOM(**SETTINGS, scale=components)(mixed()) * components, raw, rtol=1e-12
    )
    np.testing.assert_allclose(
        GOM(**SETTINGS, scale=(2.0, 3.0, 5.0))(mixed()) * np.repeat([2.0, 3.0, 5.0], 6),
        raw,
        rtol=1e-12,
    )
    with pytest.raises(
        ValueError, match="scale has 4 numbers; expected 18, or one for each of the 3 matrices"
    ):
        GOM(**SETTINGS, scale=(1.0,) * 4)(mixed())


def test_the_pullback_is_that_of_the_scaled_vectors():
    gom, atoms = GOM(**SETTINGS, scale=tuple(np.linspace(0.5, 2.0, 18))), mixed(1)
    q, pullback = gom.vjp(atoms)
    w = np.random.default_rng(0).normal(size=q.shape)
    gradient, strain = pullback(w)
    direction, h = np.random.default_rng(1).normal(size=atoms.positions.shape), 1e-5
    values = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * h * direction
        values.append(float((w * gom(moved)).sum()))
    assert float((gradient * direction).sum()) == pytest.approx(
        (values[0] - values[1]) / (2 * h), rel=1e-6
    )
    stretched = []
    for sign in (1, -1):
        other = atoms.copy()
        other.set_cell(atoms.cell * (1 + sign * h), scale_atoms=True)
        stretched.append(float((w * gom(other)).sum()))
    assert np.trace(strain) == pytest.approx((stretched[0] - stretched[1]) / (2 * h), rel=1e-6)


def test_scales_from_cells():
    raw = GOM(**SETTINGS)
    prints = raw([mixed(seed) for seed in range(4)])
    standard = np.concatenate(
        GOM(**SETTINGS, scale=standard_scale(prints))([mixed(seed) for seed in range(4)])
    )
    spread = standard.std(axis=0)
    assert spread.max() == pytest.approx(1.0)
    assert (spread > 0.9).sum() > 9  # the others hardly vary at all
    blocks = np.concatenate(
        GOM(**SETTINGS, scale=block_scale(prints, 6))([mixed(seed) for seed in range(4)])
    )
    rms = np.sqrt((blocks.std(axis=0).reshape(3, 6) ** 2).mean(axis=1))
    np.testing.assert_allclose(rms, 1.0, rtol=1e-9)


def test_settings_without_a_scale_are_what_they_were():
    """Fingerprints that are stored belong to the settings of before."""
    assert "scale" not in GOM(**SETTINGS).settings
    assert (
        GOM(**SETTINGS).fingerprint_hash != GOM(**SETTINGS, scale=(1.0, 1.0, 1.0)).fingerprint_hash
    )
