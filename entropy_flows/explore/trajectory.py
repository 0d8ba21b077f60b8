"""The record of a run while it goes on, and its trajectory when it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from ase import Atoms

from entropy_flows.explore.conditions import Run
from entropy_flows.summary import Summarised, Summary


@dataclass(frozen=True, repr=False)
class Trajectory(Summarised):
    """Snapshots of one run, with its temperature, closest distance and end.

    Attributes
    ----------
    run
        The condition, mode and seed.
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

    def at(self, indices: slice | np.ndarray) -> Trajectory:
        """Return the same run with some of its snapshots."""
        chosen = {name: getattr(self, name)[indices] for name in self.PER_SNAPSHOT}
        return replace(self, **chosen)

    def summary(self) -> Summary:
        """Return what a notebook shows: the condition, the end, and how the run went."""
        condition = self.run.condition
        at = (
            f"{condition.phase}, {condition.temperature:g} K, k {condition.k:g} eV, "
            f"{condition.pressure:g} GPa"
        )
        end = self.reason or "went to its end"
        atoms = len(self.numbers)
        return Summary(
            title=f"Trajectory of {at}",
            short=f"{at}: {len(self)} snapshots of {atoms} atoms; {end}",
            lines=[
                ("snapshots", f"{len(self)} of {atoms} atoms"),
                ("end", end),
                ("mean temperature", f"{self.mean_temperature:.0f} K"),
                ("shortest distance", f"{self.min_distance:.2f} Å"),
                ("wall time", f"{self.wall_seconds:.3g} s"),
                ("mode, seed", f"{self.run.mode}, {self.run.seed}"),
            ],
            curves={
                "energy, eV/atom": (np.asarray(self.energies) / max(1, atoms)).tolist(),
                "temperature, K": np.asarray(self.temperatures, dtype=float).tolist(),
                "largest force, eV/Å": np.asarray(self.max_forces, dtype=float).tolist(),
            },
        )

    def snapshots(self) -> Iterable[tuple[int, Atoms]]:
        """Yield the sampled step and the cell of each snapshot."""
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
    """Collect a run's snapshots while it goes on.

    Attributes
    ----------
    run, start
        The condition, mode and seed, and the cell it started from.
    per_snapshot
        Lists of what `Trajectory` has per snapshot.
    temperature_sum, sampled
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
    per_snapshot: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in Trajectory.PER_SNAPSHOT}
    )
    temperature_sum: float = 0.0
    sampled: int = 0
    closest: float = float("inf")
    seconds: float = 0.0
    reason: str | None = None

    STATE: ClassVar = (
        "per_snapshot",
        "temperature_sum",
        "sampled",
        "closest",
        "seconds",
        "reason",
    )

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on later; later snapshots leave it as it is."""
        values = {name: getattr(self, name) for name in self.STATE}
        values["per_snapshot"] = {name: list(rows) for name, rows in self.per_snapshot.items()}
        return values

    def snapshot(self, **values: Any) -> None:
        """Add one snapshot; the names are those of `Trajectory.PER_SNAPSHOT`."""
        for name in Trajectory.PER_SNAPSHOT:
            self.per_snapshot[name].append(values[name])

    def trajectory(self) -> Trajectory:
        """Return the run as it is now."""
        arrays = {name: np.array(values) for name, values in self.per_snapshot.items()}
        arrays["positions"] = arrays["positions"].reshape(-1, len(self.start), 3)
        return Trajectory(
            run=self.run,
            numbers=self.start.numbers.copy(),
            cell=np.array(self.start.cell),
            **arrays,
            mean_temperature=self.temperature_sum / self.sampled if self.sampled else float("nan"),
            min_distance=self.closest if np.isfinite(self.closest) else float("nan"),
            reason=self.reason,
            wall_seconds=self.seconds,
            magmoms=self.start.arrays.get("initial_magmoms"),
        )
