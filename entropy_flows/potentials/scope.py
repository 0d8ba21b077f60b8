"""Torch's global state, set for one model and put back, so that models can take turns."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase.calculators.calculator import all_changes


@contextlib.contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """Compute under a default dtype, `float32` or `float64`."""
    import torch

    before: torch.dtype = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def generators_untouched() -> Iterator[None]:
    """Put all random generators back as they were.

    NequIP's first load seeds them, and importing Lightning draws from one.
    """
    import torch

    python = random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002
    cpu = torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(gpus)


@functools.cache
def scoped(base: type[Any], dtype: str) -> type[Any]:
    """Derive a calculator class that computes under its own default dtype.

    The caller's is restored after each calculation.
    """

    class Scoped(base):
        def calculate(
            self,
            atoms: Any = None,
            properties: Any = ("energy",),
            system_changes: Any = tuple(all_changes),
        ) -> None:
            with default_dtype(dtype):
                super().calculate(atoms, list(properties), list(system_changes))

    Scoped.__name__ = Scoped.__qualname__ = base.__name__
    return Scoped
