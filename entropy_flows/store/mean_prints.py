"""Mean fingerprints of all entries of a ledger, kept in a file so that they are averaged once.

Fingerprints take megabytes a cell, their means kilobytes. The ledger only grows, so a file of the
means of its beginning stays true; it says of which ledger it is by the digest of its last entry.
"""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from entropy_flows.conventions import Array
from entropy_flows.digest import digest
from entropy_flows.files import whole_file
from entropy_flows.settings import settings
from entropy_flows.store.ledger import Ledger


def mean_prints(ledger: Ledger) -> Array:
    """Return the mean fingerprint of each entry.

    Parameters
    ----------
    ledger
        The ledger.

    Returns
    -------
    Array
        Means over the atoms, shape (entries, components), in ledger order.
    """
    end = ledger.end()
    path = _path(ledger)
    stored = _read(path, ledger)[:end]
    start = len(stored)
    new = (q.mean(axis=0) for q in ledger.fingerprints_between(start, end))
    means = np.array([*stored, *new]).reshape(end, ledger.fingerprint.dim)
    if end > start:
        _write(path, ledger, means)
    return means


def nearest(means: Array, position: int, number: int) -> list[tuple[int, float]]:
    """Return the entries whose mean fingerprints are nearest to that of one, the nearest first.

    Parameters
    ----------
    means
        Mean fingerprints (n, dim), in ledger order.
    position
        Position of the entry, which is not its own neighbour.
    number
        Number of neighbours.

    Returns
    -------
    list of tuple
        Position of each neighbour, and its Euclidean distance.
    """
    others = nearest_to(means, means[position], number + 1)
    return [(other, distance) for other, distance in others if other != position][:number]


def nearest_to(means: Array, point: Array, number: int) -> list[tuple[int, float]]:
    """Return the entries that are nearest to a mean fingerprint (dim,), as `nearest` does."""
    distances = np.linalg.norm(means - point, axis=1)
    order = np.argsort(distances, kind="stable")[:number]
    return [(int(other), float(distances[other])) for other in order]


def _path(ledger: Ledger) -> Path:
    """Return the path of the file that is this ledger's."""
    name = digest([ledger.database.name, ledger.campaign, ledger.fingerprint.fingerprint_hash])
    return settings().cache.expanduser() / "means" / f"{name[:32]}.npz"


def _read(path: Path, ledger: Ledger) -> Array:
    """Return the means (n, dim) that a file has; none if they are of another one."""
    nothing = np.zeros((0, ledger.fingerprint.dim))
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            means = stored["means"]
            last = str(stored["digest"])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return nothing
    is_ours = means.shape[1:] == nothing.shape[1:] and ledger.digest_before(len(means)) == last
    return means if is_ours else nothing


def _write(path: Path, ledger: Ledger, means: Array) -> None:
    """Keep the means; a folder that cannot be written costs time, no more."""
    stream = io.BytesIO()
    np.savez(stream, means=means, digest=np.array(ledger.digest_before(len(means))))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(stream.getvalue())
    except OSError:
        return
