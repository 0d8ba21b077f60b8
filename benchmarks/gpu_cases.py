"""What `gpu_check` checks: each case compares a device with the CPU, or a run with itself."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.entropy import GlobalBias, LocalBias, SufficientStatistics
from entropy_flows.evaluate.committee import Committee
from entropy_flows.explore import Condition, Ensemble, ExploreParams, Run, Trajectory, explore
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import BatchModel, load_batch_model, load_calculator
from entropy_flows.refine import RefineParams, refine
from entropy_flows.train import TrainParams, fine_tune

MODELS = Path(entropy_flows.__file__).parent / "models"
SMALL = MODELS / "si-small.nequip.zip"
PARAMS = ExploreParams(steps=20, warm_up=0, ramp=5, snapshot_every=5)
GOM_PARAMS = {"cutoff": 3.0, "natx": 20, "elements": ("Si",)}

Finding = tuple[str, float, float]
"""What was compared, the largest difference, and what it may be."""


def silicon(count: int, stdev: float = 0.08, repeat: int = 2) -> list[Atoms]:
    """Build rattled cells, each another; perfect ones without a displacement."""
    cells = [bulk("Si", a=5.43) * (repeat, repeat, repeat) for _ in range(count)]
    for seed, atoms in enumerate(cells):
        atoms.rattle(stdev, seed=seed)
    return cells


def mixture(symbols: list[str], seed: int) -> Atoms:
    """Build a rattled cubic crystal of 27 sites, whose species are drawn."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", "sc", a=2.4) * (3, 3, 3)
    atoms.symbols = rng.permutation((symbols * 27)[:27])
    atoms.rattle(0.1, seed=seed)
    return atoms


def fingerprints(device: str) -> Iterator[Finding]:
    """S_local and its gradient: crystals, species, and matrices of all sizes."""
    two, five = ["Na", "Cl"], ["Na", "Cl", "Mg", "O", "Si"]
    cases = {
        "thermal silicon": (silicon(4), 3.0),
        "perfect silicon": (silicon(2, stdev=0.0), 3.0),
        "two species": ([mixture(two, seed) for seed in range(2)], 3.0),
        "five species": ([mixture(five, seed) for seed in range(2)], 3.0),
        "matrices above 32 rows": (silicon(2), 5.5),
        "matrices above 80 rows": (silicon(1), 7.5),
    }
    for name, (cells, cutoff) in cases.items():
        bias = LocalBias(GOM(cutoff=cutoff, natx=50))
        modes = ["atom"] * len(cells)
        on_cpu, on_device = (bias(Batch.of(cells, where), modes) for where in ("cpu", device))
        yield f"{name}: S_local", _apart(on_device.value, on_cpu.value), 1e-8
        scale = max(1.0, float(on_cpu.gradient.abs().max()))
        yield f"{name}: gradient", _apart(on_device.gradient, on_cpu.gradient) / scale, 1e-6


def dynamics(device: str) -> Iterator[Finding]:
    """Twenty steps with three models, the bias on the device and on the host."""
    salt = [bulk("NaCl", "rocksalt", a=5.64) * (2, 2, 2) for _ in range(4)]
    for seed, atoms in enumerate(salt):
        atoms.rattle(0.05, seed=seed)
    cases: dict[str, tuple[Any, list[Atoms]]] = {
        "small Allegro of silicon": (SMALL, silicon(4)),
        "small Allegro of NaCl": (MODELS / "nacl-small.nequip.zip", salt),
        "SevenNet-0": ("SevenNet-0", silicon(4)),
    }
    for name, (model, cells) in cases.items():
        expected = _explored(load_batch_model(model), cells)
        loaded = load_batch_model(model, device)
        for side in ("device", "host"):
            found = _explored(loaded, cells, bias_on=side)
            yield f"{name}, bias on the {side}: positions (Å)", _moved(found, expected), 1e-3


def resume(device: str) -> Iterator[Finding]:
    """A run that is stopped at half way goes on; the deterministic form has the same bits."""
    model, cells = load_batch_model(SMALL, device), silicon(4)
    states: list[dict[str, Any]] = []
    whole = _explored(model, cells, bias_on="host", on_step=lambda e: states.append(e.state()))
    again = _explored(model, cells, bias_on="host", resume=states[len(states) // 2])
    yield "resumed: positions (Å)", _moved(again, whole), 1e-6
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        twice = [_explored(model, cells, bias_on="host") for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    yield "twice, deterministic: positions (Å)", _moved(*twice), 0.0


def explosion(device: str) -> Iterator[Finding]:
    """A run that explodes ends with its reason; the others are as without it."""
    model, cells = load_batch_model(SMALL, device), silicon(3)
    others = _explored(model, cells, bias_on="host")
    close = silicon(1)[0]
    close.positions[1] = close.positions[0] + [0.05, 0, 0]
    *kept, lost = _explored(model, [*cells, close], bias_on="host")
    yield "runs that exploded", abs(1.0 - (lost.reason is not None)), 0.0
    yield "the others: positions (Å)", _moved(kept, others), 1e-6


def memory(device: str) -> Iterator[Finding]:
    """A batch that is too large for the memory is halved, and goes on."""
    model, cells = load_batch_model(SMALL, device), silicon(8)
    expected = _explored(model, cells, bias_on="host")
    with _little_memory(model, device) as limited:
        ensemble = Ensemble(
            _runs(len(cells)), cells, limited, LocalBias(GOM(**GOM_PARAMS)), PARAMS, bias_on="host"
        )
        while ensemble.step < PARAMS.steps:
            ensemble.advance()
    yield "batches that were halved", float(ensemble.evaluator.largest_batch >= len(cells)), 0.0
    yield "halved: positions (Å)", _moved(ensemble.finish(), expected), 1e-3


def selection(device: str) -> Iterator[Finding]:
    """The data set's bias, refinement on it, and a committee."""
    cells, known = silicon(4), silicon(8, stdev=0.2)
    gom = GOM(**GOM_PARAMS)
    statistics = SufficientStatistics(gom.dim)
    for q in gom(known):
        statistics.add(q)
    bias = GlobalBias(gom, {"atom": statistics})
    on_cpu, on_device = (bias(Batch.of(cells, where), ["atom"] * 4) for where in ("cpu", device))
    yield "global bias: gain", _apart(on_device.measure, on_cpu.measure), 1e-6
    yield "global bias: gradient", _apart(on_device.gradient, on_cpu.gradient), 1e-5
    refined = []
    for where in ("cpu", device):
        fingerprint = GOM(**GOM_PARAMS, device=where)
        small = load_batch_model(SMALL, where)
        params = RefineParams(max_steps=5)
        refined.append(refine(cells, small, fingerprint, statistics, params))
    pairs = zip(*refined, strict=True)
    apart = [np.abs(one.atoms.positions - other.atoms.positions).max() for one, other in pairs]
    yield "refined together: positions (Å)", float(max(apart)), 1e-3
    predicted = [Committee([SMALL, SMALL], where).predict(cells)[0] for where in ("cpu", device)]
    yield "committee: energies (eV/atom)", float(np.abs(predicted[1] - predicted[0]).max()), 1e-5


def training(device: str) -> Iterator[Finding]:
    """Two epochs of each trainer, killed after the first one and called again."""
    teacher = load_calculator(SMALL)
    frames = [_labelled(atoms, teacher) for atoms in silicon(8, stdev=0.15, repeat=1)]
    recipes: dict[str, tuple[Any, TrainParams]] = {
        "nequip": (SMALL, TrainParams(preset="small", max_epochs=2, batch_size=2, device=device)),
        "sevennet": (
            "SevenNet-0",
            TrainParams(preset="sevennet-0", max_epochs=2, batch_size=2, device=device),
        ),
    }
    for name, (base, params) in recipes.items():
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / name
            with suppress(InterruptedError):
                fine_tune(frames[:5], frames[5:7], frames[7:], base, params, work, _stop)
            result = fine_tune(frames[:5], frames[5:7], frames[7:], base, params, work)
            yield f"{name}: epochs that are missing", float(2 - result.epochs), 0.0
            lost = float(result.attempts != 2)
            yield f"{name}: begun again instead of gone on", lost, 0.0


def waits(device: str) -> Iterator[Finding]:
    """How often the host waits for the GPU in a step beside the model, as CUDA itself sees it."""
    if torch.device(device).type != "cuda":
        return
    model = load_batch_model(SMALL, device)
    for side, most in (("device", 2.0), ("host", 2.0)):
        ensemble = Ensemble(
            _runs(8), silicon(8), model, LocalBias(GOM(**GOM_PARAMS)), PARAMS, bias_on=side
        )
        for _ in range(7):
            ensemble.advance()
        ensemble.evaluator.model = _Unwatched(model)
        # the least of three: pairs of atoms may be searched anew in one of them
        count = min(_count_waits(ensemble) for _ in range(3))
        yield f"waits in a step, bias on the {side}", float(count), most


def _count_waits(ensemble: Ensemble) -> int:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            ensemble.advance()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


CASES: dict[str, Callable[[str], Iterator[Finding]]] = {
    "fingerprints": fingerprints,
    "dynamics": dynamics,
    "resume": resume,
    "explosion": explosion,
    "memory": memory,
    "selection": selection,
    "waits": waits,
    "training": training,
}


class _Unwatched:
    """A model whose own waits are not counted."""

    def __init__(self, model: BatchModel) -> None:
        self.model = model
        self.device = model.device

    def __call__(self, batch: Batch) -> Any:
        """Call the model."""
        torch.cuda.set_sync_debug_mode("default")
        try:
            return self.model(batch)
        finally:
            torch.cuda.set_sync_debug_mode("warn")


class _Limited:
    """A model that has room for four cells, on a CPU, whose memory cannot be limited."""

    def __init__(self, model: BatchModel) -> None:
        self.model = model
        self.device = model.device

    def __call__(self, batch: Batch) -> Any:
        """Call the model."""
        if len(batch) > 4:
            raise MemoryError(f"{len(batch)} cells")
        return self.model(batch)


@contextmanager
def _little_memory(model: BatchModel, device: str) -> Iterator[BatchModel]:
    """Leave the model less memory than its batch needs; on a GPU the error is CUDA's own."""
    if torch.device(device).type != "cuda":
        yield _Limited(model)
        return
    cells = silicon(8)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    model(Batch.of(cells, device))
    needed = torch.cuda.max_memory_allocated(device) - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((before + 0.75 * needed) / total, device)
    try:
        yield model
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _runs(count: int) -> list[Run]:
    return [Run(i, Condition("diamond", 600.0, 1.0, 0.0), "atom", i) for i in range(count)]


def _explored(model: BatchModel, cells: list[Atoms], **options: Any) -> list[Trajectory]:
    elements = tuple(sorted({symbol for atoms in cells for symbol in atoms.symbols}))
    bias = LocalBias(GOM(**{**GOM_PARAMS, "elements": elements}))
    return explore(_runs(len(cells)), cells, model, bias, PARAMS, **options)


def _moved(found: list[Trajectory], expected: list[Trajectory]) -> float:
    """Return the largest distance between the snapshots of two explorations; inf if one ended."""
    pairs = list(zip(found, expected, strict=True))
    if any(one.positions.shape != other.positions.shape for one, other in pairs):
        return float("inf")
    return max(float(np.abs(one.positions - other.positions).max()) for one, other in pairs)


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.cpu() - expected).abs().max())


def _labelled(atoms: Atoms, teacher: Any) -> Atoms:
    source = atoms.copy()
    source.calc = teacher
    results = {"energy": source.get_potential_energy(), "forces": source.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **results, stress=source.get_stress())
    return atoms


def _stop(progress: Any) -> None:
    """End after an epoch: the training program is killed with whoever started it."""
    raise InterruptedError(progress.epoch)
