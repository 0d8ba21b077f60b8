"""The jobs of a data set without physics: one searches a window, one admits all their cells, one ends it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.entropy import MODES, DatasetParams, Mode, SufficientStatistics
from entropy_flows.explore import AcceptedCell, RevEM, RevEMParams, Window, random_cells
from entropy_flows.faults import defer_sigterm
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.agnostic_checkpoint import SearchCheckpoint
from entropy_flows.jobs.checkpoint import checkpoint_folder
from entropy_flows.jobs.common import LostInputError, StageMaker, current_uuid, document, stage_job
from entropy_flows.schemas import AdmitDoc, AscendDoc, SelectDoc
from entropy_flows.store import CampaignStore, Entry

CHUNK = 64
"""Cells whose fingerprints are computed in one call."""
RANDOM_STREAM = 1
"""Sets the random cells to compare with apart from the search."""


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
        self, campaign: str, iteration: int, batch: int, element: str, window: dict[str, Any], mode: Mode, part: int,
        *, dataset: DatasetParams, seed: int,
    ) -> AscendDoc:  # fmt: skip
        """Run one batch.

        Parameters
        ----------
        campaign, iteration, batch
            Place of this job.
        element
            Chemical symbol.
        window
            Fields of the `Window`.
        mode
            Whether atoms or cells are told apart.
        part
            Number among the runs of this window and mode.
        dataset
            Fingerprint and regularisation.
        seed
            The data set's seed.
        """
        store, place = CampaignStore.open(campaign), Window(**window)
        fingerprint = store.ledger(dataset).fingerprint
        regularization = dataset.regularization
        stream = [seed, place.index, MODES.index(mode), part]
        empty = SufficientStatistics(fingerprint.dim, regularization, mode)
        run = RevEM(element, place, empty, fingerprint, self.params, np.random.default_rng(stream))
        told = [
            element,
            window,
            stream,
            self.params.model_dump(mode="json"),
            fingerprint.fingerprint_hash,
            regularization,
        ]
        file = SearchCheckpoint(
            checkpoint_folder(campaign, iteration, current_uuid()) / "search.checkpoint", told
        )
        file.resume(run, element)
        self._tell(store, iteration, {**_place(place, mode, part), **_progress(run)})

        def step(search: RevEM) -> None:
            if file.step(search):
                self._tell(store, iteration, _progress(search))

        with defer_sigterm():
            run.run(step)
        spent, other = file.seconds, np.random.default_rng([*stream, RANDOM_STREAM])
        plain = random_cells(element, place, len(run.found), self.params, other)
        doc = AscendDoc(
            iteration=iteration,
            batch=batch,
            bootstrap=self.params.bootstrap,
            entropies=[found.entropy for found in run.found],
            cpu_seconds=spent,
            trajectories=[_cell(found) for found in run.found],
            **_information(plain, fingerprint, regularization, mode),
            **_place(place, mode, part),
            **_progress(run),
        )
        self._tell(store, iteration, doc.model_dump(exclude={"trajectories", "statistics"}))
        return doc

    @staticmethod
    def _tell(store: CampaignStore, iteration: int, facts: dict[str, Any]) -> None:
        """Keep what is known of a search, for whoever looks on."""
        store.record(iteration, **{f"ascend.{name}": value for name, value in facts.items()})


@dataclass
class AdmitMaker(StageMaker):
    """Append the cells of all runs to the ledger, run after run: an iteration of the ledger is a run.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "admit"

    @stage_job(AdmitDoc)
    def make(
        self,
        campaign: str,
        iteration: int,
        element: str,
        batches: list[Any],
        *,
        dataset: DatasetParams,
    ) -> AdmitDoc:
        """Admit them.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        element
            Chemical symbol.
        batches
            The runs' documents in order; None for a lost one.
        dataset
            Fingerprint and regularisation.

        Raises
        ------
        LostInputError
            If no run left a document.
        """
        runs = [doc for doc in (document(AscendDoc, value) for value in batches) if doc is not None]
        if not runs:
            raise LostInputError("every search failed; see the failed ascend jobs")
        store = CampaignStore.open(campaign)
        ledger = store.ledger(dataset)
        cells = atoms = 0
        for run in runs:
            before = _entropies(ledger.statistics(run.iteration, "select"))
            entries = list(_entries(run, element, ledger.fingerprint))
            ledger.append(run.iteration, "select", entries)
            after = _entropies(ledger.statistics(run.iteration, "refine"))
            store.record(
                run.iteration,
                select=_selected(run, before, after).model_dump(exclude={"trajectories"}),
            )
            cells, atoms = (
                cells + len(entries),
                atoms + sum(len(entry.structure) for entry in entries),
            )
        return AdmitDoc(
            iteration=iteration,
            batches=len(runs),
            cells=cells,
            atoms=atoms,
            entropy=after,
            random=_entropies({mode: _merged(runs, mode) for mode in MODES}),
        )


def _place(window: Window, mode: Mode, part: int) -> dict[str, Any]:
    radii = {"r_core": window.r_core, "r_min": window.r_min}
    return {
        "window": window.index,
        "low": window.low,
        "high": window.high,
        **radii,
        "mode": mode,
        "part": part,
    }


def _progress(run: RevEM) -> dict[str, Any]:
    counts = {name: run.counts[name] for name in ("accepted", "close", "entropy")}
    return {"tried": run.done, **counts, "k": run.k}


def _cell(found: AcceptedCell) -> dict[str, Any]:
    """A cell as plain data."""
    told = {"candidate": found.candidate, "k": found.k, "gain": found.gain}
    return {
        **told,
        "cell": found.atoms.cell.array.tolist(),
        "positions": found.atoms.positions.tolist(),
    }


def _information(
    cells: Sequence[Atoms], fingerprint: Fingerprint, regularization: float, mode: Mode
) -> dict[str, Any]:
    """Log det Σ after each of some random cells in one mode, and the statistics of all in both."""
    found = {one: SufficientStatistics(fingerprint.dim, regularization, one) for one in MODES}
    curve = []
    for start in range(0, len(cells), CHUNK):
        for q in fingerprint(cells[start : start + CHUNK]):
            for statistics in found.values():
                statistics.add(q)
            curve.append(found[mode].entropy())
    packed = {
        one: base64.b64encode(statistics.to_bytes()).decode() for one, statistics in found.items()
    }
    return {"random": curve, "statistics": packed}


def _entries(run: AscendDoc, element: str, fingerprint: Fingerprint) -> Iterator[Entry]:
    """A run's cells as they enter the ledger."""
    place = {name: getattr(run, name) for name in ("window", "mode", "part", "r_core")}
    place["phase"] = f"window {run.window}, per {run.mode}"
    for start in range(0, len(run.trajectories), CHUNK):
        rows = run.trajectories[start : start + CHUNK]
        cells = [
            Atoms(
                [element] * len(row["positions"]),
                positions=row["positions"],
                cell=row["cell"],
                pbc=True,
            )
            for row in rows
        ]
        for number, (row, atoms, q) in enumerate(
            zip(rows, cells, fingerprint(cells), strict=True), start
        ):
            source = {**place, "candidate": row["candidate"], "strength": row["k"]}
            yield Entry(
                f"{run.iteration:03d}/revem/{number:05d}",
                to_structure(atoms),
                q,
                row["gain"],
                source,
            )


def _selected(run: AscendDoc, before: dict[str, float], after: dict[str, float]) -> SelectDoc:
    """A run in the words of a selection, for whoever looks at iterations."""
    return SelectDoc(
        iteration=run.iteration,
        candidates=run.tried + run.bootstrap,
        accepted=len(run.trajectories),
        near=0,
        rejected=run.close + run.entropy,
        spent=0,
        entropy_before=before,
        entropy_after=after,
        gains=[row["gain"] for row in run.trajectories],
        trajectories=[],
    )


def _entropies(statistics: dict[Mode, SufficientStatistics]) -> dict[str, float]:
    return {mode: one.entropy() for mode, one in statistics.items()}


def _merged(runs: Sequence[AscendDoc], mode: Mode) -> SufficientStatistics:
    """Statistics of the random cells of all runs."""
    parts = [
        SufficientStatistics.from_bytes(base64.b64decode(run.statistics[mode])) for run in runs
    ]
    whole = parts[0].copy()
    for part in parts[1:]:
        whole.merge(part)
    return whole
