"""State of the process that a calculation changes and that is put back after it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def working_in(directory: str | Path | None) -> Iterator[None]:
    """Work in a directory, which is made if need be; None stays in the current one."""
    before = Path.cwd()
    if directory is not None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def torch_dtype_kept() -> Iterator[None]:
    """Give torch its default dtype back: force fields set it on loading, also if they then fail."""
    torch = sys.modules.get("torch")
    before = torch.get_default_dtype() if torch else None
    try:
        yield
    finally:
        # The force field may have been the first to import torch.
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_default_dtype(before or torch.float32)
