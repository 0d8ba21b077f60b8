"""INCAR tags of spin polarisation and of Dudarev's +U, and their tables by element.

    E = E_DFT + Σ_i U_eff/2 Tr(n_i − n_i²)        U_eff = U − J, LDAUTYPE = 2 (Dudarev 1998)

n_i is the density matrix of the states with quantum number l of atom i. VASP takes U, J and l
species by species, in the order of POSCAR; pymatgen makes these lists of the tables, cell by cell,
and leaves LDAU out of a cell in which no element has a U.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pymatgen.core import Element

_ORBITALS = {"s": 0, "p": 1, "d": 2, "f": 3}


def spin_tags(polarised: bool) -> dict[str, Any]:
    """Return the tags for a calculation with spin, or without; None removes a tag.

    LORBIT = 10 prints the moments of the atoms.
    """
    return (
        {"ISPIN": 2, "LORBIT": 10} if polarised else {"ISPIN": None, "MAGMOM": None, "LORBIT": None}
    )


def hubbard_tags(on: bool) -> dict[str, Any]:
    """Return the tags for a calculation with U, or without; None removes a tag.

    U needs LASPH, as meta-GGAs do.
    """
    if on:
        return {"LDAU": True, "LDAUTYPE": 2, "LASPH": True}
    return dict.fromkeys(("LDAU", "LDAUJ", "LDAUL", "LDAUU", "LDAUTYPE"))


def hubbard_tables(hubbard_u: Mapping[str, float], user_table: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables by element; atomate2's are by anion, for oxides and fluorides alone.

    Parameters
    ----------
    hubbard_u
        U_eff (eV) by element.
    user_table
        The user's own LDAUU, by element ({Ni: 6.2}) or by anion ({O: {Ni: 6.2}}).

    Returns
    -------
    dict
        LDAUU, LDAUJ and LDAUL; empty, if there is no U: atomate2's tables then stay.
    """
    elements = {*hubbard_u, *_elements(user_table)}
    if not elements:
        return {}
    orbitals = {symbol: correlated_orbital(symbol) for symbol in sorted(elements)}
    return {"LDAUU": dict(hubbard_u), "LDAUJ": {}, "LDAUL": orbitals}


def correlated_orbital(symbol: str) -> int:
    """Return the quantum number l of the states that U acts on.

    These are f states of lanthanides and actinides, d states of transition metals, else p states.
    """
    element = Element(symbol)
    return _ORBITALS["f" if element.is_lanthanoid or element.is_actinoid else element.block]


def _elements(table: Mapping[str, Any]) -> Iterator[str]:
    for symbol, value in table.items():
        yield from value if isinstance(value, Mapping) else (symbol,)
