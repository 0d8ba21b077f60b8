"""Build a campaign's seed cells, with the magnetic moments that their labels start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.explore import Seed, build_seed
from entropy_flows.label.engines.ase_static import AseStaticParams
from entropy_flows.moments import moments_of, summary

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from entropy_flows.label import Engine
    from entropy_flows.schemas import Campaign

INCAR_TOLERANCE = 1e-6
"""Difference (μ_B) that the digits of a moment in INCAR may make."""


def campaign_seeds(campaign: Campaign, folder: Path, load_engine: bool = True) -> dict[str, Seed]:
    """Build the seed of each phase, with moments as the label engine starts from them.

    A phase without moments of its own has those of the engine's table, if the engine has spin.

    Parameters
    ----------
    campaign
        The campaign, with its phases and its label engine.
    folder
        Folder that the paths of the phases' files start from.
    load_engine
        True to import the label engine for its table of moments.

    Returns
    -------
    dict
        Phase → seed.

    Raises
    ------
    ValueError
        If a seed will not do; see `build_seed`.
    """
    table = None
    # What has no moments may not be installed here.
    label = campaign.label
    has_no_moments = label.engine == "forcefield" or (
        isinstance(label, AseStaticParams) and not label.spin
    )
    if load_engine and not has_no_moments:
        table = label.make_engine().moment_table()
    return {phase.name: build_seed(phase, folder, table) for phase in campaign.phases}


def seed_warnings(seeds: Mapping[str, Seed], engine: Engine | None) -> list[str]:
    """Return what users should know of the seeds' files and moments, one sentence each.

    Parameters
    ----------
    seeds
        Phase → seed.
    engine
        The label engine; None says what the files say alone.

    Raises
    ------
    ValueError
        If the engine writes other moments into INCAR than a seed has.
    """
    warnings = []
    for phase, seed in seeds.items():
        notes = list(seed.notes)
        if engine is not None:
            notes += _moment_notes(phase, seed, engine)
        warnings += [f"phase {phase!r}: {note}" for note in notes]
    return warnings


def _moment_notes(phase: str, seed: Seed, engine: Engine) -> Iterator[str]:
    """Yield what the engine makes of a seed's moments; nothing if that is not known."""
    has_spin = engine.has_spin
    if has_spin is None:
        return
    if not has_spin:
        yield from _unused_moments(seed.cell, engine)
        return
    _compare_with_incar(phase, seed.cell, engine)
    yield from _default_moments(seed, engine)


def _unused_moments(cell: Structure, engine: Engine) -> Iterator[str]:
    """Say that moments decide nothing, if there are any."""
    if moments_of(cell) is not None:
        hint = "" if engine.spin_option is None else f"; set `{engine.spin_option}`"
        yield (
            f"its magnetic moments ({summary(cell)}) decide nothing: {engine.name} has no spin "
            f"here{hint}"
        )


def _default_moments(seed: Seed, engine: Engine) -> Iterator[str]:
    """Say what a spin-polarised calculation starts from, where nobody has chosen it."""
    moments = moments_of(seed.cell)
    if moments is None:
        yield (
            "it has no magnetic moments, and the engine writes no MAGMOM: "
            "VASP starts every atom with 1 μ_B"
        )
    elif seed.moments_of_table:
        yield (
            f"it has no magnetic moments of its own: labels start from the engine's, all parallel "
            f"({summary(seed.cell)}); give `magmoms` for another order"
        )
    elif not moments.any():
        yield f"its magnetic moments are all 0: {engine.name} starts and mostly stays without"


def _compare_with_incar(phase: str, cell: Structure, engine: Engine) -> None:
    """Refuse an engine whose INCAR has other moments than the cell."""
    moments = moments_of(cell.get_sorted_structure())
    inputs = None if moments is None else engine.planned_inputs(cell)
    if moments is None or inputs is None:
        return
    magmom = inputs.incar.get("MAGMOM")
    has_each = isinstance(magmom, list) and len(magmom) == len(moments)
    if has_each and np.allclose(magmom, moments, rtol=0, atol=INCAR_TOLERANCE):
        return
    raise ValueError(
        f"phase {phase!r}: its magnetic moments are {summary(cell)}, but the engine writes "
        f"MAGMOM {magmom}; leave MAGMOM to the cell: take it out of `user_incar_settings`, and do "
        f"not set it to None"
    )
