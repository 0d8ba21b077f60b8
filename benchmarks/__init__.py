"""Benchmarks: each writes what it measured, with the machine and the versions."""
