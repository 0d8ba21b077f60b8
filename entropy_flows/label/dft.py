r"""The papers' VASP single points as atomate2 input sets, to be nested in `StaticMaker(input_set_generator=...)`.

Silicon and NaCl are labelled with PBE, carbon with r²SCAN + rVV10; plane-wave cutoff 600 eV, Gaussian smearing
0.05 eV, electronic convergence 1e-6 eV, stress on, and no spin polarisation unless it is asked for. The k points are
an explicit mesh centred at Γ,

    N_i = max(1, ⌊ℓ/|a_i| + 1/2⌋)

    N_i   divisions along the i-th reciprocal vector
    ℓ     length, 40 Å by default
    |a_i| length of the i-th cell vector as given (Å), neither reduced nor standardised

which gives 7³ for conventional silicon and 11³ for conventional diamond.

atomate2's own static settings (PBEsol, spin-polarised, tetrahedra, 680 eV) are overridden tag by tag; None removes a
tag. What a user gives in `user_incar_settings` or `user_kpoints_settings` has the last word. r²SCAN + rVV10 needs
VASP's `vdw_kernel.bindat` in the run's directory before VASP 6.4.3.

With ISPIN = 2 (`spin`), MAGMOM is the initial moments of the cell's atoms, in their order; atoms of a cell that has
none get those of the table by element, pymatgen's or the user's. LORBIT = 10 has the final ones written to OUTCAR.
`hubbard_u` is U_eff = U − J of Dudarev's form (LDAUTYPE = 2), by element and so by whatever order a cell has.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from atomate2.vasp.files import write_vasp_input_set
from atomate2.vasp.sets.base import VaspInputGenerator
from pymatgen.io.vasp import Incar, Kpoints

from entropy_flows.label.magnetism import hubbard_tables, hubbard_tags, spin_tags
from entropy_flows.moments import moments_of

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Lattice, Structure

# Said by the papers, or VASP's own default made explicit.
_SINGLE_POINT: dict[str, Any] = {
    "ENCUT": 600,
    "ISMEAR": 0,
    "SIGMA": 0.05,
    "EDIFF": 1e-6,
    "NSW": 0,
    "IBRION": -1,
    "ISIF": 2,
    "PREC": "Accurate",
    "LREAL": False,
    "NELM": 200,  # distorted cells converge slowly, and a failed label costs more than its last steps
    "LCHARG": False,
    "LWAVE": False,
}
# atomate2's habits that change the physics or only fill the disk (projections, potentials, core densities).
_REMOVED: dict[str, None] = dict.fromkeys(
    ("KSPACING", "EDIFFG", "LVTOT", "LAECHG", "LELF", "LMIXTAU", "LASPH", "IVDW", "LDAUPRINT")
)


def kpoint_mesh(lattice: Lattice, length: float = 40.0) -> tuple[int, int, int]:
    """Divisions of the Γ-centred mesh for a cell; see the module's formula.

    Parameters
    ----------
    lattice
        The cell.
    length
        ℓ (Å).

    Returns
    -------
    tuple of int
        (N_1, N_2, N_3).
    """
    n1, n2, n3 = (max(1, int(length / a + 0.5)) for a in lattice.abc)
    return n1, n2, n3


@dataclass
class PBEStaticSetGenerator(VaspInputGenerator):
    """PBE single point (silicon, NaCl).

    Parameters
    ----------
    kpoint_length
        ℓ of the k-point rule (Å).
    spin
        Whether ISPIN is 2; the same as ISPIN in `user_incar_settings`.
    hubbard_u
        U_eff (eV) by element, on its d states, or the f states of lanthanides and actinides, or the p states of
        elements of the main groups.
    **kwargs
        Whatever atomate2's `VaspInputGenerator` takes, such as `user_incar_settings`.
    """

    kpoint_length: float = 40.0
    auto_ismear: bool = False
    spin: bool = False
    hubbard_u: dict[str, float] = field(default_factory=dict)

    functional: ClassVar[dict[str, Any]] = {"GGA": "PE", "METAGGA": None, "ALGO": "Normal"}

    def __post_init__(self) -> None:
        """Put the +U tables, by element, in place of atomate2's, which are for oxides and fluorides alone."""
        super().__post_init__()
        self._config_dict["INCAR"] |= hubbard_tables(self.hubbard_u, self.user_incar_settings.get("LDAUU") or {})

    @property
    def is_spin_polarised(self) -> bool:
        """Whether ISPIN is 2."""
        return self.user_incar_settings.get("ISPIN", 2 if self.spin else 1) == 2

    @property
    def has_hubbard_u(self) -> bool:
        """Whether LDAU is on."""
        given = bool(self.hubbard_u or self.user_incar_settings.get("LDAUU"))
        return bool(self.user_incar_settings.get("LDAU", given))

    @property
    def incar_updates(self) -> dict[str, Any]:
        """The paper's tags; None removes one of atomate2's."""
        magnetism = {**spin_tags(self.is_spin_polarised), **hubbard_tags(self.has_hubbard_u)}
        return {**_REMOVED, **_SINGLE_POINT, **self.functional, **magnetism}

    @property
    def incar(self) -> Incar:
        """The INCAR, with what pymatgen leaves out of it or takes from elsewhere.

        IBRION and ISIF are said in static runs, too. The cell's own moments come before any table of MAGMOM.
        """
        incar = super().incar
        kept = {tag: _SINGLE_POINT[tag] for tag in ("IBRION", "ISIF") if tag not in self.user_incar_settings}
        assert self.structure is not None, "pymatgen sees to it"
        moments = moments_of(self.structure)
        if self.is_spin_polarised and moments is not None:
            kept["MAGMOM"] = moments.tolist()
        return Incar({**incar, **kept})

    @property
    def kpoints_updates(self) -> Kpoints:  # type: ignore[override]
        """The explicit mesh of the structure at hand."""
        if self.structure is None:
            raise ValueError("the k-point mesh depends on the cell: give the input set a structure first")
        mesh = kpoint_mesh(self.structure.lattice, self.kpoint_length)
        kpoints = Kpoints.gamma_automatic(mesh)
        kpoints.comment = f"Gamma-centred, length {self.kpoint_length:g} A"
        return kpoints


@dataclass
class R2SCANrVV10StaticSetGenerator(PBEStaticSetGenerator):
    """r²SCAN + rVV10 single point (carbon), with b = 11.95 and C = 0.0093 of the non-local correlation."""

    functional: ClassVar[dict[str, Any]] = {
        "GGA": None,
        "METAGGA": "R2SCAN",
        "LUSE_VDW": True,
        "BPARAM": 11.95,
        "CPARAM": 0.0093,
        "LASPH": True,
        "LMIXTAU": True,  # acts only if custodian falls back from ALGO = All to density mixing
        "ALGO": "All",
    }


def write_inputs(structure: Structure, maker: Maker, directory: str | Path) -> dict[str, Any]:
    """Write what a VASP static Maker would run, with POTCAR.spec in place of the licensed POTCAR.

    Parameters
    ----------
    structure
        The cell to label.
    maker
        A Maker with an `input_set_generator`; it is left as it was.
    directory
        Receives INCAR, KPOINTS (unless the set uses KSPACING), POSCAR and POTCAR.spec.

    Returns
    -------
    dict
        incar (dict), kpoints (mesh as a list of int, or None), potcar (symbols), potcar_functional, n_atoms.
    """
    generator = getattr(maker, "input_set_generator", None)
    if not isinstance(generator, VaspInputGenerator):
        raise ValueError(f"{type(maker).__name__} has no VASP input set: there are no input files to write")
    generator = copy.deepcopy(generator)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_vasp_input_set(
        structure.get_sorted_structure(),  # as it is run
        generator,
        directory=directory,
        potcar_spec=True,
        clean_prev=False,  # it would clean the current directory, not this one
        apply_incar_updates=_takes_site_updates(maker),
    )
    mesh = directory / "KPOINTS"
    return {
        "incar": dict(Incar.from_file(directory / "INCAR")),
        "kpoints": [int(n) for n in Kpoints.from_file(mesh).kpts[0]] if generator.kpoints is not None else None,
        "potcar": list(generator.potcar_symbols),
        "potcar_functional": generator.user_potcar_functional,
        "n_atoms": len(structure),
    }


def resolved_incar(maker: Maker) -> dict[str, Any]:
    """INCAR tags of a VASP Maker before they meet a structure: set, updates, the site's updates, user, in that order.

    Returns
    -------
    dict
        Tag to value, removed tags absent; MAGMOM and LDAU tags are tables by element and absent where unused.
    """
    generator = _on_a_probe(maker, [4.0, 4.0, 4.0])
    updates = {**generator._config_dict["INCAR"], **generator.incar_updates, **generator.user_incar_settings}
    if _takes_site_updates(maker):
        from atomate2 import SETTINGS

        updates |= SETTINGS.VASP_INCAR_UPDATES
    tags = {tag: value for tag, value in updates.items() if value is not None}
    unused = "MAGMOM" if tags.get("ISPIN", 1) == 1 else ""
    return {t: v for t, v in tags.items() if t != unused and (tags.get("LDAU") or not t.startswith("LDAU"))}


# How fast, what is written, and by which way the same numbers are reached; not which numbers come out.
_NOT_PHYSICS = {
    *("NCORE", "NPAR", "KPAR", "NSIM", "LPLANE", "LSCALU", "LSCALAPACK", "NWRITE", "SYSTEM"),
    *("LWAVE", "LCHARG", "LVTOT", "LVHAR", "LORBIT", "LELF", "LAECHG"),
    *("ALGO", "IALGO", "LDIAG", "LSUBROT", "ISTART", "NELM", "NELMIN", "NELMDL", "TIME", "ISEARCH"),
    *("AMIX", "BMIX", "AMIN", "AMIX_MAG", "BMIX_MAG", "IMIX", "INIMIX", "MAXMIX", "MIXPRE", "WC"),
    *("LMIXTAU", "LMAXMIX"),
}
# Custodian's repairs that leave the numbers alone: more bands than too few, and the whole mesh in place of its
# irreducible part. Asked for by a user, they stay part of the settings.
_HARMLESS_REPAIRS = {"NBANDS", "ISYM", "SYMPREC"}
_SELF_CONSISTENT = 10  # ICHARG below it says where to start, above it what to keep
_PROBES = ([4.0, 4.0, 4.0], [3.0, 5.5, 23.0])  # Å; two cells tell one mesh rule from another
_FLAGS = (
    *("auto_ismear", "auto_ispin", "auto_lreal", "auto_kspacing", "standardize", "reduce_structure"),
    *("constrain_total_magmom", "use_structure_charge"),
)


def vasp_settings(maker: Maker) -> dict[str, Any]:
    """All that decides a VASP Maker's numbers: INCAR tags, k-point rule, pseudopotentials. Plain JSON."""
    generator = maker.input_set_generator  # type: ignore[attr-defined]
    meshes = [_on_a_probe(maker, abc).kpoints for abc in _PROBES]
    return {
        "code": "VASP",
        "incar": deciding_tags(resolved_incar(maker)),
        "kpoints": [m and {"style": str(m.style), "kpts": np.asarray(m.kpts).tolist()} for m in meshes],
        "potcar_functional": generator.user_potcar_functional,
        "potcar": dict(generator._config_dict["POTCAR"]),
        "flags": {flag: getattr(generator, flag, None) for flag in _FLAGS},
    }


def deciding_tags(incar: Mapping[str, Any], mended: bool = False) -> dict[str, Any]:
    """INCAR tags that decide the numbers, with one spelling for each value.

    Parameters
    ----------
    incar
        Tag to value.
    mended
        Whether to leave out what custodian may change without harm (bands, use of symmetry).

    Returns
    -------
    dict
        The tags left.
    """
    idle = _NOT_PHYSICS | _HARMLESS_REPAIRS if mended else _NOT_PHYSICS
    tags = {tag: _canonical(value) for tag, value in incar.items() if tag not in idle}
    if not isinstance(tags.get("MAGMOM"), Mapping):
        tags.pop("MAGMOM", None)  # a table belongs to the engine, a list to the cell that has these moments
    if tags.get("ICHARG", _SELF_CONSISTENT) < _SELF_CONSISTENT:
        del tags["ICHARG"]
    return tags


def _canonical(value: Any) -> Any:
    """Make one value of VASP's several spellings: 600 and 600.0, Pe and PE."""
    if isinstance(value, str):
        return value.upper()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _takes_site_updates(maker: Maker) -> bool:
    """Whether VASP_INCAR_UPDATES of this machine's atomate2 settings reach the INCAR."""
    return bool(getattr(maker, "write_input_set_kwargs", {}).get("apply_incar_updates", True))


def _on_a_probe(maker: Maker, abc: list[float]) -> VaspInputGenerator:
    """Copy of the Maker's input set, holding a one-atom orthorhombic cell of silicon with these lengths (Å)."""
    from pymatgen.core import Lattice, Structure

    generator = copy.deepcopy(maker.input_set_generator)  # type: ignore[attr-defined]
    generator.structure = Structure(Lattice(np.diag(abc)), ["Si"], [[0, 0, 0]])
    return generator
