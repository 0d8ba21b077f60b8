"""Selectors compared on a labelled pool: same budget, same student, same held-out cells."""

from entropy_flows.bench.params import BenchParams, NetworkParams, load_bench
from entropy_flows.bench.pool import LabelledPool
from entropy_flows.bench.rounds import Bench, read_points

__all__ = ["Bench", "BenchParams", "LabelledPool", "NetworkParams", "load_bench", "read_points"]
