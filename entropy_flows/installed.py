"""The list of what is installed, which NequIP asks for anew with each package that it opens.

A package brings NequIP's modules of its own, and one of them reads the metadata of all
distributions as it is imported. That takes most of the time in which a small model is loaded.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from functools import cache

_search = importlib.metadata.packages_distributions


@cache
def _installed() -> Mapping[str, list[str]]:
    return _search()


@contextlib.contextmanager
def installed_once() -> Iterator[None]:
    """Have `importlib.metadata.packages_distributions` search once in the life of a process."""
    importlib.metadata.packages_distributions = _installed
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = _search
