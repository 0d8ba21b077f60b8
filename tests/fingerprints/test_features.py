"""The laws of learned features: of SevenNet, of Allegro, and of SevenNet-0 itself."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import numerical_gradient, numerical_strain_gradient, rattled, rotated, skewed
from pydantic import ValidationError

from entropy_flows.batch import Batch
from entropy_flows.entropy import DatasetParams, GlobalBias, SufficientStatistics
from entropy_flows.fingerprints import (
    Features,
    FeaturesParams,
    Fingerprint,
    check_fingerprint,
    make_fingerprint,
)
from entropy_flows.fingerprints.scale import standard_scale
from entropy_flows.potentials import load_batch_model, locate_model

pytest.importorskip("sevenn", reason="needs SevenNet (extra `teacher`)")
from small_models import small_sevennet

ALLEGRO = "shipped:si-small.nequip.zip"
SILICON = [skewed("Si3", 1), rattled(repeat=1), skewed("Si4", 3), bulk("Si")]
OXIDES = [skewed("Si2O", 1), skewed("O2Si", 2), skewed("Si2O3", 3)]


@pytest.fixture(scope="module")
def sevennet(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.pth"
    return Features(model=str(small_sevennet(path, ("O", "Si"))))


@pytest.fixture(scope="module", params=["Allegro", "SevenNet"])
def case(request, sevennet):
    """A fingerprint, cells for it, its length, and the relative error of a rotation."""
    if request.param == "Allegro":
        return SimpleNamespace(features=Features(model=ALLEGRO), cells=SILICON, dim=24, error=1e-12)
    # e3nn keeps the Clebsch-Gordan coefficients in single precision
    return SimpleNamespace(features=sevennet, cells=OXIDES, dim=4, error=1e-6)


def test_adjoint_is_the_derivative(case):
    for atoms in case.cells[:2]:
        q, pullback = case.features.vjp(atoms)
        assert q.shape == (len(atoms), case.features.dim) == (len(atoms), case.dim)
        weights = np.random.default_rng(0).normal(size=q.shape)
        phi = lambda moved: float((weights * case.features(moved)).sum())  # noqa: E731, B023
        gradient, strain = pullback(weights)
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradient, numerical_gradient(phi, atoms), atol=1e-7 * scale)
        np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12 * scale)
        numerical = numerical_strain_gradient(phi, atoms)
        np.testing.assert_allclose(strain, numerical, atol=1e-7 * np.abs(strain).max())


def test_invariance(case):
    atoms = case.cells[0]
    q = case.features(atoms)
    shifted, wrapped, other_vectors = (atoms.copy() for _ in range(3))
    shifted.positions += [3.3, -7.1, 0.4]
    wrapped.wrap()
    other_vectors.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ atoms.cell.array)
    size = np.abs(q).max()
    for same in (shifted, wrapped, other_vectors):
        np.testing.assert_allclose(case.features(same), q, atol=1e-11 * size)
    np.testing.assert_allclose(case.features(rotated(atoms)), q, atol=case.error * size)
    order = np.random.default_rng(0).permutation(len(atoms))
    np.testing.assert_allclose(case.features(atoms[order]), q[order], atol=1e-11 * size)
    repeated = case.features(atoms * (2, 1, 1))
    np.testing.assert_allclose(repeated, np.tile(q, (2, 1)), atol=1e-11 * size)


def test_a_cell_has_the_same_bits_in_a_batch_and_among_threads(case):
    together = case.features(case.cells)
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(case.features, case.cells))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        reversed_order = case.features(case.cells[::-1])[::-1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for a, b, c in zip(together, alone, reversed_order, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert torch.get_default_dtype() == torch.float32
    assert case.features([]) == []


def test_the_energy_is_linear_in_the_features(sevennet):
    """With the numbers of atoms for the shifts: as many unknowns, and more cells."""
    elements = ("Si", "O")
    cells = [skewed("Si2O", seed) for seed in range(5)]
    cells += [skewed("O3Si2", seed) for seed in range(5)]
    cells += [skewed("SiO2", seed) for seed in range(5)]
    energies = load_batch_model(sevennet.params.model)(Batch.of(cells)).energy.numpy()
    sums = np.array([q.sum(axis=0) for q in sevennet(cells)])
    counts = [[atoms.symbols.count(symbol) for symbol in elements] for atoms in cells]
    inputs = np.column_stack([sums, counts])
    weights = np.linalg.lstsq(inputs, energies, rcond=None)[0]
    np.testing.assert_allclose(inputs @ weights, energies, atol=1e-5 * np.ptp(energies))


def test_global_bias_has_its_gradient(sevennet):
    statistics = SufficientStatistics(sevennet.dim, mode="atom")
    for atoms in OXIDES:
        statistics.add(sevennet(atoms))
    cell = skewed("Si2O", 9)
    pull = GlobalBias(sevennet, {"atom": statistics})(Batch.of([cell]), ("atom",))
    expected = numerical_gradient(lambda a: statistics.gain(sevennet(a)), cell, 1e-5)
    np.testing.assert_allclose(pull.gradient.numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_an_atom_alone_has_features_and_no_derivative(case):
    symbol = case.cells[0].symbols[0]
    q, pullback = case.features.vjp(Atoms(symbol))
    gradient, strain = pullback(np.ones_like(q))
    assert np.isfinite(q).all()
    assert not gradient.any()
    assert not strain.any()


def test_scale_divides_components(sevennet):
    prints = sevennet(OXIDES)
    scaled = Features(model=sevennet.params.model, scale=standard_scale(prints))
    q, pullback = scaled.vjp(OXIDES[0])
    np.testing.assert_allclose(q * scaled.params.scale, prints[0])
    weights = np.random.default_rng(0).normal(size=q.shape)
    expected, _ = sevennet.vjp(OXIDES[0])[1](weights / scaled.params.scale)
    np.testing.assert_allclose(pullback(weights)[0], expected)
    assert scaled.fingerprint_hash != sevennet.fingerprint_hash
    with pytest.raises(ValueError, match="scale has 3 numbers; expected 1, or one for each of the"):
        Features(model=sevennet.params.model, scale=(1.0, 2.0, 3.0))(OXIDES[0])


def test_settings_are_kept_and_told_apart(sevennet, tmp_path):
    assert isinstance(sevennet, Fingerprint)
    assert Features.from_dict(sevennet.as_dict()) == sevennet == make_fingerprint(sevennet.params)
    dataset = DatasetParams.model_validate(
        {"fingerprint": {"kind": "features", "model": {"name": "7net-mf-0", "modal": "PBE"}}}
    )
    assert dataset == DatasetParams.from_dict(dataset.as_dict())
    check_fingerprint(dataset.fingerprint)
    # a file counts by its content, a name by the model that it means
    moved = tmp_path / "moved.pth"
    moved.write_bytes(Path(sevennet.params.model).read_bytes())
    assert Features(model=str(moved)).fingerprint_hash == sevennet.fingerprint_hash
    assert Features(model="7net-0").fingerprint_hash == Features().fingerprint_hash
    others = [sevennet, Features(), Features(model=ALLEGRO), make_fingerprint(dataset.fingerprint)]
    assert len({other.fingerprint_hash for other in others}) == 4


def test_strange_elements_are_refused(sevennet):
    with pytest.raises(ValueError, match="the model does not know C"):
        sevennet(skewed("SiC"))
    silicon = Features(model=sevennet.params.model, elements=("Si",))
    with pytest.raises(ValueError, match=r"element 'O' is not among the elements \(Si\)"):
        silicon(skewed("SiO2"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("CHGNet", "gives no features; expected a name of SevenNet's, or a file"),
        ("nonsense", "gives no features"),
        ("small.pth", "is a relative path; expected an absolute one"),
        ({"name": "/a/b.bin", "family": "sevennet"}, "found by its name; leave out `family`"),
    ],
)
def test_bad_models(model, message):
    with pytest.raises(ValidationError, match=message):
        FeaturesParams(model=model)


def test_a_compiled_model_is_refused(tmp_path):
    path = tmp_path / "model.nequip.pt2"
    path.write_bytes(Path(locate_model(ALLEGRO, tmp_path)).read_bytes())
    with pytest.raises(ValueError, match="is compiled and gives energies alone; take the"):
        Features(model=str(path))(bulk("Si"))


@pytest.mark.slow
def test_the_laws_of_sevennet_0():
    features = Features(model="SevenNet-0")
    atoms = skewed("NaCl2", 1)
    q, pullback = features.vjp(atoms)
    assert q.shape == (3, 128)
    weights = np.random.default_rng(0).normal(size=q.shape)
    phi = lambda moved: float((weights * features(moved)).sum())  # noqa: E731
    gradient, strain = pullback(weights)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient, numerical_gradient(phi, atoms), atol=1e-7 * scale)
    numerical = numerical_strain_gradient(phi, atoms)
    np.testing.assert_allclose(strain, numerical, atol=1e-7 * np.abs(strain).max())
    np.testing.assert_allclose(features(rotated(atoms)), q, atol=1e-8 * np.abs(q).max())
