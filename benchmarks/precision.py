"""What single precision of matrices and eigenvalue problems would cost and bring."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.cells import C16, SI16
from benchmarks.peers.autograd import autograd_surface
from benchmarks.report import Table
from benchmarks.surface import Floor
from benchmarks.timing import Options

CASES = [
    *(replace(case, cutoff=cutoff, rattle=0.08) for case in (SI16, C16) for cutoff in (3.0, 4.5)),
    *(replace(case, cutoff=3.0, rattle=0.01) for case in (SI16, C16)),
]
NOTE = """\
By automatic differentiation with matrices and eigh in float32, everything else in float64,
against the same in float64; the worst of 8 cells. Forces are ∂S_local/∂r in 1/Å. S_local takes
the logarithm of differences between fingerprints, so that its error grows as these shrink: a
rattle of 0.01 Å is a cold crystal."""


def table(options: Options) -> Table:
    """Errors and time ratios of float32."""
    columns = [
        "cell",
        "r_c, Å",
        "rattle, Å",
        "S_local",
        "its error",
        "largest force",
        "its largest error",
    ]
    result = Table(
        "float32", [*columns, "time, float32 ÷ float64", "eigh alone"], note=NOTE.replace("\n", " ")
    )
    for case in CASES[::2] if options.quick else CASES:
        options.say(f"float32: {case.name}, r_c {case.cutoff} Å, rattle {case.rattle} Å")
        cells = case.cells(8)
        gom = case.gom(cells, device=options.device)
        exact, single = (
            [autograd_surface(gom, a, dtype) for a in cells]
            for dtype in (torch.float64, torch.float32)
        )
        error = [
            max(float((a[k] - b[k]).abs().max()) for a, b in zip(exact, single, strict=True))
            for k in (0, 1)
        ]
        best = times(options, gom, cells)
        row = [
            case.name,
            case.cutoff,
            case.rattle,
            float(exact[0][0]),
            error[0],
            float(exact[0][1].abs().max()),
            error[1],
        ]
        ratios = [best[part, torch.float32] / best[part, torch.float64] for part in ("all", "eigh")]
        result.rows.append([*row, *ratios])
    return result


def times(options, gom, cells):
    """Seconds of the whole and of eigh alone in both precisions."""
    stacks = Floor(gom, cells).stacks
    turns = {}
    for dtype in (torch.float32, torch.float64):
        cast = [stack.to(dtype) for stack in stacks]
        turns["all", dtype] = options.turn(
            lambda dtype=dtype: autograd_surface(gom, cells[0], dtype)
        )
        turns["eigh", dtype] = options.turn(
            lambda cast=cast: [torch.linalg.eigh(stack) for stack in cast]
        )
    return options.compete(turns, seconds=2.0)
