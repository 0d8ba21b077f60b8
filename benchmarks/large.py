"""Time what a step of exploration takes beside its model, from 64 to 4096 atoms."""

from __future__ import annotations

from pathlib import Path

import torch
from ase import Atoms
from ase.build import bulk

import entropy_flows
from benchmarks.cells import LATTICE
from benchmarks.dynamics import FINGERPRINT
from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.batch import Batch
from entropy_flows.entropy import LocalBias, SoftBias, local_entropies, soft_entropies
from entropy_flows.explore import Condition, Ensemble, ExploreParams, Run
from entropy_flows.fingerprints import GOM
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials import load_batch_model

PACKAGE = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
REPEATS = (2, 3, 4, 5, 6, 8)
"""Copies of the cubic cell of 8 atoms along each direction."""
LARGEST_EXPLORED = 1000
FLOOR = 0.01
PARAMS = ExploreParams(steps=10**9, warm_up=0, ramp=0, snapshot_every=10, temperatures=(1000.0,))
TEXT = """\
One cell of silicon, rattled by 0.08 Å, local entropy with r_c 3.0 Å. Neighbours are those of the
fingerprint. The fingerprint's times are without them, with the eigenvectors, and of the pullback.
A step is one of `explore` at k = 2 eV with the small Allegro in the package, eager."""


def run(options: Options) -> Section:
    """Times over sizes."""
    columns = [
        "atoms",
        "neighbours, ms",
        "fingerprint, ms",
        "pullback, ms",
        "S_local, ms",
        "S_soft, ms",
        "bias in all, ms",
        "step, s",
    ]
    rows = [_row(options, repeat) for repeat in (REPEATS[:4] if options.quick else REPEATS)]
    return Section("Large cells", TEXT.replace("\n", " "), [Table("A step", columns, rows)])


def _row(options: Options, repeat: int) -> list[object]:
    structure, a = LATTICE["Si"]
    atoms = bulk("Si", structure, a=a, cubic=True) * (repeat, repeat, repeat)
    atoms.rattle(0.08, seed=1)
    options.say(f"large: {len(atoms)} atoms")
    gom = GOM(**FINGERPRINT, elements=("Si",), device=options.device)
    batch = Batch.of([atoms], options.device)
    spectra = gom.spectra(batch)
    _, slope = local_entropies(spectra.q, spectra.sizes)
    cutoff = gom.params.cutoff
    turns = {
        "neighbours": options.turn(lambda: neighbors(batch, cutoff, itself=True)),
        "spectra": options.turn(lambda: gom.spectra(batch)),
        "pullback": options.turn(lambda: spectra.pullback(slope)),
        "local": options.turn(lambda: local_entropies(spectra.q, spectra.sizes)),
        "soft": options.turn(lambda: soft_entropies(spectra.q, spectra.sizes, floor=FLOOR)),
        "bias": options.turn(lambda: LocalBias(gom)(batch, ["atom"])),
    }
    best = {name: 1e3 * value for name, value in options.compete(turns, seconds=8.0).items()}
    return [
        len(atoms),
        best["neighbours"],
        best["spectra"] - best["neighbours"],
        best["pullback"],
        best["local"],
        best["soft"],
        best["bias"],
        _step(options, atoms) if len(atoms) <= LARGEST_EXPLORED else None,
    ]


def _step(options: Options, atoms: Atoms) -> float:
    """Seconds of a step of one trajectory."""
    model = load_batch_model(PACKAGE, options.device)
    gom = GOM(**FINGERPRINT, elements=("Si",), device=options.device)
    run = Run(0, Condition("diamond", 1000.0, 2.0, 0.0), "atom", 0)
    ensemble = Ensemble([run], [atoms], model, SoftBias(gom, FLOOR), PARAMS)
    seconds = options.compete({"step": options.turn(ensemble.advance)}, seconds=8.0)["step"]
    if not bool(torch.isfinite(ensemble.batch.positions).all()) or not ensemble.alive:
        raise RuntimeError(f"a run of {len(atoms)} atoms ended: {ensemble.records[0].reason}")
    return seconds
