"""Biases made from cells: of a data set that is known, and of what a model is made for.

================  ============================================================
function          pulls towards
================  ============================================================
`local_bias`      cells whose atoms differ among themselves
`soft_bias`       the same, on a surface without walls
`dataset_bias`    cells that add information to a data set
`target_bias`     cells whose labels make a target best known on average
================  ============================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from entropy_flows.conventions import Array
from entropy_flows.entropy import (
    CellMeans,
    DatasetParams,
    GlobalBias,
    LocalBias,
    Mode,
    SoftBias,
    SufficientStatistics,
    TargetBias,
    thermal_distance,
)
from entropy_flows.evaluate.novelty import batches_of, with_elements
from entropy_flows.fingerprints import GOM, FingerprintBase, make_fingerprint
from entropy_flows.select.variance import VarianceSelector


def local_bias(elements: Sequence[str], cutoff: float = 3.0, device: str = "cpu") -> LocalBias:
    """Return the local entropy S_local, which needs no data set.

    Parameters
    ----------
    elements
        Chemical symbols of all cells to come.
    cutoff
        Å; 3.0 is that of Wang 2026.
    device
        Torch device, that of the model beside it.
    """
    return LocalBias(GOM(cutoff=cutoff, natx=50, elements=tuple(elements), device=device))


def soft_bias(cells: Sequence[Atoms], cutoff: float = 3.0, device: str = "cpu") -> SoftBias:
    """Return the local entropy with a soft minimum, which large k and long steps need.

    Parameters
    ----------
    cells
        Crystals of the phases; what thermal motion makes of their fingerprints is the floor. All
        elements to come must be among theirs.
    cutoff
        Å; 3.0 is that of Wang 2026.
    device
        Torch device, that of the model beside it.

    Raises
    ------
    ValueError
        If no cell has neighbours within the cutoff.
    """
    elements = tuple(sorted({symbol for atoms in cells for symbol in atoms.symbols}))
    if not elements:
        raise ValueError("there are no cells; at least one crystal is needed for the floor")
    fingerprint = GOM(cutoff=cutoff, natx=50, elements=elements, device=device)
    return SoftBias(fingerprint, thermal_distance(fingerprint, cells))


def dataset_bias(
    cells: Sequence[Atoms],
    dataset: DatasetParams | None = None,
    mode: Mode = "atom",
    device: str = "cpu",
) -> GlobalBias:
    """Return log det Σ of a data set with the cell added.

    Parameters
    ----------
    cells
        The data set. What it lacks is what pulls.
    dataset
        Fingerprint and λ; without them a GOM fingerprint as campaigns have it by default. Its
        elements are those of the cells unless it names some.
    mode
        "atom": every atom counts. "config": a cell counts as one vector, its atoms' mean.
    device
        Torch device, that of the model beside it.

    Raises
    ------
    ValueError
        If there are no cells.
    """
    settings = with_elements(dataset, cells)
    fingerprint = _fingerprint(settings, device)
    statistics = SufficientStatistics(fingerprint.dim, settings.regularization, mode)
    for q in _prints(cells, fingerprint):
        statistics.add(q)
    return GlobalBias(fingerprint, {mode: statistics})


def target_bias(
    target: Sequence[Atoms],
    labelled: Sequence[Atoms] = (),
    dataset: DatasetParams | None = None,
    selector: VarianceSelector | None = None,
    device: str = "cpu",
) -> TargetBias:
    """Return the logarithm of what a cell takes off the unknown of a target.

    Parameters
    ----------
    target
        Cells as the model will meet them, such as snapshots of plain dynamics.
    labelled
        Cells that have labels already.
    dataset
        Fingerprint, as for `dataset_bias`.
    selector
        Settings of the kernel; None takes those of campaigns.
    device
        Torch device, that of the model beside it.

    Raises
    ------
    ValueError
        If there are no cells in the target.
    """
    settings = with_elements(dataset, [*target, *labelled]) if target else None
    if settings is None:
        raise ValueError("the target has no cells; it needs at least one")
    fingerprint = _fingerprint(settings, device)
    of_target = CellMeans.of(_prints(target, fingerprint))
    statistics = (selector or VarianceSelector()).statistics(of_target, None, None)
    for q in _prints(labelled, fingerprint):
        statistics.add(q)
    return TargetBias(fingerprint, statistics)


def _fingerprint(settings: DatasetParams, device: str) -> FingerprintBase:
    """Build the fingerprint of a data set on a device."""
    return make_fingerprint(settings.fingerprint.model_copy(update={"device": device}))


def _prints(cells: Sequence[Atoms], fingerprint: FingerprintBase) -> list[Array]:
    """Return the fingerprints (n_atoms, d) of cells, in their order."""
    return [q for batch in batches_of(cells) for q in fingerprint(batch)]
