"""Compute again what follows from other documents (`--deep`): gains of entries, draws of splits.

gain(n) = ΔH of the fingerprints at position n, given the statistics of all before it, in the mode
of its run
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.schemas import AgnosticParams, schema_of
from entropy_flows.store.connection import StoreError
from entropy_flows.store.exclusions import STATISTICS, TRAINING
from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult, entry_title
from entropy_flows.store.verify_targets import variance_gains
from entropy_flows.train import assign_splits

TOLERANCE = 1e-9
"""Relative error of a gain (see `entropy.spectrum`)."""


def gains(context: VerifyContext) -> VerifyResult:
    """Check each entry's gain against the statistics before it.

    A search for cells without physics starts with no statistics.
    """
    is_agnostic = schema_of(context.document["config"]) is AgnosticParams
    statistics = _empty(context)
    excluded = frozenset[int]()
    problems: list[str] = []
    iteration = None
    checked = 0
    for entry, q in _fingerprinted(context):
        if is_agnostic and entry["iteration"] != iteration:
            statistics = _empty(context)
        elif entry["iteration"] != iteration:
            before = excluded
            excluded = context.excluded_in(entry["iteration"], STATISTICS)
            if excluded != before:
                statistics = _folded(context, entry["position"], excluded)
        iteration = entry["iteration"]
        if entry["gain"] is not None:
            checked += 1
            context.progress("gains", entry["position"], len(context.entries))
            mode = entry.get("origin", {}).get("mode")
            # an imported cell does not say in which mode its gain was computed
            modes = MODES if mode is None else [mode]
            computed = {mode: statistics[mode].gain(q) for mode in modes}
            if not any(_is_equal(gain, entry["gain"]) for gain in computed.values()):
                values = " or ".join(f"{gain:.12g} ({mode})" for mode, gain in computed.items())
                problems.append(f"{entry_title(entry)}: gain {entry['gain']:.12g}, now {values}")
        for stats in statistics.values():
            stats.add(q)
    return VerifyResult("gains", checked, problems)


def _is_equal(gain: float, stored: float) -> bool:
    return abs(gain - stored) <= TOLERANCE * max(1.0, abs(gain))


def _folded(
    context: VerifyContext, end: int, excluded: frozenset[int]
) -> dict[Mode, SufficientStatistics]:
    """Fold the fingerprints before a position that are not excluded."""
    statistics = _empty(context)
    for position, q in enumerate(context.ledger.fingerprints_between(0, end)):
        if position not in excluded:
            for stats in statistics.values():
                stats.add(q)
    return statistics


def _empty(context: VerifyContext) -> dict[Mode, SufficientStatistics]:
    book = context.ledger
    return {
        mode: SufficientStatistics(book.fingerprint.dim, book.regularization, mode)
        for mode in MODES
    }


def _fingerprinted(context: VerifyContext) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield entries with their fingerprints, as far as these are whole; others report the rest."""
    arrays = iter(context.ledger.fingerprints_between(0, len(context.entries)))
    for entry in context.entries:
        try:
            yield entry, next(arrays)
        except (StoreError, ValueError, StopIteration):
            return


def drawn(context: VerifyContext) -> VerifyResult:
    """Draw the splits of each iteration's cells again, as they were drawn then."""
    labels = _split_labels(context)
    problems: list[str] = []
    wasted: list[str] = []
    checked = 0
    for document in context.iterations:
        plan = document.get("plan", {}).get("split")
        if plan is None:
            continue
        iteration = document["iteration"]
        excluded = context.excluded_in(iteration, TRAINING)
        cells = [
            label
            for label in labels
            if label["iteration"] <= iteration
            and label["position"] < plan["end"]
            and label["position"] not in excluded
        ]
        before = _splits_before(cells, iteration)
        if (len(cells), len(before)) != (plan["cells"], plan["assigned"]):
            wasted.append(
                f"iteration {iteration}: its cells are others than when their parts were drawn"
            )
            continue
        splits = _draw(context, cells, before, plan)
        new = [label for label in cells if label["key"] not in before]
        checked += len(new)
        for label in new:
            split = splits[label["key"]]
            if split != label["split"]:
                problems.append(
                    f"{entry_title(label)}: is in {label['split']}, was drawn for {split}"
                )
    return VerifyResult("drawn", checked, problems, wasted)


def _split_labels(context: VerifyContext) -> list[dict[str, Any]]:
    """Return the labels that are trained on and have a split, in ledger order."""
    names = ("key", "position", "iteration", "split", "given_split", "free_energy", "structure_id")
    query = {
        "campaign": context.store.name,
        "converged": True,
        "foreign": {"$ne": True},
        "flagged": {"$ne": True},
        "split": {"$ne": None},
    }
    rows = context.store.database["labels"].find(query, dict.fromkeys(names, 1))
    return [row for row in rows.sort("position", 1) if row["structure_id"] in context.by_id]


def _splits_before(cells: list[dict[str, Any]], iteration: int) -> dict[str, Any]:
    """Return key → split, of the cells that had one when those of an iteration were drawn."""
    splits = {label["key"]: label["split"] for label in cells if label["iteration"] < iteration}
    for label in cells:
        if label.get("given_split") is not None:
            splits[label["key"]] = label["given_split"]
    return splits


def _draw(
    context: VerifyContext,
    cells: list[dict[str, Any]],
    before: dict[str, Any],
    plan: dict[str, Any],
) -> Mapping[str, str]:
    """Draw the splits of cells as an iteration's plan says: key → split."""
    energies = [
        label["free_energy"] / context.by_id[label["structure_id"]]["n_atoms"] for label in cells
    ]
    keys = [label["key"] for label in cells]
    return assign_splits(before, energies, keys, plan["fractions"], plan["seed"])


DEEP_CHECKS: tuple[Check, ...] = (gains, variance_gains, drawn)
