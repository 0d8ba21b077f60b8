"""Files for LAMMPS's pair style `mliap unified`, which calls a model's Python code.

NequIP and SevenNet each write such a file. LAMMPS reads it where its package ML-IAP is built with
Python, and the model's own package is installed in that Python.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path


def require_mliap(model: str) -> None:
    """Refuse to write a file where LAMMPS's Python module, whose class it is of, is missing.

    Raises
    ------
    ValueError
        With the command that installs it.
    """
    if importlib.util.find_spec("lammps") is None or not _has_mliap():
        raise ValueError(
            f"model '{model}' for LAMMPS needs LAMMPS's Python module with ML-IAP: "
            "pip install lammps"
        )


def mliap_lines(path: Path, elements: Sequence[str]) -> list[str]:
    """Write the lines of LAMMPS's input that use a file."""
    return [
        "units metal",
        f"pair_style mliap unified {path} 0",
        f"pair_coeff * * {' '.join(elements)}",
    ]


def _has_mliap() -> bool:
    return importlib.util.find_spec("lammps.mliap") is not None
