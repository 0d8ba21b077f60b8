"""Candidates that were explored and not chosen, a sample of them.

They are in no ledger. Their cells are read from what the explore jobs returned, and their
fingerprints are computed again. Their gain is beside all that the selection of their iteration
chose, so it says what was passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.conventions import Array

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.entropy import Mode, SufficientStatistics
    from entropy_flows.jobs.target import Snapshot
    from entropy_flows.store import CampaignStore, Ledger

MAX_REFUSED = 300
"""Refused candidates of an iteration that are read; of more, each n-th."""
CELL_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
STATUS = "not chosen"
"""What became of them, in the words of the map."""


@dataclass(frozen=True, eq=False)
class RefusedCell:
    """A candidate that was not chosen."""

    key: str
    """Key that it would have in the ledger."""
    iteration: int
    """Iteration that explored it."""
    origin: Mapping[str, Any]
    """Where it comes from, as an entry of the ledger has it."""
    atoms: Atoms
    """The cell."""
    mean: Array
    """Mean fingerprint (dim,) of its atoms."""
    gain: float
    """ΔH that it would have had after the last choice of its iteration."""

    @property
    def entry(self) -> dict[str, Any]:
        """Return what an entry of the ledger says of a cell, without its structure."""
        return {
            "key": self.key,
            "iteration": self.iteration,
            "stage": "explore",
            "n_atoms": len(self.atoms),
            "formula": self.atoms.get_chemical_formula(empirical=True),
            "volume_per_atom": self.atoms.get_volume() / len(self.atoms),
            "gain": self.gain,
            "origin": self.origin,
        }


def refused_cells(
    store: CampaignStore, ledger: Ledger, iteration: Mapping[str, Any], chosen: Collection[str]
) -> list[RefusedCell]:
    """Read candidates of an iteration that were not chosen.

    Parameters
    ----------
    store
        The campaign.
    ledger
        Its ledger, with the fingerprint of the data set.
    iteration
        Document of the iteration.
    chosen
        Keys of the ledger.

    Returns
    -------
    list of RefusedCell
        At most `MAX_REFUSED`; none before the selection has ended, or where the explore jobs'
        outputs are gone.
    """
    selected = iteration.get("select")
    if not selected:
        return []
    number = iteration["iteration"]
    step = -(-max(selected["candidates"] - selected["accepted"], 1) // MAX_REFUSED)
    explored = _snapshots(store.name, number, iteration.get("runs") or ())
    refused = (snapshot for snapshot in explored if snapshot.key not in chosen)
    return _judged(ledger, number, list(islice(refused, 0, None, step)))


def find_refused(
    store: CampaignStore, ledger: Ledger, key: str
) -> tuple[RefusedCell, float | None] | None:
    """Read one candidate that was not chosen.

    Parameters
    ----------
    store, ledger
        The campaign and its ledger, which has no entry of this key.
    key
        Key that the candidate would have.

    Returns
    -------
    tuple of RefusedCell and float, or None
        The candidate, and the least ΔH that the selection of its iteration chose by; None instead
        of that if it chose nothing by ΔH. None alone if there is no such candidate.
    """
    for iteration in store.iterations():
        number = iteration["iteration"]
        selected = iteration.get("select")
        if not selected or not key.startswith(f"{number:03d}/"):
            continue
        explored = _snapshots(store.name, number, iteration.get("runs") or ())
        named = list(islice((each for each in explored if each.key == key), 1))
        if named:
            [cell] = _judged(ledger, number, named)
            return cell, least_gain(iteration)
    return None


def least_gain(iteration: Mapping[str, Any]) -> float | None:
    """Return the least ΔH that an iteration's selection chose by; None if it chose nothing so."""
    return min((iteration.get("select") or {}).get("gains") or (), default=None)


def _judged(ledger: Ledger, iteration: int, explored: Sequence[Snapshot]) -> list[RefusedCell]:
    """Judge candidates beside all that the selection of their iteration chose."""
    statistics = ledger.statistics(iteration, "refine")
    cells: list[RefusedCell] = []
    for start in range(0, len(explored), CELL_BATCH):
        batch = explored[start : start + CELL_BATCH]
        prints = ledger.fingerprint([snapshot.atoms for snapshot in batch])
        pairs = zip(batch, prints, strict=True)
        cells += [_refused(iteration, snapshot, q, statistics) for snapshot, q in pairs]
    return cells


def _refused(
    iteration: int, snapshot: Snapshot, q: Array, statistics: Mapping[Mode, SufficientStatistics]
) -> RefusedCell:
    from entropy_flows.jobs.explore import origin

    source = origin(snapshot.run, snapshot.step, "")
    return RefusedCell(
        key=snapshot.key,
        iteration=iteration,
        origin=source,
        atoms=snapshot.atoms,
        mean=np.mean(q, axis=0),
        gain=float(statistics[snapshot.run.mode].gain(q)),
    )


def _snapshots(
    campaign: str, iteration: int, runs: Collection[Mapping[str, Any]]
) -> Iterator[Snapshot]:
    """Yield what was explored, batch after batch."""
    from entropy_flows.jobs.common import document, stable_uuid
    from entropy_flows.jobs.judging import snapshots_of
    from entropy_flows.schemas import ExploreDoc
    from entropy_flows.store.outputs import stored_output

    missing = len(runs)
    # A lost batch has no runs, and each other one has one at least.
    most = max((run["index"] for run in runs), default=-1) + 1
    for batch in range(most):
        if missing == 0:
            return
        explored = document(
            ExploreDoc, stored_output(stable_uuid(campaign, iteration, "explore", batch))
        )
        if explored is not None:
            missing -= len(explored.runs)
            yield from snapshots_of([explored])
