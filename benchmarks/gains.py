"""Information gains of candidates, against a determinant for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.entropy import Mode, SufficientStatistics

ATOMS, LENGTHS, MODES = 16, (50, 200, 600), ("atom", "config")
TEXT = f"""\
Data sets and candidates are cells of {ATOMS} atoms with random fingerprints of length d; the
data set has 400 cells. The floor of doing without the matrix determinant lemma is
`numpy.linalg.slogdet` of one Σ a candidate, all stacked in one array, before anyone has computed
these Σ."""


def run(options: Options) -> Section:
    """Pools and streams."""
    return Section(
        "Information gain ΔH", TEXT.replace("\n", " "), [pools(options), streams(options)]
    )


def dataset(dim: int, mode: Mode, cells: int = 400) -> SufficientStatistics:
    """Statistics of random cells."""
    rng, stats = np.random.default_rng(0), SufficientStatistics(dim, mode=mode)
    for _ in range(cells):
        stats.add(rng.normal(size=(ATOMS, dim)))
    return stats


def pool(dim: int, count: int) -> np.ndarray:
    """Fingerprints (count, ATOMS, d) of candidates."""
    return np.random.default_rng(1).normal(size=(count, ATOMS, dim))


def pools(options: Options) -> Table:
    """Many candidates against one data set."""
    columns = [
        "mode",
        "d",
        "gains/s, one array",
        "gains/s, list of arrays",
        "gains/s, one by one",
        "slogdet/s",
        "ratio",
    ]
    table = Table("A pool against one data set", columns, note="Ratio: one array against slogdet.")
    for dim in LENGTHS[:2] if options.quick else LENGTHS:
        candidates = pool(dim, 512 if dim < 600 else 128)
        for mode in MODES:
            options.say(f"gains: d = {dim}, per {mode}")
            stats = dataset(dim, mode)
            check(stats, candidates[:3])
            stack = np.stack([stats.covariance()] * 8)
            best = options.compete(
                {
                    "array": options.turn(lambda s=stats, c=candidates: s.gains(c)),
                    "list": options.turn(lambda s=stats, c=list(candidates): s.gains(c)),
                    "one": options.turn_of(stats.gain, list(candidates[:16])),
                    "slogdet": options.turn(lambda s=stack: np.linalg.slogdet(s)),
                },
                seconds=3.0,
            )
            rates = (
                len(candidates) / best["array"],
                len(candidates) / best["list"],
                1 / best["one"],
                8 / best["slogdet"],
            )
            table.rows.append([mode, dim, *rates, rates[0] / rates[3]])
    return table


def check(stats: SufficientStatistics, candidates: np.ndarray) -> None:
    """Gains are differences of determinants, or nothing is reported."""
    for candidate, gain in zip(candidates, stats.gains(list(candidates)), strict=True):
        grown = stats.copy()
        grown.add(candidate)
        expected = (
            np.linalg.slogdet(grown.covariance())[1] - np.linalg.slogdet(stats.covariance())[1]
        )
        if not abs(gain - expected) < 1e-8:
            raise RuntimeError(
                f"the gain {gain} of a candidate of mode {stats.mode} is not {expected}"
            )


def streams(options: Options) -> Table:
    """One candidate after the other, some of them accepted."""
    fractions = (0.0, 0.01, 0.1, 1.0)
    columns = [
        "mode",
        "d",
        "accept + next gain, ms",
        *(f"candidates/s, {f:.0%} accepted" for f in fractions),
    ]
    note = (
        "Candidates of a streamed pool are judged one by one, each against all that were "
        "accepted before it."
    )
    table = Table("A stream", columns, note=note)
    for dim in LENGTHS[:2] if options.quick else LENGTHS:
        for mode in MODES:
            options.say(f"stream: d = {dim}, per {mode}")
            stats, candidates = dataset(dim, mode), pool(dim, 100)
            turns = {f: options.turn(stream(stats, candidates, f)) for f in fractions}
            turns["accept"] = options.turn(accept(stats.copy(), candidates))
            best = options.compete(turns, seconds=3.0)
            table.rows.append(
                [mode, dim, 1e3 * best["accept"], *(len(candidates) / best[f] for f in fractions)]
            )
    return table


def accept(stats: SufficientStatistics, candidates: np.ndarray) -> Callable[[], float]:
    """Accept one, and ask for the gain of another."""

    def work() -> float:
        stats.add(candidates[0])
        return stats.gain(candidates[1])

    return work


def stream(
    start: SufficientStatistics, candidates: np.ndarray, fraction: float
) -> Callable[[], None]:
    """Judge each, accept the given fraction of them."""
    start.gain(candidates[0])  # what a data set keeps between gains is there

    def work() -> None:
        stats = start.copy()
        for index, q in enumerate(candidates):
            stats.gain(q)
            if fraction and index % round(1 / fraction) == 0:
                stats.add(q)

    return work
