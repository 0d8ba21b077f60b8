"""Whether everything that a campaign has stored fits together: ledger, statistics, labels, models, jobs, files.

    statistics(n) = fold of `add` over the fingerprints at positions 0 … n − 1,    fingerprints = GOM(structure)

Nothing is changed. A check is a function of a `VerifyContext` that returns a `VerifyResult`; it is added to a
list and that is all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from pymatgen.core import Structure

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.geometry import to_atoms
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.store.arrays import unpack
from entropy_flows.store.connection import StoreError
from entropy_flows.store.entry import structure_id
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.subject import VerifyContext, VerifyResult
from entropy_flows.store.verify_deep import DEEP_CHECKS
from entropy_flows.store.verify_files import FILE_CHECKS
from entropy_flows.store.verify_labels import LABEL_CHECKS
from entropy_flows.store.verify_seals import SEAL_CHECKS

SAMPLE = 500
"""Fingerprints that are recomputed unless all are asked for."""
CHUNK = 64
"""Cells whose fingerprints are computed in one call."""
TOLERANCE = 1e-9


def checked(check: Callable[[VerifyContext], VerifyResult], subject: VerifyContext) -> VerifyResult:
    """What a check says; a document that it cannot make sense of is a problem of its own."""
    try:
        return check(subject)
    except (LookupError, TypeError, AttributeError, ValueError) as err:
        return VerifyResult(
            check.__name__,
            0,
            [f"a document is not of the form it should be: {type(err).__name__}: {err}"],
        )


def ledger(subject: VerifyContext) -> VerifyResult:
    """Positions without gaps, keys once, identifiers that follow from them, stages in their order."""
    problems = []
    seen: set[str] = set()
    position, place = -1, (0, 0)
    for entry in subject.entries:
        what = f"position {entry['position']} ({entry['key']})"
        if entry["position"] != position + 1:
            problems.append(f"{what}: {position + 1} was expected")
        if entry["key"] in seen:
            problems.append(f"{what}: the key is there twice")
        if entry["_id"] != structure_id(subject.store.name, entry["key"]):
            problems.append(f"{what}: its identifier does not follow from its key")
        if entry["stage"] not in LEDGER_STAGES or entry["rank"] != LEDGER_STAGES.index(
            entry["stage"]
        ):
            problems.append(f"{what}: stage {entry['stage']!r} with rank {entry['rank']}")
        if (entry["iteration"], entry["rank"]) < place:
            problems.append(
                f"{what}: iteration {entry['iteration']}, {entry['stage']} after a later stage"
            )
        position, place = entry["position"], (entry["iteration"], entry["rank"])
        seen.add(entry["key"])
    return VerifyResult("ledger", len(subject.entries), problems)


def fingerprints(subject: VerifyContext) -> VerifyResult:
    """One of each entry, at its position, whole and finite; and what the structure gives when computed again."""
    book = subject.ledger
    fingerprint_hash = book.fingerprint.fingerprint_hash
    seen, problems, wasted = Counter[str](), list[str](), list[str]()
    found = book.fingerprints.find(
        {"campaign": subject.store.name, "fingerprint_hash": fingerprint_hash}
    ).sort("position", 1)
    for number, row in enumerate(found):
        subject.progress("fingerprints", number, len(subject.entries))
        seen[row["structure_id"]] += 1
        if (entry := subject.by_id.get(row["structure_id"])) is None:
            wasted.append(f"fingerprint at position {row['position']} belongs to no entry")
        else:
            problems += _defects(row, entry, subject.ledger)
    problems += [
        f"{_name(entry)}: no fingerprint" for entry in subject.entries if not seen[entry["_id"]]
    ]
    problems += [
        f"{_name(subject.by_id[key])}: {n} fingerprints" for key, n in seen.items() if n > 1
    ]
    if count := book.fingerprints.count_documents(
        {"campaign": subject.store.name, "fingerprint_hash": {"$ne": fingerprint_hash}}
    ):
        wasted.append(f"{count} fingerprints of other settings than the campaign's")
    wasted += [
        f"array {name}: no document names it; the next append deletes it"
        for name in book.arrays.unused()
    ]
    return VerifyResult("fingerprints", seen.total(), problems, wasted)


def _defects(row: dict[str, Any], entry: dict[str, Any], book: Ledger) -> Iterator[str]:
    if row["position"] != entry["position"]:
        yield f"{_name(entry)}: its fingerprint says position {row['position']}"
    expected = [entry["n_atoms"], book.fingerprint.dim]
    try:
        data = book.arrays.get(row)
        if bytes_sha256(data) != row["sha256"]:
            yield f"{_name(entry)}: its fingerprint does not have its checksum"
        if row["sha256"] != entry.get("fingerprint"):
            yield f"{_name(entry)}: its fingerprint is not the one that it was written with"
        q = unpack(data, (expected[0], expected[1]))
    except (StoreError, ValueError) as err:
        yield f"{_name(entry)}: fingerprint: {err}"
        return
    if row["shape"] != expected:
        yield f"{_name(entry)}: fingerprint of shape {row['shape']}, expected {expected}"
    elif not np.isfinite(q).all():
        yield f"{_name(entry)}: fingerprint is not finite"


def recomputed(subject: VerifyContext) -> VerifyResult:
    """The stored structures' fingerprints, computed again, and the stored ones."""
    ids = [entry["_id"] for entry in subject.entries]
    if len(ids) > SAMPLE and not subject.deep:
        chosen = np.random.default_rng(0).choice(len(ids), SAMPLE, replace=False)
        ids = [ids[place] for place in np.sort(chosen)]
    problems: list[str] = []
    for start in range(0, len(ids), CHUNK):
        subject.progress("recomputed", start, len(ids))
        problems += _differences(subject, ids[start : start + CHUNK])
    return VerifyResult("recomputed", len(ids), problems)


def _differences(subject: VerifyContext, ids: list[str]) -> Iterator[str]:
    book = subject.ledger
    query = {"structure_id": {"$in": ids}, "fingerprint_hash": book.fingerprint.fingerprint_hash}
    rows = {row["structure_id"]: row for row in book.fingerprints.find(query)}
    cells = list(book.structures.find({"_id": {"$in": ids}}, {"structure": 1}))
    computed = book.fingerprint(
        [to_atoms(Structure.from_dict(cell["structure"])) for cell in cells]
    )
    for cell, q in zip(cells, computed, strict=True):
        entry = subject.by_id[cell["_id"]]
        stored = _readable(book, rows.get(cell["_id"]))
        if stored is not None and stored.shape == q.shape and np.isfinite(stored).all():
            error = np.abs(stored - q).max() / max(1.0, np.abs(q).max())
            if not error <= TOLERANCE:
                yield f"{_name(entry)}: fingerprint differs by {error:.1e} from the structure's"


def _readable(book: Ledger, row: dict[str, Any] | None) -> Array | None:
    """Fingerprints of a document, or None: that it is missing or damaged is for `fingerprints` to say."""
    try:
        return None if row is None else book.array_of(row)
    except (StoreError, ValueError):
        return None


def covariances(subject: VerifyContext) -> VerifyResult:
    """Each against its checksum; of a short ledger, or with `deep`, against the fold over the fingerprints."""
    book = subject.ledger
    ours = book.statistics_key()
    stored: dict[int, list[Any]] = {}
    for row in book.covariances.find(ours, {"position": 1}):
        stored.setdefault(row["position"], []).append(row["_id"])
    total = book.end()
    problems = [
        f"position {place}: beyond the ledger's end at {total}" for place in stored if place > total
    ]
    problems += [
        f"position {place}: {len(MODES)} were stored there, {len(stored.get(place, []))} are left"
        for place in _ends(subject)
        if len(stored.get(place, [])) < len(MODES)
    ]
    looked_at = 0
    short = subject.deep or len(subject.entries) <= SAMPLE
    folds = (
        _folds(subject, max(stored, default=0))
        if short
        else ((place, {}) for place in sorted(stored))
    )
    for place, folded in folds:
        for identifier in stored.get(place, []):
            if (row := book.covariances.find_one({"_id": identifier})) is not None:
                problems += _deviations(book, row, folded.get(row["mode"]))
                looked_at += 1
    return VerifyResult("covariances", looked_at, problems)


def _ends(subject: VerifyContext) -> Iterator[int]:
    """Positions at which covariances were stored for sure: where a stage has ended that was counted, or followed."""
    counted = {doc["iteration"]: doc for doc in subject.iterations}
    groups = groupby(subject.entries, key=lambda entry: (entry["iteration"], entry["stage"]))
    sizes = [(iteration, stage, sum(1 for _ in rows)) for (iteration, stage), rows in groups]
    start = 0
    for number, (iteration, stage, size) in enumerate(sizes, 1):
        doc = counted.get(iteration, {})
        entered = doc.get("import", {}).get("entered", 0)
        label_planned = "requested" in doc.get("label", {})
        over = {**doc, **doc.get("top_up", {}), "anchor": label_planned}.get(
            stage, False
        ) is not False
        if stage == IMPORT and 0 < entered <= size:
            yield start + entered
        elif stage != IMPORT and (number < len(sizes) or over):
            yield start + size
        start += size


def _folds(
    subject: VerifyContext, end: int
) -> Iterator[tuple[int, dict[str, SufficientStatistics]]]:
    """The statistics of the first 1, 2, … fingerprints, as far as these are there and finite."""
    book = subject.ledger
    folded: dict[str, SufficientStatistics] = {
        mode: SufficientStatistics(book.fingerprint.dim, book.regularization, mode)
        for mode in MODES
    }
    rest = iter(book.fingerprints_between(0, end))
    for place in range(1, end + 1):
        try:
            q = next(rest)
            for statistics in folded.values():
                statistics.add(q)
        except (
            StoreError,
            ValueError,
        ):  # what is wrong with the fingerprint is for another check to say
            return
        subject.progress("covariances", place, end)
        yield place, folded


def _deviations(
    book: Ledger, row: dict[str, Any], folded: SufficientStatistics | None
) -> Iterator[str]:
    what = f"position {row['position']}, {row['mode']}"
    try:
        found = SufficientStatistics.from_bytes(book.arrays.get(row))
    except (StoreError, ValueError) as err:
        yield f"{what}: {err}"
        return
    if row["checksum"] != found.checksum():
        yield f"{what}: its checksum is not that of its data"
    expected = row["n"] if folded is None else folded.n
    if not found.n == row["n"] == expected:
        yield f"{what}: of {found.n} vectors, by its document {row['n']}; there are {expected}"
    if folded is None:
        return
    components = np.union1d(found.populated, folded.populated)
    mean, covariance = found.moments(components)
    folded_mean, folded_covariance = folded.copy().moments(components)
    for name, ours, theirs in (
        ("mean", mean, folded_mean),
        ("covariance", covariance, folded_covariance),
        ("entropy", np.array(row["entropy"]), np.array(folded.copy().entropy())),
    ):
        largest = np.abs(theirs).max(initial=folded.regularization)
        if not np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * largest):
            yield f"{what}: {name} differs by {np.abs(ours - theirs).max():.1e} from the fold over the fingerprints"


def _name(entry: dict[str, Any]) -> str:
    return f"position {entry['position']} ({entry['key']})"


LEDGER_CHECKS: tuple[Callable[[VerifyContext], VerifyResult], ...] = (
    ledger,
    fingerprints,
    recomputed,
    covariances,
)
CHECKS = (*SEAL_CHECKS, *LEDGER_CHECKS, *LABEL_CHECKS, *FILE_CHECKS)
"""What every check looks at; `launch.verify` runs these and the workflow manager's."""

__all__ = ["CHECKS", "DEEP_CHECKS", "checked"]
