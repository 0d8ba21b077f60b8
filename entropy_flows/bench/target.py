"""The cells that a selector of a benchmark chooses for, where it names a file of them."""

from __future__ import annotations

from entropy_flows.bench.params import BenchParams
from entropy_flows.entropy import CellMeans
from entropy_flows.frames.choose import no_progress
from entropy_flows.frames.fingerprinted import frame_fingerprint, symbols_of
from entropy_flows.frames.pool import FramePool
from entropy_flows.frames.target import file_target
from entropy_flows.select import Selector, TargetSelector

SEED = 0
"""Seed of the frames that are drawn of a large file."""


def target_of(params: BenchParams, selector: Selector) -> CellMeans | None:
    """Read the target's cells; None where the pool is the target.

    Raises
    ------
    ValueError
        If the file cannot be read, or the pool is a table without cells.
    """
    if not isinstance(selector, TargetSelector) or selector.target_file is None:
        return None
    if params.is_table:
        raise ValueError(
            f"{params.pool} is a table without cells: target {selector.target!r} has nothing to "
            "be compared with"
        )
    symbols = symbols_of(FramePool.of(selector.target_file).first_cells())
    fingerprint = frame_fingerprint(params.fingerprint, symbols)
    return file_target(selector, fingerprint, SEED, no_progress)
