"""What replay keeps, and what it costs: fine-tunings with and without, on silicon and NaCl.

A system's shipped small model is fine-tuned on cells that the entropy-biased dynamics of its
campaign file finds and log det selects. SevenNet-0 labels them, in place of DFT. Each model is
tested on

    new       cells held out of the same pool
    plain     late snapshots of plain dynamics, the independent test
    own       held-out replay cells, against the small model's own labels
    truth     the same cells, against SevenNet-0

Example: python -m benchmarks.replay --work build/replay
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from entropy_flows.entropy import LocalBias
from entropy_flows.evaluate.errors import errors
from entropy_flows.explore import (
    ExploreParams,
    condition_grid,
    draw_runs,
    equation_of_state,
    explore,
    prescale,
    seed_cell,
)
from entropy_flows.files import read_json, write_json
from entropy_flows.fingerprints import GOM, make_fingerprint
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs import IterationContext
from entropy_flows.jobs.forgetting import forgotten
from entropy_flows.jobs.replay import replay_frame
from entropy_flows.jobs.replay_cells import ReplaySource
from entropy_flows.potentials import load_batch_model, load_calculator
from entropy_flows.report.text import markdown_table
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.select.pool import choose
from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.align import energy_shifts, moved
from entropy_flows.train.replay_params import ReplayParams

HERE = Path(__file__).resolve().parents[1]
FILES = {
    "Si": (HERE / "examples" / "silicon_demo.yaml", "si-small"),
    "NaCl": (HERE / "evidence" / "nacl.yaml", "nacl-small"),
}
MODELS = HERE / "entropy_flows" / "models"
TEACHER = "SevenNet-0"
SEEDS = (1, 2)
N_SELECTED, N_TRAIN, N_VAL, N_PLAIN = 42, 18, 4, 12
"""Most cells that are selected; of them those to train on and to validate with; plain ones."""
EPOCHS = 10
VARIANTS: dict[str, dict[str, Any]] = {
    "without": {},
    "replay 1": {"replay": {"weight": 1.0}},
    "replay 0.3": {"replay": {"weight": 0.3}},
    "frozen": {"freeze": "backbone"},
}
QUANTITIES = {"energy_mae": ("E", 1e3, 1), "forces_mae": ("F", 1e3, 0)}
Cells = dict[str, list[Atoms]]


class Bench:
    """One system's cells and trainings, each kept as a file."""

    def __init__(self, system: str, work: Path) -> None:
        file, model = FILES[system]
        self.system = system
        self.campaign: Campaign = load_campaign(file)
        self.base = MODELS / f"{model}.nequip.zip"
        self.work = work / system
        self.work.mkdir(parents=True, exist_ok=True)
        self.seeds = {phase.name: seed_cell(phase) for phase in self.campaign.phases}

    def dynamics(self, seed: int, bias: bool, temperatures: Sequence[float]) -> list[Atoms]:
        """Return snapshots of the campaign's grid, with its bias or the late ones without."""
        settings = self.campaign.iteration(1)
        model = load_batch_model(str(self.base), device="cpu")
        changes: dict[str, Any] = {"temperatures": temperatures, "steps": 60, "warm_up": 10}
        changes["pressures"] = settings.explore.pressures[::2]
        if bias:
            changes |= {"entropy_weights": settings.explore.entropy_weights[-1:], "ramp": 20}
        else:
            changes |= {"entropy_weights": (0.0,), "ramp": 0, "snapshot_every": 30}
        params: ExploreParams = settings.explore.model_copy(update=changes)
        runs = draw_runs(condition_grid(params, list(self.seeds)), 0.6, (seed, int(bias)))
        curves = {name: equation_of_state(to_atoms(c), model) for name, c in self.seeds.items()}
        starts = []
        for run in runs:
            name = run.condition.phase
            starts.append(
                prescale(to_atoms(self.seeds[name]), run.condition.pressure, curves[name])
            )
        elements = self.campaign.elements
        local = settings.local_fingerprint.model_copy(update={"elements": elements})
        surface = LocalBias(GOM(**dict(local))) if bias else None
        cells = []
        for trajectory in explore(runs, starts, model, surface, params):
            frames = [atoms for _, atoms in trajectory.snapshots()]
            cells += frames if bias else frames[-2:]
        return cells

    def labels(self, seed: int) -> Cells:
        """Return labelled cells: to train on, to validate with, new and plain ones to test on.

        The seed says which of the selected cells are trained on.
        """
        path = self.work / "labels.extxyz"
        if not path.exists():
            first = SEEDS[0]
            grid = self.campaign.iteration(1).explore
            pool = self.dynamics(first, True, grid.temperatures)
            prints = make_fingerprint(self.campaign.dataset.fingerprint)(pool)
            selector = self.campaign.select.model_copy(update={"theta_min": 1e-12})
            chosen = choose(selector, prints, N_SELECTED, first).indices
            rng = np.random.default_rng(first)
            cells = [pool[index] for index in rng.permutation(chosen)]
            plain = self.dynamics(first, False, (1000.0, 3000.0))
            cells += [plain[i] for i in rng.permutation(len(plain))[:N_PLAIN]]
            frames = taught(cells)
            for index, atoms in enumerate(frames):
                atoms.info["plain"] = index >= len(chosen)
            write(path, frames, format="extxyz")
        frames = read(path, ":")
        selected = [atoms for atoms in frames if not atoms.info["plain"]]
        order = np.random.default_rng(seed).permutation(len(selected))
        train, val, new = np.split(order, [N_TRAIN, N_TRAIN + N_VAL])
        parts = {"train": train, "val": val, "new": new}
        cells = {name: [selected[i] for i in part] for name, part in parts.items()}
        return {**cells, "plain": [atoms for atoms in frames if atoms.info["plain"]]}

    def replay(self) -> Cells:
        """Return replay cells: to train on, held out with the base's labels and the teacher's."""
        path = self.work / "replay.json"
        if not path.exists():
            context = IterationContext(f"bench-{self.system}", 1, seed=SEEDS[0])
            model = load_batch_model(str(self.base), device="cpu")
            source = ReplaySource(context, self.seeds, ReplayParams(), model, self.base.name)
            cells = source.cells()
            held_out = [replay_frame(cell) for cell in cells if cell["held_out"]]
            write(self.work / "truth.extxyz", taught(held_out), format="extxyz")
            write_json(path, {"cells": cells, "refused": source.refused})
        cells = read_json(path, {})["cells"]
        truth = read(self.work / "truth.extxyz", ":")
        for atoms, cell in zip(truth, (c for c in cells if c["held_out"]), strict=True):
            atoms.info["kind"] = cell["kind"]
        return {
            "train": [replay_frame(cell) for cell in cells if not cell["held_out"]],
            "own": [replay_frame(cell) for cell in cells if cell["held_out"]],
            "truth": truth,
        }

    def untrained(self, seed: int) -> dict[str, Any]:
        """Return the errors of the base model."""
        calculator = load_calculator(str(self.base))
        row = {"system": self.system, "seed": seed, "variant": "base"}
        return row | tested(calculator, self.labels(seed), self.replay())

    def trained(self, seed: int, variant: str) -> dict[str, Any]:
        """Return the errors of a fine-tuning, which is made unless its file is there."""
        name = f"{variant.replace(' ', '-')}-{seed}"
        path = self.work / f"{name}.json"
        if path.exists():
            return read_json(path, {})
        labels = self.labels(seed)
        replay = self.replay()
        shifts = energy_shifts(labels["train"], load_calculator(str(self.base)))
        cells = [moved(atoms, shifts) for atoms in replay["train"]]
        recipe = TrainParams(preset="small", max_epochs=EPOCHS, seed=seed, **VARIANTS[variant])
        folder = self.work / name
        result = fine_tune(
            labels["train"], labels["val"], [], self.base, recipe, folder, replay=cells
        )
        row = {"system": self.system, "seed": seed, "variant": variant}
        row |= {"epochs": result.epochs, "wall_seconds": result.wall_seconds}
        row |= tested(load_calculator(str(result.model)), labels, replay)
        write_json(path, row)
        print(f"{self.system}, {variant}, seed {seed}: {result.wall_seconds:.0f} s", flush=True)
        return row


def taught(cells: Sequence[Atoms]) -> list[Atoms]:
    """Return copies of cells with the teacher's labels."""
    teacher = load_calculator(TEACHER)
    labelled = []
    for atoms in cells:
        copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        copy.calc = teacher
        results = {
            "energy": copy.get_potential_energy(),
            "forces": copy.get_forces(),
            "stress": copy.get_stress(),
        }
        copy.calc = SinglePointCalculator(copy, **results)
        labelled.append(copy)
    return labelled


def tested(calculator: Any, labels: Cells, replay: Cells) -> dict[str, Any]:
    """Return the errors on each test."""
    return {
        "new": errors(labels["new"], calculator).as_dict(),
        "plain": errors(labels["plain"], calculator).as_dict(),
        "own": forgotten(replay["own"], calculator),
        "truth": forgotten(replay["truth"], calculator),
    }


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Write energy (meV/atom) and force errors (meV/Å) of each test, one value a seed."""
    tests = ("new", "plain", "own", "truth")
    header = ["system", "training", *(f"{test}: E, F" for test in tests)]
    lines = [header]
    for system, variant in dict.fromkeys((row["system"], row["variant"]) for row in rows):
        same = [r for r in rows if (r["system"], r["variant"]) == (system, variant)]
        cells = [
            "; ".join(
                ", ".join(
                    f"{r[test][name] * scale:.{digits}f}"
                    for name, (_, scale, digits) in QUANTITIES.items()
                )
                for r in same
            )
            for test in tests
        ]
        lines.append([system, variant, *cells])
    return lines


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("build/replay"), help="folder of results")
    parser.add_argument("--system", choices=FILES, action="append", help="one system alone")
    parser.add_argument("--seed", type=int, action="append", help="one seed alone")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="one training alone")
    args = parser.parse_args()
    seeds = args.seed or SEEDS
    benches = [Bench(system, args.work) for system in args.system or FILES]
    for variant in args.variant or VARIANTS:
        for bench in benches:
            for seed in seeds:
                bench.trained(seed, variant)
    rows = []
    for bench in benches:
        rows += [bench.untrained(seed) for seed in seeds]
        rows += [bench.trained(s, variant) for variant in args.variant or VARIANTS for s in seeds]
    print(markdown_table(table(rows)))
    (args.work / "results.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
