"""Choosing frames of files: seconds, memory and the choice, by the command and from Python.

    python -m benchmarks.frames make FOLDER            100 000 frames of silicon dynamics, 200 known
    python -m benchmarks.frames select FOLDER          200 of them, by each selector and from Python
    python -m benchmarks.frames million FOLDER         10⁶ frames (rattled copies), in one pass
    python -m benchmarks.frames commands FOLDER        import, select, diversity of 10 000 frames

The dynamics is that of the shipped model: 40 runs of 8 atoms, at 300 to 3000 K and four densities,
every step written. Each measurement is a process of its own; CPU seconds are user and system.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write

MODEL = "shipped:si-small.nequip.zip"
TEMPERATURES = (300.0, 600.0, 1200.0, 2000.0, 3000.0)
SCALES = (0.97, 0.99, 1.0, 1.02)
"""Lengths relative to the crystal at rest."""
REPEATS = 2
STEPS = 2500
"""Of each of 5 × 4 × 2 runs: 100 000 frames."""
N_KNOWN = 200
COPIES = 10
RATTLE = 0.01
"""Å; what the copies of a million frames differ by."""
PYTHON = """\
from entropy_flows import choose_frames
choice = choose_frames("{folder}/md", 200, dataset="{folder}/known.extxyz")
choice.write("{folder}/python.extxyz", overwrite=True)
"""
CAMPAIGN = """\
name: frames-{name}
elements: [Si]
base_model: {model}
phases: [{{name: diamond, spacegroup: Fd-3m, lattice: {{a: 5.43}}, sites: {{Si: [[0, 0, 0]]}}}}]
label: {{engine: forcefield, model: ase.calculators.emt.EMT}}
"""


def make(folder: Path) -> None:
    """Write the runs, a file for each temperature, and the known cells."""
    from entropy_flows.explore import ExploreParams, Run, explore
    from entropy_flows.explore.conditions import Condition
    from entropy_flows.launch.submit import locate_model
    from entropy_flows.potentials import load_batch_model

    (folder / "md").mkdir(parents=True, exist_ok=True)
    crystal = bulk("Si", "diamond", a=5.46, cubic=True)
    runs, starts = [], []
    for temperature in TEMPERATURES:
        for scale in SCALES:
            for _ in range(REPEATS):
                condition = Condition("diamond", temperature, 0.0, 0.0)
                runs.append(Run(len(runs), condition, "config", 1000 + len(runs)))
                cell = crystal.copy()
                cell.set_cell(crystal.cell * scale, scale_atoms=True)
                starts.append(cell)
    params = ExploreParams(
        steps=STEPS, warm_up=0, ramp=0, snapshot_every=1, timestep=1.0, min_distance_fraction=0.3
    )
    begun = time.process_time()
    model = load_batch_model(locate_model(MODEL, folder), device="cpu")
    trajectories = explore(runs, starts, model, None, params)
    print(f"dynamics: {time.process_time() - begun:.0f} CPU seconds")
    rng = np.random.default_rng(0)
    labelled = []
    for temperature in TEMPERATURES:
        frames = []
        for trajectory in trajectories:
            if trajectory.run.condition.temperature != temperature:
                continue
            cells = [
                Atoms(trajectory.numbers, positions, cell=trajectory.cell, pbc=True)
                for positions in trajectory.positions
            ]
            frames += cells
            if temperature <= 600.0:
                chosen = rng.choice(len(cells), N_KNOWN // 16, replace=False)
                labelled += [cells[index] for index in chosen]
        write(folder / "md" / f"{temperature:.0f}K.extxyz", frames, format="extxyz")
        print(f"{temperature:.0f} K: {len(frames)} frames")
    while len(labelled) < N_KNOWN:
        labelled.append(frames[int(rng.integers(len(frames)))])
    write(folder / "known.extxyz", labelled, format="extxyz")


def measured(title: str, *command: object, env: dict[str, str] | None = None) -> str:
    """Run a command; print its CPU seconds, its wall clock and its peak memory."""
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "100", **(env or {})},
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    del before
    seconds = usage.ru_utime + usage.ru_stime
    wall = time.monotonic() - begun
    print(
        f"{title}: {seconds:.1f} CPU s ({wall:.0f} s of wall clock), "
        f"{usage.ru_maxrss / 1024:.0f} MiB, exit {os.waitstatus_to_exitcode(status)}",
        flush=True,
    )
    return output


def select(folder: Path, selectors: list[str]) -> None:
    """Choose 200 of the 100 000 frames."""
    code = "from entropy_flows.cli import main; main()"
    for name in selectors:
        output = measured(
            f"select, {name}",
            *("-c", code, "select", folder / "md", "-n", 200, "--selector", name),
            *("--known", folder / "known.extxyz", "-o", folder / f"{name}.extxyz", "--force"),
        )
        print(output)
    measured("from Python", "-c", PYTHON.format(folder=folder))


def million(folder: Path, selectors: list[str]) -> None:
    """Rattle the 100 000 frames ten times, and choose from all of them."""
    target = folder / "million"
    target.mkdir(exist_ok=True)
    for source in sorted((folder / "md").glob("*.extxyz")):
        path = target / source.name
        if not path.exists():
            with path.open("w") as file:
                file.writelines(_rattled_copies(source))
    code = "from entropy_flows.cli import main; main()"
    for name in selectors:
        output = measured(
            f"10⁶ frames, {name}",
            *("-c", code, "select", target, "-n", 200, "--selector", name),
            *("--known", folder / "known.extxyz", "-o", folder / "m.extxyz", "--force"),
        )
        print(output)


def _rattled_copies(source: Path) -> Iterator[str]:
    """Yield the text of a file's frames, ten times, with displacements of their own."""
    rng = np.random.default_rng(1)
    lines = source.read_text().splitlines(keepends=True)
    size = int(lines[0]) + 2
    for _ in range(COPIES):
        for start in range(0, len(lines), size):
            yield "".join(lines[start : start + 2])
            rows = lines[start + 2 : start + size]
            shifts = rng.normal(scale=RATTLE, size=(len(rows), 3))
            for row, shift in zip(rows, shifts, strict=True):
                symbol, *words = row.split()
                x, y, z = (float(word) + step for word, step in zip(words, shift, strict=False))
                yield f"{symbol} {x:.8f} {y:.8f} {z:.8f}\n"


def commands(folder: Path) -> None:
    """Time import, select and diversity of 10 000 labelled frames."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import iread

    path = folder / "labelled.extxyz"
    if not path.exists():
        rng = np.random.default_rng(2)
        cells = []
        for name in sorted((folder / "md").glob("*.extxyz")):
            for atoms in iread(name, "::10"):
                forces = rng.normal(size=(len(atoms), 3))
                energy = float(rng.normal()) - 5.4 * len(atoms)
                atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
                cells.append(atoms)
        write(path, cells[:10_000], format="extxyz")
    code = "from entropy_flows.cli import main; main()"
    campaign = folder / "campaign.yaml"
    campaign.write_text(CAMPAIGN.format(name=os.getpid(), model=MODEL))
    print(measured("diversity", "-c", code, "diversity", path, "-C", folder / "diversity"))
    print(
        measured(
            "select",
            *("-c", code, "select", path, "-n", 200, "-o", folder / "ten.extxyz", "--force"),
        )
    )
    print(
        measured(
            "import",
            *("-c", code, "import", campaign, path, "--settings-as-engine"),
            *("-C", folder / "campaign"),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.frames",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("make", "select", "million", "commands"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--selectors", default=None, help="names, with commas between")
    given = parser.parse_args()
    if given.what == "make":
        make(given.folder)
    elif given.what == "commands":
        commands(given.folder)
    else:
        default = "kmeans,logdet,random" if given.what == "select" else "logdet"
        task = select if given.what == "select" else million
        task(given.folder, (given.selectors or default).split(","))


if __name__ == "__main__":
    main()
