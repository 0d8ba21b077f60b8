"""The condition grid (T, k, P, phase) and the runs drawn from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from entropy_flows.entropy import Mode
from entropy_flows.params import Params

Temperature = Annotated[float, Field(gt=0, le=50_000)]
EntropyWeight = Annotated[float, Field(ge=0, le=1_000)]
Pressure = Annotated[float, Field(ge=-50, le=10_000)]
MAX_CONDITIONS = 100_000
"""Most conditions of an iteration."""
WALLTIME_SHARE = 0.8
"""Share of a job's walltime that is planned; the rest is for loading the model and slow steps."""


class ExploreParams(Params):
    """Set what is run and how long.

    The defaults are those of Wang 2026, section 2.4.1, with a gentle start.
    """

    renamed: ClassVar[dict[str, str]] = {"min_distance": "min_distance_fraction"}
    phases: tuple[str, ...] | None = None
    """Names of the seed phases to use; None takes all of the campaign's."""
    temperatures: tuple[Temperature, ...] = Field((300.0, 1000.0, 3000.0), min_length=1)
    """Thermostat temperatures (K)."""
    entropy_weights: tuple[EntropyWeight, ...] = Field((2.0, 5.0, 10.0), min_length=1)
    """Weights k of the entropy term (eV); 0 is plain molecular dynamics. A weight that is listed
    several times has as many trajectories of each condition."""
    pressures: tuple[Pressure, ...] = Field((0.0,), min_length=1)
    """Nominal pressures (GPa): they scale the seed's volume through the base model's equation of
    state.
    """
    surface: Literal["local", "soft", "global", "variance"] = "local"
    """What biases the dynamics. local: the entropy of the cell itself (Eq. 6). soft: the same with
    a soft minimum, whose forces do not jump. global: that of the
    data set with the cell (Eq. 7). variance: the logarithm of what the cell takes off the unknown
    of the last iteration's target; of the first iteration, which has none, as local.
    """
    softness: float = Field(0.5, gt=0, le=1)
    """Of the surface soft: the minimum is over neighbours whose distances differ by less than about
    this fraction.
    """
    thermal_displacement: float = Field(0.05, gt=0, le=0.2)
    """Of the surface soft: root mean square of an atom's displacement, as a fraction of the
    shortest distance in the seeds. Environments that differ by what it makes count as alike.
    """
    steps: int = Field(300, ge=1)
    """Sampled steps of a run, at full k."""
    warm_up: int = Field(50, ge=0)
    """Steps at k = 0 before: from a perfect crystal the full bias starts with hundreds of eV/Å."""
    ramp: int = Field(100, ge=0)
    """Steps over which k then rises linearly. With warm_up and ramp 0 the run starts as in the
    paper.
    """
    snapshot_every: int = Field(10, ge=1)
    """Steps between candidates."""
    timestep: float = Field(1.0, gt=0, le=10)
    """Time step (fs)."""
    friction: float = Field(0.01, gt=0)
    """Langevin friction (1/fs)."""
    per_atom_fraction: float = Field(0.6, ge=0, le=1)
    """Chance that a run's candidates are judged in per-atom mode; per-config otherwise (section
    2.2.2).
    """
    max_temperature: float = Field(30_000.0, gt=0)
    """Instantaneous temperature (K) above which a run has exploded."""
    min_distance_fraction: float = Field(0.55, gt=0, lt=1)
    """Shortest distance, as a fraction of the sum of covalent radii, under which a run has
    collapsed.
    """
    batch_size: int = Field(8, ge=1)
    """Runs per job; with a `walltime`, of the first iteration only."""
    walltime: float | None = Field(None, gt=0)
    """Longest an exploration job should take (s): from the second iteration on as many runs per
    job as fit into it.
    """
    compile: Literal["auto", "always", "never"] = "auto"
    """Whether the model of a training is compiled for the dynamics after it, if its family can be.
    auto: where the steps to come save more time than compiling takes, as measured. A compiled
    model's numbers differ by rounding, so trajectories part after some hundred steps.
    """
    source: tuple[str, ...] = ()
    """Files, folders or patterns with frames that are candidates, too, of any format that ASE
    reads. Paths begin at the campaign file's folder, which every worker must see.
    """
    max_source_frames: int = Field(10_000, ge=1, le=100_000)
    """Most frames of `source` in an iteration; of more, so many are drawn at random. A frame that
    an earlier iteration has taken is no candidate again.
    """
    dynamics: bool = True
    """Whether there are runs of dynamics. False: the frames of `source` are the only candidates;
    the anchors' dynamics has a share of its own, `anchors.fraction`.
    """

    @model_validator(mode="after")
    def _something_to_explore(self) -> Self:
        if not self.dynamics and not self.source:
            raise ValueError("dynamics is false and source is empty: there are no candidates")
        return self

    @property
    def all_steps(self) -> int:
        """Steps of a run from its start to its end."""
        return self.warm_up + self.ramp + self.steps

    def runs_within_walltime(self, seconds_per_step: float) -> int:
        """Return how many runs of a job fit into four fifths of the walltime.

        Parameters
        ----------
        seconds_per_step
            Time of one step of one run (s), measured in a batch.
        """
        if self.walltime is None:
            return self.batch_size
        return max(1, int(WALLTIME_SHARE * self.walltime / (seconds_per_step * self.all_steps)))


@dataclass(frozen=True)
class Condition:
    """One point of the grid: T in K, k in eV, P in GPa (nominal)."""

    phase: str
    temperature: float
    k: float
    pressure: float


@dataclass(frozen=True)
class Run:
    """One trajectory to run; everything random about it follows from `seed`."""

    index: int
    condition: Condition
    mode: Mode
    seed: int


def grid_phases(params: ExploreParams, phases: Sequence[str]) -> list[str]:
    """Return the phases of the grid.

    Raises
    ------
    ValueError
        If there is no phase, one is asked for that the campaign does not have, or the grid has too
        many conditions.
    """
    chosen = list(phases) if params.phases is None else list(params.phases)
    if not chosen:
        raise ValueError("phases: the list is empty; at least one seed phase is needed")
    if unknown := [name for name in chosen if name not in phases]:
        raise ValueError(
            f"explore.phases: {unknown[0]!r} is not a phase of this campaign ({', '.join(phases)})"
        )
    axes = (chosen, params.pressures, params.temperatures, params.entropy_weights)
    count = math.prod(len(axis) for axis in axes)
    if count > MAX_CONDITIONS:
        raise ValueError(
            f"explore: {count} conditions (phases × P × T × k); at most {MAX_CONDITIONS} are run"
        )
    return chosen


def condition_grid(params: ExploreParams, phases: Sequence[str]) -> list[Condition]:
    """List all conditions, phases outermost, in the order in which they are judged.

    Errors are those of `grid_phases`.
    """
    grid = product(
        grid_phases(params, phases), params.pressures, params.temperatures, params.entropy_weights
    )
    return [Condition(phase, T, k, P) for phase, P, T, k in grid]


def draw_runs(
    conditions: Sequence[Condition], per_atom_fraction: float, seed: Sequence[int]
) -> list[Run]:
    """Give each condition its covariance mode and its own random stream.

    A run's stream depends on `seed` and the run's index alone, so neither the batch it is in nor
    the number of workers changes it.

    Parameters
    ----------
    conditions
        Points of the grid.
    per_atom_fraction
        Probability of per-atom mode (Wang 2026: 0.6).
    seed
        Entropy for the streams, for instance (campaign seed, iteration).
    """
    runs = []
    for index, condition in enumerate(conditions):
        rng = np.random.default_rng([*seed, index])
        mode: Mode = "atom" if rng.random() < per_atom_fraction else "config"
        runs.append(Run(index, condition, mode, int(rng.integers(2**31))))
    return runs
