"""The laws of the sufficient statistics: gain = recomputed determinant, merge = concatenation."""

import numpy as np
import pytest
from exact import LAMBDA, cloud, exact_entropy, exact_gain, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_flows.entropy import Criterion, SufficientStatistics, blocks, spectrum
from entropy_flows.select.base import Candidate, block_gains


def recomputed(cells, dim, mode):
    """log det of Σ from the vectors themselves."""
    if not cells:
        return dim * np.log(LAMBDA)
    x = vectors(cells, mode)
    x = x - x.mean(axis=0)
    return np.linalg.slogdet(x.T @ x / len(x) + LAMBDA * np.eye(dim))[1]


def filled(cells, dim, mode):
    statistics = SufficientStatistics(dim, LAMBDA, mode)
    for q in cells:
        statistics.add(q)
    return statistics


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("dim", [3, 30, 200])
@pytest.mark.parametrize(
    "n", [0, 1, 2, 10, 300, 2_000, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_gain_is_the_recomputed_determinant(n, dim, mode):
    cells = cloud(n, 1, dim)
    statistics = filled(cells, dim, mode)
    before = recomputed(cells, dim, mode)
    assert statistics.n == n
    assert statistics.entropy() == pytest.approx(before, abs=1e-9)
    candidates = [
        *cloud(3, 1, dim, seed=1),
        *cloud(2, 8, dim, seed=2),
        1.3 * cloud(1, 32, dim, seed=3)[0],
    ]
    gains = statistics.gains(candidates)
    for q, gain in zip(candidates, gains, strict=True):
        assert gain == pytest.approx(recomputed([*cells, q], dim, mode) - before, abs=1e-9)
        assert gain == pytest.approx(statistics.gain(q), abs=1e-12)


def test_gain_of_many_sizes_follows_the_sequence():
    """Accepting one cell after another adds up."""
    cells = [q for atoms in (1, 4, 9, 40) for q in cloud(3, atoms, 12, seed=atoms)]
    statistics = SufficientStatistics(12, LAMBDA)
    for k, q in enumerate(cells):
        expected, before = statistics.gain(q), statistics.entropy()
        statistics.add(q)
        assert statistics.entropy() - before == pytest.approx(expected, abs=1e-10)
        assert statistics.entropy() == pytest.approx(
            recomputed(cells[: k + 1], 12, "atom"), abs=1e-9
        )


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("count", [3_333, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_acceptances_do_not_drift(mode, count, monkeypatch):
    """Mean, covariance, entropy and gains of a stream are those of all its vectors together, at
    every stage of it.
    """
    dim, decompositions, eigh = 30, [], spectrum.eigh
    monkeypatch.setattr(
        spectrum,
        "eigh",
        lambda *args, **options: decompositions.append(1) or eigh(*args, **options),
    )
    cells, probes = (
        cloud(count, 3, dim),
        [*cloud(2, 3, dim, seed=1), 1.5 * cloud(1, 8, dim, seed=2)[0]],
    )
    statistics = SufficientStatistics(dim, LAMBDA, mode)
    for number, q in enumerate(cells, 1):
        gain = statistics.gain(q)
        before = statistics.entropy() if number % 20 == 0 else None
        statistics.add(q)
        if before is not None:
            assert statistics.entropy() - before == pytest.approx(gain, abs=1e-9)
        if number in (1, 2, 3, 10, 29, 100, 1000, 3333, 10_000):
            x = vectors(cells[:number], mode)
            covariance = np.cov(x.T, bias=True) + LAMBDA * np.eye(dim)
            assert statistics.n == len(x)
            np.testing.assert_allclose(statistics.mean, x.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(statistics.covariance(), covariance, rtol=1e-10, atol=1e-12)
            assert statistics.entropy() == pytest.approx(
                recomputed(cells[:number], dim, mode), abs=1e-9
            )
            gains = [exact_gain(cells[:number], probe, mode) for probe in probes]
            np.testing.assert_allclose(statistics.gains(probes), gains, rtol=0, atol=1e-9)
    columns = count * (3 if mode == "atom" else 1)
    assert len(decompositions) < 1.3 * columns / (spectrum.MAX_COLUMN_RATIO * dim)


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_an_array_is_a_list_of_cells(mode, n, monkeypatch):
    """Whatever its strides, its type and the size of the blocks in which it is worked through."""
    dim = 7
    statistics = filled(cloud(n, 3, dim), dim, mode)
    array = np.stack(cloud(25, 3, dim, seed=1))
    expected = (
        [exact_gain(cloud(n, 3, dim), q, mode) for q in array]
        if n
        else statistics.gains(list(array))
    )
    for kilobytes in (2**19, 100):  # 100 bytes: one cell a block
        monkeypatch.setattr(blocks, "BLOCK_BYTES", kilobytes)
        monkeypatch.setattr(blocks, "BLOCK_ROWS", 1 if kilobytes == 100 else 128)
        for form in (
            array,
            np.asfortranarray(array),
            np.repeat(array, 2, axis=0)[::2],
            list(array),
            tuple(array),
        ):
            np.testing.assert_allclose(statistics.gains(form), expected, rtol=0, atol=1e-9)
    single = statistics.gains(array.astype(np.float32))
    np.testing.assert_array_equal(single, statistics.gains([q.astype(np.float32) for q in array]))
    np.testing.assert_allclose(single, expected, rtol=1e-3, atol=1e-3)
    assert statistics.gains(array[:0]).shape == statistics.gains([]).shape == (0,)


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_cells_of_all_sizes_at_once(mode):
    """In the order given; sizes beyond the length of a vector among them."""
    dim, kept = 6, cloud(20, 2, 6)
    statistics = filled(kept, dim, mode)
    sizes = np.random.default_rng(0).choice([1, 2, 5, 11], size=40)
    candidates = [cloud(1, size, dim, seed=seed)[0] for seed, size in enumerate(sizes)]
    expected = [exact_gain(kept, q, mode) for q in candidates]
    np.testing.assert_allclose(statistics.gains(candidates), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize(
    ("scale", "regularization"), [(1e-60, 1e-3), (1e-4, 1e-3), (1e3, 1e-3), (1e50, 1e96), (1, 1e-9)]
)
def test_scales(mode, scale, regularization):
    """Vectors of any size next to λ, from one above all of them to one below most."""
    dim, kept = 8, [q * scale / 10 for q in cloud(30, 3, 8)]
    statistics, candidates = (
        SufficientStatistics(dim, regularization, mode),
        [2 * kept[0], kept[1][:1], kept[2] - kept[3]],
    )
    for n, q in enumerate(kept):
        if n in (1, 2, 29):
            expected = [exact_gain(kept[:n], c, mode, regularization) for c in candidates]
            np.testing.assert_allclose(statistics.gains(candidates), expected, rtol=1e-9, atol=1e-9)
            entropy = float(exact_entropy(kept[:n], mode, regularization))
            assert statistics.entropy() == pytest.approx(entropy, rel=1e-9, abs=1e-9)
        statistics.add(q)


def test_first_cell():
    q = cloud(1, 4, 6)[0]
    assert SufficientStatistics(6, LAMBDA, "config").gain(q) == 0
    assert SufficientStatistics(6, LAMBDA, "atom").gain(q[:1]) == 0
    assert SufficientStatistics(6, LAMBDA, "atom").gain(q) > 1
    assert SufficientStatistics(6, LAMBDA).entropy() == pytest.approx(6 * np.log(LAMBDA))


@pytest.mark.parametrize("mode", ["atom", "config"])
@pytest.mark.parametrize("n", [0, 1, 5, 200])
@pytest.mark.parametrize("atoms", [1, 3, 12])
def test_gradient_is_the_derivative(atoms, n, mode):
    dim, step = 6, 1e-5
    statistics = filled(cloud(n, 2, dim), dim, mode)
    q = cloud(1, atoms, dim, seed=7)[0]
    gradient = statistics.gradient(q)
    for index in np.ndindex(q.shape):
        shift = np.zeros_like(q)
        shift[index] = step
        slope = (statistics.gain(q + shift) - statistics.gain(q - shift)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_paper_gradient_is_the_limit_of_large_datasets(mode):
    dim = 5
    statistics = filled(cloud(3000, 4, dim), dim, mode)
    q = cloud(1, 2, dim, seed=7)[0]
    vectors = q if mode == "atom" else np.repeat(q.mean(axis=0, keepdims=True), 2, axis=0) / 1
    expected = (
        2 / statistics.n * np.linalg.solve(statistics.covariance(), (vectors - statistics.mean).T).T
    )
    expected = expected if mode == "atom" else expected / 2
    np.testing.assert_allclose(statistics.paper_gradient(q), expected, rtol=1e-9)
    np.testing.assert_allclose(statistics.gradient(q), expected, rtol=0.05, atol=1e-6)


@given(split=st.integers(0, 12), mode=st.sampled_from(["atom", "config"]))
@settings(max_examples=20, deadline=None)
def test_merge_is_concatenation(split, mode):
    cells = [*cloud(6, 3, 9), *cloud(6, 5, 9, seed=1)]
    left, right = filled(cells[:split], 9, mode), filled(cells[split:], 9, mode)
    right_before = right.checksum()
    left.merge(right)
    whole = filled(cells, 9, mode)
    assert left.n == whole.n
    np.testing.assert_allclose(left.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(left.covariance(), whole.covariance(), rtol=1e-10, atol=1e-13)
    assert left.entropy() == pytest.approx(whole.entropy(), abs=1e-10)
    assert right.checksum() == right_before


def test_covariance_and_mean():
    cells = cloud(7, 3, 4)
    statistics = filled(cells, 4, "atom")
    x = np.concatenate(cells)
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0))
    np.testing.assert_allclose(statistics.covariance(), np.cov(x.T, bias=True) + LAMBDA * np.eye(4))


@pytest.mark.parametrize("mode", ["atom", "config"])
def test_bytes_round_trip(mode):
    statistics = filled(cloud(20, 3, 11), 11, mode)
    again = SufficientStatistics.from_bytes(statistics.to_bytes())
    assert again.to_bytes() == statistics.to_bytes()
    assert again.checksum() == statistics.checksum()
    assert (again.mode, again.n, again.regularization) == (
        mode,
        20 * (3 if mode == "atom" else 1),
        LAMBDA,
    )
    q = cloud(1, 3, 11, seed=5)[0]
    assert again.gain(q) == statistics.gain(q)
    again.add(q)
    statistics.add(q)
    assert again.checksum() == statistics.checksum()


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_damaged_bytes_are_refused(data):
    good = filled(cloud(5, 3, 4), 4, "atom").to_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"damaged|no sufficient statistics"):
        SufficientStatistics.from_bytes(bytes(bad))
    with pytest.raises(ValueError, match=r"damaged|no sufficient statistics"):
        SufficientStatistics.from_bytes(good[:position])


def test_copy_is_independent():
    statistics = filled(cloud(5, 3, 4), 4, "atom")
    checksum, twin = statistics.checksum(), statistics.copy()
    twin.add(cloud(1, 3, 4, seed=9)[0])
    assert statistics.checksum() == checksum != twin.checksum()
    assert statistics.entropy() != twin.entropy()


def test_arguments_are_not_kept():
    q = cloud(1, 1, 4)[0]
    statistics = filled([q], 4, "atom")
    before = statistics.checksum()
    q += 1
    assert statistics.checksum() == before


def test_wrong_input():
    for arguments, message in [
        ((0,), "dim is 0"),
        ((3, -1e-3), "regularization is -0.001"),
        ((3, np.nan), "regularization is nan"),
        ((3, 1e-3, "atoms"), "mode is 'atoms'"),
    ]:
        with pytest.raises(ValueError, match=message):
            SufficientStatistics(*arguments)
    statistics = filled(cloud(3, 2, 4), 4, "atom")
    before = statistics.checksum()
    bad = np.ones((2, 4))
    bad[1, 2] = np.nan
    for q, message in [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(4), r"shape \(4,\)"),
        (bad, "atom 1 is not finite"),
        (-np.inf * np.ones((1, 4)), "atom 0 is not finite"),
        (1e200 * np.eye(4)[::-1], r"atom 0 reaches 1e\+200; it must not exceed 1e\+100"),
    ]:
        for use in (
            statistics.add,
            statistics.gain,
            statistics.gradient,
            statistics.paper_gradient,
        ):
            with pytest.raises(ValueError, match=message):
                use(q)
    good = np.ones((2, 4))
    for candidates, message in [
        ([good, bad], "candidate 1: fingerprint of atom 1 is not finite"),
        (np.stack([good, good, bad]), "candidate 2: fingerprint of atom 1 is not finite"),
        ([good, 1e300 * good], "candidate 1: fingerprint of atom 0 reaches"),
        ([good, good[:, :3]], r"shape \(2, 3\)"),
        ([good, good[:0]], r"shape \(0, 4\)"),
        (good, r"candidates have shape \(2, 4\)"),
        (np.ones((3, 2, 5)), r"candidates have shape \(3, 2, 5\)"),
        (np.ones((3, 0, 4)), r"candidates have shape \(3, 0, 4\)"),
    ]:
        for each in (statistics, filled(cloud(3, 2, 4), 4, "config")):
            with pytest.raises(ValueError, match=message):
                each.gains(candidates)
    with pytest.raises(
        ValueError, match="candidate 0 is too far from the data: no finite gain at λ = 1e-200"
    ):
        SufficientStatistics(4, 1e-200).gain(1e90 * np.eye(4))
    for other in (
        SufficientStatistics(5),
        SufficientStatistics(4, 1e-2),
        SufficientStatistics(4, mode="config"),
    ):
        with pytest.raises(ValueError, match="cannot merge"):
            statistics.merge(other)
    assert statistics.checksum() == before
    with pytest.raises(ValueError, match="N, which is 0"):
        SufficientStatistics(4).paper_gradient(np.ones((1, 4)))


def test_log_det_is_a_criterion():
    statistics = SufficientStatistics(3)
    assert isinstance(statistics, Criterion)
    q = np.random.default_rng(0).normal(size=(4, 3))
    before, gain = statistics.value(), statistics.gain(q)
    statistics.add(q)
    assert statistics.value() - before == pytest.approx(gain)


def test_a_mean_is_judged_as_its_cell():
    """In mode "config" the mean of a cell is all that counts: for cells of any sizes."""
    rng = np.random.default_rng(3)
    cells = [rng.normal(size=(size, 7)) for size in (4, 9, 1, 4)]
    statistics = SufficientStatistics(7, mode="config")
    for size in (5, 2, 8):
        statistics.add(rng.normal(size=(size, 7)))
    block = [Candidate(str(index), q, "config") for index, q in enumerate(cells)]
    gains = block_gains(block, {"config": statistics})
    np.testing.assert_allclose(gains, statistics.gains(cells), rtol=1e-12)
    for gain, q in zip(gains, cells, strict=True):
        assert gain == pytest.approx(statistics.gain(q), rel=1e-12)
    assert all(candidate.mean.shape == (1, 7) for candidate in block)
    assert Candidate("", cells[0], "atom").mean is None
