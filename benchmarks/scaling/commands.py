"""Whole commands on a campaign of many labels, and the diversity of two sets of five elements."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from benchmarks.report import Section, Table
from benchmarks.scaling.bench import DESCRIPTION
from benchmarks.timing import Options

FRAMES = 10_000
QUICK_FRAMES = 500
METALS = ("Ni", "Cu", "Pd", "Ag", "Au")
ALLOY_CELLS = 200
COMMAND = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]
CLOCK = ["/usr/bin/time", "--format", "%e %M"]
TEXT = f"""\
Each command is a process of its own, its start included, on an otherwise idle server. The frames
are cells of eight silicon atoms with random displacements and random labels ({FRAMES} of them,
{QUICK_FRAMES} with --quick). The two sets are cells of sixteen atoms of {len(METALS)} metals
drawn at random. Memory is the largest resident set of the process."""


def run(options: Options, folder: Path) -> Section:
    """Run the commands in the order in which people use them."""
    frames = QUICK_FRAMES if options.quick else FRAMES
    cells = ALLOY_CELLS // 10 if options.quick else ALLOY_CELLS
    table = Table(
        f"{frames} labels; {cells} and {cells} cells of five elements",
        ["command", "seconds", "memory, MiB"],
    )
    campaign = write_campaign(folder)
    write_frames(folder / "frames.extxyz", frames)
    write_alloys(folder, cells)
    commands = {
        "import": ["import", campaign, folder / "frames.extxyz", "--settings-as-engine"],
        "status": ["status", campaign],
        "verify": ["verify", campaign],
        "verify --deep": ["verify", campaign, "--deep"],
        "export": ["export", campaign, folder / "out.extxyz"],
        "report": ["report", campaign],
        "diversity": ["diversity", folder / "one.extxyz", folder / "other.extxyz"],
    }
    for name, arguments in commands.items():
        options.say(f"commands: {name}")
        table.rows.append([name, *cost(arguments, folder)])
    return Section("Commands", TEXT.replace("\n", " "), [table], [])


def cost(arguments: list[str | Path], folder: Path) -> tuple[float, float]:
    """Run a command in its folder.

    Returns
    -------
    tuple of float
        Seconds on the wall's clock, and MiB of its largest resident set.

    Raises
    ------
    RuntimeError
        If the command fails, with what it printed.
    """
    words = [*CLOCK, *COMMAND, *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    measured = re.search(r"^([\d.]+) (\d+)$", done.stderr, re.MULTILINE)
    if done.returncode != 0 or measured is None:
        raise RuntimeError(f"{arguments[0]} failed: {done.stdout}{done.stderr}")
    return float(measured[1]), float(measured[2]) / 1024


def write_campaign(folder: Path) -> Path:
    """Write the campaign file."""
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(DESCRIPTION))
    return path


def write_frames(path: Path, count: int) -> None:
    """Write labelled cells of silicon."""
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(count):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.15, rng=rng)
        energy = -43.4 + rng.normal(scale=0.5)
        forces = rng.normal(scale=0.8, size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces - forces.mean(0))
        frames.append(atoms)
    write(path, frames)


def write_alloys(folder: Path, count: int) -> None:
    """Write two sets of cells of five metals, one more disordered than the other."""
    rng = np.random.default_rng(2)
    for name, displacement in (("one", 0.05), ("other", 0.3)):
        cells = []
        for _ in range(count):
            atoms = bulk("Cu", cubic=True, a=3.9).repeat((2, 2, 1))
            atoms.symbols[:] = rng.choice(METALS, len(atoms))
            atoms.rattle(displacement, rng=rng)
            cells.append(atoms)
        write(folder / f"{name}.extxyz", cells)
