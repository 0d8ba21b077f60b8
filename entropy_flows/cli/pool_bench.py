"""The selector benchmark: a pool, its split and fingerprints, and one trained model for each selector, N and seed.

folder/
  bench.json                     what the benchmark is of; another one needs another folder
  prints.npz                     fingerprints of the pool, computed once
  points/SELECTOR-N-SEED.json    a result; its training is in a folder of that name until then

Results are written as a whole, and trainings resume, so nothing is lost by a kill.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.cli.curve_page import curve_tables
from entropy_flows.conventions import to_voigt
from entropy_flows.entropy import Mode, SufficientStatistics
from entropy_flows.evaluate import errors
from entropy_flows.evaluate.report import Table
from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import to_atoms
from entropy_flows.label.existing import read_extxyz
from entropy_flows.launch.submit import locate_model
from entropy_flows.potentials import load_calculator
from entropy_flows.select import SelectParams, make_selector
from entropy_flows.select.pool import choose
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.dataset import energy_per_atom, stratified_split

FRACTIONS = (0.7, 0.1, 0.2)
SPLIT_SEED = 42
REGULARIZATION = 1e-3
Point = tuple[str, int, int]


@dataclass(frozen=True)
class Bench:
    """What is compared; fields as the command's options."""

    pool: Path
    base_model: str
    selectors: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    theta: float
    cutoff: float
    natx: int
    train: dict[str, Any]

    def prepare(self, folder: Path) -> None:
        """Check everything, and compute the fingerprints.

        Raises
        ------
        ValueError
            If a selector is not known, the pool has cells that cannot be used, or too few of them, or the folder is
            another benchmark's.
        """
        for selector in self.selectors:
            SelectParams(selector=selector, theta_min=self.theta)
        TrainParams.model_validate(self.train)
        frames = self.frames()
        parts = split(frames)
        if max(self.sizes) > len(parts["train"]):
            raise ValueError(
                f"{self.pool} has {len(frames)} cells, {len(parts['train'])} of them to choose from; "
                f"{max(self.sizes)} are wanted"
            )
        facts = {"pool": hashlib.sha256(self.pool.read_bytes()).hexdigest(), "theta": self.theta, "train": self.train,
                 "base_model": self.base_model, "cutoff": self.cutoff, "natx": self.natx}  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "bench.json"
        if known.is_file() and json.loads(known.read_text()) != facts:
            raise ValueError(f"{folder} has results of another pool or other settings: give another folder")
        if not (folder / "prints.npz").is_file():
            elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
            prints = GOM(cutoff=self.cutoff, natx=self.natx, elements=tuple(elements))(frames)
            np.savez(folder / "prints.tmp.npz", *prints)
            (folder / "prints.tmp.npz").rename(folder / "prints.npz")
        known.write_text(json.dumps(facts, indent=1))

    def frames(self) -> list[Atoms]:
        """The pool's labelled cells."""
        frames = []
        for found in read_extxyz(self.pool):
            if found.defect is not None or found.structure is None or found.label is None:
                raise ValueError(f"{found.place} cannot be used: {found.defect}")
            atoms, label = to_atoms(found.structure), found.label
            numbers = {"energy": label.free_energy, "forces": label.forces}
            stress = {} if label.stress is None else {"stress": to_voigt(label.stress)}
            atoms.calc = SinglePointCalculator(atoms, **numbers, **stress)
            frames.append(atoms)
        if not frames:
            raise ValueError(f"{self.pool} has no cells")
        return frames

    def prints(self, folder: Path) -> list[np.ndarray]:
        """Fingerprints of the pool's cells."""
        with np.load(folder / "prints.npz", allow_pickle=False) as stored:
            return [stored[f"arr_{place}"] for place in range(len(stored.files))]

    def all_points(self) -> list[Point]:
        """Small sets first."""
        return [(name, n, seed) for n in sorted(self.sizes) for seed in self.seeds for name in self.selectors]

    def missing(self, folder: Path) -> Iterator[Point]:
        """What has no result yet."""
        return (point for point in self.all_points() if not point_file(folder, point).is_file())

    def points(self, folder: Path) -> list[dict[str, Any]]:
        """All results."""
        return [json.loads(point_file(folder, point).read_text()) for point in self.all_points()]


def split(frames: Sequence[Atoms]) -> dict[str, list[int]]:
    """Places of training, validation and test cells, stratified by energy."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    assigned = stratified_split([energy_per_atom(atoms) for atoms in frames], range(len(frames)), FRACTIONS, SPLIT_SEED)
    for place, part in sorted(assigned.items()):
        parts[part].append(place)
    return parts


def point_file(folder: Path, point: Point) -> Path:
    """Where a result is."""
    return folder / "points" / f"{point[0]}-{point[1]}-{point[2]}.json"


def run_point(bench: Bench, point: Point, folder: Path) -> dict[str, Any]:
    """Choose, train, test; the result is written as a whole."""
    selector, size, seed = point
    frames, prints = bench.frames(), bench.prints(folder)
    parts = split(frames)
    started = time.perf_counter()
    own = [prints[place] for place in parts["train"]]
    found = choose(make_selector(SelectParams(selector=selector, theta_min=bench.theta)), own, size, seed,
                   REGULARIZATION)  # fmt: skip
    chosen = found.places
    seconds = time.perf_counter() - started
    cells = {"train": [frames[parts["train"][place]] for place in chosen]}
    cells |= {part: [frames[place] for place in parts[part]] for part in ("val", "test")}
    result: dict[str, Any] = {
        "method": selector,
        "size": size,
        "seed": seed,
        "chosen": [parts["train"][place] for place in chosen],
        "selection_seconds": seconds,
        "information": {mode: _information([own[place] for place in chosen], mode) for mode in ("atom", "config")},
        "errors": {},
    }
    training = folder / "points" / f"{selector}-{size}-{seed}"
    if len(chosen) == size:
        params = TrainParams.model_validate({**bench.train, "seed": seed})
        model = locate_model(bench.base_model, Path())
        done = fine_tune(cells["train"], cells["val"], [], model, params, training)
        result["errors"] = {"held-out": errors(cells["test"], load_calculator(done.model)).as_dict()}
        result |= {"epochs": done.epochs, "wall_seconds": done.wall_seconds}
    file = point_file(folder, point)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(result))
    temporary.rename(file)
    shutil.rmtree(training, ignore_errors=True)
    return result


def _information(prints: Sequence[np.ndarray], mode: Mode) -> float:
    """log det Σ of what was chosen."""
    stats = SufficientStatistics(prints[0].shape[1], REGULARIZATION, mode)
    for q in prints:
        stats.add(q)
    return stats.entropy()


def show_tables(points: Sequence[dict[str, Any]]) -> list[Table]:
    """Errors as for learning curves, and what choosing cost and gave."""
    from entropy_flows.evaluate.curve import Mean

    rows = [["selector", "N", "log det Σ, per atom", "log det Σ, per config", "seconds to choose", "stopped early"]]
    for method, size in dict.fromkeys((point["method"], point["size"]) for point in points):
        own = [point for point in points if (point["method"], point["size"]) == (method, size)]
        found = [Mean.of([point["information"][mode] for point in own]) for mode in ("atom", "config")]
        seconds = Mean.of([point["selection_seconds"] for point in own])
        early = sum(len(point["chosen"]) < size for point in own)
        rows.append([method, str(size), *map(str, found), str(seconds), str(early)])
    return [*curve_tables(points, best="greedy"), ("Selection", rows, "Mean ± standard deviation over the seeds.")]


def write_page(bench: Bench, points: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Tables and curves as a page."""
    from entropy_flows.evaluate.plots import curve_plot
    from entropy_flows.evaluate.report import write_report

    figures = {"curves": (curve_plot(points), "Errors on held-out cells against the number of training cells.")}
    return write_report(folder, f"Selectors on {bench.pool.name}", "done", [], show_tables(points), figures)
