"""Make a small model that the examples start from: a tiny Allegro trained on SevenNet-0's labels.

The model describes a few crystals near equilibrium and under pressure, and a little beyond. The
rest is for the active-learning examples to find. Its labels are SevenNet-0's, not DFT's.

Example: python examples/base_model/make_base.py Si --work si_base
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, make_supercell
from ase.calculators.singlepoint import SinglePointCalculator
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.lattice.hexagonal import Graphite
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
MODELS = HERE.parents[1] / "entropy_flows" / "models"
TEACHER = "SevenNet-0"
NETWORKS = {
    "small": {"l_max": 2, "scalars": 24},
    "medium": {"layers": 2, "l_max": 1, "scalars": 32},
}
"""Sizes of networks.

small: for exploration, 10 ms for 16 atoms. medium: one layer more, and with it another body order,
at twice the cost. Two layers with l_max 2 take ten times the time.
"""


@dataclass(frozen=True)
class System:
    """The crystals and conditions that a model is trained for."""

    elements: tuple[str, ...]
    phases: dict[str, Callable[[], Atoms]]
    """Crystals of about 8 atoms, relaxed first; the first one is measured in the end."""
    compressions: tuple[float, ...]
    """Volume factors of cells for dynamics."""
    curve: tuple[float, float]
    """Smallest and largest volume factor of cells along the equation of state."""
    least: float
    """Smallest volume factor of a strained and rattled cell."""
    pushed: tuple[float, float]
    """Distances (Å) to which an atom is pushed towards its neighbour."""
    bonds: tuple[float, ...]
    """Nearest-neighbour distances (Å) of the squeezed crystals in the end."""
    dynamics: int
    """Repetitions of the crystal in a cell for dynamics, 1 or 2."""


def tin() -> Atoms:
    """β-tin, 8 atoms."""
    atoms = Atoms(
        "Si4",
        [[0, 0, 0], [0, 0.5, 0.25], [0.5, 0.5, 0.5], [0.5, 0, 0.75]],
        cell=[1, 1, 1],
        pbc=True,
    )
    atoms.set_cell([4.8, 4.8, 2.65], scale_atoms=True)
    return atoms * (1, 1, 2)


def graphite() -> Atoms:
    """AB graphite, 8 atoms."""
    return Graphite("C", latticeconstant={"a": 2.46, "c": 6.7}) * (2, 1, 1)


def lonsdaleite() -> Atoms:
    """Hexagonal diamond, 8 atoms."""
    z = 1 / 16
    sites = [
        [1 / 3, 2 / 3, z],
        [2 / 3, 1 / 3, 0.5 + z],
        [2 / 3, 1 / 3, 1 - z],
        [1 / 3, 2 / 3, 0.5 - z],
    ]
    cell = [2.51, 2.51, 4.12, 90, 90, 120]
    return Atoms("C4", scaled_positions=sites, cell=cell, pbc=True) * (2, 1, 1)


SYSTEMS = {
    # About -3, 0, 8, 16 and 25 GPa, for a bulk modulus near 90 GPa that stiffens.
    "Si": System(
        ("Si",),
        {"diamond": lambda: bulk("Si", a=5.45, cubic=True), "beta-tin": tin},
        (1.035, 1.0, 0.93, 0.87, 0.82), (0.78, 1.06), 0.82, (1.5, 2.0),
        (2.35, 2.1, 1.9, 1.7, 1.5, 1.3, 1.1), 2,
    ),
    # Up to about 100 GPa in diamond.
    "C": System(
        ("C",),
        {
            "diamond": lambda: bulk("C", a=3.57, cubic=True),
            "graphite": graphite,
            "lonsdaleite": lonsdaleite,
        },
        (1.02, 1.0, 0.94, 0.88, 0.82), (0.78, 1.06), 0.8, (1.0, 1.35),
        (1.55, 1.4, 1.25, 1.1, 0.95, 0.8), 1,
    ),
    # Up to about 40 GPa: a soft crystal.
    "NaCl": System(
        ("Na", "Cl"),
        {
            "B1": lambda: bulk("NaCl", "rocksalt", a=5.64, cubic=True),
            "B2": lambda: bulk("NaCl", "cesiumchloride", a=3.45) * (2, 2, 1),
        },
        (1.03, 1.0, 0.85, 0.72, 0.6), (0.55, 1.08), 0.6, (1.7, 2.3),
        (2.8, 2.5, 2.2, 1.9, 1.6, 1.3), 2,
    ),
}  # fmt: skip


def labelled(atoms: Atoms, teacher) -> Atoms:
    """Return a copy of a cell with the teacher's energy, forces and stress."""
    cell = atoms.copy()
    cell.calc = teacher
    results = {
        "energy": cell.get_potential_energy(),
        "forces": cell.get_forces(),
        "stress": cell.get_stress(),
    }
    cell.calc = SinglePointCalculator(cell, **results)
    return cell


def crystals(system: System, teacher) -> dict[str, Atoms]:
    """Return the phases, relaxed."""
    phases = {name: Atoms(make()) for name, make in system.phases.items()}
    for atoms in phases.values():
        atoms.calc = teacher
        LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=100)
        atoms.calc = None
    return phases


def squeezed(atoms: Atoms, volume_factor: float) -> Atoms:
    """Return a copy of a cell at another volume and of the same shape."""
    cell = atoms.copy()
    cell.set_cell(atoms.cell * volume_factor ** (1 / 3), scale_atoms=True)
    return cell


def static_cells(crystal: Atoms, system: System, rng: np.random.Generator) -> list[Atoms]:
    """Return cells along the equation of state, rattled ones, and some with close pairs."""
    cells = [squeezed(crystal, factor) for factor in np.linspace(*system.curve[::-1], 15)]
    for index in range(50):
        cell = squeezed(crystal, rng.uniform(system.least, 1.05))
        strain = rng.normal(0.0, 0.025, (3, 3))
        cell.set_cell(cell.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        cell.positions += rng.normal(0.0, (0.03, 0.08, 0.15)[index % 3], (len(cell), 3))
        cells.append(cell)
    # One atom pushed against its neighbour keeps dynamics from collapsing.
    for _ in range(10):
        cell = squeezed(crystal, rng.uniform(max(system.least, 0.85), 1.0))
        cell.positions += rng.normal(0.0, 0.05, (len(cell), 3))
        distances = cell.get_distances(0, range(1, len(cell)), mic=True)
        neighbour = 1 + int(np.argmin(distances))
        cell.set_distance(0, neighbour, rng.uniform(*system.pushed), fix=1, mic=True)
        cells.append(cell)
    return cells


def dynamics(
    start: Atoms, teacher, temperature: float, steps: int, every: int, seed: int
) -> list[Atoms]:
    """Return snapshots of a Langevin run of the teacher (2 fs steps), without its first fifth."""
    rng = np.random.default_rng(seed)
    atoms = start.copy()
    atoms.calc = teacher
    MaxwellBoltzmannDistribution(atoms, temperature_K=min(2 * temperature, 6000), rng=rng)
    friction = 0.02 / units.fs
    run = Langevin(
        atoms, 2 * units.fs, temperature_K=temperature, friction=friction, fixcm=False, rng=rng
    )
    frames = []
    for step in range(1, steps + 1):
        run.run(1)
        if step % every == 0 and step > steps / 5:
            frames.append(labelled(atoms, teacher))
    return frames


def make_labels(system: System, seed: int) -> dict[str, list[Atoms]]:
    """Label all cells: `near` and `hot` to train on, `liquid` to test how far the model reaches."""
    teacher = load_calculator(TEACHER)
    rng = np.random.default_rng(seed)
    near: list[Atoms] = []
    hot: list[Atoms] = []
    liquid: list[Atoms] = []
    for phase, crystal in crystals(system, teacher).items():
        near += [labelled(cell, teacher) for cell in static_cells(crystal, system, rng)]
        # Twice the atoms, nearly cubic for diamond.
        turned = [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]
        double = make_supercell(crystal, turned) if system.dynamics == 2 else crystal
        for factor in system.compressions[1:]:
            for temperature in (300, 1000):
                near += dynamics(
                    squeezed(double, factor), teacher, temperature, 60, 8, int(rng.integers(2**31))
                )
        for factor in (1.0, system.compressions[-2]):
            hot += dynamics(
                squeezed(crystal, factor), teacher, 3000, 100, 16, int(rng.integers(2**31))
            )
        for factor in (1.0, (1.0 + system.compressions[-2]) / 2):
            liquid += dynamics(
                squeezed(double, factor), teacher, 3000, 200, 32, int(rng.integers(2**31))
            )
        print(
            f"{phase}: {len(near)} near, {len(hot)} hot, {len(liquid)} liquid cells so far",
            flush=True,
        )
    return {"near": near, "hot": hot, "liquid": liquid}


def load_or_make_labels(system: System, work: Path, seed: int) -> dict[str, list[Atoms]]:
    """Read the labels from the work folder; they are made there first if it has none."""
    path = work / "labels.extxyz"
    if not path.exists():
        frames = []
        for kind, cells in make_labels(system, seed).items():
            for cell in cells:
                cell.info = {"kind": kind}
                frames.append(cell)
        work.mkdir(parents=True, exist_ok=True)
        write(path, frames)
    labels: dict[str, list[Atoms]] = {"near": [], "hot": [], "liquid": []}
    for cell in read(path, ":"):
        labels[cell.info["kind"]].append(cell)
    return labels


def equation_of_state(system: System, calculator) -> dict[str, float]:
    """Return lattice constant (Å) and bulk modulus (GPa) of the first phase, which is cubic."""
    crystal = Atoms(next(iter(system.phases.values()))())
    volumes = []
    energies = []
    for factor in np.linspace(0.91, 1.09, 9):
        atoms = squeezed(crystal, factor)
        atoms.calc = calculator
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    v0, _, b0 = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return {"a0_A": v0 ** (1 / 3), "bulk_modulus_GPa": b0 / units.GPa}


def repulsion(system: System, calculator) -> dict[str, float]:
    """Return the energy per atom (eV) of the first phase squeezed to given bonds (Å).

    It is counted from its minimum, and must rise inwards.
    """
    crystal = Atoms(next(iter(system.phases.values()))())
    bond = crystal.get_distances(0, range(1, len(crystal)), mic=True).min()
    energies = {}
    for length in system.bonds:
        atoms = squeezed(crystal, (length / bond) ** 3)
        atoms.calc = calculator
        energies[f"{length:.2f}"] = atoms.get_potential_energy() / len(atoms)
    lowest = min(energies.values())
    return {length: round(energy - lowest, 3) for length, energy in energies.items()}


def milliseconds_per_step(system: System, calculator, steps: int = 30) -> float:
    """Measure one evaluation of energy, forces and stress of 16 atoms, in ms."""
    atoms = Atoms(next(iter(system.phases.values()))()) * (2, 1, 1)
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
    """Split cells 80/10/10 for training, validation and test, stratified by energy."""
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in cells]
    splits: dict[str, list[Atoms]] = {"train": [], "val": [], "test": []}
    assigned = stratified_split(energies, range(len(cells)), (0.8, 0.1, 0.1), seed)
    for index, name in assigned.items():
        splits[name].append(cells[index])
    return splits


def show(progress: Progress) -> None:
    """Print every tenth epoch."""
    if progress.epoch % 10 == 0:
        print(
            f"epoch {progress.epoch}: train {progress.train_loss:.3e}, val {progress.val_loss:.3e}",
            flush=True,
        )


def main() -> None:
    epilog = __doc__.splitlines()[-1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=epilog)
    parser.add_argument("system", choices=SYSTEMS, help="elements that the model is of")
    parser.add_argument("--network", choices=NETWORKS, default="small", help="default: %(default)s")
    parser.add_argument(
        "--work", type=Path, help="folder for labels and training (default: SYSTEM_base)"
    )
    parser.add_argument(
        "--output", type=Path, help="where the packaged model goes (default: the package's models)"
    )
    parser.add_argument(
        "--epochs", type=int, default=400, help="epochs of training at most (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=7,
        help="seed of cells, split and weights (default: %(default)s)",
    )
    args = parser.parse_args()
    name = f"{args.system.lower()}-{args.network}"
    system = SYSTEMS[args.system]
    work = args.work or Path(f"{args.system.lower()}_base")
    output = args.output or MODELS / f"{name}.nequip.zip"

    started = time.monotonic()
    labels = load_or_make_labels(system, work, args.seed)
    near = split(labels["near"], args.seed)
    hot = split(labels["hot"], args.seed)
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
    network = small_allegro(system.elements, seed=args.seed, **NETWORKS[args.network])
    train = near["train"] + hot["train"]
    val = near["val"] + hot["val"]
    test = near["test"] + hot["test"]
    folder = work / args.network
    result = fine_tune(train, val, [], network, params, folder, on_progress=show)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(result.model.read_bytes())

    calculator = load_calculator(output)
    teacher = load_calculator(TEACHER)
    metrics = {
        "labels": TEACHER,
        "cells": {"train": len(train), "val": len(val), "test": len(test)},
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "training_seconds": round(result.wall_seconds),
        "seconds": round(time.monotonic() - started),
        "bytes": output.stat().st_size,
        "test_near": errors(near["test"], calculator).as_dict(),
        "liquid_3000K": errors(labels["liquid"], calculator).as_dict(),
        next(iter(system.phases)): {
            "model": equation_of_state(system, calculator),
            "teacher": equation_of_state(system, teacher),
        },
        "squeezed_eV_per_atom": repulsion(system, calculator),
        "eager_ms_per_step_16_atoms": round(milliseconds_per_step(system, calculator), 1),
    }
    text = json.dumps(metrics, indent=2)
    (HERE / f"{name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
