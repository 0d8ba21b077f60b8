"""A label read out of any engine's task document, in one set of units and signs.

    energy         eV        E₀, extrapolated to zero smearing
    free_energy    eV        F, the energy whose derivatives the forces and the stress are: train on this one
    forces         eV/Å      (n, 3), rows in the order of the structure that was submitted
    stress         eV/Å³     (3, 3), ASE's sign: (1/V) ∂E/∂ε, negative under compression
    pressure       GPa       −tr(stress)/3, positive under compression

VASP and atomate2's ASE and force-field documents store kBar with the opposite sign: stress = −kBar/1602.18. VASP sorts
atoms by species and turns left-handed cells by inversion, so atoms are matched and vectors turned back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from entropy_flows.conventions import GPA, pressure, stress_from_vasp
from entropy_flows.label.reasons import InconsistentOutputError, Reason

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SAME_CELL = 1e-4  # deviation from a pure rotation; VASP prints eight decimals
_SAME_SITE = 1e-2  # Å
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
    wall_seconds
        Time the calculation took (s).
    provenance
        What made it: code, version, functional tags, cutoff, k points, pseudopotentials; or force field and version.
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
    wall_seconds: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, n_atoms: int, reason: Reason, evidence: str, **known: Any) -> Self:
        """Make a failure data: no numbers, a reason."""
        return cls(n_atoms=n_atoms, converged=False, reason=reason, evidence=evidence, **known)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: arrays as nested lists, the reason as a string."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            k: v.tolist() if isinstance(v, np.ndarray) else str(v) if k == "reason" and v else v for k, v in row.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        row = {key: value for key, value in data.items() if not key.startswith("@")}
        row["reason"] = Reason(row["reason"]) if row.get("reason") else None
        row |= {k: np.array(row[k], dtype=float) for k in ("forces", "stress") if row.get(k) is not None}
        return cls(**row)


def read_label(doc: Any, structure: Structure | None = None, free_energy: float | None = None) -> Label:
    """Label of a task document.

    Parameters
    ----------
    doc
        VASP's TaskDoc, a force-field or ASE structure document, or the dictionary form of either. Of other codes'
        documents energy and forces are read; their stress is not, as its unit and sign are not agreed upon.
    structure
        What was submitted: forces come back in its order and orientation. None takes the document as it is.
    free_energy
        F (eV), for engines whose document has no place for it.

    Returns
    -------
    Label
        Not converged, with a reason, if the electronic steps ran out or the numbers are not finite or absurd.

    Raises
    ------
    InconsistentOutputError
        If the document has no energy or forces, or belongs to other atoms than `structure`'s.
    """
    energy, forces = value_at(doc, "output", "energy"), value_at(doc, "output", "forces")
    if energy is None or forces is None:
        missing = "energy" if energy is None else "forces"
        raise InconsistentOutputError(
            f"the task document has no {missing}; a label needs a Maker that stores energy and forces"
        )
    forces = np.array(forces, dtype=float)
    known, kbar = _describe(doc)
    stress = None if kbar is None else stress_from_vasp(kbar)
    if structure is not None:
        order, turn = _alignment(structure_of(doc), structure)
        forces = forces[order] @ turn
        stress = None if stress is None else turn.T @ stress @ turn
    n_atoms = len(forces)
    if defect := _defect(energy, forces, stress):
        return Label.failed(n_atoms, Reason.INCONSISTENT_OUTPUT, defect, **_only(known, "wall_seconds", "provenance"))
    if free_energy is not None:
        known["free_energy"] = free_energy
    return Label(
        n_atoms=n_atoms,
        energy=float(energy),
        forces=forces,
        stress=stress,
        pressure=None if stress is None else pressure(stress) * GPA,
        **{"free_energy": float(energy), "converged": True, **known},
    )


def _describe(doc: Any) -> tuple[dict[str, Any], Any]:
    """Collect what the kind of document adds (F, convergence, time, provenance), and its stress (kBar)."""
    if value_at(doc, "calcs_reversed", 0, "vasp_version") is not None:
        return _describe_vasp(doc), value_at(doc, "output", "stress")
    wall = value_at(doc, "output", "elapsed_time")
    name = value_at(doc, "forcefield_name") or value_at(doc, "ase_calculator_name")
    if name is not None:
        version = value_at(doc, "forcefield_version")
        return {
            "wall_seconds": wall,
            "provenance": {"code": str(name).removeprefix("MLFF."), "version": version},
        }, value_at(doc, "output", "stress")
    ok = str(value_at(doc, "state") or "successful").rsplit(".", 1)[-1].lower() in ("successful", "success")
    provenance = {"code": type(doc).__module__ + "." + type(doc).__name__, "stress": "not read: unit and sign unknown"}
    return {**_convergence(ok, "the task's state is not 'successful'"), "provenance": provenance}, None


def _describe_vasp(doc: Any) -> dict[str, Any]:
    """F, convergence, time and provenance of a VASP task.

    The run type says r²SCAN with and without rVV10 alike, so the tags that tell them apart are kept beside it.
    """
    calc = value_at(doc, "calcs_reversed", 0)
    last = value_at(calc, "output", "ionic_steps", -1)
    steps = value_at(last, "num_electronic_steps") or len(value_at(last, "electronic_steps") or [])
    state = value_at(calc, "has_vasp_completed")
    free_energy = value_at(last, "e_fr_energy")
    tags = {**(value_at(calc, "input", "parameters") or {}), **(value_at(calc, "input", "incar") or {})}
    kept = ("GGA", "METAGGA", "LUSE_VDW", "BPARAM", "CPARAM", "IVDW", "LASPH", "LHFCALC", "ISPIN", "ISMEAR", "SIGMA")
    provenance = {
        "code": "VASP",
        "version": value_at(calc, "vasp_version"),
        "run_type": _text(value_at(calc, "run_type")),
        **{tag: tags[tag] for tag in (*kept, "ENCUT", "EDIFF", "PREC") if tags.get(tag) is not None},
        "kpoints": _mesh(value_at(calc, "input", "kpoints")),
        "n_kpoints": value_at(calc, "input", "nkpoints"),
        "potcar": value_at(calc, "input", "potcar") or None,
        "potcar_titles": [value_at(p, "titel") for p in value_at(calc, "input", "potcar_spec") or []] or None,
        "electronic_steps": steps or None,
        "directory": value_at(calc, "dir_name"),
    }
    if free_energy is None:
        provenance["free_energy"] = "E0: the document keeps no ionic steps"
    ok = state is None or "success" in _text(state).lower()
    out_of_steps = f"VASP stopped after {steps} electronic steps (NELM {tags.get('NELM', 60)}) short of EDIFF"
    return {
        **_convergence(ok, out_of_steps),
        **({} if free_energy is None else {"free_energy": float(free_energy)}),
        "wall_seconds": value_at(calc, "output", "run_stats", "elapsed_time") or None,
        "provenance": provenance,
    }


def _convergence(ok: bool, evidence: str) -> dict[str, Any]:
    if ok:
        return {"converged": True}
    return {"converged": False, "reason": Reason.SCF_NOT_CONVERGED, "evidence": evidence}


def _alignment(found: Structure, wanted: Structure) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Order of atoms and rotation that carry the document's forces to the submitted structure.

    Cells as rows: L_found R = L_wanted with R orthogonal, possibly an inversion; a force row f becomes f R.

    Returns
    -------
    tuple
        Indices (n,) into the document's atoms, and R (3, 3).
    """
    if len(found) != len(wanted):
        raise InconsistentOutputError(f"the task document has {len(found)} atoms, the structure {len(wanted)}")
    turn: NDArray[Any] = np.linalg.solve(found.lattice.matrix, wanted.lattice.matrix)
    if np.abs(turn @ turn.T - np.eye(3)).max() > _SAME_CELL:
        raise InconsistentOutputError("the task document's cell is not the submitted one: was it relaxed?")
    for exact in (np.eye(3), -np.eye(3)):
        if np.abs(turn - exact).max() < _SAME_CELL:
            turn = exact  # without the noise of printed digits
    steps = wanted.frac_coords[:, None] - found.frac_coords[None]  # (n, n, 3)
    distances = np.linalg.norm((steps - np.round(steps)) @ wanted.lattice.matrix, axis=-1)
    numbers = [np.array([site.specie.Z for site in s]) for s in (wanted, found)]
    distances[numbers[0][:, None] != numbers[1][None]] = np.inf
    order: NDArray[np.intp] = np.argmin(distances, axis=1)
    if distances[np.arange(len(order)), order].max() > _SAME_SITE or len(set(order.tolist())) < len(order):
        raise InconsistentOutputError("the task document's atoms are not the submitted ones: were they moved?")
    return order, turn


def structure_of(doc: Any) -> Structure:
    """The cell of a task document."""
    found = (
        value_at(doc, "output", "structure") or value_at(doc, "structure") or value_at(doc, "output", "mol_or_struct")
    )
    if found is None:
        raise InconsistentOutputError("the task document has no structure")
    if isinstance(found, Mapping):
        from pymatgen.core import Structure

        return Structure.from_dict(dict(found))
    return found


def _defect(energy: float, forces: NDArray[np.float64], stress: NDArray[np.float64] | None) -> str | None:
    """Say what is not physics in the numbers, or None."""
    largest = {"energy per atom": abs(energy) / len(forces), "force": np.abs(forces).max()}
    if stress is not None:
        largest["stress"] = np.abs(stress).max()
    for name, value in largest.items():
        if not value <= _ABSURD[name]:  # catches NaN too
            return f"largest {name} is {value:.3g}, at most {_ABSURD[name]:g} wanted (eV, eV/Å, eV/Å³)"
    return None


def value_at(doc: Any, *path: str | int) -> Any:
    """Value at the end of a path of attributes, keys and indices; None where it stops."""
    for step in path:
        if doc is None:
            return None
        if isinstance(step, int):
            doc = doc[step] if isinstance(doc, (list, tuple)) and len(doc) > 0 else None
        else:
            doc = doc.get(step) if isinstance(doc, Mapping) else getattr(doc, step, None)
    return doc


def _text(value: Any) -> str:
    """Plain text of an enum member, or of what the database made of it."""
    return str(value.get("value") if isinstance(value, Mapping) else getattr(value, "value", value))


def _mesh(kpoints: Any) -> dict[str, Any] | None:
    """Style and divisions of a KPOINTS object or dictionary; of a list of points only their number."""
    if kpoints is None:
        return None
    style = value_at(kpoints, "style") or value_at(kpoints, "generation_style")
    points = value_at(kpoints, "kpts") or value_at(kpoints, "kpoints") or []
    if len(points) == 1:
        return {"style": _text(style), "mesh": [int(n) for n in points[0]]}
    return {"style": _text(style), "n_points": len(points)}


def _only(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys if key in row}
