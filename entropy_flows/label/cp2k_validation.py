"""Checks of a finished CP2K run, and the reason of one that failed, in CP2K's own words.

    E₀ = F + T S / 2            the output alone has T S
    |Σ f_i|/n ≤ 0.05 eV/Å       what coarse grids leave is less

Custodian mends runs by changing their settings. Those of the mixing lead to the same numbers;
any other change makes another calculation than the hash says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from entropy_flows.label.cp2k_output import Cp2kRun, documented_unit, read_run
from entropy_flows.label.read import Label
from entropy_flows.label.reasons import Reason, corrections, handler_name

_NET_FORCE = 0.05  # eV/Å per atom
_SCF = ("FORCE_EVAL", "DFT", "SCF")
_SAME_NUMBERS = ("MIXING", "MAX_SCF", "OUTER_SCF", "DIAGONALIZATION", "CHOLESKY")
"""Sections and keywords of the SCF that decide how the same numbers are reached."""


def validate_cp2k_output(label: Label, directory: str | Path = ".") -> Label:
    """Return the label with E₀ and what custodian did, or a failed one.

    Parameters
    ----------
    label
        Label of a run of CP2K.
    directory
        Where it ran.
    """
    run = read_run(directory)
    if run is None:
        return _failed(label, Reason.PARSE_ERROR, "there is no cp2k.out")
    if (failure := failure_of(run)) is not None:
        return _failed(label, *failure)
    if not label.converged or label.free_energy is None:
        return label
    energy = label.free_energy - run.entropy_term / 2
    attempts = corrections(directory)
    if attempts:
        summaries = [handler_name(attempt) for attempt in attempts]
        label = replace(label, provenance={**label.provenance, "custodian": summaries})
    if changes := [".".join(path) for path in _changes(attempts) if not _is_harmless(path)]:
        return _failed(
            label, Reason.INCONSISTENT_OUTPUT, f"custodian changed {', '.join(sorted(changes))}"
        )
    if defect := _defect(label, run):
        return _failed(label, Reason.INCONSISTENT_OUTPUT, defect)
    return replace(label, energy=energy)


def failure_in_output(directory: str | Path = ".") -> tuple[Reason, str] | None:
    """Return why the run in a folder failed, as its output says; None if it says nothing."""
    run = read_run(directory)
    return None if run is None else failure_of(run)


def failure_of(run: Cp2kRun) -> tuple[Reason, str] | None:
    """Return why a run failed; None if its output says nothing of a failure."""
    if run.is_out_of_time:
        return Reason.WALLTIME, "CP2K exceeded requested execution time"
    if run.is_unconverged:
        words = f": {run.abort}" if run.abort else ""
        return Reason.SCF_NOT_CONVERGED, f"CP2K's SCF run NOT converged{words}"
    if run.abort:
        return Reason.CRASH, f"CP2K: {run.abort}"
    if not run.has_ended:
        return Reason.CRASH, "CP2K's output stops short"
    return None


def _defect(label: Label, run: Cp2kRun) -> str | None:
    """Say what contradicts what, or None."""
    assert label.forces is not None, "a converged label has forces"
    expected = documented_unit(str(label.provenance.get("version")))
    if label.stress is not None and run.stress_unit != expected:
        return f"the stress is printed in {run.stress_unit}, {expected} was expected"
    net = float(np.linalg.norm(label.forces.sum(axis=0))) / label.n_atoms
    if net > _NET_FORCE:
        return f"the forces add up to {net:.3g} eV/Å per atom, at most {_NET_FORCE:g} wanted"
    return None


def _changes(attempts: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the settings that custodian set or removed."""
    for attempt in attempts:
        for action in attempt.get("actions") or []:
            for tree in (action.get("action") or {}).values():
                yield from _leaves(tree)


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths to the values of nested mappings."""
    if not isinstance(tree, Mapping):
        yield path
        return
    for key, value in tree.items():
        yield from _leaves(value, (*path, str(key).upper()))


def _is_harmless(path: tuple[str, ...]) -> bool:
    """Return whether a setting leaves the numbers alone."""
    return path[: len(_SCF)] == _SCF and path[len(_SCF) : len(_SCF) + 1][0] in _SAME_NUMBERS


def _failed(label: Label, reason: Reason, evidence: str) -> Label:
    return Label.failed(
        label.n_atoms,
        reason,
        evidence,
        wall_seconds=label.wall_seconds,
        provenance=label.provenance,
    )
