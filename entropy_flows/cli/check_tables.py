"""Tables and lines of `entropy-flows check`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from entropy_flows.cli.check_seeds import closest_pair
from entropy_flows.explore import ExploreParams, condition_grid
from entropy_flows.geometry import to_atoms
from entropy_flows.moments import summary
from entropy_flows.summary import axis_text

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from entropy_flows.cli.check_cost import StepTimes
    from entropy_flows.schemas import Campaign

SIZE_HEADER = [
    "iteration",
    "runs",
    "jobs",
    "MD steps",
    "candidates ≤",
    "labels so far ≤",
    "T K",
    "k eV",
    "P GPa",
]


LONG_TAG = 24
"""Length of a tag with its value (characters) beyond which it stands behind the others."""


def phase_rows(seeds: Mapping[str, Structure]) -> list[list[str]]:
    """Describe each phase's cell in a row, with its magnetic moments if any cell has some."""
    moments = {name: summary(cell) for name, cell in seeds.items()}
    has_moments = any(moments.values())
    header = ["phase", "formula", "atoms", "Å³/atom", "shortest Å"]
    if has_moments:
        header.append("moments μB")
    rows = [header]
    for name, cell in seeds.items():
        distance, _ = closest_pair(to_atoms(cell))
        row = [name, cell.composition.reduced_formula, str(len(cell))]
        row += [f"{cell.volume / len(cell):.2f}", f"{distance:.2f}"]
        if has_moments:
            row.append(moments[name])
        rows.append(row)
    return rows


def max_candidates(campaign: Campaign, phases: Iterable[str]) -> int:
    """Return how many snapshots all iterations explore at most."""
    names = list(phases)
    total = 0
    for number in range(1, campaign.n_iterations + 1):
        total += candidates_of(campaign.iteration(number).explore, names)
    return total


def candidates_of(explore: ExploreParams, phases: list[str]) -> int:
    """Return how many candidates an iteration has at most, frames of files among them."""
    runs = len(condition_grid(explore, phases)) if explore.dynamics else 0
    frames = explore.max_source_frames if explore.source else 0
    return runs * (explore.steps // explore.snapshot_every) + frames


def size_rows(campaign: Campaign, phases: list[str]) -> list[list[str]]:
    """Count what each iteration explores, and how many labels there can be at its end."""
    rows = [SIZE_HEADER]
    labels: int | None = 0
    for number in range(1, campaign.n_iterations + 1):
        iteration = campaign.iteration(number)
        explore = iteration.explore
        runs = len(condition_grid(explore, phases)) if explore.dynamics else 0
        max_labels = iteration.select.max_labels
        labels = labels + max_labels if labels is not None and max_labels else None
        limits = [limit for limit in (labels, campaign.stop.label_budget) if limit is not None]
        row = [
            str(number),
            str(runs),
            str(-(-runs // explore.batch_size) + bool(explore.source)),
            str(runs * explore.all_steps),
            str(candidates_of(explore, phases)),
            str(min(limits)) if limits else "all accepted",
        ]
        ranges = (explore.temperatures, explore.entropy_weights, explore.pressures)
        row += map(axis_text, ranges)
        rows.append(row)
    return rows


def assumptions(times: StepTimes, workers: int, device: str) -> list[str]:
    """Say what was measured, and what is assumed for the time of the iterations.

    Parameters
    ----------
    times
        Measured times.
    workers, device
        Number of workers, and the device of their models.
    """
    steps = ", ".join(
        f"{name} {1e3 * times.biased[name]:.3g} ms biased and {1e3 * times.plain[name]:.3g} plain"
        for name in times.biased
    )
    label = "labels are not timed: the engine works through files"
    if times.label is not None:
        label = f"{times.label:.2g} s a label"
    return [
        f"measured on {device}, for one step of one run: {steps}; {label}",
        f"assumed: {workers} workers, each as fast as this process is now; all runs reach their "
        "end; refinement takes its most candidates and steps, training all its epochs, at three "
        "evaluations a cell and epoch. Waiting in a queue is not counted",
    ]


def incar_lines(text: str) -> list[str]:
    """Write INCAR's tags with single spaces, one a line, those that are long last."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return sorted(lines, key=lambda line: (len(line) > LONG_TAG, line))
