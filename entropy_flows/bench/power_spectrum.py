"""Smooth power spectra of atoms' surroundings by featomic, on their principal directions.

    p_i = Uᵀ q_i                                                                                 (1)

q_i is the SOAP power spectrum of atom i: products of a density's expansion, one block for each
pair of neighbours' elements. It is invariant and smooth, and ∂q_i/∂r_j is exact. U holds the
directions of largest variance about 0, so that p·p′ is nearly q·q′: one U for each element of the
central atom.

=======  ==========================================================================================
symbol   meaning
=======  ==========================================================================================
q_i      power spectrum (F,) of atom i
U        `directions[element]` (F, d), orthonormal columns
p_i      (d,)
=======  ==========================================================================================

(Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115, 2013.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from entropy_flows.bench.params import PowerSpectrumParams
from entropy_flows.conventions import Array

MISSING = (
    "the students linear and gp need featomic, which is not installed: "
    "pip install 'entropy_flows[students]'"
)
PAIR = ("neighbor_1_type", "neighbor_2_type")
"""featomic's names of the elements of a pair of neighbours."""
SAMPLE_ATOMS = 1500
"""Atoms of an element of which the principal directions are taken."""
SMALLEST_SHARE = 1e-9
"""Directions with a smaller share of the largest variance are left out."""
SEED = 0
"""Seed of the sample, which does not vary with a benchmark's seeds: labels have no part in it."""


@dataclass(frozen=True)
class Surroundings:
    """The atoms of one element in a cell.

    Attributes
    ----------
    element
        Atomic number.
    values
        p (n, d).
    atoms
        Number of each in its cell (n,).
    centres, movers
        Which row of `values` (P,) changes with which atom of the cell (P,); None without
        gradients.
    gradients
        ∂p/∂r (P, 3, d) of those pairs; None without gradients.
    """

    element: int
    values: Array
    atoms: NDArray[np.intp]
    centres: NDArray[np.intp] | None = None
    movers: NDArray[np.intp] | None = None
    gradients: Array | None = None


class PowerSpectrum:
    """Power spectra of cells, of some elements.

    Parameters
    ----------
    params
        Cutoff, basis and number of directions.
    frames
        Cells of which a sample gives the directions.

    Attributes
    ----------
    elements
        Atomic numbers, rising.
    directions
        Element → U.
    sample
        Element → p (n, d) of the sampled atoms.
    """

    def __init__(self, params: PowerSpectrumParams, frames: Sequence[Atoms]) -> None:
        try:
            from featomic import SoapPowerSpectrum
        except ImportError:
            raise ValueError(MISSING) from None

        self.params = params
        self.elements = sorted({int(z) for atoms in frames for z in atoms.numbers})
        self._calculator = SoapPowerSpectrum(**_hypers(params))
        self._pairs = [(a, b) for a in self.elements for b in self.elements if a <= b]
        self._dim = len(self._pairs) * params.radial**2 * (params.angular + 1)
        self.directions: dict[int, Array] = {}
        self.sample: dict[int, Array] = {}
        for element, rows in self._sampled(frames).items():
            moments = rows.T @ rows
            values, vectors = np.linalg.eigh(moments)
            order = np.argsort(values)[::-1][: params.directions]
            order = order[values[order] > SMALLEST_SHARE * values[-1]]
            self.directions[element] = vectors[:, order].astype(np.float32)
            self.sample[element] = rows @ vectors[:, order]

    def __call__(self, atoms: Atoms, gradients: bool) -> Iterator[Surroundings]:
        """Yield the atoms of each element that a cell has."""
        for element, block in self._blocks(atoms, gradients):
            directions = self.directions[element][self._rows(block)]
            values = np.asarray(block.values, dtype=np.float64) @ directions
            members = np.asarray(block.samples.column("atom"), dtype=np.intp)
            if not gradients:
                yield Surroundings(element, values, members)
                continue
            gradient = block.gradient("positions")
            changes = np.asarray(gradient.values, dtype=np.float32) @ directions
            centres = np.asarray(gradient.samples.column("sample"), dtype=np.intp)
            movers = np.asarray(gradient.samples.column("atom"), dtype=np.intp)
            yield Surroundings(element, values, members, centres, movers, changes)

    def _blocks(self, atoms: Atoms, gradients: bool) -> Iterator[tuple[int, Any]]:
        """Yield element and power spectra, of the pairs of elements that the cell has."""
        quantities = ["positions"] if gradients else []
        cell = _as_featomic_takes_it(atoms, self.params.cutoff)
        spectra = self._calculator.compute(cell, gradients=quantities)
        for key, block in spectra.keys_to_properties(list(PAIR)).items():
            yield int(key["center_type"]), block

    def _rows(self, block: Any) -> NDArray[np.intp]:
        """Return where a block's properties are in q, which has all pairs of elements."""
        size = self.params.radial**2 * (self.params.angular + 1)
        pairs = np.column_stack([block.properties.column(name) for name in PAIR])[::size]
        numbers = [self._pairs.index((int(a), int(b))) for a, b in pairs]
        return (np.array(numbers)[:, None] * size + np.arange(size)).ravel()

    def _sampled(self, frames: Sequence[Atoms]) -> dict[int, Array]:
        """Return element → q of about `SAMPLE_ATOMS` atoms, of cells in random order."""
        rng = np.random.default_rng([SEED, len(frames)])
        rows: dict[int, list[Array]] = {element: [] for element in self.elements}
        counts = dict.fromkeys(self.elements, 0)
        for index in rng.permutation(len(frames)):
            missing = {z for z in self.elements if counts[z] < SAMPLE_ATOMS}
            if not missing:
                break
            if missing.isdisjoint(frames[index].numbers.tolist()):
                continue
            for element, block in self._blocks(frames[index], gradients=False):
                spectrum = np.zeros((len(block.values), self._dim))
                spectrum[:, self._rows(block)] = block.values
                rows[element].append(spectrum)
                counts[element] += len(block.values)
        return {element: np.concatenate(blocks) for element, blocks in rows.items()}


def _hypers(params: PowerSpectrumParams) -> dict[str, Any]:
    """Return the parameters in featomic's words."""
    radial = {"type": "Gto", "max_radial": params.radial - 1}
    return {
        "cutoff": {
            "radius": params.cutoff,
            "smoothing": {"type": "ShiftedCosine", "width": params.smoothing},
        },
        "density": {"type": "Gaussian", "width": params.width},
        "basis": {"type": "TensorProduct", "max_angular": params.angular, "radial": radial},
    }


def _as_featomic_takes_it(atoms: Atoms, cutoff: float) -> Atoms:
    """Leave empty space where a cell does not repeat: featomic wants all directions or none."""
    if atoms.pbc.all() or not atoms.pbc.any():
        return atoms
    cell = atoms.copy()
    cell.center(vacuum=cutoff, axis=tuple(np.flatnonzero(~atoms.pbc)))
    cell.pbc = True
    return cell
