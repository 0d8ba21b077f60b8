"""One cell as the map of a page shows it: drawn in 3D, with its origin and its neighbours."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write

from entropy_flows.conventions import Array
from entropy_flows.geometry import to_atoms
from entropy_flows.report.refused import RefusedCell
from entropy_flows.store.mean_prints import nearest, nearest_to

NEIGHBOURS = 5
"""Nearest cells that a card names."""


def structure_card(
    entry: Mapping[str, Any],
    label: Mapping[str, Any] | None,
    neighbours: Sequence[str] = (),
    excluded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a cell as the script of the map reads it.

    Parameters
    ----------
    entry
        Its document in the ledger.
    label
        Its label; None without one.
    neighbours
        Keys of the nearest cells.
    excluded
        The row that excludes it; None if it is not excluded.

    Returns
    -------
    dict
        `symbols`, `positions` (Å) of the atoms within the cell, the `cell` (3, 3) in Å, `forces`
        (eV/Å) or None, `story` in sentences, `neighbours`, and all of it as `extxyz`.
    """
    from pymatgen.core import Structure

    atoms = to_atoms(Structure.from_dict(entry["structure"]))
    forces = None if label is None or not label["converged"] else label["forces"]
    atoms.info.clear()
    atoms.info["key"] = entry["key"]
    if label is not None and forces is not None:
        atoms.info["energy"] = label["energy"]
        atoms.arrays["forces"] = np.array(forces)
    story = [*_origin(entry), *_choice(entry), *_label(label), *_exclusion(excluded)]
    return {
        **_drawn(atoms),
        "forces": None if forces is None else np.round(forces, 3).tolist(),
        "story": story,
        "neighbours": list(neighbours),
    }


def refused_card(
    cell: RefusedCell, means: Array, keys: Sequence[str], threshold: float | None
) -> dict[str, Any]:
    """Return a cell that was not chosen, as `structure_card` does one that was.

    Parameters
    ----------
    cell
        The cell.
    means
        Mean fingerprints (n, dim) of the first entries.
    keys
        Keys of the entries.
    threshold
        Least ΔH of an accepted cell of the same iteration; None if none was accepted by it.
    """
    atoms = cell.atoms.copy()
    atoms.info["key"] = cell.key
    reason = f"Not chosen: beside what was, it would raise log det Σ by {cell.gain:.3g}"
    if threshold is not None:
        reason += f"; the least of the chosen raised it by {threshold:.3g}"
    return {
        **_drawn(atoms),
        "forces": None,
        "story": [*_origin(cell.entry), f"{reason}."],
        "neighbours": [keys[other] for other, _ in nearest_to(means, cell.mean, NEIGHBOURS)],
    }


def _drawn(atoms: Atoms) -> dict[str, Any]:
    """Return what a viewer draws of a cell, and the cell as a file."""
    stream = io.StringIO()
    write(stream, atoms, format="extxyz")
    return {
        "symbols": atoms.get_chemical_symbols(),
        "positions": np.round(atoms.get_positions(wrap=True), 3).tolist(),
        "cell": np.round(atoms.cell.array, 3).tolist(),
        "extxyz": stream.getvalue(),
    }


def nearest_keys(means: Array, keys: Sequence[str], position: int) -> list[str]:
    """Return the keys of the cells whose mean fingerprints are nearest to that of one.

    Parameters
    ----------
    means
        Mean fingerprints (n, dim), in the ledger's order.
    keys
        Keys of the same cells.
    position
        Position of the cell in the ledger.
    """
    if position >= len(means):
        return []
    return [keys[other] for other, _ in nearest(means, position, NEIGHBOURS)]


def _origin(entry: Mapping[str, Any]) -> list[str]:
    """Write where a cell comes from."""
    origin = entry["origin"]
    if "run" not in origin:
        source = origin.get("file") or origin.get("phase") or "elsewhere"
        return [f"Entered by {entry['stage']} in iteration {entry['iteration']}, from {source}."]
    parts = [f"{origin['phase']}"] if origin.get("phase") else []
    for name, words in (
        ("temperature", "{:g} K"),
        ("k", "k = {:g} eV"),
        ("pressure", "nominal {:g} GPa"),
    ):
        if origin.get(name) is not None:
            parts.append(words.format(origin[name]))
    if origin.get("mode"):
        parts.append(f"judged per {origin['mode']}")
    run = f"run {origin['run']}, step {origin.get('step', '?')}"
    return [f"Iteration {entry['iteration']}, {run}: {', '.join(parts)}."]


def _choice(entry: Mapping[str, Any]) -> list[str]:
    """Write why a cell is in the data set."""
    gain = entry.get("gain")
    if gain is None:
        return [f"Entered by {entry['stage']}, without being judged by its gain."]
    sentence = f"Chosen by {entry['stage']}: it raised log det Σ by {gain:.3g}"
    if entry.get("variance_gain") is not None:
        sentence += f", and took {entry['variance_gain']:.3g} off the unknown of the target"
    return [f"{sentence}."]


def _label(label: Mapping[str, Any] | None) -> list[str]:
    """Write what became of its label."""
    if label is None:
        return ["Not labelled yet."]
    engine = label["provenance"].get("engine", "unknown")
    if not label["converged"]:
        evidence = f" ({label['evidence']})" if label.get("evidence") else ""
        return [f"The label by {engine} failed: {label['reason']}{evidence}."]
    energy = label["energy"] / label["n_atoms"]
    sentence = f"Labelled by {engine}: {energy:.4f} eV/atom"
    if label.get("wall_seconds"):
        sentence += f", {label['wall_seconds']:.1f} s"
    sentences = [f"{sentence}."]
    if label.get("flagged"):
        sentences.append(f"Flagged, and not trained on: {label.get('odd') or 'it looks odd'}.")
    elif label.get("split"):
        sentences.append(f"Used to {SPLITS.get(label['split'], label['split'])}.")
    return sentences


def _exclusion(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return []
    return [f"Excluded by {row['by']} on {row['created']:%Y-%m-%d}: {row['why']}."]


SPLITS = {"train": "train", "val": "stop the training", "test": "test, and never trained on"}
"""Split of a cell → what it is used to do."""
