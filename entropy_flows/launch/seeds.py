"""A campaign's seed cells with the magnetic moments that their labels start from, and what is to be told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entropy_flows.explore import Seed, build_seed
from entropy_flows.label import engine_name, make_static_maker
from entropy_flows.label.engines import is_vasp
from entropy_flows.moments import moments_of, summary

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

    from entropy_flows.schemas import Campaign

_PRINTED = 1e-6
"""μ_B that INCAR's digits may differ by."""


def campaign_seeds(campaign: Campaign, folder: Path, load_engine: bool = True) -> dict[str, Seed]:
    """Phase → seed, with moments as the label engine starts from them.

    A phase without moments of its own has those of the engine's table, if the engine is VASP with
    spin.

    Parameters
    ----------
    campaign
        Its phases and its label engine.
    folder
        Where the phases' files start from.
    load_engine
        Whether the label engine may be imported for its table of moments.

    Raises
    ------
    ValueError
        If a seed will not do; see `build_seed`.
    """
    table = None
    if load_engine and campaign.label.engine not in (
        "forcefield",
        "gpaw-pbe",
    ):  # which have none, and may not be installed here
        table = moment_table(make_static_maker(campaign.label))
    return {phase.name: build_seed(phase, folder, table) for phase in campaign.phases}


def moment_table(maker: Maker) -> dict[str, float] | None:
    """MAGMOM (μ_B) by element or oxidation state of a VASP Maker; None if it has no spin or writes no MAGMOM."""
    if not is_vasp(maker):
        return None
    from entropy_flows.label.vasp_settings import resolved_incar

    tags = resolved_incar(maker)
    table = tags.get("MAGMOM") if tags.get("ISPIN", 1) == 2 else None
    return dict(table) if isinstance(table, Mapping) else None


def seed_warnings(seeds: Mapping[str, Seed], maker: Maker | None) -> list[str]:
    """What is to be told of the seeds' files and moments, one sentence each, with the phase's name.

    Without the label engine (None) it is what their files say alone.

    Raises
    ------
    ValueError
        If the engine writes other moments into INCAR than a seed has.
    """
    if maker is None:
        return [f"phase {name!r}: {note}" for name, seed in seeds.items() for note in seed.notes]
    vasp = is_vasp(maker)
    spinless = _has_no_spin(maker)
    warnings = []
    for name, seed in seeds.items():
        notes = list(seed.notes)
        if spinless:
            notes += _of_no_use(seed.cell, maker)
        elif vasp:
            _compare_with_incar(name, seed.cell, maker)
            notes += _of_the_start(seed)
        warnings += [f"phase {name!r}: {note}" for note in notes]
    return warnings


def _has_no_spin(maker: Maker) -> bool:
    """Whether moments decide nothing: a force field, GPAW as the preset has it, VASP with ISPIN = 1."""
    if not is_vasp(maker):
        return hasattr(maker, "calculator_meta") or engine_name(maker).startswith("GPAW")
    from entropy_flows.label.vasp_settings import resolved_incar

    return resolved_incar(maker).get("ISPIN", 1) != 2


def _of_no_use(cell: Structure, maker: Maker) -> Iterator[str]:
    """Say that moments decide nothing, if there are any."""
    if moments_of(cell) is not None:
        hint = "; set `label: {spin: true}`" if is_vasp(maker) else ""
        yield f"its magnetic moments ({summary(cell)}) decide nothing: {engine_name(maker)} has no spin here{hint}"


def _of_the_start(seed: Seed) -> Iterator[str]:
    """Say what a spin-polarised calculation starts from, where nobody has chosen it."""
    moments = moments_of(seed.cell)
    if moments is None:
        yield "it has no magnetic moments, and the engine writes no MAGMOM: VASP starts every atom with 1 μ_B"
    elif seed.moments_of_table:
        yield (
            f"it has no magnetic moments of its own: labels start from the engine's, all parallel "
            f"({summary(seed.cell)}); give `magmoms` for another order"
        )
    elif not moments.any():
        yield "its magnetic moments are all 0: VASP starts without, and mostly stays there"


def _compare_with_incar(phase: str, cell: Structure, maker: Maker) -> None:
    """Refuse an engine whose INCAR has other moments than the cell."""
    from entropy_flows.label.vasp_inputs import planned_inputs

    moments = moments_of(cell.get_sorted_structure())
    if moments is None:
        return
    written = planned_inputs(cell, maker).incar.get("MAGMOM")
    same = isinstance(written, list) and len(written) == len(moments)
    if not same or not np.allclose(written, moments, rtol=0, atol=_PRINTED):
        raise ValueError(
            f"phase {phase!r}: its magnetic moments are {summary(cell)}, but the engine writes MAGMOM {written}; "
            f"leave MAGMOM to the cell: take it out of `user_incar_settings`, and do not set it to None"
        )
