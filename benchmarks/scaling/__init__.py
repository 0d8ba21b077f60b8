"""What the workflow layer costs beside the work itself: `make bench-scale`, or `python -m benchmarks.scale --help`."""
