"""Measure what the workflow layer costs beside the work itself.

Run it by `make bench-scale` or `python -m benchmarks.scale`.
"""
