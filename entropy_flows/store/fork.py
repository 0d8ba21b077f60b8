"""Begin a campaign with what another one has, up to an iteration.

    ledger          written anew under the new name, cell by cell, in the same order
    labels          copied with their splits, so that held-out cells stay held out
    models          the same files, which the database keeps under their SHA-256
    iterations, members, versions, failures, exclusions, approvals, checks, replays       copied

With another fingerprint, other elements or another λ the fingerprints and gains are those of the
new settings. All is written once under names that follow from the campaign's, so a fork that was
interrupted is completed by the same command. Until then its state is "forking".
"""

from __future__ import annotations

from bisect import bisect_left
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
from entropy_flows.store.entry import Entry, structure_id
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.schema import SCHEMA
from entropy_flows.store.seals import SEALS, insert_each_once, sealed
from entropy_flows.store.settings_changes import Progress, current_document, stored_campaign

BATCH = 200
"""Documents that are copied in one request."""
CELL_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
DATASET_KEYS = ("elements", "global_fingerprint", "regularization")
"""Sections that fingerprints and gains follow from."""
COPIED = {
    "models": ("campaign", "iteration"),
    "members": ("campaign", "iteration", "member"),
    "iterations": ("campaign", "iteration"),
    "failures": ("campaign", "uuid"),
    "approvals": ("campaign", "key"),
}
"""Collection → unique key, of the documents that are copied by their iteration."""


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
    """

    source: CampaignStore
    target: CampaignStore
    campaign: Campaign
    iteration: int

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
        self._register(document)
        book = self.source.ledger(stored_campaign(self.source, document).dataset)
        end = book.position(self.iteration, LEDGER_STAGES[0])
        for collection, key in COPIED.items():
            rows = self.source.database[collection].find(self._before)
            self._copy(collection, key, rows)
        # the iterations' documents and these rows say which cells count in which statistics
        self._copy_versions(self._copy_exclusions(end))
        self._copy_ledger(book, end, changed, on_progress)
        self._copy_labels(end)
        self._copy_checks()
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
        changed = differences(stored_campaign(self.source, document), self.campaign)
        has_labels = self.source.database["labels"].find_one(self._before) is not None
        for change in changed:
            if change.rule.when is not When.BEGINNING:
                continue
            if change.section == "label" and has_labels:
                raise StoreError(
                    f"{change.key}: the cells before iteration {self.iteration} have labels of "
                    f"another engine; a fork with another one begins with --from-iteration 1"
                )
            if change.section != "label" and self.iteration > 1:
                raise StoreError(f"{change.key}: {change.rule.why}; use --from-iteration 1")
        return changed

    def _register(self, source: Mapping[str, Any]) -> None:
        """Write the new campaign's own document, or see that it is this fork's."""
        origin = {"campaign": self.source.name, "iteration": self.iteration}
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
        if "engine" in source and self._has_labels():
            document["engine"] = source["engine"]
        try:
            self.target.database["campaigns"].insert_one(sealed("campaigns", document))
        except DuplicateKeyError:
            present = self.target.document()
            if present.get("forked_from") != origin:
                raise StoreError(
                    f"campaign {self.target.name!r} is there already, and is no fork of "
                    f"{self.source.name!r} from iteration {self.iteration} on: give the new file "
                    f"another name, or delete that campaign"
                ) from None
            self.target.compare(self.campaign)

    def _has_labels(self) -> bool:
        return self.source.database["labels"].find_one(self._before) is not None

    def _copy_ledger(
        self,
        book: Ledger,
        end: int,
        changed: Iterable[Difference],
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Append the entries before the iteration, stage by stage as they were appended."""
        target = self.target.ledger(self.campaign.dataset)
        is_same = not any(change.section in DATASET_KEYS for change in changed)
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

    def _copy_labels(self, end: int) -> None:
        """Copy the labels of the shared entries, with their splits."""
        query = {"campaign": self.source.name, "position": {"$lt": end}}
        rows = (
            {
                **label,
                "wall_seconds": 0.0,
                "copied_from": label.get("copied_from")
                or {name: label[name] for name in ("campaign", "key", "wall_seconds")},
            }
            for label in self.source.database["labels"].find(query)
        )
        self._copy("labels", ("structure_id", "engine_hash"), rows)

    def _copy_exclusions(self, end: int) -> list[int]:
        """Copy what was said of the shared entries, numbered without gaps.

        Returns
        -------
        list of int
            Numbers of these rows in the campaign that is forked, in their order.
        """
        shared = [row for row in self.source.exclusions() if row["position"] < end]
        rows = [{**row, "number": number} for number, row in enumerate(shared)]
        self._copy("exclusions", ("campaign", "number"), rows)
        return [row["number"] for row in shared]

    def _copy_versions(self, shared: Sequence[int]) -> None:
        """Copy the further versions of models, with the exclusions that counted for each.

        One that was compared with a model of a later iteration, which the fork has not, stays
        behind. Rows about entries that are not shared may stand between those that are.
        """
        rows = list(self.source.database["versions"].find(self._before))
        references = {row["reference"] for row in rows}
        references.update(self.source.database["models"].distinct("reference", self._before))
        copies = [
            {**row, "exclusions": bisect_left(shared, row["exclusions"])}
            for row in rows
            if row["replaced"] in references
        ]
        self._copy("versions", ("campaign", "iteration", "version"), copies)

    def _copy_checks(self) -> None:
        """Copy the physics checks of the models that are shared, and the cells to replay."""
        database = self.source.database
        models = database["models"].distinct("reference", self._before)
        query = {"campaign": self.source.name, "model": {"$in": models}}
        key = ("campaign", "model", "check", "phase", "check_hash")
        self._copy("checks", key, database["checks"].find(query))
        replays = database["replays"].find({"campaign": self.source.name})
        self._copy("replays", ("campaign", "replay_hash"), replays)

    def _copy(
        self, collection: str, key: tuple[str, ...], rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Write documents of the source under the new campaign's name, once."""
        batch = []
        for row in rows:
            copy = {name: value for name, value in row.items() if name not in ("_id", SEALS)}
            copy["campaign"] = self.target.name
            if "structure_id" in row:
                copy["structure_id"] = structure_id(self.target.name, row["key"])
            batch.append(copy)
            if len(batch) == BATCH:
                insert_each_once(self.target.database[collection], key, batch)
                batch = []
        if batch:
            insert_each_once(self.target.database[collection], key, batch)


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
        Entry(row["key"], Structure.from_dict(row["structure"]), q, row["gain"], row["origin"])
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
        entries.append(replace(entry, gain=gain))
    return entries
