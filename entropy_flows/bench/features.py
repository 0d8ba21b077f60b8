"""Seventeen features of a crystal in the manner of Khan 2026: eight of its composition, nine statistics of properties.

    mean m = Σ_k x_k p_k,   std [Σ_k x_k (p_k − m)²]^½,   range max p_k − min p_k      over elements k with fraction x_k

The paper names the numbers 8 and 9 and what they are about, not the features. These are public
values alone (pymatgen's elements) and the cell's volume; nothing that is an energy is among them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pymatgen.core import Element, Structure


def features(structure: Structure) -> dict[str, float]:
    """Name → value, in a fixed order.

    Raises
    ------
    ValueError
        If an element has no Pauling electronegativity or atomic radius.
    """
    fractions = structure.composition.get_el_amt_dict()
    total = sum(fractions.values())
    elements = {Element(symbol): amount / total for symbol, amount in fractions.items()}
    x = np.array(list(elements.values()))
    property_of = {
        name: {element: _value(element, name) for element in elements}
        for name in ("Z", "atomic_mass", "X", "atomic_radius", "mendeleev_no")
    }
    number, mass, negativity, radius, mendeleev = (
        _statistics(values, x) for values in property_of.values()
    )
    radii = np.array(list(property_of["atomic_radius"].values()))
    packed = 4 / 3 * np.pi * float(x @ radii**3) * len(structure) / structure.volume
    return {
        "n_elements": float(len(elements)),
        "largest_fraction": float(x.max()),
        "smallest_fraction": float(x.min()),
        "mixing_entropy": float(-(x * np.log(x)).sum()),
        "mean_number": number["mean"],
        "std_number": number["std"],
        "mean_mass": mass["mean"],
        "std_mass": mass["std"],
        "mean_electronegativity": negativity["mean"],
        "std_electronegativity": negativity["std"],
        "range_electronegativity": negativity["range"],
        "mean_radius": radius["mean"],
        "std_radius": radius["std"],
        "mean_mendeleev": mendeleev["mean"],
        "volume_per_atom": structure.volume / len(structure),
        "density": float(structure.density),
        "packing": packed,
    }


def _statistics(values: Mapping[Element, float], x: np.ndarray) -> dict[str, float]:
    p = np.array(list(values.values()))
    mean = float(x @ p)
    return {"mean": mean, "std": float(np.sqrt(x @ (p - mean) ** 2)), "range": float(np.ptp(p))}


def _value(element: Element, name: str) -> float:
    value = getattr(element, name)
    if value is None or not np.isfinite(float(value)):
        raise ValueError(
            f"{element.symbol} has {name} {value}; features need a number for each element"
        )
    return float(value)
