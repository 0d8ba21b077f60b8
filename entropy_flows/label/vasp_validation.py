"""Checks of a finished VASP run: its files agree, and it is the calculation that was asked for.

    |F − F_OSZICAR|       ≤ 10⁻⁴ eV + 10⁻⁷ |F|   OSZICAR prints eight digits
    |Σ f_i|/n             ≤ 0.05 eV/Å            what coarse grids leave is five times smaller

    F     free energy of the ionic step in vasprun.xml (eV)
    f_i   force on atom i of n (eV/Å)

Custodian mends runs by changing their settings, some of which decide the numbers (SIGMA, ENCUT, the
k points): such a run is another calculation than its label's settings say. What only decides how
the same numbers are reached is recorded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from entropy_flows.label.ionic import ENERGY_TOLERANCE
from entropy_flows.label.read import Label
from entropy_flows.label.reasons import Reason, corrections, handler_name, reason_of_handler

_NET_FORCE = 0.05  # eV/Å per atom


def validate_vasp_output(label: Label, directory: str | Path = ".") -> Label:
    """Return the label, or a failed one that says what is wrong with it.

    Parameters
    ----------
    label
        Label of a VASP run.
    directory
        Where it ran: custodian.json, OSZICAR, and INCAR and KPOINTS beside what they were before
        custodian's changes.

    Returns
    -------
    Label
        With custodian's harmless corrections in the provenance; or `walltime` and the like where
        custodian gave up without an error, `inconsistent_output`. One that has not converged stays
        so, for custodian's reason if any.
    """
    directory = Path(directory)
    attempts = corrections(directory)
    if attempts:
        summaries = [_summary(attempt) for attempt in attempts]
        label = replace(label, provenance={**label.provenance, "custodian": summaries})
    for attempt in attempts:
        if not attempt.get("actions") and not attempt.get("skipped"):
            evidence = f"custodian gave up: {_summary(attempt)}"
            return _failed(label, reason_of_handler(attempt), evidence)
    if not label.converged:
        return label
    if changes := changed_settings(directory):
        by = ", ".join(map(_summary, attempts))
        return _failed(
            label, Reason.INCONSISTENT_OUTPUT, f"custodian changed {'; '.join(changes)} ({by})"
        )
    if defect := _disagreement(label, directory):
        return _failed(label, Reason.INCONSISTENT_OUTPUT, defect)
    return label


def changed_settings(directory: Path) -> list[str]:
    """List custodian's changes of what decides the numbers, as "SIGMA 0.05 → 0.02"."""
    from pymatgen.io.vasp import Incar, Kpoints

    from entropy_flows.label.vasp_settings import deciding_tags

    changes = []
    if pair := _now_and_before(directory, "INCAR"):
        now, before = (deciding_tags(Incar.from_file(path), repaired=True) for path in pair)
        differ = sorted(tag for tag in {*now, *before} if now.get(tag) != before.get(tag))
        changes += [
            f"{tag} {before.get(tag, 'default')} → {now.get(tag, 'default')}" for tag in differ
        ]
    if pair := _now_and_before(directory, "KPOINTS"):
        mesh, mesh_before = (_kpoints_text(Kpoints.from_file(path)) for path in pair)
        changes += [] if mesh == mesh_before else [f"KPOINTS {mesh_before} → {mesh}"]
    return changes


def _kpoints_text(kpoints: Any) -> str:
    """Return style, divisions and shift of KPOINTS."""
    divisions = np.array(kpoints.kpts).tolist()
    return f"{kpoints.style.name} {divisions} {np.array(kpoints.kpts_shift).tolist()}"


def _now_and_before(directory: Path, name: str) -> list[Path]:
    """Return the file a run ended with and the one it was started with, or []."""
    from monty.os.path import zpath

    pair = [Path(zpath(str(directory / one))) for one in (name, f"{name}.orig")]
    return pair if all(path.is_file() for path in pair) else []


def _disagreement(label: Label, directory: Path) -> str | None:
    """Say which numbers contradict each other, or None."""
    if label.free_energy is None or label.forces is None:
        return None
    limit = ENERGY_TOLERANCE[0] + ENERGY_TOLERANCE[1] * abs(label.free_energy)
    energy = _oszicar_energy(directory)
    if energy is not None and not abs(energy - label.free_energy) <= limit:
        return (
            f"F is {label.free_energy:.6f} eV in vasprun.xml and {energy:.6f} eV in OSZICAR, "
            f"{limit:.1e} allowed"
        )
    net = float(np.linalg.norm(label.forces.sum(axis=0))) / label.n_atoms
    if net > _NET_FORCE:
        return f"the forces add up to {net:.3g} eV/Å per atom, at most {_NET_FORCE:g} wanted"
    return None


def _oszicar_energy(directory: Path) -> float | None:
    """Read F (eV) from OSZICAR; None without one that can be read."""
    from monty.os.path import zpath
    from pymatgen.io.vasp import Oszicar

    try:
        return float(Oszicar(zpath(str(directory / "OSZICAR"))).ionic_steps[-1]["F"])
    except (OSError, LookupError, ValueError):
        return None


def _summary(correction: dict[str, Any]) -> str:
    """Return handler and errors, as in "LargeSigmaHandler: LargeSigma", and the tags it set."""
    tags_set: dict[str, Any] = {}
    for action in correction.get("actions") or []:
        tags_set |= action.get("action", {}).get("_set") or {}
    tags = ", ".join(f"{tag} = {value}" for tag, value in tags_set.items())
    errors = " ".join(map(str, correction.get("errors") or []))
    summary = f"{handler_name(correction)}: {errors}"
    return f"{summary} ({tags})" if tags else summary


def _failed(label: Label, reason: Reason, evidence: str) -> Label:
    return Label.failed(
        label.n_atoms,
        reason,
        evidence,
        wall_seconds=label.wall_seconds,
        provenance=label.provenance,
    )
