"""A table of features and formation energies from Materials Project, by mp-api and your key (extra `mp`).

As in Khan 2026: 2 to 50 atoms, with formation energy and band gap, 500 materials at most.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from entropy_flows.bench.features import features

TARGET = "formation_energy_per_atom"
ATOMS = (2, 50)
MOST = 500
FIELDS = ("material_id", "structure", TARGET, "band_gap")


def fetch(system: str) -> list[Any]:
    """Documents of a chemical system such as "Ti-O", the same ones each time.

    Raises
    ------
    ValueError
        If mp-api is not installed, or refuses: without a key, or the network.
    """
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise ValueError(f"mp:{system} needs mp-api: pip install mp-api") from None
    try:
        with MPRester() as rester:  # takes the key from MP_API_KEY or pymatgen's settings
            return list(
                rester.materials.summary.search(
                    chemsys=system, num_sites=ATOMS, fields=list(FIELDS)
                )
            )
    except Exception as err:  # of mp-api, requests and what they read
        if isinstance(err, MemoryError):
            raise
        raise ValueError(
            f"mp:{system}: Materials Project did not answer ({' '.join(str(err).split())})"
        ) from None


def write_table(documents: Iterable[Any], path: Path) -> int:
    """Write features and targets of documents with attributes `FIELDS` as a table; returns its number of rows.

    Raises
    ------
    ValueError
        If no document has all that is needed.
    """
    rows = []
    for document in sorted(documents, key=lambda document: str(document.material_id)):
        if (
            document.structure is None
            or getattr(document, TARGET) is None
            or document.band_gap is None
        ):
            continue
        found = {"name": str(document.material_id), **features(document.structure)}
        rows.append({**found, TARGET: float(getattr(document, TARGET))})
    if not rows:
        raise ValueError(
            "Materials Project has no material with formation energy and band gap in this system"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows[:MOST])
    return len(rows[:MOST])
