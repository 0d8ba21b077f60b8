"""Make the small silicon model the examples start from: SevenNet-0's labels, a tiny Allegro, one packaged file.

The model knows diamond and β-tin between -3 and 25 GPa, near equilibrium, and a little of what lies beyond; what it
does not know is what the active-learning examples find. Its labels are SevenNet-0's, not DFT's.

Example: python examples/base_model/make_si_base.py --work si_base
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, make_supercell
from ase.calculators.singlepoint import SinglePointCalculator
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import LBFGS

from entropy_flows.evaluate.errors import errors
from entropy_flows.potentials import load_calculator
from entropy_flows.train.dataset import stratified_split
from entropy_flows.train.params import TrainParams
from entropy_flows.train.recipe import small_allegro
from entropy_flows.train.run import Progress, fine_tune

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "entropy_flows" / "models" / "si-small.nequip.zip"
TEACHER = "SevenNet-0"
# Volume factors of the cells: about -3, 0, 8, 16 and 25 GPa, for a bulk modulus near 90 GPa that stiffens
COMPRESSIONS = (1.035, 1.0, 0.93, 0.87, 0.82)


def labelled(atoms: Atoms, teacher) -> Atoms:
    """Copy of a cell with the teacher's energy, forces and stress."""
    cell = atoms.copy()
    cell.calc = teacher
    results = {"energy": cell.get_potential_energy(), "forces": cell.get_forces(), "stress": cell.get_stress()}
    cell.calc = SinglePointCalculator(cell, **results)
    return cell


def crystals(teacher) -> dict[str, Atoms]:
    """Relaxed diamond (8 atoms) and β-tin (8 atoms, tetragonal) cells."""
    tin = Atoms("Si4", [[0, 0, 0], [0, 0.5, 0.25], [0.5, 0.5, 0.5], [0.5, 0, 0.75]], cell=[1, 1, 1], pbc=True)
    tin.set_cell([4.8, 4.8, 2.65], scale_atoms=True)
    phases = {"diamond": bulk("Si", a=5.45, cubic=True), "beta-tin": tin * (1, 1, 2)}
    for atoms in phases.values():
        atoms.calc = teacher
        LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=100)
        atoms.calc = None
    return phases


def squeezed(atoms: Atoms, volume_factor: float) -> Atoms:
    """Copy of a cell at another volume, shape kept."""
    cell = atoms.copy()
    cell.set_cell(atoms.cell * volume_factor ** (1 / 3), scale_atoms=True)
    return cell


def static_cells(crystal: Atoms, rng: np.random.Generator) -> list[Atoms]:
    """Cells along the equation of state, randomly strained and rattled ones, and ones with a close pair."""
    cells = [squeezed(crystal, factor) for factor in np.linspace(1.06, 0.78, 15)]
    for index in range(50):
        cell = squeezed(crystal, rng.uniform(0.82, 1.05))
        strain = rng.normal(0.0, 0.025, (3, 3))
        cell.set_cell(cell.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        cell.positions += rng.normal(0.0, (0.03, 0.08, 0.15)[index % 3], (len(cell), 3))
        cells.append(cell)
    for _ in range(10):  # one atom pushed against its neighbour: what keeps dynamics from collapsing
        cell = squeezed(crystal, rng.uniform(0.85, 1.0))
        cell.positions += rng.normal(0.0, 0.05, (len(cell), 3))
        distances = cell.get_distances(0, range(1, len(cell)), mic=True)
        neighbour = 1 + int(np.argmin(distances))
        cell.set_distance(0, neighbour, rng.uniform(1.5, 2.0), fix=1, mic=True)
        cells.append(cell)
    return cells


def dynamics(start: Atoms, teacher, temperature: float, steps: int, every: int, seed: int) -> list[Atoms]:
    """Snapshots of a Langevin run of the teacher (2 fs steps), the first fifth of the run left out."""
    rng = np.random.default_rng(seed)
    atoms = start.copy()
    atoms.calc = teacher
    MaxwellBoltzmannDistribution(atoms, temperature_K=min(2 * temperature, 6000), rng=rng)
    friction = 0.02 / units.fs
    run = Langevin(atoms, 2 * units.fs, temperature_K=temperature, friction=friction, fixcm=False, rng=rng)
    frames = []
    for step in range(1, steps + 1):
        run.run(1)
        if step % every == 0 and step > steps / 5:
            frames.append(labelled(atoms, teacher))
    return frames


def make_labels(seed: int) -> dict[str, list[Atoms]]:
    """All labelled cells: `near` and `hot` to train on, `liquid` to see how far the model reaches."""
    teacher = load_calculator(TEACHER)
    rng = np.random.default_rng(seed)
    near: list[Atoms] = []
    hot: list[Atoms] = []
    liquid: list[Atoms] = []
    for phase, crystal in crystals(teacher).items():
        near += [labelled(cell, teacher) for cell in static_cells(crystal, rng)]
        double = make_supercell(crystal, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])  # 16 atoms, nearly cubic for diamond
        for factor in COMPRESSIONS[1:]:
            for temperature in (300, 1000):
                near += dynamics(squeezed(double, factor), teacher, temperature, 60, 8, int(rng.integers(2**31)))
        for factor in (1.0, 0.87):
            hot += dynamics(squeezed(crystal, factor), teacher, 3000, 100, 16, int(rng.integers(2**31)))
        for factor in (1.0, 0.92):
            liquid += dynamics(squeezed(double, factor), teacher, 3000, 200, 32, int(rng.integers(2**31)))
        print(f"{phase}: {len(near)} near, {len(hot)} hot, {len(liquid)} liquid cells so far", flush=True)
    return {"near": near, "hot": hot, "liquid": liquid}


def load_or_make_labels(work: Path, seed: int) -> dict[str, list[Atoms]]:
    """Labels from the work folder, made there first if it has none."""
    path = work / "labels.extxyz"
    if not path.exists():
        frames = []
        for kind, cells in make_labels(seed).items():
            for cell in cells:
                cell.info = {"kind": kind}
                frames.append(cell)
        work.mkdir(parents=True, exist_ok=True)
        write(path, frames)
    labels: dict[str, list[Atoms]] = {"near": [], "hot": [], "liquid": []}
    for cell in read(path, ":"):
        labels[cell.info["kind"]].append(cell)
    return labels


def equation_of_state(calculator) -> dict[str, float]:
    """Lattice constant (Å) and bulk modulus (GPa) of diamond."""
    volumes, energies = [], []
    for a in np.linspace(5.3, 5.62, 9):
        atoms = bulk("Si", a=a, cubic=True)
        atoms.calc = calculator
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    v0, _, b0 = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return {"a0_A": v0 ** (1 / 3), "bulk_modulus_GPa": b0 / units.GPa}


def repulsion(calculator) -> dict[str, float]:
    """Energy per atom (eV) of diamond squeezed to given bond lengths (Å), above its minimum: must rise inwards."""
    energies = {}
    for bond in (2.35, 2.1, 1.9, 1.7, 1.5, 1.3, 1.1):
        atoms = bulk("Si", a=bond * 4 / np.sqrt(3))
        atoms.calc = calculator
        energies[f"{bond:.2f}"] = atoms.get_potential_energy() / len(atoms)
    lowest = min(energies.values())
    return {bond: round(energy - lowest, 3) for bond, energy in energies.items()}


def milliseconds_per_step(calculator, steps: int = 30) -> float:
    """Time of one energy, force and stress evaluation of 16 atoms, ms."""
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.calc = calculator
    atoms.get_forces()
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(steps):
        atoms.positions += rng.normal(0.0, 1e-3, (len(atoms), 3))
        atoms.get_forces()
        atoms.get_stress()
    return 1e3 * (time.perf_counter() - start) / steps


def split(cells: list[Atoms], seed: int) -> dict[str, list[Atoms]]:
    """Training, validation and test cells: 80/10/10, stratified by energy."""
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in cells]
    parts: dict[str, list[Atoms]] = {"train": [], "val": [], "test": []}
    for index, part in stratified_split(energies, range(len(cells)), (0.8, 0.1, 0.1), seed).items():
        parts[part].append(cells[index])
    return parts


def show(progress: Progress) -> None:
    """Print every tenth epoch."""
    if progress.epoch % 10 == 0:
        print(f"epoch {progress.epoch}: train {progress.train_loss:.3e}, val {progress.val_loss:.3e}", flush=True)


def main() -> None:
    epilog = __doc__.splitlines()[-1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=epilog)
    parser.add_argument("--work", type=Path, default=Path("si_base"), help="folder for labels and training")
    parser.add_argument(
        "--output", type=Path, default=MODEL, help="where the packaged model goes (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=400, help="epochs of training at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of cells, split and weights (default: %(default)s)")
    args = parser.parse_args()

    started = time.monotonic()
    labels = load_or_make_labels(args.work, args.seed)
    near, hot = split(labels["near"], args.seed), split(labels["hot"], args.seed)
    params = TrainParams(
        preset="small",
        learning_rate=5e-3,
        max_epochs=args.epochs,
        energy_coefficient=1.0,
        stress_coefficient=1.0,
        ema_decay=0.99,
        lr_patience=15,
        early_stopping_patience=60,
        seed=args.seed,
    )
    network = small_allegro(["Si"], l_max=2, scalars=24, seed=args.seed)
    parts = {part: near[part] + hot[part] for part in near}
    result = fine_tune(parts["train"], parts["val"], [], network, params, args.work / "training", on_progress=show)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(result.model.read_bytes())

    calculator = load_calculator(args.output)
    metrics = {
        "labels": TEACHER,
        "cells": {part: len(cells) for part, cells in parts.items()},
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "training_seconds": round(result.wall_seconds),
        "seconds": round(time.monotonic() - started),
        "bytes": args.output.stat().st_size,
        "test_near": errors(near["test"], calculator).as_dict(),
        "liquid_3000K": errors(labels["liquid"], calculator).as_dict(),
        "diamond": {"model": equation_of_state(calculator), "teacher": equation_of_state(load_calculator(TEACHER))},
        "squeezed_diamond_eV_per_atom": repulsion(calculator),
        "eager_ms_per_step_16_atoms": round(milliseconds_per_step(calculator), 1),
    }
    text = json.dumps(metrics, indent=2)
    (HERE / "si-small.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
