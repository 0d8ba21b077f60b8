"""The laws a GOM fingerprint obeys."""

from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from cells import numerical_gradient, numerical_strain_gradient, rattled, rotated, skewed, strained

from entropy_flows.batch import Batch
from entropy_flows.fingerprints import GOM, Fingerprint, GOMParams, members, overlap, overlap_cpu
from entropy_flows.skin import Skin

CELLS = {
    "one species": skewed("Si4", 1),
    "two species": skewed("Si2C3", 2),
    "three species": skewed("NaCl2O", 3),
    "tiny": Atoms(
        "C", cell=[[1.5, 0.3, 0], [0, 1.6, 0.4], [0.2, 0, 1.7]], pbc=True, positions=[[9, -4, 3]]
    ),
    "slab": Atoms(skewed("SiC2", 4), pbc=(True, False, True)),
    "molecule": molecule("CH3CH2OH"),
}
CELLS["molecule"].rattle(
    0.1
)  # its mirror plane makes eigenvalues cross, which have no derivative one by one
FORMS = [
    (overlap, species)
    for overlap in ("paper", "normalized")
    for species in ("pairs", "center", "single")
]


def dense_reference(atoms, cutoff, natx, exponent, overlap, species, elements):
    """q from the definition, one image and one matrix element at a time."""
    atoms = atoms.copy()
    atoms.wrap()
    heights = [np.inf] * 3
    if atoms.pbc.any():
        heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0)
    reach = [
        int(np.ceil(cutoff / h)) + 1 if p else 0 for h, p in zip(heights, atoms.pbc, strict=True)
    ]
    images = [np.array(s) @ atoms.cell[:] for s in product(*(range(-m, m + 1) for m in reach))]
    alpha = {s: 0.5 / covalent_radii[Atoms(s).numbers[0]] ** 2 for s in elements}
    if species == "single":
        blocks = [(set(elements), False)]
    elif species == "center":
        blocks = [({t}, True) for t in elements]
    else:
        blocks = [({s, t}, False) for k, s in enumerate(elements) for t in elements[k:]]
    q = []
    for i in range(len(atoms)):
        row = []
        for wanted, with_center in blocks:
            inside = []
            for j, image in product(range(len(atoms)), images):
                d = atoms.positions[j] + image - atoms.positions[i]
                r = np.linalg.norm(d)
                own = j == i and r < 1e-9
                if r < cutoff and (atoms[j].symbol in wanted or (with_center and own)):
                    inside.append((d, alpha[atoms[j].symbol], (1 - r**2 / cutoff**2) ** exponent))
            M = np.zeros((len(inside), len(inside)))
            for a, (d_a, alpha_a, f_a) in enumerate(inside):
                for b, (d_b, alpha_b, f_b) in enumerate(inside):
                    if overlap == "paper":
                        c = (4 * np.pi * alpha_a * alpha_b / (alpha_a + alpha_b)) ** 1.5
                    else:
                        c = (2 * np.sqrt(alpha_a * alpha_b) / (alpha_a + alpha_b)) ** 1.5
                    r2 = ((d_a - d_b) ** 2).sum()
                    M[a, b] = f_a * c * np.exp(-r2 * alpha_a * alpha_b / (alpha_a + alpha_b)) * f_b
            spectrum = np.linalg.eigvalsh(M)[::-1][:natx] if inside else np.zeros(0)
            row.append(np.pad(np.maximum(spectrum, 0), (0, natx - len(spectrum))))
        q.append(np.concatenate(row))
    return np.array(q)


@pytest.mark.parametrize(("overlap", "species"), FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_equals_the_definition(name, overlap, species):
    atoms = CELLS[name]
    elements = tuple(sorted(set(atoms.symbols), key=lambda s: Atoms(s).numbers[0]))
    settings = {"cutoff": 2.9, "natx": 12, "exponent": 2, "overlap": overlap, "species": species}
    q = GOM(**settings)(atoms)
    assert q.dtype == np.float64
    np.testing.assert_allclose(q, dense_reference(atoms, elements=elements, **settings), atol=1e-10)


def test_more_neighbours_than_natx_keeps_the_largest():
    atoms = rattled("C", 2)
    many, few = GOM(cutoff=4.0, natx=100)(atoms), GOM(cutoff=4.0, natx=7)(atoms)
    assert (many[:, 40] > 0).all()
    np.testing.assert_allclose(few, many[:, :7], atol=1e-12)
    assert (np.diff(many, axis=1) <= 0).all()


@pytest.mark.parametrize("natx", [6, 40])
@pytest.mark.parametrize(("overlap", "species"), FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_adjoint_is_the_derivative(name, overlap, species, natx):
    atoms = CELLS[name]
    gom = GOM(cutoff=2.9, natx=natx, exponent=3, overlap=overlap, species=species)
    q, pullback = gom.vjp(atoms)
    np.testing.assert_allclose(q, gom(atoms), atol=1e-11)
    weights = np.random.default_rng(0).normal(size=q.shape)
    phi = lambda moved: float((weights * gom(moved)).sum())  # noqa: E731
    gradient, strain = pullback(weights)
    np.testing.assert_allclose(gradient, numerical_gradient(phi, atoms, 1e-5), atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-10)
    if atoms.pbc.all():
        np.testing.assert_allclose(
            strain, numerical_strain_gradient(phi, atoms, 1e-5), atol=5e-6, rtol=1e-6
        )
    np.testing.assert_allclose(strain, strain.T, atol=1e-10)


def test_degenerate_spectra_are_harmless():
    atoms = bulk("Si", "diamond", a=5.43)  # threefold degenerate everywhere
    gom = GOM(cutoff=3.0, natx=10)
    phi = lambda moved: float((gom(moved) ** 2).sum())  # noqa: E731
    q, pullback = gom.vjp(atoms)
    gradient, strain = pullback(2 * q)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    np.testing.assert_allclose(strain, numerical_strain_gradient(phi, atoms), atol=1e-6)


@pytest.mark.parametrize("name", ["one species", "two species", "three species"])
def test_invariance(name):
    atoms = CELLS[name]
    gom = GOM(cutoff=3.2, natx=30)
    q = gom(atoms)
    moved = atoms.copy()
    moved.positions += [3.3, -7.1, 0.4]
    wrapped = atoms.copy()
    wrapped.wrap()
    for same in (rotated(atoms), moved, wrapped):
        np.testing.assert_allclose(gom(same), q, atol=1e-11)
    order = np.random.default_rng(0).permutation(len(atoms))
    np.testing.assert_allclose(gom(atoms[order]), q[order], atol=1e-11)
    supercell = gom(atoms * (2, 1, 3))
    np.testing.assert_allclose(supercell, np.tile(q, (6, 1)), atol=1e-11)


def test_elements_fix_the_block_order():
    gom = GOM(cutoff=2.9, natx=5, elements=("Cl", "Na", "O"))
    assert gom.params.elements == ("O", "Na", "Cl")
    assert gom.dim == 6 * 5
    na, cl = Atoms("Na2", [[0, 0, 0], [0, 0, 2]]), Atoms("Cl2", [[0, 0, 0], [0, 0, 2]])
    blocks = {pair: k for k, pair in enumerate(["OO", "ONa", "OCl", "NaNa", "NaCl", "ClCl"])}
    for atoms, filled in ((na, ("ONa", "NaNa", "NaCl")), (cl, ("OCl", "NaCl", "ClCl"))):
        q = gom(atoms).reshape(2, 6, 5)
        assert set(np.flatnonzero(q.any(axis=(0, 2)))) == {blocks[pair] for pair in filled}
    # One species more in the list moves blocks, and changes nothing in them.
    q = gom(CELLS["three species"])
    two = GOM(cutoff=2.9, natx=5, elements=("Na", "Cl"))
    no_oxygen = CELLS["three species"][[a.symbol != "O" for a in CELLS["three species"]]]
    np.testing.assert_allclose(
        gom(no_oxygen).reshape(3, 6, 5)[:, 3:].reshape(3, 15), two(no_oxygen), atol=1e-12
    )
    assert q.shape == (4, 30)


def test_a_batch_is_its_cells(monkeypatch):
    """To the last bit: a cell's numbers do not depend on what else is in the call, nor on how the
    work is cut.
    """
    gom = GOM(cutoff=3.2, natx=30, elements=("C", "Si"))
    cells = [skewed("Si4", 1), skewed("Si2C3", 2), rattled("C"), Atoms("C")]
    alone = [gom(atoms) for atoms in cells]
    for chunk in (2**24, 2000):  # the second splits the values-only path
        monkeypatch.setattr(overlap_cpu, "MAX_ELEMENTS", chunk)
        for one, many in zip(alone, gom(cells), strict=True):
            np.testing.assert_array_equal(one, many)
    spectra = gom.spectra(cells)
    gradient, strain = spectra.pullback(torch.ones_like(spectra.q))
    for k, part in enumerate(np.split(gradient.numpy(), np.cumsum(spectra.sizes)[:-1])):
        q, pullback = gom.vjp(cells[k])
        np.testing.assert_array_equal(part, pullback(np.ones_like(q))[0])
        np.testing.assert_array_equal(strain[k], pullback(np.ones_like(q))[1])
    assert gom([]) == []


@pytest.mark.parametrize(("form", "species"), FORMS)
def test_tensors_equal_the_compiled_loops(form, species, monkeypatch):
    """The path that GPUs take, run on the CPU, gives what the CPU's own gives."""
    cells = [
        skewed("Si4", 1),
        skewed("Si2C3", 2),
        rattled("C"),
        Atoms("C", pbc=False),
        CELLS["slab"],
    ]
    gom = GOM(cutoff=3.2, natx=12, overlap=form, species=species, elements=("C", "Si"))
    weights = torch.from_numpy(
        np.random.default_rng(0).normal(size=(len(gom.spectra(cells).q), gom.dim))
    )
    expected = gom.spectra(cells)
    gradient, strain = expected.pullback(weights)
    batch = Batch.of(cells)
    blocks = gom._blocks_of(batch.cells)
    for chunk in (2**22, 2000):
        monkeypatch.setattr(members, "MAX_ELEMENTS", chunk)
        found = overlap.spectra(batch, gom._form, blocks, 12, vectors=True)
        np.testing.assert_allclose(found.q, expected.q, atol=1e-11)
        values = overlap.spectra(batch, gom._form, blocks, 12, vectors=False)
        np.testing.assert_allclose(values.q, expected.q, atol=1e-11)
        for ours, theirs in zip(found.pullback(weights), (gradient, strain), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("species", ["pairs", "center", "single"])
def test_kept_pairs_are_complete_until_an_atom_has_moved_by_half_of_the_skin(species, p):
    cells = [skewed("Si4", 1), skewed("Si2C3", 2), rattled("C"), CELLS["slab"]]
    gom = GOM(cutoff=3.2, natx=12, species=species, exponent=p, elements=("C", "Si"))
    found = Batch.of(cells)
    found.cells.skin = Skin(0.6)
    blocks = gom._blocks_of(found.cells)
    spectra = lambda batch: overlap.spectra(batch, gom._form, blocks, 12, vectors=True)  # noqa: E731
    at_first = spectra(found)
    assert found.cells.skin.displacement(found.positions) is None
    np.testing.assert_allclose(at_first.q, gom.spectra(cells).q, atol=1e-11)
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.normal(size=at_first.q.shape))
    step = rng.normal(size=found.positions.shape)
    step *= 0.299 / np.linalg.norm(step, axis=1, keepdims=True)
    moved = found.at(found.positions + torch.from_numpy(step))
    assert float(found.cells.skin.displacement(moved.positions)) == pytest.approx(0.299)
    expected, kept = gom.spectra(moved.structures()), spectra(moved)
    np.testing.assert_allclose(kept.q, expected.q, atol=1e-11)
    for one, other in zip(kept.pullback(weights), expected.pullback(weights), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    # beyond that they are not, and are found again when they are forgotten
    far = found.at(found.positions + 6 * torch.from_numpy(step))
    expected = gom.spectra(far.structures()).q
    assert np.abs(spectra(far).q - expected).max() > 1e-3
    found.cells.skin.forget()
    np.testing.assert_allclose(spectra(far).q, expected, atol=1e-11)


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_atoms_crossing_the_cutoff(p):
    """φ and its gradient go on smoothly while an atom leaves the environment of another."""
    gom, r_c = GOM(cutoff=3.0, natx=4, exponent=p), 3.0
    phi, slope = [], []
    for r in r_c + np.array([-1e-3, -1e-5, -1e-9, -1e-15, 0.0, 1e-15, 1e-9, 1e-3]):
        q, pullback = gom.vjp(Atoms("Si2", [[0, 0, 0], [0, 0, r]], cell=[20] * 3, pbc=True))
        phi.append((q**2).sum())
        slope.append(pullback(2 * q)[0][1, 2])
    assert np.abs(np.array(phi) - phi[4])[1:7].max() < 1e-8
    assert np.abs(slope[4:]).max() == 0
    assert (np.diff(np.abs(slope[:5])) <= 0).all()  # falls to zero
    assert np.abs(slope[2]) < 1e-3


def test_eigenvalues_that_swap_their_order():
    """Sorted spectra have kinks where eigenvalues cross, a sum over both has none: its gradient
    is continuous.
    """
    gom, slopes = GOM(cutoff=3.0, natx=3, species="single"), []
    for shift in (-1e-7, 1e-7):  # a triangle that is isosceles, one way and the other
        atoms = Atoms(
            "Si3", [[0, 0, 0], [2, 0, 0], [1 + shift, 3**0.5, 0]], cell=[20] * 3, pbc=True
        )
        q, pullback = gom.vjp(atoms)
        assert q[0, 1] - q[0, 2] < 1
        slopes.append(pullback(2 * q)[0])
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-5)


@pytest.mark.parametrize(
    "shape", [np.diag([0.7, 9.0, 9.0]), [[4, 0, 0], [3.9, 0.9, 0], [0, 0.3, 5]], np.eye(3) * 60]
)
def test_extreme_cells(shape):
    """Thinner than a bond, nearly flat, and larger than any environment."""
    atoms = Atoms("SiC", scaled_positions=[[0, 0, 0], [0.4, 7.5, -3.6]], cell=shape, pbc=True)
    settings = {"cutoff": 2.9, "natx": 30, "exponent": 2, "overlap": "paper", "species": "pairs"}
    gom = GOM(**settings)
    q, pullback = gom.vjp(atoms)
    np.testing.assert_allclose(
        q, dense_reference(atoms, elements=("C", "Si"), **settings), atol=1e-9
    )
    weights = np.random.default_rng(0).normal(size=q.shape)
    phi = lambda moved: float((weights * gom(moved)).sum())  # noqa: E731
    np.testing.assert_allclose(
        pullback(weights)[0], numerical_gradient(phi, atoms, 1e-5), atol=1e-5, rtol=1e-6
    )


def test_atoms_at_one_point_are_finite():
    atoms = Atoms("Si2", [[0, 0, 0], [0, 0, 0]], cell=np.eye(3) * 4, pbc=True)
    q, pullback = GOM(cutoff=3.0, natx=5).vjp(atoms)
    gradient, strain = pullback(np.ones_like(q))
    assert np.isfinite(q).all()
    assert np.isfinite(gradient).all()
    assert np.isfinite(strain).all()


def test_settings_travel():
    gom = GOM(cutoff=3.0, natx=50, elements=("Si", "C"), radii={"Si": 1.1, "C": 0.7})
    again = GOM.from_dict(gom.as_dict())
    assert again == gom
    assert (
        again.fingerprint_hash == gom.fingerprint_hash == GOM(**dict(gom.params)).fingerprint_hash
    )
    assert GOM(**gom.params.model_dump()).fingerprint_hash == gom.fingerprint_hash
    assert (
        GOM(cutoff=3.0, natx=50, elements=("C", "Si"), radii=gom.params.radii).fingerprint_hash
        == gom.fingerprint_hash
    )
    assert GOM(cutoff=3.1, natx=50, elements=("Si", "C")).fingerprint_hash != gom.fingerprint_hash
    assert isinstance(gom, Fingerprint)
    assert GOMParams().cutoff == 4.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutof": 3.0}, "did you mean 'cutoff'"),
        ({"cutoff": -1.0}, "greater than 0"),
        ({"natx": 0}, "greater than or equal to 1"),
        ({"elements": ("Si", "Xy")}, "unknown element 'Xy'"),
        ({"elements": ("Si", "Si")}, "only once"),
        ({"elements": ("Si", "C"), "radii": {"Si": 1.1}}, "no radius for element 'C'"),
        ({"radii": {"Si": -1.1}}, "radius -1.1 of 'Si'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        GOM(**settings)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "0 atoms"),
        (
            Atoms("Si2", [[0, 0, 0], [0, np.nan, 0]], cell=np.eye(3) * 5, pbc=True),
            "position of atom 1 is .*nan",
        ),
        (Atoms("Si", cell=[[5, 0, 0], [5, 0, 0], [0, 0, 5]], pbc=True), "span a volume of 0"),
        (Atoms("Si", pbc=True), "span a volume of 0"),
        (Atoms("Si", cell=[5, 5, np.inf], pbc=True), "must be finite"),
        (Atoms("Ge", cell=[5, 5, 5], pbc=True), "element 'Ge' is not among the elements"),
    ],
)
def test_wrong_cells(atoms, message):
    with pytest.raises(ValueError, match=message):
        GOM(cutoff=3.0, natx=5, elements=("Si",))(atoms)


def test_dim_of_unknown_elements():
    gom = GOM(natx=5)
    with pytest.raises(ValueError, match="give elements"):
        _ = gom.dim
    with pytest.raises(ValueError, match="different elements in one call"):
        gom([Atoms("Si"), Atoms("C")])
    gom(Atoms("SiC", [[0, 0, 0], [0, 0, 2]]))
    assert gom.dim == 15
    assert GOM(natx=5, species="single").dim == 5


def test_wrong_weights():
    q, pullback = GOM(natx=5).vjp(Atoms("Si"))
    with pytest.raises(ValueError, match=r"weights have shape \(1, 4\)"):
        pullback(q[:, :4])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    atoms = rattled("C", 2)
    results = []
    for device in ("cpu", "cuda"):
        q, pullback = GOM(cutoff=4.5, natx=200, device=device).vjp(atoms)
        results.append((q, *pullback(q)))
    for cpu, gpu in zip(*results, strict=True):
        np.testing.assert_allclose(gpu, cpu, atol=1e-8)


def test_compression_raises_the_overlap():
    atoms = rattled("C", 2)
    gom = GOM(cutoff=3.0, natx=50)
    assert gom(strained(atoms, -0.05 * np.eye(3)))[:, 0].mean() > gom(atoms)[:, 0].mean()


def test_stored_settings_keep_their_hash():
    assert GOM(cutoff=4.5, natx=200, elements=("Si",)).fingerprint_hash == "c36b07ed4021f6d7"
    assert GOM(cutoff=3.0, natx=50, elements=("Na", "Cl")).fingerprint_hash == "4d10bab7b678f8a1"
