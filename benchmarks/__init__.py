"""Measure what the core costs, beside a floor and its peers.

Run it by `make bench` or `python -m benchmarks`.
"""

import os

for _library in ("OMP", "MKL", "OPENBLAS"):  # one thread each, before anything loads them
    os.environ[f"{_library}_NUM_THREADS"] = "1"
