"""What a campaign's global fingerprint costs, as far as its seeds can say: one line of `entropy-flows check`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.store.arrays import pack

RATTLE = 0.1
"""Standard deviation of the displacements, Å: as many eigenvalues differ as in a snapshot."""
ROUNDS = 3


def dataset_cost(dataset: DatasetParams, seeds: Sequence[Atoms], candidates: int) -> str:
    """Measure a few seconds of the work of selection on displaced seeds, and say what it comes to.

    Parameters
    ----------
    dataset
        Fingerprint and regularisation.
    seeds
        The campaign's seed cells.
    candidates
        How many there will be in all iterations.
    """
    fingerprint = make_fingerprint(dataset.fingerprint)
    rng = np.random.default_rng(0)
    cells = []
    for atoms in seeds:
        moved = atoms.copy()
        moved.positions += rng.normal(scale=RATTLE, size=moved.positions.shape)
        cells.append(moved)
    fingerprint(cells)  # what is compiled at first is not what it costs
    started = time.perf_counter()
    prints = fingerprint(cells)
    fingerprints = (time.perf_counter() - started) / len(cells)
    statistics = SufficientStatistics(fingerprint.dim, dataset.regularization)
    started = time.perf_counter()
    for number in range(ROUNDS * len(prints)):
        q = prints[number % len(prints)]
        statistics.gain(q)
        statistics.add(q)
    judging = (time.perf_counter() - started) / (ROUNDS * len(prints))
    stored = sum(len(pack(q)) for q in prints) / len(prints)
    covariance = len(statistics.to_bytes())
    return (
        f"data set: fingerprints of d = {fingerprint.dim}, of which the seeds populate {len(statistics.populated)}; "
        f"{stored / 1e3:.3g} kB a cell, {covariance / 1e3:.3g} kB a covariance; {1e3 * fingerprints:.2g} ms a "
        f"fingerprint and {1e3 * judging:.2g} ms to judge and accept it, at most "
        f"{candidates * (fingerprints + judging):.2g} s for all {candidates} candidates on this machine"
    )
