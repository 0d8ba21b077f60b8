"""Talk to libfp in its own process.

How its conventions map to GOM(overlap="normalized", exponent=2, species="single", radii=RADII),
from the C source:

===============  ================================================================================
libfp            here
===============  ================================================================================
rcov             radii, Å: a table of its own (rcov.c); α = 1/(2 rcov²) as here
NC = 2           exponent: wc = cutoff/√(2 NC), amp = (1 − r²/(2 NC wc²))^NC = (1 − r²/cutoff²)²
cutoff           r ≤ cutoff; here r < cutoff. At r = cutoff amp is 0, and so is the row
natx             length of the vector; more neighbours than that end its process (exit 1)
types            set lists of elements apart; without effect in long fingerprints (one matrix)
dfp[i, j, x, m]  ∂q_im/∂r_jx
dfpe[i, v, m]    ∂q/∂strain in Voigt order xx yy zz yz xz xy, shears counted twice
positions        must be inside the cell: the images searched reach just far enough for that
===============  ================================================================================
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from ase import Atoms

from benchmarks.peers.build import PYTHON, built
from benchmarks.timing import Turn
from entropy_flows.fingerprints import GOM

RADII = {"C": 0.77, "N": 0.75, "O": 0.73, "Na": 1.54, "Si": 1.11, "Cl": 0.99}
"""The entries of libfp's rcov.c that are used here, Å."""


def twin(cutoff: float, natx: int) -> GOM:
    """Our fingerprint in libfp's conventions."""
    return GOM(
        cutoff=cutoff, natx=natx, overlap="normalized", exponent=2, species="single", radii=RADII
    )


REFERENCE = [
    Path("/usr/lib/x86_64-linux-gnu") / name
    for name in ("lapack/liblapack.so.3", "blas/libblas.so.3")
]
"""Where Debian's liblapack3 and libblas3 put the reference implementation."""


class LibFP:
    """The worker process; a context manager.

    Parameters
    ----------
    reference
        Whether the reference LAPACK takes the place of the one libfp was linked to.
    """

    def __init__(self, reference: bool = False) -> None:
        self.environment = os.environ | (
            {"LD_PRELOAD": ":".join(map(str, REFERENCE))} if reference else {}
        )

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [PYTHON, Path(__file__).with_name("libfp_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        greeting = self._line()
        self.name = f"{greeting['version']} with {greeting['blas']}"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def arrays(self, atoms: Atoms, cutoff: float, natx: int) -> dict[str, np.ndarray]:
        """lfp, dfp and dfpe of a cell."""
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/arrays.npz"
            self._ask(
                self.task(atoms, cutoff, natx) | {"want": "gradient", "seconds": 0.0, "file": file}
            )
            with np.load(file) as arrays:
                return dict(arrays)

    def turn(self, atoms: Atoms, cutoff: float, natx: int, want: str) -> Turn:
        """Contestant for `Options.compete`."""
        return partial(self._spend, self.task(atoms, cutoff, natx) | {"want": want})

    @staticmethod
    def task(atoms: Atoms, cutoff: float, natx: int) -> dict[str, Any]:
        """What the worker needs to know of a cell, its atoms put back into it."""
        wrapped = atoms.copy()
        wrapped.wrap()
        numbers, types = np.unique(atoms.numbers, return_inverse=True)
        return {
            "lattice": wrapped.cell[:].tolist(),
            "positions": wrapped.positions.tolist(),
            "types": (types + 1).tolist(),
            "numbers": numbers.tolist(),
            "cutoff": cutoff,
            "natx": natx,
        }

    def _spend(self, task: dict[str, Any], seconds: float) -> float:
        return self._ask(task | {"seconds": seconds})["seconds"]

    def _ask(self, task: dict[str, Any]) -> dict[str, Any]:
        print(json.dumps(task), file=self.process.stdin, flush=True)
        return self._line()

    def _line(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"libfp ended: {self.process.communicate()[1].strip() or 'without a word'}"
            )
        return json.loads(line)


def version() -> str:
    """Version and BLAS of the libfp in build/peers, or "not built"."""
    if not built():
        return "not built"
    with LibFP() as libfp:
        return libfp.name
