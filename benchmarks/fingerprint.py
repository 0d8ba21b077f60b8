"""Time fingerprints and S_local with forces and virial, beside bare eigh, libfp and autograd."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from ase import Atoms

from benchmarks import precision
from benchmarks.cells import CASES, NACL64, QUICK, Case
from benchmarks.peers.autograd import autograd_surface
from benchmarks.peers.build import built
from benchmarks.peers.libfp_client import REFERENCE, LibFP, twin
from benchmarks.report import Section, Table
from benchmarks.surface import Floor, check_floor, surface
from benchmarks.timing import Options
from entropy_flows.fingerprints import GOM

BATCH, ONES = 32, 4
TEXT = f"""\
Times of a cell in ms. Cells are crystals with every coordinate displaced by a normal deviate of
0.08 Å. "one" calls with one cell at a time ({ONES} different ones in turn), "{BATCH}" with a
batch of {BATCH} different cells. "surface" is S_local with forces and virial: neighbours,
matrices, eigenvectors, derivative. The floor is `torch.linalg.eigh` of the same matrices,
already in memory, each at its own size, those of equal size in one call. All contestants of a
row take turns; each shows its best time by the clock of its process, which others on the machine
do not move."""


def run(options: Options) -> Section:
    """All tables."""
    tables = [*ours(options), *peers(options), precision.table(options)]
    return Section(
        "Fingerprint and S_local with forces and virial", TEXT.replace("\n", " "), tables
    )


def ours(options: Options) -> list[Table]:
    """Ours beside the floor."""
    columns = ["cell", "r_c, Å", "rows of a matrix, mean", "max"]
    columns += [
        f"{name}, {count}" for name in ("surface", "floor", "ratio") for count in ("one", BATCH)
    ]
    ratios = Table("Surface against the floor", columns)
    kinds = ("values only", "with eigenvectors", "surface")
    parts = Table(
        "Parts",
        ["cell", "r_c, Å", *(f"{kind}, {count}" for kind in kinds for count in ("one", BATCH))],
    )
    for case in QUICK if options.quick else CASES:
        options.say(f"fingerprint: {case.name}, r_c {case.cutoff} Å")
        cells = case.cells(BATCH)
        gom = case.gom(cells, device=options.device)
        check_floor(gom, cells[0])
        sizes = Floor(gom, cells).sizes
        best = measure(options, gom, cells)
        row = [1e3 * best[what, many] for what in ("surface", "floor") for many in (False, True)]
        row += [best["surface", many] / best["floor", many] for many in (False, True)]
        ratios.rows.append([case.name, case.cutoff, float(sizes.mean()), int(sizes.max()), *row])
        times = [
            1e3 * best[what, many]
            for what in ("values", "vectors", "surface")
            for many in (False, True)
        ]
        parts.rows.append([case.name, case.cutoff, *times])
    ratios.note = f"{NACL64.name} has a matrix for each pair of species, three an atom."
    return [ratios, parts]


def measure(options: Options, gom: GOM, cells: list[Atoms]) -> dict[tuple[str, bool], float]:
    """Seconds a cell of each way, one at a time (False) and together (True)."""
    work = {
        "values": lambda some: gom.spectra(some, vectors=False),
        "vectors": lambda some: gom.spectra(some),
        "surface": lambda some: surface(gom, some),
    }
    few, all_at_once = [[atoms] for atoms in cells[:ONES]], [cells]
    turns = {
        (name, many): options.turn_of(work[name], all_at_once if many else few)
        for name in work
        for many in (0, 1)
    }
    floors = {
        many: [Floor(gom, some) for some in (all_at_once if many else few)] for many in (0, 1)
    }
    turns |= {("floor", many): options.turn_of(Floor.solve, floors[many]) for many in (0, 1)}
    best = options.compete(turns, seconds=6.0)
    return {
        (name, bool(many)): time / (len(cells) if many else 1)
        for (name, many), time in best.items()
    }


def peers(options: Options) -> list[Table]:
    """Ours beside libfp and automatic differentiation, one cell."""
    columns = ["cell", "r_c, Å", "ours", "autograd", "÷ ours", "difference", "libfp", "÷ ours"]
    columns += ["libfp, reference LAPACK", "÷ ours"]
    surfaces = Table("Peers: S_local with forces and virial, one cell a call", columns)
    columns = ["cell", "r_c, Å", "ours", "libfp", "÷ ours", "difference"]
    values = Table("Peers: values only, one cell a call", columns)
    with ExitStack() as stack:
        libfp = stack.enter_context(LibFP()) if built() else None
        plain = (
            stack.enter_context(LibFP(reference=True))
            if built() and REFERENCE[0].exists()
            else None
        )
        for case in [*(QUICK if options.quick else CASES), NACL64.single()]:
            options.say(f"peers: {case.name}, r_c {case.cutoff} Å, {case.species}")
            for table, row in zip(
                (surfaces, values), peer_rows(options, case, libfp, plain), strict=True
            ):
                table.rows.append(
                    [case.name + ", one matrix" * (case.species == "single"), case.cutoff, *row]
                )
    name = f"libfp {libfp.name}" if libfp else "libfp (not built: make peers)"
    surfaces.note = (
        f"{name} computes fingerprints and their whole Jacobian in positions and strain, ours and "
        f"autograd what "
        f"S_local needs of it. libfp has one matrix an atom for all species: the last row "
        f"compares. Difference: the "
        f"largest of S_local, forces and virial between ours and autograd."
    )
    values.note = (
        "Difference: the largest between our fingerprints in libfp's conventions and libfp's."
    )
    return [surfaces, values]


def peer_rows(
    options: Options, case: Case, libfp: LibFP | None, plain: LibFP | None
) -> tuple[list[object], list[object]]:
    """Times and differences of one case in both tables; refuses to report peers that disagree."""
    atoms = case.cells(1)[0]
    gom = case.gom([atoms], device=options.device)
    difference = agreement(gom, atoms)
    turns = {
        "ours": options.turn(lambda: surface(gom, [atoms])),
        "values": options.turn(lambda: gom.spectra([atoms], vectors=False)),
        "autograd": options.turn(lambda: autograd_surface(gom, atoms)),
    }
    if libfp is None or (case.species == "pairs" and len(set(atoms.symbols)) > 1):
        best, missing = options.compete(turns), "not built" if libfp is None else None
        theirs, distance = {"gradient": missing, "fingerprint": missing, "plain": missing}, None
    else:
        settings = (case.cutoff, gom.params.natx)
        distance = equality(libfp, atoms, *settings)
        turns |= {want: libfp.turn(atoms, *settings, want) for want in ("fingerprint", "gradient")}
        if plain is not None:
            turns["plain"] = plain.turn(atoms, *settings, "gradient")
        best = theirs = {"plain": None, **options.compete(turns)}
    surfaces = [1e3 * best["ours"], *against(best["autograd"], best["ours"]), difference]
    surfaces += against(theirs["gradient"], best["ours"]) + against(theirs["plain"], best["ours"])
    return surfaces, [
        1e3 * best["values"],
        *against(theirs["fingerprint"], best["values"]),
        distance,
    ]


def against(theirs: float | str | None, ours: float) -> list[object]:
    """Their time in ms and its ratio to ours; a text in place of a time stays."""
    return [1e3 * theirs, theirs / ours] if isinstance(theirs, float) else [theirs, None]


def equality(libfp: LibFP, atoms: Atoms, cutoff: float, natx: int) -> float:
    """Largest difference of fingerprints in libfp's conventions from libfp's."""
    worst = float(
        np.abs(twin(cutoff, natx)(atoms) - libfp.arrays(atoms, cutoff, natx)["lfp"]).max()
    )
    if not worst < 1e-10:
        raise RuntimeError(
            f"fingerprints of {atoms.symbols} differ from libfp's by {worst}: no times are reported"
        )
    return worst


def agreement(gom: GOM, atoms: Atoms) -> float:
    """Largest difference of S_local, forces and virial from autograd's."""
    (S, gradient, strain), theirs = surface(gom, [atoms]), autograd_surface(gom, atoms)
    pairs = zip((S[0], gradient, strain[0]), theirs, strict=True)
    worst = max(float((a - b).abs().max()) for a, b in pairs)
    if not worst < 1e-9:
        raise RuntimeError(
            f"{gom} and autograd differ by {worst} on {atoms.symbols}: no times are reported"
        )
    return worst
