r"""VASP single points of the papers as atomate2 input sets, for `StaticMaker`.

Silicon and NaCl are labelled with PBE, carbon with r²SCAN + rVV10. The plane-wave cutoff is 600 eV,
the Gaussian smearing 0.05 eV, and the electronic convergence 1e-6 eV. The stress is calculated, and
there is no spin polarisation unless it is asked for. The k points are an explicit mesh around Γ,

    N_i = max(1, ⌊ℓ/|a_i| + 1/2⌋)

    N_i   divisions along the i-th reciprocal vector
    ℓ     length, 40 Å by default
    |a_i| length of the i-th cell vector as given (Å), neither reduced nor standardised

which gives 7³ for conventional silicon and 11³ for conventional diamond.

atomate2's own static settings (PBEsol, spin-polarised, tetrahedra, 680 eV) are overridden tag by
tag; None removes a tag. What a user gives in `user_incar_settings` or `user_kpoints_settings` has
the last word. r²SCAN + rVV10 needs VASP's `vdw_kernel.bindat` in the run's directory before VASP
6.4.3.

With ISPIN = 2 (`spin`), MAGMOM is the initial moments of the cell's atoms, in their order; atoms of
a cell that has none get those of the table by element, pymatgen's or the user's. LORBIT = 10 has
the final ones written to OUTCAR. `hubbard_u` is U_eff = U − J of Dudarev's form (LDAUTYPE = 2), by
element and so by whatever order a cell has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from atomate2.vasp.sets.base import VaspInputGenerator
from pymatgen.io.vasp import Incar, Kpoints

from entropy_flows.label.magnetism import hubbard_tables, hubbard_tags, spin_tags
from entropy_flows.label.vasp_inputs import write_inputs
from entropy_flows.moments import moments_of

if TYPE_CHECKING:
    from pymatgen.core import Lattice

__all__ = ["PBEStaticSetGenerator", "R2SCANrVV10StaticSetGenerator", "kpoint_mesh", "write_inputs"]

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
    # Distorted cells converge slowly, and a failed label costs more than its last steps.
    "NELM": 200,
    "LCHARG": False,
    "LWAVE": False,
}
# atomate2's habits that change the physics or only fill the disk (projections, potentials, core
# densities).
_REMOVED: dict[str, None] = dict.fromkeys(
    ("KSPACING", "EDIFFG", "LVTOT", "LAECHG", "LELF", "LMIXTAU", "LASPH", "IVDW", "LDAUPRINT")
)


def kpoint_mesh(lattice: Lattice, length: float = 40.0) -> tuple[int, int, int]:
    """Return the divisions of the Γ-centred mesh for a cell; see the module's formula.

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
        U_eff (eV) by element, on its d states, or the f states of lanthanides and actinides, or the
        p states of elements of the main groups.
    **kwargs
        Whatever atomate2's `VaspInputGenerator` takes, such as `user_incar_settings`.
    """

    kpoint_length: float = 40.0
    auto_ismear: bool = False
    spin: bool = False
    hubbard_u: dict[str, float] = field(default_factory=dict)

    functional: ClassVar[dict[str, Any]] = {"GGA": "PE", "METAGGA": None, "ALGO": "Normal"}

    def __post_init__(self) -> None:
        """Replace atomate2's +U tables, for oxides and fluorides alone, by tables by element."""
        super().__post_init__()
        self._config_dict["INCAR"] |= hubbard_tables(
            self.hubbard_u, self.user_incar_settings.get("LDAUU") or {}
        )

    @property
    def is_spin_polarised(self) -> bool:
        """True if ISPIN is 2."""
        return self.user_incar_settings.get("ISPIN", 2 if self.spin else 1) == 2

    @property
    def has_hubbard_u(self) -> bool:
        """True if LDAU is on."""
        has_table = bool(self.hubbard_u or self.user_incar_settings.get("LDAUU"))
        return bool(self.user_incar_settings.get("LDAU", has_table))

    @property
    def incar_updates(self) -> dict[str, Any]:
        """Tags of the paper; None removes one of atomate2's."""
        magnetism = {**spin_tags(self.is_spin_polarised), **hubbard_tags(self.has_hubbard_u)}
        return {**_REMOVED, **_SINGLE_POINT, **self.functional, **magnetism}

    @property
    def incar(self) -> Incar:
        """The INCAR, with the tags that pymatgen leaves out or takes from elsewhere.

        IBRION and ISIF are said in static runs, too. The cell's own moments come before any table
        of MAGMOM.
        """
        incar = super().incar
        tags = {
            tag: _SINGLE_POINT[tag]
            for tag in ("IBRION", "ISIF")
            if tag not in self.user_incar_settings
        }
        assert self.structure is not None, "pymatgen sees to it"
        moments = moments_of(self.structure)
        if self.is_spin_polarised and moments is not None:
            tags["MAGMOM"] = moments.tolist()
        return Incar({**incar, **tags})

    @property
    def kpoints_updates(self) -> Kpoints:  # type: ignore[override]
        """The explicit mesh of the structure."""
        if self.structure is None:
            raise ValueError(
                "the k-point mesh depends on the cell: give the input set a structure first"
            )
        mesh = kpoint_mesh(self.structure.lattice, self.kpoint_length)
        kpoints = Kpoints.gamma_automatic(mesh)
        kpoints.comment = f"Gamma-centred, length {self.kpoint_length:g} A"
        return kpoints


@dataclass
class R2SCANrVV10StaticSetGenerator(PBEStaticSetGenerator):
    """r²SCAN + rVV10 single point (carbon); b = 11.95 and C = 0.0093 of the non-local part."""

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
