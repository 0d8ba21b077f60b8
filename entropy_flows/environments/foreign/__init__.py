"""Files that are run by the Python of a model's environment, where this package need not be.

`serve.py` is the program, `wire.py` its messages. Each other file is an adapter, of one family of
models; docs/environments.md has their rules. All import the standard library, numpy and what the
family's environment has, and nothing of this package.
"""

from pathlib import Path


def adapter_file(family: str) -> Path:
    """Return the path of the adapter of one of this package's families."""
    return Path(__file__).with_name(f"{family}.py")
