"""Frames of the user's own files as candidates of an iteration (`explore.source`).

A file stands for two runs, one for each mode: a frame is judged in the mode that is drawn for it.
What is drawn follows from the campaign's seed, the iteration and the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.batch import Batch
from entropy_flows.entropy import MODES, Mode
from entropy_flows.explore import ExploreParams
from entropy_flows.explore.conditions import MAX_CONDITIONS
from entropy_flows.frames.pool import FramePool
from entropy_flows.geometry import cell_as_dict
from entropy_flows.jobs.context import IterationContext
from entropy_flows.neighbors import check_thickness
from entropy_flows.schemas import ExploreDoc, RunDoc
from entropy_flows.store import CampaignStore

SOURCE_STREAM = 1_000_061
"""Separates the draw of frames from the iteration's other random streams."""
CUTOFF = 6.0
"""Å; that of fingerprints and models, beyond which a cell need not be searched."""


def source_batch(
    store: CampaignStore, context: IterationContext, batch: int, params: ExploreParams
) -> ExploreDoc:
    """Read candidates from files.

    Parameters
    ----------
    store
        The campaign.
    context
        Constants of the iteration.
    batch
        Number of the job.
    params
        Section `explore`, whose `source` names the files.

    Raises
    ------
    ValueError
        If there is no such file, or none that can be read.
    """
    pool = FramePool.of(params.source)
    drawn = _drawn(pool, params, context, _taken(store, context.iteration))
    stream = np.random.default_rng([context.seed, context.iteration, SOURCE_STREAM, 1])
    is_per_atom = stream.random(len(pool)) < params.per_atom_fraction
    runs: list[RunDoc] = []
    trajectories: list[dict[str, Any]] = []
    for position, source in enumerate(pool.sources):
        start = pool.starts[position]
        indices = {number - start for number in drawn if start <= number < start + source.count}
        cells: dict[Mode, list[tuple[int, Atoms]]] = {mode: [] for mode in MODES}
        reasons: list[str] = []
        for frame in source.frames(indices):
            reason = frame.defect if frame.atoms is None else _defect(frame.atoms, context)
            if frame.atoms is None or reason:
                reasons.append(f"frame {frame.index}: {reason}")
                continue
            mode: Mode = "atom" if is_per_atom[start + frame.index] else "config"
            cells[mode].append((frame.index, frame.atoms))
        for offset, mode in enumerate(MODES):
            index = MAX_CONDITIONS + len(MODES) * position + offset
            runs.append(_run(index, source.name, mode, len(cells[mode]), reasons))
            trajectories += _packed(index, cells[mode])
    return ExploreDoc(
        iteration=context.iteration,
        batch=batch,
        runs=runs,
        equations_of_state={},
        trajectories=trajectories,
    )


def _taken(store: CampaignStore, iteration: int) -> set[tuple[str, int]]:
    """Return file and number of the frames that earlier iterations have taken."""
    query = {"campaign": store.name, "iteration": {"$lt": iteration}}
    rows = store.database["structures"].find(
        query | {"origin.source": {"$type": "string"}}, {"origin.source": 1, "origin.step": 1}
    )
    return {(row["origin"]["source"], row["origin"]["step"]) for row in rows}


def _drawn(
    pool: FramePool,
    params: ExploreParams,
    context: IterationContext,
    taken: set[tuple[str, int]],
) -> list[int]:
    """Draw the frames of an iteration among those that were not taken."""
    numbers = []
    for start, source in zip(pool.starts, pool.sources, strict=True):
        indices = range(source.count)
        numbers += [start + index for index in indices if (source.name, index) not in taken]
    if len(numbers) <= params.max_source_frames:
        return numbers
    stream = np.random.default_rng([context.seed, context.iteration, SOURCE_STREAM])
    chosen = stream.choice(len(numbers), params.max_source_frames, replace=False)
    return [numbers[index] for index in sorted(chosen.tolist())]


def _defect(atoms: Atoms, context: IterationContext) -> str | None:
    """Return why a frame can be no candidate of the campaign."""
    elements = getattr(context.dataset.fingerprint, "elements", None)
    unlisted = sorted(set(atoms.symbols) - set(elements or atoms.symbols))
    if unlisted:
        return f"has {', '.join(unlisted)}, which is no element of the campaign"
    try:
        Batch.of([atoms])
        check_thickness(atoms, CUTOFF)
    except ValueError as err:
        return str(err)
    return None


def _run(index: int, source: str, mode: Mode, count: int, reasons: Sequence[str]) -> RunDoc:
    """Describe the frames of a file that are judged in a mode."""
    reason = None
    if reasons and mode == MODES[0]:
        reason = f"{len(reasons)} frames left out; {reasons[0]}"
    return RunDoc(
        index=index,
        phase=Path(source).name,
        temperature=None,
        k=None,
        pressure=None,
        mode=mode,
        seed=0,
        snapshots=count,
        mean_temperature=None,
        min_distance=None,
        reason=reason,
        wall_seconds=0.0,
        source=source,
    )


def _packed(index: int, cells: Sequence[tuple[int, Atoms]]) -> Iterator[dict[str, Any]]:
    """Yield frames as plain data, each a trajectory of one snapshot."""
    for number, atoms in cells:
        cell = cell_as_dict(atoms)
        packed = {
            **cell,
            "index": index,
            "steps": [number],
            "positions": [cell["positions"]],
            "max_forces": [0.0],
        }
        if atoms.has("initial_magmoms"):
            packed["magmoms"] = atoms.get_initial_magnetic_moments().tolist()
        yield packed
