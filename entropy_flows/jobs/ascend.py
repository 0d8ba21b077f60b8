"""The job that searches one window for cells, without physics."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.explore import AcceptedCell, RevEM, RevEMParams, Window, random_cells
from entropy_flows.faults import defer_sigterm
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.jobs.agnostic_checkpoint import SearchCheckpoint
from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import StageMaker, current_uuid, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.schemas import AscendDoc
from entropy_flows.store import CampaignStore

FINGERPRINT_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
RANDOM_STREAM = 1
"""Separates the random cells to compare with from the search."""


@dataclass
class AscendMaker(StageMaker):
    """Search one window in one mode, and draw as many random cells of it to compare with.

    Parameters
    ----------
    name
        Job name.
    params
        The search.
    """

    name: str = "ascend"
    params: RevEMParams = field(default_factory=RevEMParams)

    @stage_job(AscendDoc)
    def make(
        self,
        context: IterationContext,
        *,
        batch: int,
        element: str,
        window: dict[str, Any],
        mode: Mode,
        repeat: int,
    ) -> AscendDoc:
        """Run one search.

        Parameters
        ----------
        context
            Constants of the search: its iteration in the ledger is one of its own.
        batch
            Number of the search.
        element
            Chemical symbol.
        window
            Fields of the `Window`.
        mode
            Statistics of atoms or of whole cells.
        repeat
            Number among the searches of this window and mode.
        """
        store = CampaignStore.open(context.campaign)
        volumes = Window(**window)
        stream = [context.seed, volumes.index, MODES.index(mode), repeat]
        regularization = context.dataset.regularization
        fingerprint = store.ledger(context.dataset).fingerprint
        empty = SufficientStatistics(fingerprint.dim, regularization, mode)
        generator = np.random.default_rng(stream)
        search = RevEM(element, volumes, empty, fingerprint, self.params, generator)
        params = self.params.model_dump(mode="json")
        fingerprint_hash = fingerprint.fingerprint_hash
        hash_input = [element, window, stream, params, fingerprint_hash, regularization]
        identity = {**_window_fields(volumes), "mode": mode, "repeat": repeat}
        cpu_seconds = _run(search, element, store, context, hash_input, identity)
        generator = np.random.default_rng([*stream, RANDOM_STREAM])
        plain = random_cells(element, volumes, len(search.accepted), self.params, generator)
        document = AscendDoc(
            iteration=context.iteration,
            batch=batch,
            bootstrap=self.params.bootstrap,
            entropies=[cell.entropy for cell in search.accepted],
            cpu_seconds=cpu_seconds,
            trajectories=[_plain_cell(cell) for cell in search.accepted],
            **_information(plain, fingerprint, regularization, mode),
            **identity,
            **_progress(search),
        )
        _record(store, context, document.model_dump(exclude={"trajectories", "statistics"}))
        return document


def _run(
    search: RevEM,
    element: str,
    store: CampaignStore,
    context: IterationContext,
    hash_input: Sequence[Any],
    identity: dict[str, Any],
) -> float:
    """Run a search to its end, from its checkpoint if it has one; return its CPU time (s)."""
    folder = checkpoint_folder(context.campaign, context.iteration, current_uuid())
    checkpoint = SearchCheckpoint(folder / "search.checkpoint", hash_input)
    checkpoint.resume(search, element)
    _record(store, context, {**identity, **_progress(search)})

    def step(state: RevEM) -> None:
        if checkpoint.step(state):
            _record(store, context, _progress(state))

    with defer_sigterm():
        search.run(step)
    return checkpoint.seconds


def _record(store: CampaignStore, context: IterationContext, fields: dict[str, Any]) -> None:
    """Record the progress of a search, for `status` and the page."""
    updates = {f"ascend.{name}": value for name, value in fields.items()}
    store.record(context.iteration, **updates)


def _window_fields(window: Window) -> dict[str, Any]:
    """Return a window's fields as its document has them."""
    fields = asdict(window)
    return {"window": fields.pop("index"), **fields, "r_min": window.r_min}


def _progress(search: RevEM) -> dict[str, Any]:
    """Return the counts of a search so far."""
    counts = {name: search.counts[name] for name in ("accepted", "close", "entropy")}
    return {"tried": search.done, **counts, "k": search.k}


def _plain_cell(cell: AcceptedCell) -> dict[str, Any]:
    """Return a cell as plain data."""
    return {
        "candidate": cell.candidate,
        "k": cell.k,
        "gain": cell.gain,
        "cell": cell.atoms.cell.array.tolist(),
        "positions": cell.atoms.positions.tolist(),
    }


def _information(
    cells: Sequence[Atoms], fingerprint: Fingerprint, regularization: float, mode: Mode
) -> dict[str, Any]:
    """Compute log det Σ after each of some random cells, and their statistics in both modes."""
    statistics = {
        name: SufficientStatistics(fingerprint.dim, regularization, name) for name in MODES
    }
    curve = []
    for start in range(0, len(cells), FINGERPRINT_BATCH):
        for q in fingerprint(cells[start : start + FINGERPRINT_BATCH]):
            for stats in statistics.values():
                stats.add(q)
            curve.append(statistics[mode].entropy())
    packed = {
        name: base64.b64encode(stats.to_bytes()).decode() for name, stats in statistics.items()
    }
    return {"random": curve, "statistics": packed}
