"""A label read out of any engine's task document, in one set of units and signs.

    energy         eV        E₀, extrapolated to zero smearing
    free_energy    eV        F, whose derivatives the forces and the stress are: train on this one
    forces         eV/Å      (n, 3), rows in the order of the structure that was submitted
    stress         eV/Å³     (3, 3), ASE's sign: (1/V) ∂E/∂ε, negative under compression
    pressure       GPa       −tr(stress)/3, positive under compression
    magmoms        μ_B       (n,) of the atoms at the end, in the order of the submitted structure

VASP and atomate2's ASE and force-field documents store kBar with the opposite sign: stress =
−kBar/1602.18. VASP sorts atoms by species and turns left-handed cells by inversion, so atoms are
matched and vectors turned back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import GPA, pressure, stress_from_vasp
from entropy_flows.label.document import is_vasp_task, value_at
from entropy_flows.label.ionic import ions_move, read_step, tags_of
from entropy_flows.label.orientation import alignment
from entropy_flows.label.reasons import InconsistentOutputError, Reason
from entropy_flows.label.task_moments import final_moments
from entropy_flows.label.task_numbers import numbers_of

if TYPE_CHECKING:
    from pymatgen.core import Structure

_ABSURD = {"energy per atom": 1e6, "force": 1e3, "stress": 1e2}  # eV, eV/Å, eV/Å³ (16 TPa)


@dataclass(frozen=True, eq=False)
class Label:
    """Energy, forces and stress of one structure, or the reason there are none.

    Parameters
    ----------
    n_atoms
        Number of atoms.
    converged
        Whether the numbers may be trained on.
    reason, evidence
        Why not, in the fixed vocabulary and in the engine's words; None for a good label.
    energy, free_energy
        E₀ and F (eV).
    forces
        (n, 3), eV/Å.
    stress
        (3, 3), eV/Å³, ASE's sign; None if the engine gives none.
    pressure
        GPa, positive under compression.
    magmoms, total_magmom
        Final collinear magnetic moments of the atoms (n,), and of the cell, in μ_B; None where the
        engine gives none. Those of the atoms are within spheres and do not add up to that of the
        cell.
    wall_seconds
        Time the calculation took (s).
    provenance
        What made it: code, version, functional tags, cutoff, k points, pseudopotentials; or force
        field and version.
    """

    n_atoms: int
    converged: bool
    reason: Reason | None = None
    evidence: str | None = None
    energy: float | None = None
    free_energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    pressure: float | None = None
    magmoms: NDArray[np.float64] | None = None
    total_magmom: float | None = None
    wall_seconds: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, n_atoms: int, reason: Reason, evidence: str, **fields: Any) -> Self:
        """Make a failed label: a reason, and no numbers."""
        return cls(n_atoms=n_atoms, converged=False, reason=reason, evidence=evidence, **fields)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON: arrays as nested lists, the reason as a string."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            k: v.tolist() if isinstance(v, np.ndarray) else str(v) if k == "reason" and v else v
            for k, v in row.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a label of what `as_dict` returned."""
        row = {key: value for key, value in data.items() if not key.startswith("@")}
        row["reason"] = Reason(row["reason"]) if row.get("reason") else None
        row |= {
            k: np.array(row[k], dtype=float)
            for k in ("forces", "stress", "magmoms")
            if row.get(k) is not None
        }
        return cls(**row)


def read_label(
    doc: Any, structure: Structure | None = None, free_energy: float | None = None, step: int = -1
) -> Label:
    """Read the label of a task document.

    Parameters
    ----------
    doc
        VASP's TaskDoc, a force-field or ASE structure document, or the dictionary form of either.
        Of other codes' documents energy and forces are read; their stress is not, as its unit and
        sign are not agreed upon.
    structure
        What was submitted: forces come back in its order and orientation. None takes the document
        as it is.
    free_energy
        F (eV), for engines whose document has no place for it.
    step
        Which ionic step of a VASP run; negative ones count from the last.

    Returns
    -------
    Label
        Not converged, with a reason, if the electronic steps ran out or the numbers are not finite
        or absurd.

    Raises
    ------
    InconsistentOutputError
        If the document has no energy or forces, or belongs to other atoms than `structure`'s.
    """
    numbers = numbers_of(doc, step)
    energy = numbers.pop("energy")
    forces = numbers.pop("forces")
    kbar = numbers.pop("kbar")
    unconverged = numbers.pop("unconverged", None)
    contradiction = numbers.pop("contradiction", None)
    if energy is None or forces is None:
        missing = "energy" if energy is None else "forces"
        raise InconsistentOutputError(
            f"the task document has no {missing}; a label needs a Maker that stores energy and "
            f"forces"
        )
    forces = np.array(forces, dtype=float)
    numbers |= final_moments(doc, len(forces), step)
    stress = None if kbar is None else stress_from_vasp(kbar)
    if structure is not None:
        order, turn = alignment(structure_of(doc, step), structure)
        forces = forces[order] @ turn
        stress = None if stress is None else turn.T @ stress @ turn
        if numbers["magmoms"] is not None:
            numbers["magmoms"] = numbers["magmoms"][order]
    n_atoms = len(forces)
    defect = _defect(energy, forces, stress) or (None if unconverged else contradiction)
    if defect or unconverged:
        reason = Reason.INCONSISTENT_OUTPUT if defect else Reason.SCF_NOT_CONVERGED
        numbers = _only(numbers, "wall_seconds", "provenance")
        return Label.failed(n_atoms, reason, defect or unconverged or "", **numbers)
    if free_energy is not None:
        numbers["free_energy"] = free_energy
    return Label(
        n_atoms=n_atoms,
        energy=float(energy),
        forces=forces,
        stress=stress,
        pressure=None if stress is None else pressure(stress) * GPA,
        converged=True,
        **{"free_energy": float(energy), **numbers},
    )


def structure_of(doc: Any, step: int = -1) -> Structure:
    """Return the cell that a task document's numbers belong to.

    Parameters
    ----------
    doc
        As for `read_label`.
    step
        Which ionic step of a VASP run.

    Returns
    -------
    Structure
        Of the ionic step itself; of documents that keep none, the cell at the end.

    Raises
    ------
    InconsistentOutputError
        If there is no cell, or only the final one of a run that has moved its ions since.
    """
    if is_vasp_task(doc):
        calc = value_at(doc, "calcs_reversed", 0)
        ionic = read_step(calc, step)
        if ionic is not None and ionic.structure is not None:
            return ionic.structure
        if ions_move(tags := tags_of(calc)):
            raise InconsistentOutputError(
                f"the document keeps no cell of its ionic steps, and its final cell has moved on "
                f"(NSW {tags['NSW']}); import the run's vasprun.xml instead"
            )
    structure = (
        value_at(doc, "output", "structure")
        or value_at(doc, "structure")
        or value_at(doc, "output", "mol_or_struct")
    )
    if structure is None:
        raise InconsistentOutputError("the task document has no structure")
    if isinstance(structure, Mapping):
        from pymatgen.core import Structure

        return Structure.from_dict(dict(structure))
    return structure


def _defect(
    energy: float, forces: NDArray[np.float64], stress: NDArray[np.float64] | None
) -> str | None:
    """Say what is not physics in the numbers, or None."""
    largest = {"energy per atom": abs(energy) / len(forces), "force": np.abs(forces).max()}
    if stress is not None:
        largest["stress"] = np.abs(stress).max()
    for name, value in largest.items():
        if not value <= _ABSURD[name]:  # catches NaN too
            return (
                f"largest {name} is {value:.3g}, at most {_ABSURD[name]:g} wanted (eV, eV/Å, eV/Å³)"
            )
    return None


def _only(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys if key in row}
