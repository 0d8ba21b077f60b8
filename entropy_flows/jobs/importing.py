"""Existing labels enter the ledger as seed data.

A cell's key is a hash of the cell and its label, so a source imported twice, or killed and imported
again, adds what is missing and nothing else. Imported cells enter both statistics like any other.
Their labels train only if they carry the hash of the campaign's own engine; any other is `foreign`:
its cell counts for selection, and that is all.

They stand at the end of the last iteration whose labels are all asked for: iteration 0 before the
first selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from ase import Atoms
from pymongo import DESCENDING

from entropy_flows.conventions import Array
from entropy_flows.digest import digest
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.jobs.engine import same_engine
from entropy_flows.jobs.import_keys import content_key, drawn_mode
from entropy_flows.jobs.import_report import ImportReport
from entropy_flows.label import engine_of, make_static_maker, odd_labels
from entropy_flows.label.existing import ImportedFrame, is_run_of
from entropy_flows.label.reasons import Reason, check_geometry
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.select import Candidate, LogDetSelector, Verdict
from entropy_flows.select.selector import ANY_GAIN
from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.connection import StoreError
from entropy_flows.store.entry import Entry
from entropy_flows.store.labels import held_out, split_fields
from entropy_flows.store.ledger import Ledger
from entropy_flows.train import assign_splits, energy_per_atom

if TYPE_CHECKING:
    from jobflow import Maker

IMPORT_BATCH = 64
"""Cells that enter together."""
NO_GAIN = "its gain is not above θ"


@dataclass(frozen=True)
class Import:
    """One import into a campaign.

    Attributes
    ----------
    store
        The campaign that takes the cells.
    campaign
        Its configuration.
    as_engine
        Whether the user says that the labels are of the campaign's own engine and settings.
    sequential
        Only cells whose gain passes the campaign's θ enter, in the order of the source.
    """

    store: CampaignStore
    campaign: Campaign
    as_engine: bool = False
    sequential: bool = False

    @cached_property
    def maker(self) -> Maker:
        """The campaign's own engine."""
        return make_static_maker(self.campaign.label)

    @cached_property
    def engine_hash(self) -> str:
        """Hash of the engine's settings, which must be those of the campaign's labels."""
        return same_engine(self.store, self.maker)

    @cached_property
    def ledger(self) -> Ledger:
        """The campaign's ledger."""
        return self.store.ledger(self.campaign.dataset)

    def run(
        self,
        frames: Iterable[ImportedFrame],
        on_progress: Callable[[ImportReport], None] = lambda _: None,
    ) -> ImportReport:
        """Import frames; the report names those that cannot be used.

        Raises
        ------
        StoreError
            If the campaign is in the middle of an iteration; what has entered by then stays.
        """
        iteration = self._iteration()
        statistics = self.ledger.statistics_after(iteration)
        report = ImportReport(iteration, before=_entropies(statistics))
        stream = iter(frames)
        while batch := list(islice(stream, IMPORT_BATCH)):
            report.read += len(batch)
            usable = self._usable(batch, report)
            present = {entry["key"] for entry in self._rows(usable)}
            new = self._entries(usable, present, report)
            entries = self._accepted(new, statistics, usable, report)
            self.ledger.import_entries(iteration, entries)
            report.entered += len(entries)
            report.present += len(present)
            self._label(usable, report)
            on_progress(report)
        self._finish(report)
        return report

    def rejection_reason(self, frame: ImportedFrame) -> str | None:
        """Say why a frame cannot be used in this campaign; None if it can."""
        if frame.defect is not None or frame.structure is None:
            return frame.defect or "no structure"
        symbols = {site.specie.symbol for site in frame.structure}
        unknown = sorted(symbols - set(self.campaign.elements))
        if unknown:
            elements = ", ".join(self.campaign.elements)
            return f"has {', '.join(unknown)}; the campaign's elements are {elements}"
        defect = check_geometry(frame.structure, self.campaign.label.min_distance_fraction)
        return f"{Reason.BAD_GEOMETRY}: {defect}" if defect else None

    def _iteration(self) -> int:
        """Find the iteration at whose end cells can be imported now."""
        query = {"campaign": self.store.name, "stage": {"$ne": IMPORT}}
        last = self.ledger.structures.find_one(query, sort=[("position", DESCENDING)])
        if last is None:
            return 0
        number = int(last["iteration"])
        document = next((row for row in self.store.iterations() if row["iteration"] == number), {})
        if "train" not in document and not self.store.failures(iteration=number, stage="train"):
            raise StoreError(
                f"campaign {self.store.name!r} is in the middle of iteration {number}: cells can "
                "be imported before the first selection, or once an iteration has all its labels; "
                "try again when it trains"
            )
        return number

    def _usable(
        self, batch: Sequence[ImportedFrame], report: ImportReport
    ) -> dict[str, ImportedFrame]:
        """Sort usable frames by their keys."""
        usable: dict[str, ImportedFrame] = {}
        for frame in batch:
            report.notes.update(frame.notes)
            reason = self.rejection_reason(frame)
            if reason is not None:
                report.skipped.append((frame.location, reason))
                continue
            key = content_key(frame)
            if key in usable:
                report.present += 1
                # of two frames of one cell, the one that is held out of training decides
                frame = max(usable[key], frame, key=lambda twin: held_out(twin.split))
            usable[key] = frame
        return usable

    def _entries(
        self, usable: Mapping[str, ImportedFrame], present: set[str], report: ImportReport
    ) -> Iterator[Entry]:
        """Yield entries of the cells that are not in the ledger."""
        new = {key: frame for key, frame in usable.items() if key not in present}
        cells = [to_atoms(frame.structure) for frame in new.values() if frame.structure is not None]
        for (key, frame), q in zip(new.items(), self._fingerprints(cells), strict=True):
            assert frame.structure is not None
            if isinstance(q, ValueError):
                report.skipped.append((frame.location, f"no fingerprint: {q}"))
                continue
            source = {"source": frame.source, "settings": frame.settings}
            yield Entry(key, frame.structure, q, None, source)

    def _fingerprints(self, cells: Sequence[Atoms]) -> Sequence[Array | ValueError]:
        """Compute fingerprints in one call; if a cell has none, one by one, errors among them."""
        try:
            return self.ledger.fingerprint(cells)
        except ValueError as err:
            if len(cells) == 1:
                return [err]
        return [q for cell in cells for q in self._fingerprints([cell])]

    def _accepted(
        self,
        entries: Iterable[Entry],
        statistics: Mapping[Mode, SufficientStatistics],
        usable: Mapping[str, ImportedFrame],
        report: ImportReport,
    ) -> list[Entry]:
        """Choose those that enter: all, or what passes θ."""
        if not self.sequential:
            return list(entries)
        stages = self.campaign.iteration(report.iteration + 1)
        by_key = {entry.key: entry for entry in entries}
        share = stages.explore.per_atom_fraction
        candidates = [
            Candidate(entry.key, entry.q, drawn_mode(entry.key, share)) for entry in by_key.values()
        ]
        selector = LogDetSelector(theta_min=stages.select.theta_min or ANY_GAIN)
        accepted = []
        for decision in selector(candidates, statistics):
            key = decision.candidate.key
            if decision.verdict is Verdict.ACCEPTED:
                accepted.append(replace(by_key[key], gain=decision.gain))
            else:
                report.skipped.append((usable[key].location, NO_GAIN))
        return accepted

    def _rows(self, usable: Mapping[str, ImportedFrame]) -> list[dict[str, Any]]:
        """Return the ledger's documents of these frames."""
        return list(self.ledger.entries(key={"$in": list(usable)}))

    def _label(self, usable: Mapping[str, ImportedFrame], report: ImportReport) -> None:
        """Give the entries their labels, also those that an interrupted import left without."""
        splits = self._splits(usable)
        labels = []
        for row in self._rows(usable):
            frame = usable[row["key"]]
            assert frame.label is not None
            is_own = self.as_engine or is_run_of(frame, self.maker)
            code = frame.label.provenance.get("code", "unknown")
            engine = engine_of(self.maker).name if is_own else code
            source = {"engine": f"{engine}, imported", **frame.source}
            label = replace(frame.label, provenance={**frame.label.provenance, **source})
            engine_hash = self.engine_hash if is_own else digest(frame.settings, default=str)
            fields = split_fields(splits.get(row["key"])) if is_own else {"foreign": True}
            labels.append((row, engine_hash, label.as_dict() | fields))
            report.own_engine += is_own
        self.store.add_labels(labels)
        self._set_missing_splits(splits, report)

    def _splits(self, usable: Mapping[str, ImportedFrame]) -> dict[str, str]:
        """Return the splits that frames come with, or that their cells have in another campaign."""
        hashes = {
            key: cell_hash(frame.structure)
            for key, frame in usable.items()
            if frame.structure is not None
        }
        elsewhere = self.store.splits_anywhere(list(hashes.values()), self.engine_hash)
        splits = {key: frame.split or elsewhere.get(hashes[key]) for key, frame in usable.items()}
        return {key: split for key, split in splits.items() if split is not None}

    def _set_missing_splits(self, splits: Mapping[str, str], report: ImportReport) -> None:
        """Give labels without a split that of their cells; note those that have another."""
        labels = [
            label
            for label in self.store.labels(key={"$in": list(splits)})
            if label["engine_hash"] == self.engine_hash
        ]
        missing = [label["key"] for label in labels if label.get("split") is None]
        self.store.set_splits({key: splits[key] for key in missing})
        for label in labels:
            split = splits[label["key"]]
            if label.get("split") not in (None, split):
                note = f"{split} in its source and {label['split']} here, which it stays"
                report.notes[note] += 1

    def _finish(self, report: ImportReport) -> None:
        """Flag odd labels, assign the splits, store the covariance and the counts."""
        iteration = report.iteration
        report.flagged = self._flag_and_split(iteration)
        first = self.ledger.statistics(iteration, IMPORT)
        last = self.ledger.checkpoint_statistics(iteration)
        report.after = _entropies(last)
        report.size = self.ledger.position(iteration + 1, LEDGER_STAGES[0])
        entered = report.size - self.ledger.position(iteration, IMPORT)
        if entered:
            counts = {
                "import.entered": entered,
                "import.entropy_before": _entropies(first),
                "import.entropy_after": report.after,
            }
            self.store.record(iteration, **counts)

    def _flag_and_split(self, iteration: int) -> int:
        """Flag odd labels, assign the splits of the others, and count the odd ones."""
        labels: dict[str, Any] = {
            "engine_hash": self.engine_hash,
            "stage": IMPORT,
            "split": None,
        }
        frames = self.store.frames(**labels)
        odd = odd_labels(frames, None, self.campaign.label.outliers)
        self.store.flag_labels({frames[index].info["key"]: text for index, text in odd.items()})
        energies = {
            atoms.info["key"]: energy_per_atom(atoms)
            for index, atoms in enumerate(frames)
            if index not in odd
        }
        recipe = self.campaign.iteration(iteration + 1).train
        assigned: dict[str, Any] = self.store.splits()
        splits = assign_splits(
            assigned, list(energies.values()), list(energies), recipe.fractions, recipe.seed
        )
        self.store.set_splits({key: split for key, split in splits.items() if key in energies})
        return len(odd)


def _entropies(statistics: Mapping[Mode, SufficientStatistics]) -> dict[str, float]:
    return {str(mode): stats.entropy() for mode, stats in statistics.items()}
