"""Time a campaign's model and fingerprints on its seeds, and estimate how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.explore import Condition, Ensemble, ExploreParams, Run, condition_grid
from entropy_flows.fingerprints import GOM, make_fingerprint
from entropy_flows.jobs.anchor import AnchorMaker
from entropy_flows.progress import duration
from entropy_flows.report.text import MISSING
from entropy_flows.store.arrays import pack

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.entropy import Bias
    from entropy_flows.label import Engine
    from entropy_flows.potentials import BatchModel
    from entropy_flows.schemas import Campaign
    from entropy_flows.schemas.campaign import IterationSettings

RATTLE = 0.1
"""Standard deviation of the displacements (Å): as many eigenvalues differ as in a snapshot."""
ROUNDS = 3
"""How often a step is timed, and each fingerprint judged and accepted, for the measurement."""
LONG_STEP = 5.0
"""Time of a first step (s) beyond which no others are waited for."""
TRAINING_STEP = 3.0
"""Time of a training's step in evaluations: of the model, of its gradient and of that one's."""
HOURS_HEADER = ["iteration", "explore", "anchors", "refine ≤", "labels", "train ≤", "all ≤"]


@dataclass(frozen=True)
class StepTimes:
    """Measured times on this machine, with one process.

    Attributes
    ----------
    biased, plain
        Phase → seconds of one step of one run, on the biased surface and without the bias.
    trained
        Seconds of an evaluation of a cell by the model that is fine-tuned.
    label
        Seconds of a label; None if the engine works through files, and was not run.
    """

    biased: Mapping[str, float]
    plain: Mapping[str, float]
    trained: float
    label: float | None


def dataset_cost(dataset: DatasetParams, seeds: Sequence[Atoms], candidates: int) -> str:
    """Measure the work of selection on displaced seeds for a few seconds, and describe its cost.

    Parameters
    ----------
    dataset
        Fingerprint and regularisation.
    seeds
        The campaign's seed cells.
    candidates
        Number of candidates in all iterations.
    """
    fingerprint = make_fingerprint(dataset.fingerprint)
    cells = [displaced(atoms) for atoms in seeds]
    # the first call compiles, which is not what the others cost
    fingerprint(cells)
    start = time.perf_counter()
    vectors = fingerprint(cells)
    fingerprint_seconds = (time.perf_counter() - start) / len(cells)
    statistics = SufficientStatistics(fingerprint.dim, dataset.regularization)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        for vector in vectors:
            statistics.gain(vector)
            statistics.add(vector)
    gain_seconds = (time.perf_counter() - start) / (ROUNDS * len(vectors))
    cell_bytes = sum(len(pack(vector)) for vector in vectors) / len(vectors)
    covariance_bytes = len(statistics.to_bytes())
    total = candidates * (fingerprint_seconds + gain_seconds)
    return (
        f"data set: fingerprints of d = {fingerprint.dim}, of which the seeds populate "
        f"{len(statistics.populated)}; {cell_bytes / 1e3:.3g} kB a cell, "
        f"{covariance_bytes / 1e3:.3g} kB a covariance; {1e3 * fingerprint_seconds:.2g} ms a "
        f"fingerprint and {1e3 * gain_seconds:.2g} ms to judge and accept it, at most "
        f"{total:.2g} s for all {candidates} candidates on this machine"
    )


def displaced(atoms: Atoms) -> Atoms:
    """Return a copy of a cell with every atom moved a little, always in the same way."""
    copy = atoms.copy()
    noise = np.random.default_rng(0).normal(scale=RATTLE, size=copy.positions.shape)
    copy.positions += noise
    return copy


def measure_steps(
    campaign: Campaign,
    seeds: Mapping[str, Atoms],
    load: Callable[[str], BatchModel],
    engine: Engine | None,
) -> StepTimes:
    """Time steps of the campaign's model, with and without the bias, on displaced seeds.

    Parameters
    ----------
    campaign
        What the file says.
    seeds
        Phase → seed cell.
    load
        Loads the model of a role, `base_model` or `student`.
    engine
        The label engine; None if it must not be imported.
    """
    first = campaign.iteration(1)
    model = load("base_model")
    bias = _local_bias(first)
    biased = {name: _step(first.explore, name, cell, model, bias) for name, cell in seeds.items()}
    plain = {name: _step(first.explore, name, cell, model, None) for name, cell in seeds.items()}
    trained = float(np.mean(list(plain.values())))
    if campaign.student is not None:
        student = load("student")
        steps = [_step(first.explore, *item, student, None) for item in seeds.items()]
        trained = float(np.mean(steps))
    return StepTimes(biased, plain, trained, _label_seconds(engine, next(iter(seeds.values()))))


def _local_bias(settings: IterationSettings) -> Bias:
    from entropy_flows.entropy import LocalBias

    return LocalBias(GOM(**dict(settings.local_fingerprint)))


def _step(
    explore: ExploreParams, phase: str, cell: Atoms, model: BatchModel, bias: Bias | None
) -> float:
    """Return the seconds of one step of one run, in a batch as large as a job's."""
    # without warm-up and ramp the first step has the full bias
    params = explore.model_copy(update={"warm_up": 0, "ramp": 0})
    k = 0.0 if bias is None else max(explore.entropy_weights)
    condition = Condition(phase, min(explore.temperatures), k, 0.0)
    runs = [Run(index, condition, "atom", index) for index in range(explore.batch_size)]
    ensemble = Ensemble(runs, [displaced(cell) for _ in runs], model, bias, params)
    seconds = _timed(ensemble.advance)
    if seconds < LONG_STEP:
        seconds = min(_timed(ensemble.advance) for _ in range(ROUNDS))
    return seconds / len(runs)


def _label_seconds(engine: Engine | None, cell: Atoms) -> float | None:
    """Time a label by an engine that works in memory."""
    if engine is None or not engine.in_memory:
        return None
    calculator = engine.calculator()
    if calculator is None:
        return None
    atoms = displaced(cell)
    atoms.calc = calculator
    atoms.get_forces()
    atoms.rattle(RATTLE, seed=1)
    return _timed(atoms.get_forces)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def hours_rows(
    campaign: Campaign, phases: Sequence[str], times: StepTimes, workers: int
) -> list[list[str]]:
    """Estimate how long each stage of each iteration takes with so many workers like this one.

    Parameters
    ----------
    campaign
        What the file says.
    phases
        Names of its phases.
    times
        Measured times.
    workers
        Processes that work at once, each as fast as the one that was timed.

    Returns
    -------
    list
        Rows below a header; the last column is the sum of the stages that can be told.
    """
    rows = [HOURS_HEADER]
    labels = 0
    for number in range(1, campaign.n_iterations + 1):
        iteration = campaign.iteration(number)
        added = _labels_of(iteration, phases)
        labels += added
        if campaign.stop.label_budget is not None:
            labels = min(labels, campaign.stop.label_budget)
        stages = [
            *_dynamics_seconds(iteration, phases, times, workers),
            _refinement_seconds(iteration, times),
            None if times.label is None else added * times.label / workers,
            _training_seconds(iteration, times, labels),
        ]
        cells = [MISSING if seconds is None else duration(seconds) for seconds in stages]
        total = sum(seconds for seconds in stages if seconds is not None)
        rows.append([str(number), *cells, duration(total)])
    return rows


def _labels_of(iteration: IterationSettings, phases: Sequence[str]) -> int:
    """Return how many labels an iteration makes at most."""
    if iteration.select.max_labels is not None:
        return iteration.select.max_labels
    explore = iteration.explore
    return len(condition_grid(explore, phases)) * (explore.steps // explore.snapshot_every)


def _dynamics_seconds(
    iteration: IterationSettings, phases: Sequence[str], times: StepTimes, workers: int
) -> tuple[float, float]:
    """Return the time of the exploration and that of the anchors."""
    explore = iteration.explore
    anchors = AnchorMaker(params=iteration.anchors).plain(explore)
    seconds = []
    for params, steps in ((explore, times.biased), (anchors, times.plain)):
        runs = condition_grid(params, phases)
        total = sum(params.all_steps * steps[run.phase] for run in runs)
        jobs = -(-len(runs) // params.batch_size)
        seconds.append(total / min(workers, jobs))
    return seconds[0], seconds[1]


def _refinement_seconds(iteration: IterationSettings, times: StepTimes) -> float:
    """Return the longest time of the refinement, which is one process."""
    refine = iteration.refine
    if not refine.enabled:
        return 0.0
    return refine.max_candidates * refine.max_steps * float(np.mean(list(times.biased.values())))


def _training_seconds(iteration: IterationSettings, times: StepTimes, labels: int) -> float:
    """Return the time of the training, which is one process, if it runs all its epochs."""
    train = iteration.train
    cells = labels * train.fractions[0]
    return train.max_epochs * cells * TRAINING_STEP * times.trained
