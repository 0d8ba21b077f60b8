"""The command line: `entropy-flows --help`."""

from entropy_flows.cli.app import main

__all__ = ["main"]
