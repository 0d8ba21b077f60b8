"""Cost of the core against a floor measured in the same run: `python -m benchmarks.core` writes results.md.

The floor of the fingerprint is the bare batched eigendecomposition of matrices of the same sizes; that of the gains
is one slogdet per candidate.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from entropy_flows.entropy import SufficientStatistics, local_entropy
from entropy_flows.fingerprints import GOM

HERE = Path(__file__).parent


def best_of(work: Callable[[], object], repeats: int = 7, seconds: float = 0.3) -> float:
    """Shortest time of a call (s), over rounds of about `seconds`."""
    work()
    started = time.perf_counter()
    work()
    calls = max(1, int(seconds / max(time.perf_counter() - started, 1e-6)))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls)
    return min(times)


def rattled(symbol: str, a: float, cells: tuple[int, int, int]) -> Atoms:
    """A thermal-looking diamond-type cell."""
    atoms = bulk(symbol, "diamond", a=a) * cells
    atoms.rattle(0.08, seed=1)
    return atoms


def fingerprint_rows() -> list[list[str]]:
    """S_local with forces and virial, beside eigh of the same matrices."""
    rows = []
    for name, atoms, cutoff in (
        ("Si16", rattled("Si", 5.43, (2, 2, 2)), 3.0),
        ("Si16", rattled("Si", 5.43, (2, 2, 2)), 4.5),
        ("C16", rattled("C", 3.567, (2, 2, 2)), 3.0),
        ("C16", rattled("C", 3.567, (2, 2, 2)), 4.5),
    ):
        gom = GOM(cutoff=cutoff, natx=200)

        def biased(atoms: Atoms = atoms, gom: GOM = gom) -> object:
            q, pullback = gom.vjp(atoms)
            return pullback(local_entropy(q)[1])

        size = int(np.count_nonzero(gom(atoms), axis=1).max())
        matrices = torch.randn(len(atoms), size, size, dtype=torch.float64)
        matrices = matrices + matrices.transpose(1, 2)
        ours, floor = best_of(biased), best_of(lambda m=matrices: torch.linalg.eigh(m))
        rows.append([name, f"{cutoff}", str(size), f"{1e3 * ours:.2f}", f"{1e3 * floor:.2f}", f"{ours / floor:.2f}"])
    return rows


def gain_rows() -> list[list[str]]:
    """Gains per second beside slogdet per candidate, d = 200."""
    rng, dim, rows = np.random.default_rng(0), 200, []
    for mode, atoms in (("config", 1), ("atom", 16)):
        stats = SufficientStatistics(dim, mode=mode)
        for _ in range(400):
            stats.add(rng.normal(size=(16, dim)))
        candidates = [rng.normal(size=(atoms, dim)) for _ in range(500)]
        ours = best_of(lambda s=stats, c=candidates: s.gains(c)) / len(candidates)
        sigma = stats.covariance()
        peer = best_of(lambda s=sigma: np.linalg.slogdet(s))
        rows.append([mode, str(atoms), f"{1 / ours:,.0f}", f"{1 / peer:,.0f}", f"{peer / ours:.0f}"])
    return rows


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    machine = {name: version(name) for name in ("torch", "numpy", "ase")} | {
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "threads": "1",
    }
    prints, gains = fingerprint_rows(), gain_rows()
    text = [
        "# Benchmarks\n",
        "Written by `make bench`. " + ", ".join(f"{k} {v}" for k, v in machine.items()) + ".\n",
        "## S_local with forces and virial, one cell a call\n",
        table(["cell", "r_c, Å", "matrix", "ours, ms", "bare eigh, ms", "ratio"], prints),
        "\n## ΔH, d = 200, N = 6400 vectors per atom, 400 per config\n",
        table(["mode", "atoms", "gains/s", "slogdet/s", "ratio"], gains),
    ]
    (HERE / "results.md").write_text("\n".join(text) + "\n")
    (HERE / "results.json").write_text(
        json.dumps({"machine": machine, "fingerprint": prints, "gains": gains}, indent=1) + "\n"
    )
    print("\n".join(text))


if __name__ == "__main__":
    main()
