"""A table of features and formation energies from Materials Project, by mp-api (extra `mp`).

As in Khan 2026, materials have 2 to 50 atoms, a formation energy and a band gap, and there are 500
at most. mp-api takes your key from MP_API_KEY or pymatgen's settings.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from entropy_flows.bench.features import features

TARGET = "formation_energy_per_atom"
ATOMS = (2, 50)
"""Least and largest number of atoms."""
MAX_MATERIALS = 500
FIELDS = ("material_id", "structure", TARGET, "band_gap")


def fetch(system: str) -> list[Any]:
    """Return the documents of a chemical system such as "Ti-O", the same ones each time.

    Raises
    ------
    ValueError
        If mp-api is not installed, or refuses: without a key, or without the network.
    """
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise ValueError(f"mp:{system} needs mp-api: pip install mp-api") from None
    try:
        with MPRester() as rester:
            search = rester.materials.summary.search
            return list(search(chemsys=system, num_sites=ATOMS, fields=list(FIELDS)))
    except Exception as err:
        # mp-api, requests and what reads their answers raise errors of many kinds.
        if isinstance(err, MemoryError):
            raise
        reason = " ".join(str(err).split())
        raise ValueError(f"mp:{system}: Materials Project did not answer ({reason})") from None


def write_table(documents: Iterable[Any], path: Path) -> int:
    """Write a table of features and targets; return its number of rows.

    Parameters
    ----------
    documents
        With the attributes `FIELDS`.
    path
        A CSV file, whose folder is created if it is missing.

    Raises
    ------
    ValueError
        If no document has all fields.
    """
    by_id = sorted(documents, key=lambda document: str(document.material_id))
    rows = [_row(document) for document in by_id if _is_complete(document)][:MAX_MATERIALS]
    if not rows:
        raise ValueError(
            "Materials Project has no material with formation energy and band gap in this system"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return len(rows)


def _is_complete(document: Any) -> bool:
    return all(getattr(document, name) is not None for name in FIELDS)


def _row(document: Any) -> dict[str, Any]:
    target = float(getattr(document, TARGET))
    return {"name": str(document.material_id), **features(document.structure), TARGET: target}
