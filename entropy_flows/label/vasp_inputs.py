"""The input files that a VASP static Maker writes for a cell.

Any Maker of atomate2 will do, and any input set of pymatgen.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.io.vasp import Incar, Kpoints

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure
    from pymatgen.io.vasp.sets import VaspInputSet

_FILES = ("INCAR", "KPOINTS", "POSCAR", "POTCAR", "POTCAR.spec")
_MESHES = ("Gamma", "Monkhorst")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The input files that a Maker writes for one cell.

    Attributes
    ----------
    incar
        INCAR, with one spelling for each value as in the file.
    kpoints
        KPOINTS; None where INCAR has KSPACING instead.
    poscar
        POSCAR.
    potcar
        Symbols of the pseudopotentials, in POSCAR's order.
    potcar_functional
        Their family, such as PBE_54.
    """

    incar: Incar
    kpoints: Kpoints | None
    poscar: Any
    potcar: list[str]
    potcar_functional: str

    @property
    def style(self) -> str | None:
        """Style of the k points: Gamma, Monkhorst, Reciprocal, Automatic, …; None for KSPACING."""
        return None if self.kpoints is None else self.kpoints.style.name

    @property
    def mesh(self) -> list[int] | None:
        """Divisions of the mesh; None for KSPACING, and for points that are no mesh."""
        if self.style not in _MESHES or self.kpoints is None:
            return None
        return [int(n) for n in self.kpoints.kpts[0]]

    def write(self, directory: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR and POTCAR.spec in place of those that are there."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            # A KPOINTS of before would win over KSPACING.
            (directory / name).unlink(missing_ok=True)
        self.incar.write_file(directory / "INCAR")
        if self.kpoints is not None:
            self.kpoints.write_file(str(directory / "KPOINTS"))
        self.poscar.write_file(directory / "POSCAR")
        (directory / "POTCAR.spec").write_text("\n".join(self.potcar))


def planned_inputs(structure: Structure, maker: Maker) -> Inputs:
    """Return what a VASP static Maker would write for a cell.

    Parameters
    ----------
    structure
        The cell to label.
    maker
        A Maker with an `input_set_generator` of atomate2's or pymatgen's; it is left as it was.

    Returns
    -------
    Inputs
        The files' content.

    Raises
    ------
    ValueError
        If the Maker has no input set of VASP's. What the input set itself raises passes through.
    """
    from atomate2 import SETTINGS

    generator = input_set_of(maker)
    with warnings.catch_warnings():
        # Warnings belong where the files are used.
        warnings.simplefilter("ignore")
        # The cell is sorted, as it is run.
        files = generator.get_input_set(structure.get_sorted_structure(), potcar_spec=True)
        incar = Incar(files["INCAR"])
        if takes_site_updates(maker):
            incar.update(SETTINGS.VASP_INCAR_UPDATES)
        return Inputs(
            incar=Incar.from_str(str(incar)),
            kpoints=files.get("KPOINTS"),
            poscar=files["POSCAR"],
            potcar=list(generator.potcar_symbols),
            potcar_functional=str(generator.user_potcar_functional or "PBE"),
        )


def write_inputs(structure: Structure, maker: Maker, directory: str | Path) -> dict[str, Any]:
    """Write what a VASP static Maker would run, with POTCAR.spec in place of the licensed POTCAR.

    Parameters
    ----------
    structure, maker
        As for `planned_inputs`.
    directory
        Receives INCAR, KPOINTS (unless the set uses KSPACING), POSCAR and POTCAR.spec.

    Returns
    -------
    dict
        incar (dict), kpoints (mesh as a list of int, or None), potcar (symbols), potcar_functional,
        n_atoms.
    """
    inputs = planned_inputs(structure, maker)
    inputs.write(Path(directory))
    return {
        "incar": dict(inputs.incar),
        "kpoints": inputs.mesh,
        "potcar": inputs.potcar,
        "potcar_functional": inputs.potcar_functional,
        "n_atoms": len(structure),
    }


def input_set_of(maker: Maker) -> VaspInputSet:
    """Copy of a Maker's input set; a ValueError if it has none of VASP's."""
    from pymatgen.io.vasp.sets import VaspInputSet

    generator = getattr(maker, "input_set_generator", None)
    if not isinstance(generator, VaspInputSet):
        raise ValueError(
            f"{type(maker).__name__} has no VASP input set: there are no input files to write"
        )
    return copy.deepcopy(generator)


def takes_site_updates(maker: Maker) -> bool:
    """Return whether VASP_INCAR_UPDATES of this machine's atomate2 settings reach the INCAR."""
    return bool(getattr(maker, "write_input_set_kwargs", {}).get("apply_incar_updates", True))
