"""Choose, train, test: the points of a benchmark, each kept as a file.

folder/
  bench.json                     what the benchmark is of; another one needs another folder
  prints.npz                     fingerprints and energies of the pool, computed once
  points/SELECTOR-N-SEED.json    a result; fine-tunings are in a folder of that name as long as they are needed

A chain is what follows from one seed's first cells by one selector: all sizes in rounds, or one
size without rounds. Chains need nothing of one another. Results are written as a whole, and
fine-tunings resume: a kill loses nothing. In rounds what is chosen depends on the sizes before, so
that only larger ones can be added to what is there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from entropy_flows.bench.memory import Peak
from entropy_flows.bench.params import BenchParams
from entropy_flows.bench.pool import LabelledPool, Prints
from entropy_flows.bench.students import ModelStudent, NetworkStudent, Student
from entropy_flows.digest import file_sha256
from entropy_flows.entropy import MODES
from entropy_flows.evaluate.coverage import log_det
from entropy_flows.files import whole_file, write_json
from entropy_flows.select.committee import uncertain_quantity
from entropy_flows.select.pool import choose

Chain = tuple[str, int, tuple[int, ...]]
"""Selector, seed, sizes."""
FREE = {"selectors", "sizes", "seeds", "preset"}
"""More of these may be added to a benchmark that has results."""


@dataclass(frozen=True)
class Bench:
    """A benchmark in its folder."""

    params: BenchParams
    folder: Path

    def prepare(self) -> LabelledPool:
        """Check everything, and compute the fingerprints.

        Raises
        ------
        ValueError
            If the pool cannot be used (`LabelledPool.of`), or the folder has another benchmark's
            results.
        """
        for name in self.params.selectors:
            self.params.with_selector(name).check()
        facts = {
            **self.params.model_dump(mode="json", exclude=FREE),
            "train": self.params.train.identity(),
        }
        for source in ("pool", "base_model"):  # by content: a file may be moved
            if facts[source] and Path(facts[source]).is_file():
                facts[source] = file_sha256(facts[source])
        facts["rounds"] = sorted(self.params.sizes) if self.params.initial else []
        known, prints = self.folder / "bench.json", self.folder / "prints.npz"
        if known.is_file():
            self._check(json.loads(known.read_text()), facts)
        else:
            prints.unlink(missing_ok=True)  # of a pool that nothing is known of
        found = LabelledPool.of(self.params, self._prints())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not prints.is_file() and not self.params.is_table:
            sizes = [len(q) for q in found.prints]
            with whole_file(prints) as file:
                np.savez(
                    file, rows=np.concatenate(found.prints), sizes=sizes, targets=found.targets
                )
        write_json(known, facts)
        return found

    def _check(self, known: dict[str, Any], facts: dict[str, Any]) -> None:
        """Refuse what would mix two benchmarks in one folder."""
        rounds = known.get("rounds", [])
        if rounds and facts["rounds"][: len(rounds)] == rounds:
            known = {**known, "rounds": facts["rounds"]}
        other = sorted(name for name in {*known, *facts} if known.get(name) != facts.get(name))
        if other == ["rounds"]:
            raise ValueError(
                f"{self.folder} has results in rounds up to {', '.join(map(str, rounds))} cells, and what was chosen "
                "depends on them: only larger sizes can be added; give another folder, or take those back"
            )
        if other:
            raise ValueError(
                f"{self.folder} has results with another {', '.join(other)}: give another folder, or take that one back"
            )

    def pool(self) -> LabelledPool:
        """What was prepared; its cells are read again where a model is to be trained on them."""
        return LabelledPool.of(
            self.params, self._prints(), with_frames=self.params.base_model is not None
        )

    def missing(self) -> Iterator[Chain]:
        """Chains that lack a result."""
        sizes = tuple(sorted(self.params.sizes))
        groups = [sizes] if self.params.initial else [(size,) for size in sizes]
        for group in groups:
            for seed in self.params.seeds:
                for selector in self.params.selectors:
                    if not all(self.point_file(selector, size, seed).is_file() for size in group):
                        yield selector, seed, group

    def points(self) -> list[dict[str, Any]]:
        """All results, small sizes first."""
        sizes = sorted(self.params.sizes)
        order = [
            (name, size, seed)
            for size in sizes
            for seed in self.params.seeds
            for name in self.params.selectors
        ]
        return [json.loads(self.point_file(*point).read_text()) for point in order]

    def point_file(self, selector: str, size: int, seed: int) -> Path:
        """Where a result is."""
        return self.folder / "points" / f"{selector}-{size}-{seed}.json"

    def _prints(self) -> Prints | None:
        file = self.folder / "prints.npz"
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as stored:
            return np.split(stored["rows"], np.cumsum(stored["sizes"])[:-1]), stored["targets"]


def run_chain(bench: Bench, chain: Chain) -> list[dict[str, Any]]:
    """Compute a chain's results; those that are there are gone on from."""
    return list(_Chain(bench, bench.pool(), *chain[:2]).points(chain[2]))


class _Chain:
    """What one selector has chosen from one seed's first cells, and the student of it."""

    def __init__(self, bench: Bench, pool: LabelledPool, selector: str, seed: int) -> None:
        self.bench, self.pool, self.selector, self.seed = bench, pool, selector, seed
        self.params = bench.params
        self.selection = bench.params.with_selector(selector)
        self.side = np.array(pool.parts["train"])
        """Places in the pool of what there is to choose from; `chosen` has numbers in this list."""
        self.own = [pool.prints[place] for place in self.side]
        first = np.random.default_rng([seed, len(self.side)]).permutation(len(self.side))[
            : bench.params.initial
        ]
        self.chosen: list[int] = first.tolist()
        self.seconds, self.mib, self.reason = 0.0, 0.0, ""
        self.last: tuple[int, Student] | None = None
        """The student of so many of the chosen, for the next choice."""
        self.folders: set[Path] = set()

    def points(self, sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
        """A result for each size."""
        number = {place: k for k, place in enumerate(self.side.tolist())}
        for size in sizes:
            file = self.bench.point_file(self.selector, size, self.seed)
            if file.is_file():
                self.folders.add(file.with_suffix(""))
                found = json.loads(file.read_text())
                self.chosen = [number[place] for place in found["chosen"]]
                self.seconds, self.mib, self.reason = (
                    found[name] for name in ("selection_seconds", "mib", "reason")
                )
            else:
                found = self._point(size)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, found)
            yield found
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _point(self, size: int) -> dict[str, Any]:
        self._choose(size)
        started = time.perf_counter()
        result: dict[str, Any] = {"errors": {}, "calibration": {}}
        if len(self.chosen) == size:
            found = self._student(size).tested(self.pool.parts["test"])
            result = {"errors": {"held-out": found["errors"]}, "calibration": found["calibration"]}
        prints = [self.own[k] for k in self.chosen]
        return {
            "method": self.selector,
            "size": size,
            "seed": self.seed,
            "chosen": self.side[self.chosen].tolist(),
            "reason": self.reason,
            "selection_seconds": self.seconds,
            "mib": self.mib,
            "information": {
                mode: log_det(prints, self.params.regularization, mode) for mode in MODES
            },
            "wall_seconds": time.perf_counter() - started,
            **result,
        }

    def _choose(self, size: int) -> None:
        """Up to so many, in rounds. Evaluating a committee counts as choosing, training it does not."""
        params = self.params
        while len(self.chosen) < size and not self.reason:
            wanted = min(params.batch or size, size - len(self.chosen)) if params.initial else size
            student = self._student(len(self.chosen)) if self.selection.needs_committee else None
            with Peak() as peak:
                uncertainty = None if student is None else student.spread(self.side.tolist())
                choice = choose(
                    self.selection, self.own, wanted, self.seed, params.regularization,
                    in_dataset=self.chosen, uncertainty=uncertainty,
                )  # fmt: skip
            self.seconds, self.mib = self.seconds + peak.seconds, max(self.mib, peak.mib)
            self.chosen, self.reason = self.chosen + choice.indices, choice.reason

    def _student(self, size: int) -> Student:
        """Trained on what is chosen now."""
        if self.last is None or self.last[0] != len(self.chosen):
            self.last = len(self.chosen), self._trained(size)
        return self.last[1]

    def _trained(self, size: int) -> Student:
        params, places = self.params, self.side[self.chosen].tolist()
        if params.base_model is None:
            return NetworkStudent.trained(self.pool, params, places, self.seed)
        members = max(2, params.train.committee) if self.selection.needs_committee else 1
        folder = self.bench.point_file(self.selector, size, self.seed).with_suffix("")
        self.folders.add(folder)
        quantity = uncertain_quantity(self.selection)
        return ModelStudent.trained(self.pool, params, places, self.seed, members, folder, quantity)
