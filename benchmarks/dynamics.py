"""Time an MD step with and without bias, and trajectories together against one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixCom
from ase.md.langevin import Langevin as ASELangevin

import entropy_flows
from benchmarks.cells import SI16
from benchmarks.report import Section, Table
from benchmarks.timing import Options, Turn
from entropy_flows.batch import Batch
from entropy_flows.entropy import Bias, ExploreSurface, LocalBias, Mode
from entropy_flows.explore import Condition, Ensemble, ExploreParams, Run
from entropy_flows.explore.langevin import Langevin
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import BatchModel, load_batch_model, load_calculator

PACKAGE = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
FINGERPRINT = {"cutoff": 3.0, "natx": 50}
"""Of the local entropy, as campaigns have it by default."""
PARAMS = ExploreParams(steps=10**9, warm_up=0, ramp=0, snapshot_every=10, temperatures=(1000.0,))

TEXT = """\
Cells of 16 silicon atoms at 1000 K, Langevin steps of 1 fs with a snapshot every 10, local
entropy with r_c 3.0 Å. The small Allegro is the one in the package, eager, or compiled with
`entropy-flows model … --for compiled`. "ASE" is one trajectory through `ase.md.langevin` and the
ASE calculator of the surface, over NequIP's or SevenNet's own calculator (the compiled one made
with `--target ase`)."""


def run(options: Options) -> Section:
    """Shares of a step, throughput over batch sizes, and energy conservation."""
    models = load(options)
    tables = [shares(options, models), throughput(options, models), conservation(options, models)]
    picture = plot(tables[1], options)
    return Section("Dynamics", TEXT.replace("\n", " "), tables, plots=[picture])


def load(options: Options) -> dict[str, tuple[BatchModel, Callable[[], Calculator]]]:
    """Models by name: for batches, and as an ASE calculator."""
    many, one = compiled(options, "batch"), compiled(options, "ase")
    if many is None or one is None:
        return eager(options)
    return {"small Allegro, compiled": _loaded(options, many, one), **eager(options)}


def eager(options: Options) -> dict[str, tuple[BatchModel, Callable[[], Calculator]]]:
    """The same without the compiled one."""
    return {
        "small Allegro, eager": _loaded(options, PACKAGE, PACKAGE),
        "SevenNet-0": _loaded(options, "SevenNet-0", "SevenNet-0"),
    }


def _loaded(
    options: Options, many: str | Path, one: str | Path
) -> tuple[BatchModel, Callable[[], Calculator]]:
    model = load_batch_model(many, options.device)
    return model, partial(load_calculator, one, options.device)


def compiled(options: Options, target: str) -> Path | None:
    """The small Allegro compiled once for this device, below build/; None without a compiler."""
    path = (
        Path("build")
        / "benchmarks"
        / f"si-small-{target}-{options.device}-{torch.__version__}.nequip.pt2"
    )
    if path.exists():
        return path
    options.say(f"dynamics: compiling the small Allegro for {target}, a minute or two")
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = "import sys; from entropy_flows.cli import main; sys.argv[0] = 'entropy-flows'; main()"
    how = ["-c", ours, "model", str(PACKAGE), "--for", "compiled", "-o", str(path)]
    if target == "ase":
        how = ["-m", "nequip.scripts.compile", "--mode", "aotinductor", "--target", "ase"]
        how += [str(PACKAGE), str(path)]
    command = [sys.executable, *how, "--device", options.device]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        options.say(
            f"dynamics: not compiled: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
        )
        return None
    return path


def ensemble(model: BatchModel, count: int, k: float) -> Ensemble:
    """So many trajectories, each with its own seed, some steps after their start."""
    runs = [
        Run(index, Condition("diamond", 1000.0, k, 0.0), "atom", index) for index in range(count)
    ]
    cells = SI16.cells(min(count, 32))
    starts = [cells[index % len(cells)] for index in range(count)]
    made = Ensemble(runs, starts, model, LocalBias(GOM(**FINGERPRINT, device=model.device)), PARAMS)
    for _ in range(3):
        made.advance()
    return made


def ase_dynamics(calculator: Calculator, k: float) -> ASELangevin:
    """The same for one trajectory, the ASE way."""
    atoms: Atoms = SI16.cells(1)[0]
    atoms.calc = ExploreSurface(calculator, GOM(**FINGERPRINT), k)
    atoms.set_constraint(FixCom())
    rng = np.random.default_rng(0)
    friction = PARAMS.friction / units.fs
    return ASELangevin(
        atoms, units.fs, temperature_K=1000.0, friction=friction, fixcm=False, rng=rng
    )


def shares(
    options: Options, models: dict[str, tuple[BatchModel, Callable[[], Calculator]]]
) -> Table:
    """(c): a step with k = 0 and k > 0."""
    columns = [
        "base model",
        "batch",
        "k = 0, ms a step",
        "k = 2 eV, ms a step",
        "bias, ms",
        "its share, %",
    ]
    rows = []
    for name, (model, _) in models.items():
        for count in (1, 8) if "SevenNet" in name or options.quick else (1, 8, 32):
            options.say(f"dynamics: share of the bias, {name}, batch of {count}")
            steps = {k: ensemble(model, count, k).advance for k in (0.0, 2.0)}
            best = options.compete(
                {str(k): options.turn(step) for k, step in steps.items()}, seconds=12.0
            )
            plain, biased = 1e3 * best["0.0"], 1e3 * best["2.0"]
            rows.append(
                [name, count, plain, biased, biased - plain, 100 * (biased - plain) / biased]
            )
    return Table("Share of the bias in a step", columns, rows)


def throughput(
    options: Options, models: dict[str, tuple[BatchModel, Callable[[], Calculator]]]
) -> Table:
    """(d): trajectories times steps per second, k = 2 eV."""
    columns = ["base model", "batch", "steps · trajectories / s", "÷ ASE one by one"]
    sizes = [1, 4, 16, 32] if options.quick else [1, 4, 16, 32, 64, 128, 256]
    if options.device != "cpu":
        sizes += [512, 1024]
    rows = []
    for name, (model, make) in models.items():
        turns: dict[str, Turn] = {"ASE": options.turn(ase_dynamics(make(), 2.0).step)}
        for count in (
            [size for size in sizes if size <= 8]
            if "SevenNet" in name and options.device == "cpu"
            else sizes
        ):
            options.say(f"dynamics: {name}, batch of {count}")
            turns[str(count)] = options.turn(ensemble(model, count, 2.0).advance)
        best = options.compete(turns, seconds=40.0)
        single = 1 / best.pop("ASE")
        rows.append([name, "ASE", single, 1.0])
        rows += [
            [name, int(count), int(count) / best[count], int(count) / best[count] / single]
            for count in best
        ]
    return Table("Trajectories together", columns, rows)


def conservation(
    options: Options, models: dict[str, tuple[BatchModel, Callable[[], Calculator]]]
) -> Table:
    """E_base − k S + kinetic energy without friction."""
    columns = [
        "k, eV",
        "time step, fs",
        "drift, meV/atom/ps",
        "rms about it, meV/atom",
        "mean temperature, K",
    ]
    model = next(iter(models.values()))[0]
    bias, rows = LocalBias(GOM(**FINGERPRINT, device=model.device)), []
    cells, picoseconds = SI16.cells(4), 0.2 if options.quick else 1.0
    for k in (0.0, 5.0, 20.0):
        for timestep in (1.0, 0.25) if options.quick else (1.0, 0.5, 0.25):
            options.say(f"dynamics: energy conservation, k = {k}, {timestep} fs")
            rows.append([k, timestep, *drift(model, bias, cells, k, timestep, picoseconds)])
    note = (
        "Si16 without friction for 1 ps, from thermal cells with velocities of 1000 K; means over "
        "4 trajectories, the "
        "drift a least-squares line."
    )
    return Table("Energy conservation on E_explore", columns, rows, note=note)


def drift(
    model: BatchModel,
    bias: Bias,
    cells: list[Atoms],
    k: float,
    timestep: float,
    picoseconds: float,
) -> tuple[float, float, float]:
    """Drift (meV/atom/ps), rms about it (meV/atom) and mean temperature (K) without friction."""
    batch = Batch.of(cells, model.device)
    count = len(cells)
    seeds = list(range(1, count + 1))
    langevin = Langevin(batch.cells, [1000.0] * count, seeds, timestep, friction=0.0)
    modes: list[Mode] = ["atom"] * count

    def evaluate(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        base, pull = model(batch), bias(batch, modes)
        return base.energy - k * pull.value, base.forces + k * pull.gradient

    v, (potential, forces), totals, heat = langevin.velocities(), evaluate(batch), [], []
    for step in range(round(1000 * picoseconds / timestep)):
        totals.append(((potential + langevin.kinetic_energies(v)) / len(cells[0])).cpu().numpy())
        heat.append(float(langevin.instantaneous(v).mean()))
        batch, half = langevin.first(batch, v, forces, step)
        potential, forces = evaluate(batch)
        v = langevin.second(half, forces, step)
    t, E = np.arange(len(totals)) * timestep / 1000, 1e3 * np.array(totals)
    lines = np.polyfit(t, E, 1)
    residue = E - (np.outer(t, lines[0]) + lines[1])
    return float(np.abs(lines[0]).mean()), float(np.sqrt((residue**2).mean())), float(np.mean(heat))


def plot(table: Table, options: Options) -> str:
    """Throughput over batch size; the picture's file name."""
    mpl.use("Agg")
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(row[0] for row in table.rows):
        rows = [row for row in table.rows if row[0] == name and row[1] != "ASE"]
        (line,) = axis.loglog([row[1] for row in rows], [row[2] for row in rows], "o-", label=name)
        single = next(row[2] for row in table.rows if row[0] == name and row[1] == "ASE")
        axis.axhline(single, color=line.get_color(), linestyle=":", linewidth=1)
    axis.set(
        xlabel="trajectories in a batch",
        ylabel="steps · trajectories / s",
        title="Si16, k = 2 eV; dotted: ASE",
    )
    axis.legend(frameon=False)
    axis.grid(which="both", alpha=0.2)
    name = f"dynamics{options.suffix}.png"
    figure.savefig(options.folder / name, dpi=90)
    plt.close(figure)
    return name
