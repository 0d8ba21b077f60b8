"""Verify the targets, the bases drawn from them, and what the ledger leaves unknown of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy import CellBasis, CellMeans, VarianceStatistics
from entropy_flows.store.connection import StoreError
from entropy_flows.store.exclusions import STATISTICS, positions
from entropy_flows.store.target import TargetCells
from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title
from entropy_flows.store.verify_covariances import stage_ends

SAMPLE = 500
"""Cells and entries of which all is computed again without being asked for."""
CELL_BATCH = 64
"""Cells whose fingerprints are computed in one call."""
TOLERANCE = 1e-9
"""Relative difference that rounding explains."""
GAIN_TOLERANCE = 1e-10
"""Difference of two shares of a target that rounding explains."""


def targets(context: VerifyContext) -> VerifyResult:
    """Check that each target is whole, and its cells have the fingerprints that are stored."""
    book = context.ledger
    rows = list(book.targets.find({"campaign": context.store.name}).sort("iteration", 1))
    problems: list[str] = []
    for number, row in enumerate(rows):
        context.progress("targets", number, len(rows))
        problems += _target_defects(context, row)
    return VerifyResult("targets", len(rows), problems)


def _target_defects(context: VerifyContext, row: dict[str, Any]) -> Iterator[str]:
    book = context.ledger
    title = f"iteration {row['iteration']}"
    try:
        data = book.arrays.get(row)
        if bytes_sha256(data) != row["sha256"]:
            yield f"{title}: its cells do not have their checksum"
        target = TargetCells.from_bytes(data)
    except (StoreError, ValueError) as err:
        yield f"{title}: {err}"
        return
    if len(target) != row["n"] or len(target.cells) != row["n"]:
        yield f"{title}: of {len(target)} cells, by its document {row['n']}"
    if row["fingerprint_hash"] != book.fingerprint.fingerprint_hash:
        return
    chosen = np.arange(len(target))
    if not context.deep and len(chosen) > SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, SAMPLE, replace=False))
    for start in range(0, len(chosen), CELL_BATCH):
        indices = chosen[start : start + CELL_BATCH]
        prints = book.fingerprint([target.cells[index] for index in indices])
        for index, q in zip(indices.tolist(), prints, strict=True):
            mean = q.mean(axis=0)
            error = np.abs(mean - target.means.means[index]).max() / max(1.0, np.abs(mean).max())
            if not error <= TOLERANCE:
                yield f"{title}, cell {index}: fingerprint differs by {error:.1e} from the cell's"


def bases(context: VerifyContext) -> VerifyResult:
    """Draw each basis again from the target that it was drawn from."""
    book = context.ledger
    rows = list(book.bases.find({"campaign": context.store.name}))
    problems: list[str] = []
    for row in rows:
        problems += _basis_defects(context, row)
    used = {row["basis"] for row in book.targets.find({"campaign": context.store.name})}
    problems += [
        f"basis {name[:12]}: a target is in it, and it is gone"
        for name in used - {row["basis"] for row in rows}
    ]
    return VerifyResult("bases", len(rows), problems)


def _basis_defects(context: VerifyContext, row: dict[str, Any]) -> Iterator[str]:
    book = context.ledger
    title = f"basis {row['basis'][:12]}"
    try:
        basis = book.basis(row["basis"])
        key = {"campaign": context.store.name, "iteration": row["iteration"]}
        source = book.targets.find_one(key)
        if source is None:
            yield f"{title}: the target of iteration {row['iteration']} is gone"
            return
        means = book.target_cells(source).means
    except (StoreError, ValueError) as err:
        yield f"{title}: {err}"
        return
    settings = row["settings"]
    drawn = CellBasis.drawn(means, settings["landmarks"], settings["length"], settings["by_size"])
    # features are defined up to a rotation, their products are not
    pairs = (
        ("centre", basis.centre, drawn.centre),
        ("spread", basis.spread, drawn.spread),
        ("landmarks", basis.kernel.landmarks, drawn.kernel.landmarks),
        ("length", np.array(basis.kernel.length), np.array(drawn.kernel.length)),
        ("mean size", np.array(basis.mean_size or 0.0), np.array(drawn.mean_size or 0.0)),
        ("kernel", _products(basis), _products(drawn)),
    )
    for name, stored, expected in pairs:
        if stored.shape != expected.shape or not np.allclose(stored, expected, atol=1e-6):
            yield f"{title}: its {name} is not that of its target's cells"


def _products(basis: CellBasis) -> Array:
    """Return φ·φ′ (M, M) between the landmarks."""
    features = basis.kernel.features(basis.kernel.landmarks)
    return features @ features.T


def precisions(context: VerifyContext) -> VerifyResult:
    """Check the statistics with a target against their checksum and their fold.

    The fold over the fingerprints is made of a short ledger, or with `deep`.
    """
    book = context.ledger
    rows = list(book.precisions.find({"campaign": context.store.name}, {"data": 0}))
    stored = {(row["basis"], row["position"]) for row in rows}
    is_folded = context.deep or len(context.entries) <= SAMPLE
    means = _means(context) if is_folded and rows else None
    problems: list[str] = []
    for iteration, position in stage_ends(context):
        target = book.target_row(iteration)
        if target is not None and (target["basis"], position) not in stored:
            problems.append(f"position {position}: statistics were stored there, they are gone")
    for number, row in enumerate(rows):
        context.progress("precisions", number, len(rows))
        problems += _precision_defects(context, row["_id"], means)
    return VerifyResult("precisions", len(rows), problems)


def _precision_defects(
    context: VerifyContext, identifier: Any, means: CellMeans | None
) -> Iterator[str]:
    book = context.ledger
    row = book.precisions.find_one({"_id": identifier})
    if row is None:
        return
    title = f"position {row['position']}"
    total = book.end()
    if row["position"] > total:
        yield f"{title}: beyond the ledger's end at {total}"
        return
    if row["ledger"] != book.digest_before(row["position"]):
        yield f"{title}: the ledger before it was another one"
    try:
        basis = book.basis(row["basis"])
        stored = VarianceStatistics.from_bytes(book.arrays.get(row), basis)
    except (StoreError, ValueError) as err:
        yield f"{title}: {err}"
        return
    if row["checksum"] != stored.checksum():
        yield f"{title}: its checksum is not that of its data"
    if abs(stored.value() - row["variance"]) > GAIN_TOLERANCE:
        yield f"{title}: leaves {stored.value():.9g} unknown, by its document {row['variance']:.9g}"
    if means is None or row["position"] > len(means.means):
        return
    excluded = positions(context.exclusions[: row.get("exclusions", 0)])
    folded = _empty(context, row["target"])
    if folded is None:
        return
    folded.add_cells(means.take(_counted(row["position"], excluded)))
    if not stored.n == row["n"] == folded.n:
        yield f"{title}: of {stored.n} cells, by its document {row['n']}; there are {folded.n}"
    for name, value, reference in (
        ("A", stored.variance.precision, folded.variance.precision),
        ("T", stored.target.matrix, folded.target.matrix),
        ("S", stored.total, folded.total),
        ("μ", stored.target.mean, folded.target.mean),
        ("V", np.array(stored.value()), np.array(folded.value())),
    ):
        if not np.allclose(value, reference, rtol=TOLERANCE, atol=TOLERANCE):
            difference = np.abs(value - reference).max()
            yield f"{title}: {name} differs by {difference:.1e} from the fold over the fingerprints"


def variance_gains(context: VerifyContext) -> VerifyResult:
    """Compute again what each chosen entry took off the unknown of its iteration's target."""
    chosen = [entry for entry in context.entries if entry.get("variance_gain") is not None]
    if not chosen:
        return VerifyResult("variance_gains", 0, [])
    means = _means(context)
    problems: list[str] = []
    statistics: VarianceStatistics | None = None
    iteration = None
    for entry in context.entries[: len(means.means)]:
        position = entry["position"]
        if entry["iteration"] != iteration:
            iteration = entry["iteration"]
            statistics = _empty(context, iteration)
            if statistics is not None:
                excluded = context.excluded_in(iteration, STATISTICS)
                statistics.add_cells(means.take(_counted(position, excluded)))
        cell = means.take(slice(position, position + 1))
        gain = entry.get("variance_gain")
        if gain is not None:
            context.progress("variance_gains", position, len(context.entries))
            expected = None if statistics is None else float(statistics.gains_of(cell)[0])
            if expected is None or not abs(gain - expected) <= GAIN_TOLERANCE:
                problems.append(f"{entry_title(entry)}: took {gain:.12g}, now {expected}")
        if statistics is not None:
            feature = statistics.basis.features(cell.means)[0]
            statistics.take(feature, float(statistics.basis.weights(cell.sizes)[0]))
    return VerifyResult("variance_gains", len(chosen), problems)


def _empty(context: VerifyContext, iteration: int) -> VarianceStatistics | None:
    """Return the statistics of no data set for an iteration's target.

    None without one that is whole, which the other checks report.
    """
    book = context.ledger
    row = book.target_row(iteration)
    if row is None:
        return None
    try:
        basis = book.basis(row["basis"])
        target = book.target_cells(row).moments(basis)
    except (StoreError, ValueError):
        return None
    return VarianceStatistics(basis, target, row["settings"]["noise"])


def _means(context: VerifyContext) -> CellMeans:
    """Return the means of all entries, as far as their fingerprints are whole."""
    arrays = []
    stream = iter(context.ledger.fingerprints_between(0, len(context.entries)))
    for _ in context.entries:
        try:
            arrays.append(next(stream))
        except (StoreError, ValueError, StopIteration):
            # another check reports what is wrong with the fingerprint
            break
    if not arrays:
        return CellMeans(np.empty((0, context.ledger.fingerprint.dim)), np.empty(0))
    return CellMeans.of(arrays)


def _counted(end: int, excluded: Collection[int]) -> Any:
    """Return the positions before another one that are not excluded."""
    return np.array([index for index in range(end) if index not in excluded], dtype=np.intp)


TARGET_CHECKS: tuple[Check, ...] = (targets, bases, precisions)
