"""Measure what a campaign's global fingerprint costs, as far as its seeds can tell."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.store.arrays import pack

RATTLE = 0.1
"""Standard deviation of the displacements (Å): as many eigenvalues differ as in a snapshot."""
ROUNDS = 3
"""How often each fingerprint is judged and accepted for the measurement."""


def dataset_cost(dataset: DatasetParams, seeds: Sequence[Atoms], candidates: int) -> str:
    """Measure the work of selection on displaced seeds for a few seconds, and describe its cost.

    Parameters
    ----------
    dataset
        Fingerprint and regularisation.
    seeds
        The campaign's seed cells.
    candidates
        Number of candidates in all iterations.
    """
    fingerprint = make_fingerprint(dataset.fingerprint)
    rng = np.random.default_rng(0)
    cells = []
    for atoms in seeds:
        displaced = atoms.copy()
        displaced.positions += rng.normal(scale=RATTLE, size=displaced.positions.shape)
        cells.append(displaced)
    # the first call compiles, which is not what the others cost
    fingerprint(cells)
    start = time.perf_counter()
    vectors = fingerprint(cells)
    fingerprint_seconds = (time.perf_counter() - start) / len(cells)
    statistics = SufficientStatistics(fingerprint.dim, dataset.regularization)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        for vector in vectors:
            statistics.gain(vector)
            statistics.add(vector)
    gain_seconds = (time.perf_counter() - start) / (ROUNDS * len(vectors))
    cell_bytes = sum(len(pack(vector)) for vector in vectors) / len(vectors)
    covariance_bytes = len(statistics.to_bytes())
    total = candidates * (fingerprint_seconds + gain_seconds)
    return (
        f"data set: fingerprints of d = {fingerprint.dim}, of which the seeds populate "
        f"{len(statistics.populated)}; {cell_bytes / 1e3:.3g} kB a cell, "
        f"{covariance_bytes / 1e3:.3g} kB a covariance; {1e3 * fingerprint_seconds:.2g} ms a "
        f"fingerprint and {1e3 * gain_seconds:.2g} ms to judge and accept it, at most "
        f"{total:.2g} s for all {candidates} candidates on this machine"
    )
