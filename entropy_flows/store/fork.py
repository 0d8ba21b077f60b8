"""Begin a campaign with what another one has, up to an iteration.

    ledger          written anew under the new name, cell by cell, in the same order
    labels          copied with their splits, so that held-out cells stay held out
    models          the same files, which the database keeps under their SHA-256
    iterations, members, versions, predictions, failures, exclusions, approvals,          copied
    checks, replays and equations                                                          copied
    targets         the same cells; what the ledger leaves unknown of them is computed anew

A fork whose cells are labelled again has no labels and models: its flow begins with them, see
`store.relabelling`.

With another fingerprint, other elements or another λ the fingerprints and gains are those of the
new settings. All is written once under names that follow from the campaign's, so a fork that was
interrupted is completed by the same command. Until then its state is "forking".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from typing import Any

from pymatgen.core import Structure
from pymongo.errors import DuplicateKeyError

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES
from entropy_flows.geometry import to_atoms
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.changes import Difference, When, differences
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.store.campaign import VERSIONED, CampaignStore
from entropy_flows.store.connection import StoreError
from entropy_flows.store.entry import Entry
from entropy_flows.store.fork_copies import copy_documents, copy_exclusions, copy_models
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.relabelling import SEARCH_STAGES, unlabelled_iteration
from entropy_flows.store.schema import SCHEMA
from entropy_flows.store.seals import sealed
from entropy_flows.store.settings_changes import Progress, current_document, stored_campaign

CELL_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
DATASET_KEYS = ("elements", "global_fingerprint", "regularization")
"""Sections that fingerprints and gains follow from."""
SEARCHED = {
    "iterations": ("campaign", "iteration"),
    "failures": ("campaign", "uuid"),
    "approvals": ("campaign", "key"),
}
"""Collection → unique key, of the documents of iterations."""


@dataclass(frozen=True)
class Fork:
    """A campaign that begins with what another one has.

    Attributes
    ----------
    source
        The campaign that is forked.
    target
        The new one.
    campaign
        Settings of the new one.
    iteration
        First iteration of its own.
    relabel
        Whether the cells before it are labelled again.
    """

    source: CampaignStore
    target: CampaignStore
    campaign: Campaign
    iteration: int
    relabel: bool = False

    def make(self, on_progress: Callable[[int, int], None] = lambda done, total: None) -> int:
        """Write what the new campaign lacks, and return the number of entries that are shared.

        Parameters
        ----------
        on_progress
            Called with the entries that are written, and with all there will be.

        Raises
        ------
        StoreError
            If the iterations before are not complete, a key cannot be changed by this fork, or
            there is another campaign of the new name.
        """
        document = current_document(self.source)
        changed = self._changes(document)
        book = self.source.ledger(stored_campaign(self.source, document).dataset)
        end = book.position(self.iteration, LEDGER_STAGES[0])
        if self.relabel and end == 0:
            raise StoreError(
                f"campaign {self.source.name!r} has no cell before iteration {self.iteration}: "
                f"there is nothing to label again, leave --relabel out"
            )
        self._register(document)
        self._copy_iterations()
        # the iterations' documents and these rows say which cells count in which statistics
        shared = copy_exclusions(self.source, self.target, end)
        if not self._is_recomputed(changed):
            self._copy_targets()
        self._copy_ledger(book, end, changed, on_progress)
        self._copy_labels(end)
        if self.iteration > 1 and not self.relabel:
            # before its first iteration a campaign has the models that its file names
            copy_models(self.source, self.target, self._before, shared)
        message = f"forked from {self.source.name}, begins with iteration {self.iteration}"
        if self.target.document()["state"] == "forking":
            self.target.set_state("new", message)
        return end

    @property
    def _before(self) -> dict[str, Any]:
        """Query of the source's documents of the iterations before."""
        return {"campaign": self.source.name, "iteration": {"$lt": self.iteration}}

    def _changes(self, document: Mapping[str, Any]) -> list[Difference]:
        """Return what the new file changes, provided that this fork can change it."""
        evaluated = Progress.of(self.source).evaluated
        if self.iteration > evaluated + 1:
            raise StoreError(
                f"campaign {self.source.name!r} has evaluated {evaluated} iterations: a fork of it "
                f"begins with iteration {evaluated + 1} at most, not {self.iteration}"
            )
        if self.iteration > 1 and not self.relabel and not self._has_decision():
            raise StoreError(
                f"campaign {self.source.name!r} has no model of iteration {self.iteration - 1}: "
                f"its cells up to iteration {evaluated} were trained on together, or need --relabel"
            )
        changed = differences(stored_campaign(self.source, document), self.campaign)
        has_labels = self.source.database["labels"].find_one(self._before) is not None
        for change in changed:
            if change.rule.when is not When.BEGINNING or self.relabel:
                continue
            if change.section == "label" and has_labels:
                raise StoreError(
                    f"{change.key}: the cells before iteration {self.iteration} have labels of "
                    f"another engine; --relabel has them labelled again"
                )
            if change.section != "label" and self.iteration > 1:
                raise StoreError(
                    f"{change.key}: {change.rule.why}; use --from-iteration 1, or --relabel, which "
                    f"trains anew"
                )
        return changed

    def _register(self, source: Mapping[str, Any]) -> None:
        """Write the new campaign's own document, or see that it is this fork's."""
        origin: dict[str, Any] = {"campaign": self.source.name, "iteration": self.iteration}
        if self.relabel:
            origin["relabel"] = True
        document = {
            "name": self.target.name,
            "schema": SCHEMA,
            "config": self.campaign.model_dump(mode="json"),
            "state": "forking",
            "message": f"a fork of {self.source.name} is being made",
            "versions": {package: version(package) for package in VERSIONED},
            "forked_from": origin,
            "created": datetime.now(UTC),
        }
        if "engine" in source and self._has_labels() and not self.relabel:
            document["engine"] = source["engine"]
        try:
            self.target.database["campaigns"].insert_one(sealed("campaigns", document))
        except DuplicateKeyError:
            present = self.target.document()
            if present.get("forked_from") != origin:
                raise StoreError(
                    f"campaign {self.target.name!r} is there already, and is no fork of "
                    f"{self.source.name!r} from iteration {self.iteration} on{self._words}: give "
                    f"the new file another name, or delete that campaign"
                ) from None
            self.target.compare(self.campaign)

    @property
    def _words(self) -> str:
        """Words for what tells this fork from others of the same iteration."""
        return " with --relabel" if self.relabel else ""

    def _has_labels(self) -> bool:
        return self.source.database["labels"].find_one(self._before) is not None

    def _has_decision(self) -> bool:
        """Tell whether the last iteration before has a model to go on from."""
        query = {"campaign": self.source.name, "iteration": self.iteration - 1}
        decided = {**query, "evaluate.continues": {"$exists": True}}
        return self.source.database["iterations"].find_one(decided) is not None

    def _copy_iterations(self) -> None:
        """Copy what is there of the iterations before, models apart."""
        query = dict(self._before)
        for collection, key in SEARCHED.items():
            if self.relabel and collection == "failures":
                query["stage"] = {"$in": SEARCH_STAGES}
            rows: Iterable[Mapping[str, Any]] = self.source.database[collection].find(query)
            if self.relabel and collection == "iterations":
                rows = (self._unlabelled(row) for row in rows)
            copy_documents(self.target, collection, key, rows)
            query = dict(self._before)

    def _unlabelled(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return an iteration's document without what followed from the labels."""
        labels = self.source.labels(iteration=row["iteration"], foreign={"$ne": True})
        return unlabelled_iteration(row, labels, row["iteration"] == self.iteration - 1)

    def _copy_ledger(
        self,
        book: Ledger,
        end: int,
        changed: Iterable[Difference],
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Append the entries before the iteration, stage by stage as they were appended."""
        target = self.target.ledger(self.campaign.dataset)
        is_same = not self._is_recomputed(changed)
        rows = book.entries(position={"$lt": end})
        groups = groupby(rows, key=lambda row: (row["iteration"], row["stage"]))
        for (iteration, stage), group in groups:
            documents = list(group)
            start = documents[0]["position"]
            last = start + len(documents)
            if is_same:
                entries = _entries(documents, list(book.fingerprints_between(start, last)))
            else:
                entries = _recomputed(target, iteration, stage, documents)
            if stage == IMPORT:
                target.import_entries(iteration, entries)
                target.checkpoint_statistics(iteration)
            else:
                target.append_accepted(iteration, stage, entries)
            on_progress(last, end)

    @staticmethod
    def _is_recomputed(changed: Iterable[Difference]) -> bool:
        """Tell whether fingerprints and gains are others than those of the source."""
        return any(change.section in DATASET_KEYS for change in changed)

    def _copy_targets(self) -> None:
        """Copy the targets and their bases; the precisions follow when entries are appended."""
        source = self.source.ledger(self.campaign.dataset)
        target = self.target.ledger(self.campaign.dataset)
        for row in source.targets.find(self._before).sort("iteration", 1):
            facts = {"kind": row["kind"], "mix": row["mix"]}
            cells = source.target_cells(row)
            target.save_target(row["iteration"], cells, row["settings"], **facts)

    def _copy_labels(self, end: int) -> None:
        """Copy the labels of the shared entries, with their splits.

        If the cells are labelled again, these are the labels that imported cells have from others.
        """
        query: dict[str, Any] = {"campaign": self.source.name, "position": {"$lt": end}}
        if self.relabel:
            query["foreign"] = True
        rows = (
            {
                **label,
                "wall_seconds": 0.0,
                "copied_from": label.get("copied_from")
                or {name: label[name] for name in ("campaign", "key", "wall_seconds")},
            }
            for label in self.source.database["labels"].find(query)
        )
        copy_documents(self.target, "labels", ("structure_id", "engine_hash"), rows)


def _entries(documents: Sequence[Mapping[str, Any]], arrays: Sequence[Array]) -> list[Entry]:
    """Return entries of a ledger, as they are to be appended to another one.

    Parameters
    ----------
    documents
        Documents of the ledger.
    arrays
        Fingerprints (n_atoms, dim) of each.
    """
    return [
        Entry(
            row["key"],
            Structure.from_dict(row["structure"]),
            q,
            row["gain"],
            row["origin"],
            row.get("variance_gain"),
        )
        for row, q in zip(documents, arrays, strict=True)
    ]


def _recomputed(
    ledger: Ledger, iteration: int, stage: str, documents: Sequence[Mapping[str, Any]]
) -> list[Entry]:
    """Return entries with fingerprints and gains by the settings of another ledger."""
    cells = [to_atoms(Structure.from_dict(row["structure"])) for row in documents]
    arrays: list[Array] = []
    for start in range(0, len(cells), CELL_BATCH):
        arrays += ledger.fingerprint(cells[start : start + CELL_BATCH])
    statistics = ledger.statistics(iteration, stage)
    entries = []
    for entry in _entries(documents, arrays):
        gain = entry.gain
        if gain is not None:
            # an imported cell does not say in which mode its gain was computed
            gain = statistics[entry.origin.get("mode") or MODES[0]].gain(entry.q)
        for stats in statistics.values():
            stats.add(entry.q)
        entries.append(replace(entry, gain=gain, variance_gain=None))
    return entries
