"""Existing labels enter the ledger as seed data.

A cell's key is a hash of the cell and its label, so a source imported twice, or killed and imported
again, adds what is missing and nothing else. Imported cells enter both statistics like any other.
Their labels train only if they carry the hash of the campaign's own engine; any other is `foreign`:
its cell counts for selection, and that is all.

They stand at the end of the last iteration whose labels are all asked for: iteration 0 before the
first selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from pymongo import DESCENDING

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256, digest
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.jobs.engine import same_engine
from entropy_flows.label import engine_of, make_static_maker, odd_labels
from entropy_flows.label.existing import ImportedFrame, is_run_of
from entropy_flows.label.reasons import Reason, check_geometry
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.select import Candidate, LogDetSelector, Verdict
from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.connection import StoreError
from entropy_flows.store.entry import Entry
from entropy_flows.store.labels import held_out, split_fields
from entropy_flows.store.ledger import Ledger
from entropy_flows.train import assign_splits, energy_per_atom

if TYPE_CHECKING:
    from jobflow import Maker

CHUNK = 64
"""Cells that enter together."""
NO_GAIN = "its gain is not above θ"


@dataclass
class ImportReport:
    """What became of a source's frames."""

    iteration: int
    """Where the cells stand."""
    read: int = 0
    entered: int = 0
    known: int = 0
    """In the ledger before, or twice in the source."""
    own: int = 0
    """Of those that entered or are known, with labels of the campaign's own engine."""
    flagged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Place and reason."""
    before: dict[str, float] = field(default_factory=dict)
    """log det Σ per mode."""
    after: dict[str, float] = field(default_factory=dict)
    size: int = 0
    """Cells in the data set now."""
    notes: Counter[str] = field(default_factory=Counter)
    """What is to be said of how frames were read, and of how many."""


@dataclass(frozen=True)
class Import:
    """One import into a campaign.

    Attributes
    ----------
    store, campaign
        Where to, and its configuration.
    as_engine
        The labels are of the campaign's own engine's settings: so says the user.
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
    def engine(self) -> tuple[str, str]:
        """Its name and the hash of its settings."""
        return engine_of(self.maker).name, same_engine(self.store, self.maker)

    @cached_property
    def ledger(self) -> Ledger:
        """The campaign's ledger."""
        return self.store.ledger(self.campaign.dataset)

    def run(
        self,
        frames: Iterable[ImportedFrame],
        on_progress: Callable[[ImportReport], None] = lambda _: None,
    ) -> ImportReport:
        """Import frames; those that cannot be used are told in the report.

        Raises
        ------
        StoreError
            If the campaign is in the middle of an iteration; what has entered by then stays.
        """
        iteration = self._place()
        statistics = self.ledger.statistics(iteration + 1, LEDGER_STAGES[0])
        report = ImportReport(iteration, before=_entropies(statistics))
        stream = iter(frames)
        while chunk := list(islice(stream, CHUNK)):
            report.read += len(chunk)
            fit = self._fit(chunk, report)
            there = {entry["key"] for entry in self._entries(fit)}
            entries = self._judged(self._made(fit, there, report), statistics, fit, report)
            self.ledger.import_entries(iteration, entries)
            report.entered += len(entries)
            report.known += len(there)
            self._label(fit, report)
            on_progress(report)
        self._finish(report)
        return report

    def rejection_reason(self, frame: ImportedFrame) -> str | None:
        """Why a frame cannot be used in this campaign, or None."""
        if frame.defect is not None or frame.structure is None:
            return frame.defect or "no structure"
        elements = {site.specie.symbol for site in frame.structure}
        if unknown := sorted(elements - set(self.campaign.elements)):
            return f"has {', '.join(unknown)}; the campaign's elements are {', '.join(self.campaign.elements)}"
        defect = check_geometry(frame.structure, self.campaign.label.min_distance_fraction)
        return f"{Reason.BAD_GEOMETRY}: {defect}" if defect else None

    def _place(self) -> int:
        """The iteration at whose end cells can be imported now."""
        asked = {"campaign": self.store.name, "stage": {"$ne": IMPORT}}
        last = self.ledger.structures.find_one(asked, sort=[("position", DESCENDING)])
        if last is None:
            return 0
        number = int(last["iteration"])
        document = next((doc for doc in self.store.iterations() if doc["iteration"] == number), {})
        if "train" not in document and not self.store.failures(iteration=number, stage="train"):
            raise StoreError(
                f"campaign {self.store.name!r} is in the middle of iteration {number}: cells can be imported "
                f"before the first selection, or once an iteration has all its labels; try again when it trains"
            )
        return number

    def _fit(
        self, chunk: Sequence[ImportedFrame], report: ImportReport
    ) -> dict[str, ImportedFrame]:
        """Usable frames by their keys."""
        fit: dict[str, ImportedFrame] = {}
        for frame in chunk:
            report.notes.update(frame.notes)
            if reason := self.rejection_reason(frame):
                report.skipped.append((frame.location, reason))
            elif (key := content_key(frame)) in fit:
                report.known += 1
                fit[key] = max(fit[key], frame, key=lambda same: held_out(same.split))
            else:
                fit[key] = frame
        return fit

    def _made(
        self, fit: Mapping[str, ImportedFrame], there: set[str], report: ImportReport
    ) -> Iterator[Entry]:
        """Entries of the cells that are not in the ledger."""
        new = {key: frame for key, frame in fit.items() if key not in there}
        cells = [to_atoms(frame.structure) for frame in new.values() if frame.structure is not None]
        for (key, frame), q in zip(new.items(), self._fingerprints(cells), strict=True):
            assert frame.structure is not None
            if isinstance(q, ValueError):
                report.skipped.append((frame.location, f"no fingerprint: {q}"))
            else:
                yield Entry(
                    key,
                    frame.structure,
                    q,
                    None,
                    {"source": frame.source, "settings": frame.settings},
                )

    def _fingerprints(self, cells: Sequence[Atoms]) -> Sequence[Array | ValueError]:
        """Fingerprints of cells in one call; if one has none, of each alone, or why it has none."""
        fingerprint = self.ledger.fingerprint
        try:
            return fingerprint(cells)
        except ValueError as err:
            return (
                [err]
                if len(cells) == 1
                else [q for cell in cells for q in self._fingerprints([cell])]
            )

    def _judged(
        self,
        entries: Iterable[Entry],
        statistics: Mapping[Mode, SufficientStatistics],
        fit: Mapping[str, ImportedFrame],
        report: ImportReport,
    ) -> list[Entry]:
        """Those that enter: all, or what passes θ."""
        if not self.sequential:
            return list(entries)
        settings = self.campaign.iteration(report.iteration + 1)
        made = {entry.key: entry for entry in entries}
        share = settings.explore.per_atom_fraction
        candidates = [
            Candidate(entry.key, entry.q, _mode(entry.key, share)) for entry in made.values()
        ]
        chosen = []
        for decision in LogDetSelector(theta_min=settings.select.theta_min)(candidates, statistics):
            key = decision.candidate.key
            if decision.verdict is Verdict.ACCEPTED:
                chosen.append(replace(made[key], gain=decision.gain))
            else:
                report.skipped.append((fit[key].location, NO_GAIN))
        return chosen

    def _entries(self, fit: Mapping[str, ImportedFrame]) -> list[dict[str, Any]]:
        return list(self.ledger.entries(key={"$in": list(fit)}))

    def _label(self, fit: Mapping[str, ImportedFrame], report: ImportReport) -> None:
        """Give the entries their labels, also those that an interrupted import left without."""
        name, own = self.engine
        splits = self._splits(fit)
        labels = []
        for entry in self._entries(fit):
            frame = fit[entry["key"]]
            assert frame.label is not None
            ours = self.as_engine or is_run_of(frame, self.maker)
            engine_hash = own if ours else digest(frame.settings, default=str)
            engine = (
                f"{name}, imported"
                if ours
                else f"{frame.label.provenance.get('code', 'unknown')}, imported"
            )
            label = replace(
                frame.label, provenance={**frame.label.provenance, "engine": engine, **frame.source}
            )
            fields = split_fields(splits.get(entry["key"])) if ours else {"foreign": True}
            labels.append((entry, engine_hash, label.as_dict() | fields))
            report.own += ours
        self.store.add_labels(labels)
        self._keep_splits(splits, report)

    def _splits(self, fit: Mapping[str, ImportedFrame]) -> dict[str, str]:
        """Split by key, of the frames that come with it or whose cell has it in another campaign of this database."""
        contents = {
            key: cell_hash(frame.structure)
            for key, frame in fit.items()
            if frame.structure is not None
        }
        elsewhere = self.store.splits_anywhere(list(contents.values()), self.engine[1])
        splits = {key: frame.split or elsewhere.get(contents[key]) for key, frame in fit.items()}
        return {key: split for key, split in splits.items() if split is not None}

    def _keep_splits(self, splits: Mapping[str, str], report: ImportReport) -> None:
        """Give labels that were there without a split the one of their cells; note those that have another."""
        own = self.engine[1]
        labels = [
            label
            for label in self.store.labels(key={"$in": list(splits)})
            if label["engine_hash"] == own
        ]
        without = [label["key"] for label in labels if label.get("split") is None]
        self.store.set_splits({key: splits[key] for key in without})
        for label in labels:
            split = splits[label["key"]]
            if label.get("split") not in (None, split):
                report.notes[
                    f"{split} in its source and {label['split']} here, which it stays"
                ] += 1

    def _finish(self, report: ImportReport) -> None:
        """Flag what is odd, assign the parts, store the covariance and the counts."""
        iteration, (_, own) = report.iteration, self.engine
        recipe = self.campaign.iteration(iteration + 1).train
        ours: dict[str, Any] = {"engine_hash": own, "stage": IMPORT, "split": None}
        frames = self.store.frames(**ours)
        odd = odd_labels(frames, None, self.campaign.label.outliers)
        self.store.flag_labels(
            {frames[location].info["key"]: text for location, text in odd.items()}
        )
        kept = {
            atoms.info["key"]: energy_per_atom(atoms)
            for n, atoms in enumerate(frames)
            if n not in odd
        }
        before: dict[str, Any] = self.store.splits()
        parts = assign_splits(
            before, list(kept.values()), list(kept), recipe.fractions, recipe.seed
        )
        self.store.set_splits({key: part for key, part in parts.items() if key in kept})
        first = self.ledger.statistics(iteration, IMPORT)
        last = self.ledger.checkpoint_statistics(iteration + 1, LEDGER_STAGES[0])
        report.flagged, report.after = len(odd), _entropies(last)
        report.size = self.ledger.position(iteration + 1, LEDGER_STAGES[0])
        if entered := report.size - self.ledger.position(iteration, IMPORT):
            counts = {
                "entered": entered,
                "entropy_before": _entropies(first),
                "entropy_after": report.after,
            }
            self.store.record(
                iteration, **{f"import.{name}": value for name, value in counts.items()}
            )


def content_key(frame: ImportedFrame) -> str:
    """Key of an imported cell: it follows from the cell and its label alone."""
    assert frame.structure is not None
    label = frame.label
    assert label is not None
    numbers = [
        np.ravel(value)
        for value in (label.free_energy, label.forces, label.stress)
        if value is not None
    ]
    content = np.concatenate(numbers).astype("<f8").tobytes()
    return f"import/{bytes_sha256([cell_hash(frame.structure).encode(), content])[:32]}"


def _mode(key: str, per_atom: float) -> Mode:
    """Draw a cell's mode: the same whenever it is imported."""
    return "atom" if int(key.rsplit("/", 1)[1][:8], 16) / 16**8 < per_atom else "config"


def _entropies(statistics: Mapping[Mode, SufficientStatistics]) -> dict[str, float]:
    return {str(mode): stats.entropy() for mode, stats in statistics.items()}
