"""Compare the soft local entropy with the paper's: drift, temperature, S_local, information."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

import entropy_flows
from benchmarks.cells import LATTICE, Case
from benchmarks.dynamics import FINGERPRINT, drift
from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.conventions import Array
from entropy_flows.entropy import (
    Bias,
    CellMeans,
    LocalBias,
    SoftBias,
    SufficientStatistics,
    local_entropy,
    thermal_distance,
)
from entropy_flows.explore import Condition, ExploreParams, Run, Trajectory, explore
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.select import VarianceSelector

MODELS = Path(entropy_flows.__file__).parent / "models"
PARAMS = ExploreParams(warm_up=50, ramp=100, steps=450, snapshot_every=10)
CAMPAIGN_STEPS = 300
"""Sampled steps of a campaign's run, whose snapshots are the candidates."""
TEMPERATURES = (300.0, 1000.0)
LABELS = 24
DRAWS = 8
TEXT = f"""\
Diamond crystals of 16 atoms with the small Allegros in the package, local entropy with r_c 3.0 Å,
steps of 1 fs. "paper" is S_local with its minimum, "soft" is S_soft with a floor of the distance
that thermal motion makes. Both are measured by the paper's S_local. Runs have a warm-up of 50
steps, a ramp of 100 and {PARAMS.steps} sampled steps. Candidates are the snapshots of the first
{CAMPAIGN_STEPS} sampled steps. What a label gains is that of {LABELS} candidates drawn at random,
the mean of {DRAWS} draws: log det Σ per atom, and the share of the unknown of a target that they
take off. The target is all snapshots of both forms and all k."""


@dataclass
class Explored:
    """What runs of one form at one k came to."""

    element: str
    k: float
    form: str
    trajectories: list[Trajectory]
    entropy: float
    prints: list[Array]


def run(options: Options) -> Section:
    """Drift without a thermostat, then runs as campaigns have them."""
    conserved: list[list[object]] = []
    explored: list[list[object]] = []
    for symbol in ("Si", "C"):
        model = load_batch_model(MODELS / f"{symbol.lower()}-small.nequip.zip", options.device)
        biases = _biases(symbol, model.device)
        conserved += _conservation(options, symbol, model, biases)
        explored += _runs(options, symbol, model, biases)
    tables = [_conservation_table(conserved, options), _runs_table(explored)]
    return Section("Soft local entropy", TEXT.replace("\n", " "), tables)


def crystal(symbol: str) -> Atoms:
    """Diamond of 16 atoms."""
    structure, a = LATTICE[symbol]
    return bulk(symbol, structure, a=a) * (2, 2, 2)


def _biases(symbol: str, device: str) -> dict[str, Bias]:
    gom = GOM(**FINGERPRINT, elements=(symbol,), device=device)
    floor = thermal_distance(gom, [crystal(symbol)])
    return {"paper": LocalBias(gom), "soft": SoftBias(gom, floor)}


def _weights(options: Options) -> tuple[float, ...]:
    """k in eV."""
    return (2.0, 5.0, 20.0) if options.quick else (2.0, 5.0, 10.0, 20.0)


def _conservation(
    options: Options, symbol: str, model: BatchModel, biases: dict[str, Bias]
) -> list[list[object]]:
    cells = Case(symbol, (2, 2, 2), 3.0).cells(2 if options.quick else 4)
    rows: list[list[object]] = []
    for k in _weights(options):
        slopes = {}
        for form, bias in biases.items():
            slopes[form], rms, heat = drift(model, bias, cells, k, 1.0, 1.0)
            rows.append([symbol, k, form, slopes[form], rms, heat, slopes["paper"] / slopes[form]])
            options.say(f"soft: conservation {rows[-1]}")
    return rows


def _conservation_table(rows: list[list[object]], options: Options) -> Table:
    columns = [
        "element",
        "k, eV",
        "form",
        "drift, meV/atom/ps",
        "rms about it, meV/atom",
        "mean temperature, K",
        "drift of the paper's ÷ this",
    ]
    note = (
        f"Without friction for 1 ps, from thermal cells with velocities of 1000 K; means over "
        f"{2 if options.quick else 4} trajectories, the drift a least-squares line."
    )
    return Table("Energy conservation, both forms", columns, rows, note=note)


def _runs(
    options: Options, symbol: str, model: BatchModel, biases: dict[str, Bias]
) -> list[list[object]]:
    done = []
    for k in _weights(options):
        for form, bias in biases.items():
            done.append(_explored(symbol, k, form, model, bias, 2 if options.quick else 4))
            options.say(f"soft: runs {_facts(done[-1])}")
    pool = [q for result in done for q in result.prints]
    return [[*_facts(result), *_information(result.prints, pool)] for result in done]


def _explored(
    symbol: str, k: float, form: str, model: BatchModel, bias: Bias, count: int
) -> Explored:
    conditions = [Condition("diamond", T, k, 0.0) for T in TEMPERATURES for _ in range(count)]
    runs = [Run(index, where, "atom", index) for index, where in enumerate(conditions)]
    trajectories = explore(runs, [crystal(symbol) for _ in runs], model, bias, PARAMS)
    candidates = [
        atoms
        for trajectory in trajectories
        for step, atoms in trajectory.snapshots()
        if step <= CAMPAIGN_STEPS
    ]
    local = GOM(**FINGERPRINT, elements=(symbol,))
    entropy = float(np.mean([local_entropy(q)[0] for q in local(candidates)]))
    prints = GOM(cutoff=4.5, natx=200, elements=(symbol,))(candidates)
    return Explored(symbol, k, form, trajectories, entropy, prints)


def _facts(result: Explored) -> list[object]:
    """Return the columns of the table that are of these runs alone."""
    heat = []
    for T in TEMPERATURES:
        mine = [t for t in result.trajectories if t.run.condition.temperature == T]
        late = np.concatenate([t.temperatures[t.steps > CAMPAIGN_STEPS // 2] for t in mine])
        heat.append(float(late.mean()))
    ended = sum(t.reason is not None for t in result.trajectories)
    return [result.element, result.k, result.form, *heat, ended, result.entropy]


def _information(prints: list[Array], pool: list[Array]) -> tuple[float, float]:
    """Return what a label gains: log det Σ, and the share of the pool's unknown in percent."""
    unknown = VarianceSelector(landmarks=200).statistics(CellMeans.of(pool), None, None)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(DRAWS):
        statistics = SufficientStatistics(prints[0].shape[1])
        variance = unknown.copy()
        for index in rng.permutation(len(prints))[:LABELS]:
            statistics.add(prints[index])
            variance.add(prints[index])
        empty = SufficientStatistics(prints[0].shape[1]).entropy()
        taken = 1 - variance.value() / unknown.value()
        gains.append((statistics.entropy() - empty, 100 * taken))
    entropy, share = np.mean(gains, axis=0) / LABELS
    return float(entropy), float(share)


def _runs_table(rows: list[list[object]]) -> Table:
    columns = [
        "element",
        "k, eV",
        "form",
        *(f"K at {T:.0f} K" for T in TEMPERATURES),
        "runs ended",
        "S_local",
        "log det Σ a label",
        "unknown taken off, % a label",
    ]
    note = f"Temperatures are means after {CAMPAIGN_STEPS // 2} sampled steps."
    return Table("Runs with a thermostat, both forms", columns, rows, note=note)
