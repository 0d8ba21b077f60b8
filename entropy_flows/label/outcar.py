"""Final magnetic moments in the OUTCAR beside a vasprun.xml, which has none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from entropy_flows.faults import is_machine_fault
from entropy_flows.label.compressed import DAMAGE, open_binary

_TABLE = re.compile(rb"^\s*magnetization \(([xyz])\)")
_ROW = re.compile(rb"^\s*\d+(?:\s+-?\d+\.\d+)+\s*$")
_TOTAL = re.compile(rb"^\s*number of electron\s+\S+\s+magnetization\s+(-?\d+\.\d+)\s*$")
_SUFFIXES = ("", ".gz", ".bz2", ".xz")


def moments_beside(vasprun: Path) -> dict[str, Any]:
    """Read the moments of the last ionic step, as a task document's `outcar` has them.

    Parameters
    ----------
    vasprun
        A run's vasprun.xml, maybe compressed or custodian's `.relax1`.

    Returns
    -------
    dict
        `magnetization`, one {"tot": μ_B} for each atom, and `total_magnetization`; empty without an
        OUTCAR of the same run that can be read, and for moments that are not collinear.
    """
    if (path := _outcar(vasprun)) is None:
        return {}
    try:
        return _read(path)
    except (*DAMAGE, ValueError) as err:  # it may be compressed in a way of its own
        if is_machine_fault(err):
            raise
        return {}


def _outcar(vasprun: Path) -> Path | None:
    """Return the OUTCAR that belongs to a vasprun.xml by its name; None if there is none."""
    if not vasprun.name.startswith("vasprun.xml"):
        return None
    name = re.sub(r"\.(gz|bz2|xz)$", "", vasprun.name.replace("vasprun.xml", "OUTCAR", 1))
    paths = (vasprun.with_name(name + suffix) for suffix in _SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    rows: list[dict[str, float]] = []
    total = None
    axes = set()
    inside = False
    with open_binary(path) as stream:
        for line in stream:
            if inside and _ROW.match(line):
                rows.append({"tot": float(line.split()[-1])})
                continue
            inside = inside and not rows  # a head comes first
            if b"magnetization" not in line:
                continue
            if table := _TABLE.match(line):
                axes.add(table[1])
                rows = []
                inside = True
            elif match := _TOTAL.match(line):
                total = float(match[1])
    if axes - {b"x"}:
        return {}
    return {"magnetization": rows, "total_magnetization": total}
