"""The job that admits the cells of all searches to the ledger."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ase import Atoms

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.fingerprints import Fingerprint
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.ascend import FINGERPRINT_BATCH
from entropy_flows.jobs.common import LostInputError, StageMaker, documents, stage_job
from entropy_flows.jobs.context import IterationContext
from entropy_flows.schemas import AdmitDoc, AscendDoc, SelectDoc
from entropy_flows.store import CampaignStore, Entry


@dataclass
class AdmitMaker(StageMaker):
    """Append the cells of all searches to the ledger; each search is an iteration of it.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "admit"

    @stage_job(AdmitDoc)
    def make(
        self, context: IterationContext, *, element: str, searches: Sequence[AscendDoc | None]
    ) -> AdmitDoc:
        """Admit them.

        Parameters
        ----------
        context
            Constants of the data set.
        element
            Chemical symbol.
        searches
            Documents of the searches in order; None for a lost one.

        Raises
        ------
        LostInputError
            If no search left a document.
        """
        docs = documents(AscendDoc, searches)
        if not docs:
            raise LostInputError("every search failed; see the failed ascend jobs")
        store = CampaignStore.open(context.campaign)
        ledger = store.ledger(context.dataset)
        n_cells = 0
        n_atoms = 0
        for doc in docs:
            before = _entropies(ledger.statistics(doc.iteration, "select"))
            entries = list(_entries(doc, element, ledger.fingerprint))
            ledger.append_accepted(doc.iteration, "select", entries)
            after = _entropies(ledger.statistics(doc.iteration, "refine"))
            selection = _as_selection(doc, before, after)
            store.record(doc.iteration, select=selection.model_dump(exclude={"trajectories"}))
            n_cells += len(entries)
            n_atoms += sum(len(entry.structure) for entry in entries)
        return AdmitDoc(
            iteration=context.iteration,
            batches=len(docs),
            cells=n_cells,
            atoms=n_atoms,
            entropy=after,
            random=_entropies({mode: _merged(docs, mode) for mode in MODES}),
        )


def _entries(doc: AscendDoc, element: str, fingerprint: Fingerprint) -> Iterator[Entry]:
    """Yield a search's cells as they enter the ledger."""
    source = {name: getattr(doc, name) for name in ("window", "mode", "repeat", "r_core")}
    source["phase"] = f"window {doc.window}, per {doc.mode}"
    for start in range(0, len(doc.trajectories), FINGERPRINT_BATCH):
        rows = doc.trajectories[start : start + FINGERPRINT_BATCH]
        cells = [
            Atoms(
                [element] * len(row["positions"]),
                positions=row["positions"],
                cell=row["cell"],
                pbc=True,
            )
            for row in rows
        ]
        numbered = zip(rows, cells, fingerprint(cells), strict=True)
        for number, (row, atoms, q) in enumerate(numbered, start):
            yield Entry(
                f"{doc.iteration:03d}/revem/{number:05d}",
                to_structure(atoms),
                q,
                row["gain"],
                {**source, "candidate": row["candidate"], "strength": row["k"]},
            )


def _as_selection(doc: AscendDoc, before: dict[str, float], after: dict[str, float]) -> SelectDoc:
    """Describe a search in the words of a selection, for the tables of iterations."""
    return SelectDoc(
        iteration=doc.iteration,
        candidates=doc.tried + doc.bootstrap,
        accepted=len(doc.trajectories),
        near_misses=0,
        rejected=doc.close + doc.entropy,
        spent=0,
        entropy_before=before,
        entropy_after=after,
        gains=[row["gain"] for row in doc.trajectories],
        trajectories=[],
    )


def _entropies(statistics: Mapping[Mode, SufficientStatistics]) -> dict[str, float]:
    return {str(mode): stats.entropy() for mode, stats in statistics.items()}


def _merged(docs: Sequence[AscendDoc], mode: Mode) -> SufficientStatistics:
    """Merge the statistics of the random cells of all searches."""
    first, *others = (
        SufficientStatistics.from_bytes(base64.b64decode(doc.statistics[mode])) for doc in docs
    )
    merged = first.copy()
    for statistics in others:
        merged.merge(statistics)
    return merged
