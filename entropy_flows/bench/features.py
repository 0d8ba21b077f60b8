"""Seventeen features of a crystal in the manner of Khan 2026.

Eight are of its composition, nine are statistics of its elements' properties:

    mean m = Σ_k x_k p_k,   std [Σ_k x_k (p_k − m)²]^½,   range max p_k − min p_k

over the elements k with fraction x_k. The paper names the numbers 8 and 9 and their subjects, not
the features. These are public values alone (pymatgen's elements) and the cell's volume. None of
them is an energy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pymatgen.core import Element, Structure

from entropy_flows.conventions import Array


def features(structure: Structure) -> dict[str, float]:
    """Compute the features by name, in a fixed order.

    Raises
    ------
    ValueError
        If an element has no Pauling electronegativity or atomic radius.
    """
    amounts = structure.composition.get_el_amt_dict()
    total = sum(amounts.values())
    x = np.array([amount / total for amount in amounts.values()])
    elements = [Element(symbol) for symbol in amounts]
    number = _statistics(_values(elements, "Z"), x)
    mass = _statistics(_values(elements, "atomic_mass"), x)
    electronegativity = _statistics(_values(elements, "X"), x)
    radii = _values(elements, "atomic_radius")
    mendeleev = _statistics(_values(elements, "mendeleev_no"), x)
    sphere_volume = 4 / 3 * np.pi * float(x @ radii**3) * len(structure)
    return {
        "n_elements": float(len(elements)),
        "largest_fraction": float(x.max()),
        "smallest_fraction": float(x.min()),
        "mixing_entropy": float(-(x * np.log(x)).sum()),
        "mean_number": number["mean"],
        "std_number": number["std"],
        "mean_mass": mass["mean"],
        "std_mass": mass["std"],
        "mean_electronegativity": electronegativity["mean"],
        "std_electronegativity": electronegativity["std"],
        "range_electronegativity": electronegativity["range"],
        "mean_radius": _statistics(radii, x)["mean"],
        "std_radius": _statistics(radii, x)["std"],
        "mean_mendeleev": mendeleev["mean"],
        "volume_per_atom": structure.volume / len(structure),
        "density": float(structure.density),
        "packing": sphere_volume / structure.volume,
    }


def _statistics(values: Array, x: Array) -> Mapping[str, float]:
    """Compute mean, standard deviation and range of a property; x are the fractions."""
    mean = float(x @ values)
    std = float(np.sqrt(x @ (values - mean) ** 2))
    return {"mean": mean, "std": std, "range": float(np.ptp(values))}


def _values(elements: list[Element], name: str) -> Array:
    """Return a property of each element."""
    return np.array([_value(element, name) for element in elements])


def _value(element: Element, name: str) -> float:
    value = getattr(element, name)
    if value is None or not np.isfinite(float(value)):
        raise ValueError(
            f"{element.symbol} has {name} {value}; features need a number for each element"
        )
    return float(value)
