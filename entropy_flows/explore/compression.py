"""The equation of state of a phase on the model, and the volume that stands for a pressure.

    V(P) = V0 (1 - P / B0)                         (Wang 2026, section 3.1.1)
    V(P) = V0 (1 + B' P / B0)^(-1/B'),  B' = 4     (Murnaghan; where a relaxation follows)

V0, B0  equilibrium volume per atom (Å³) and bulk modulus (GPa) on the base model, by a
        Birch-Murnaghan fit of its energies
P       nominal pressure (GPa); the realised one is what the label's stress says
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from ase import Atoms

from entropy_flows.batch import Batch
from entropy_flows.equilibrium import BirchMurnaghan
from entropy_flows.geometry import scaled_to_volume
from entropy_flows.potentials import BatchModel


@dataclass(frozen=True)
class EquationOfState:
    """Equilibrium volume per atom (Å³) and bulk modulus (GPa) of one phase on one model."""

    volume: float
    bulk_modulus: float

    def as_dict(self) -> dict[str, float]:
        """Return both as plain data."""
        return asdict(self)


class UnboundPhaseError(ValueError):
    """A model's energy has no minimum near a phase's cell."""


def equation_of_state(
    atoms: Atoms, model: BatchModel, strain: float = 0.06, points: int = 9, attempts: int = 6
) -> EquationOfState:
    """Fit Birch-Murnaghan to energies of isotropically scaled cells.

    The window of volumes moves until it holds the minimum.

    Parameters
    ----------
    atoms
        Seed cell; not changed.
    model
        Model whose energies are fitted.
    strain
        Half width of the window in volume, as a fraction.
    points
        Energies per window.
    attempts
        Windows tried before giving up.

    Raises
    ------
    UnboundPhaseError
        If no minimum is found: the model does not bind this phase.
    """
    start = atoms.get_volume()
    centre = start
    for _ in range(attempts):
        volumes = centre * np.linspace(1 - strain, 1 + strain, points)
        cells = [scaled_to_volume(atoms, volume) for volume in volumes]
        energies = model(Batch.of(cells, model.device)).energy.tolist()
        lowest = int(np.argmin(energies))
        if 0 < lowest < points - 1:
            fit = BirchMurnaghan.fit(volumes, energies)
            if fit.bulk_modulus > 0 and volumes[0] <= fit.volume <= volumes[-1]:
                return EquationOfState(fit.volume / len(atoms), fit.bulk_modulus)
        centre = volumes[lowest]
    raise UnboundPhaseError(
        f"no equation of state for {atoms.get_chemical_formula()}: "
        f"the model's energy has no minimum "
        f"between {volumes[0] / len(atoms):.2f} and {volumes[-1] / len(atoms):.2f} Å³/atom "
        f"(started at {start / len(atoms):.2f})"
    )


def prescale(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """Return a copy of the cell at V(P) = V0 (1 - P/B0), with the same fractional coordinates.

    Raises
    ------
    ValueError
        If the linear estimate leaves less than 40 % of V0: the formula has nothing to say there.
    """
    fraction = 1 - pressure / eos.bulk_modulus
    if fraction < 0.4:
        raise ValueError(
            f"pressure {pressure:g} GPa is too high for V0 (1 - P/B0) with "
            f"B0 = {eos.bulk_modulus:.0f} GPa; "
            f"the highest usable is {0.6 * eos.bulk_modulus:.0f} GPa"
        )
    return scaled_to_volume(atoms, eos.volume * len(atoms) * fraction)


def compressed(atoms: Atoms, pressure: float, eos: EquationOfState) -> Atoms:
    """Return a copy of the cell near its volume at any pressure, where a relaxation starts.

    Fractional coordinates stay.
    """
    stiffening = 4.0
    base = max(1 + stiffening * pressure / eos.bulk_modulus, 0.5)
    return scaled_to_volume(atoms, eos.volume * len(atoms) * base ** (-1 / stiffening))
