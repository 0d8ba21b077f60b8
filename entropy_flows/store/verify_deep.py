"""What follows from other documents, computed again (`--deep`): the gains of the entries, the draw of the splits.

gain(n) = ΔH of the fingerprints at position n, given the statistics of all before it, in the mode
of its run
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from entropy_flows.entropy import MODES, Mode, SufficientStatistics
from entropy_flows.schemas import AgnosticParams, schema_of
from entropy_flows.store.connection import StoreError
from entropy_flows.store.subject import VerifyContext, VerifyResult
from entropy_flows.train import assign_splits

TOLERANCE = 1e-9
"""To which a gain is exact (see `entropy.spectrum`)."""


def gains(subject: VerifyContext) -> VerifyResult:
    """Each entry's gain against the statistics before it; a search for cells without physics starts with none."""
    apart = schema_of(subject.document["config"]) is AgnosticParams
    statistics = _empty(subject)
    problems: list[str] = []
    iteration = None
    looked_at = 0
    for entry, q in _fingerprinted(subject):
        if apart and entry["iteration"] != iteration:
            statistics = _empty(subject)
        iteration = entry["iteration"]
        if entry["gain"] is not None:
            looked_at += 1
            subject.progress("gains", entry["position"], len(subject.entries))
            mode = entry.get("origin", {}).get(
                "mode"
            )  # an imported cell does not say in which it was judged
            found = {one: statistics[one].gain(q) for one in (MODES if mode is None else [mode])}
            if all(
                abs(gain - entry["gain"]) > TOLERANCE * max(1.0, abs(gain))
                for gain in found.values()
            ):
                told = " or ".join(f"{gain:.12g} ({one})" for one, gain in found.items())
                problems.append(
                    f"position {entry['position']} ({entry['key']}): gain {entry['gain']:.12g}, now {told}"
                )
        for one in statistics.values():
            one.add(q)
    return VerifyResult("gains", looked_at, problems)


def _empty(subject: VerifyContext) -> dict[Mode, SufficientStatistics]:
    book = subject.ledger
    return {
        mode: SufficientStatistics(book.fingerprint.dim, book.regularization, mode)
        for mode in MODES
    }


def _fingerprinted(subject: VerifyContext) -> Iterator[tuple[dict[str, Any], Any]]:
    """Entries with their fingerprints, as far as these are whole: what is wrong with them is for others to say."""
    rest = iter(subject.ledger.fingerprints_between(0, len(subject.entries)))
    for entry in subject.entries:
        try:
            yield entry, next(rest)
        except (StoreError, ValueError, StopIteration):
            return


def drawn(subject: VerifyContext) -> VerifyResult:
    """The parts of each iteration's cells, drawn again as they were then; where cells came since, that is told."""
    names = ("key", "position", "iteration", "split", "given_split", "free_energy", "structure_id")
    good = {
        "campaign": subject.store.name,
        "converged": True,
        "foreign": {"$ne": True},
        "flagged": {"$ne": True},
    }
    labels = subject.store.database["labels"].find(
        {**good, "split": {"$ne": None}}, dict.fromkeys(names, 1)
    )
    rows = [row for row in labels.sort("position", 1) if row["structure_id"] in subject.by_id]
    problems: list[str] = []
    wasted: list[str] = []
    looked_at = 0
    for doc in subject.iterations:
        if (plan := doc.get("plan", {}).get("split")) is None:
            continue
        number = doc["iteration"]
        cells = [
            row for row in rows if row["iteration"] <= number and row["position"] < plan["end"]
        ]
        before = {row["key"]: row["split"] for row in cells if row["iteration"] < number}
        before |= {
            row["key"]: row["given_split"] for row in cells if row.get("given_split") is not None
        }
        if (len(cells), len(before)) != (plan["cells"], plan["assigned"]):
            wasted.append(
                f"iteration {number}: its cells are others than when their parts were drawn"
            )
            continue
        energies = [
            row["free_energy"] / subject.by_id[row["structure_id"]]["n_atoms"] for row in cells
        ]
        again = assign_splits(
            before, energies, [row["key"] for row in cells], plan["fractions"], plan["seed"]
        )
        new = [row for row in cells if row["key"] not in before]
        looked_at += len(new)
        problems += [
            f"position {row['position']} ({row['key']}): is in {row['split']}, was drawn for {again[row['key']]}"
            for row in new
            if again[row["key"]] != row["split"]
        ]
    return VerifyResult("drawn", looked_at, problems, wasted)


DEEP_CHECKS: tuple[Callable[[VerifyContext], VerifyResult], ...] = (gains, drawn)
