"""What is kept of a run while it goes on, and when it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from ase import Atoms

from entropy_flows.explore.conditions import Run


@dataclass(frozen=True)
class Trajectory:
    """Snapshots of one run and what the run was like.

    Attributes
    ----------
    run
        What was asked for.
    numbers, cell
        Atomic numbers (n_atoms,) and the fixed cell (3, 3) in Å.
    steps, positions, energies, temperatures, max_forces
        Per snapshot: sampled step, positions (n_snapshots, n_atoms, 3) in Å, the model's energy
        (eV) without bias, instantaneous temperature (K), largest force (eV/Å) of the model without
        bias.
    mean_temperature
        Over the sampled steps (K); its excess over the target shows a k that overheats.
    min_distance
        Shortest distance between atoms in any snapshot (Å).
    reason
        None for a run that went to its end, otherwise why it stopped.
    wall_seconds
        The run's share of the time that its batch took.
    magmoms
        Initial magnetic moments (n_atoms,) in μ_B of the cell that it started from, which all its
        snapshots have: atoms keep their places and carry them along. None for a cell without.
    """

    run: Run
    numbers: np.ndarray
    cell: np.ndarray
    steps: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    temperatures: np.ndarray
    max_forces: np.ndarray
    mean_temperature: float
    min_distance: float
    reason: str | None
    wall_seconds: float
    magmoms: np.ndarray | None = None

    PER_SNAPSHOT: ClassVar = ("steps", "positions", "energies", "temperatures", "max_forces")

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, kept: slice | np.ndarray) -> Trajectory:
        """The same run with some of its snapshots."""
        return replace(self, **{name: getattr(self, name)[kept] for name in self.PER_SNAPSHOT})

    def snapshots(self) -> Iterable[tuple[int, Atoms]]:
        """(sampled step, cell) of each snapshot."""
        for step, positions in zip(self.steps, self.positions, strict=True):
            atoms = Atoms(
                numbers=self.numbers,
                positions=positions,
                cell=self.cell,
                pbc=True,
                magmoms=self.magmoms,
            )
            yield int(step), atoms


@dataclass
class Record:
    """A run's snapshots so far.

    Attributes
    ----------
    run, start
        What was asked for, and the cell it started from.
    kept
        Lists of what `Trajectory` has per snapshot.
    heat, sampled
        Sum of the temperatures (K) of the sampled steps, and their number.
    closest
        Shortest distance in any snapshot (Å).
    seconds
        Share of the wall time so far.
    reason
        Why the run stopped early, if it did.
    """

    run: Run
    start: Atoms
    kept: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in Trajectory.PER_SNAPSHOT}
    )
    heat: float = 0.0
    sampled: int = 0
    closest: float = float("inf")
    seconds: float = 0.0
    reason: str | None = None

    STATE: ClassVar = ("kept", "heat", "sampled", "closest", "seconds", "reason")

    def state(self) -> dict[str, Any]:
        """What is needed to go on later; later snapshots leave it as it is."""
        values = {name: getattr(self, name) for name in self.STATE}
        return {**values, "kept": {name: list(kept) for name, kept in self.kept.items()}}

    def snapshot(self, **values: Any) -> None:
        """Keep one snapshot; names as in `Trajectory.PER_SNAPSHOT`."""
        for name in Trajectory.PER_SNAPSHOT:
            self.kept[name].append(values[name])

    def trajectory(self) -> Trajectory:
        """The run as it is now."""
        arrays = {name: np.array(values) for name, values in self.kept.items()}
        arrays["positions"] = arrays["positions"].reshape(-1, len(self.start), 3)
        return Trajectory(
            run=self.run,
            numbers=self.start.numbers.copy(),
            cell=np.array(self.start.cell),
            **arrays,
            mean_temperature=self.heat / self.sampled if self.sampled else float("nan"),
            min_distance=self.closest if np.isfinite(self.closest) else float("nan"),
            reason=self.reason,
            wall_seconds=self.seconds,
            magmoms=self.start.arrays.get("initial_magmoms"),
        )
