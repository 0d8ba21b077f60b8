"""Errors of a model against labels.

    MAE = ⟨|x' - x|⟩,   RMSE = ⟨(x' - x)²⟩^½,   R² = 1 - Σ (x' - x)² / Σ (x - ⟨x⟩)²

x   label, x' prediction: the energy per atom of a cell (eV/atom), a force component (eV/Å), or a
    stress component (eV/Å³, Voigt order)
⟨·⟩ average over cells, over all components of all atoms, or over six components of all cells
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.potentials import evaluate_ahead

MAE_NAMES = {"energy_mae": ("energy MAE", "meV/atom"), "forces_mae": ("force MAE", "meV/Å")}
"""Error → its name and its unit in sentences."""


@dataclass(frozen=True)
class Errors:
    """Errors over a set of cells.

    Those of the stress are None if a label or the model has no stress.
    """

    n: int
    """Number of cells."""
    energy_mae: float
    """MAE of the energy, eV/atom."""
    energy_rmse: float
    """RMSE of the energy, eV/atom."""
    energy_r2: float | None
    """R² of the energy; None if all labels are equal, here and below."""
    forces_mae: float
    """MAE of force components, eV/Å."""
    forces_rmse: float
    """RMSE of force components, eV/Å."""
    forces_r2: float | None
    """R² of force components."""
    stress_mae: float | None
    """MAE of stress components, eV/Å³."""
    stress_rmse: float | None
    """RMSE of stress components, eV/Å³."""
    stress_r2: float | None
    """R² of stress components."""

    def as_dict(self) -> dict[str, int | float | None]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Parity:
    """Labels and predictions side by side, for parity plots."""

    energy: np.ndarray
    """Labels and predictions, eV/atom, shape (2, cells)."""
    forces: np.ndarray
    """Components, eV/Å, shape (2, 3 × atoms of all cells)."""
    stress: np.ndarray | None
    """Components, eV/Å³, shape (2, 6 × cells with stress); None if no label or no model has one."""

    @property
    def errors(self) -> Errors:
        """Errors of the predictions."""
        values = {"n": self.energy.shape[1]}
        for name in ("energy", "forces", "stress"):
            mae, rmse, r2 = _statistics(getattr(self, name))
            values |= {f"{name}_mae": mae, f"{name}_rmse": rmse, f"{name}_r2": r2}
        return Errors(**values)

    @classmethod
    def joined(cls, parities: Sequence[Parity]) -> Parity:
        """Join the labels and predictions of several sets of cells.

        Parameters
        ----------
        parities
            At least one; those without a stress are left out of the stress.
        """
        stresses = [parity.stress for parity in parities if parity.stress is not None]
        return cls(
            energy=np.concatenate([parity.energy for parity in parities], axis=1),
            forces=np.concatenate([parity.forces for parity in parities], axis=1),
            stress=np.concatenate(stresses, axis=1) if stresses else None,
        )


def errors(frames: Sequence[Atoms], calculator: Calculator) -> Errors:
    """Compute the errors of a calculator on labelled cells.

    Parameters
    ----------
    frames
        Cells with energy, forces and maybe stress in a single-point calculator; they are not
        changed.
    calculator
        The model.

    Returns
    -------
    Errors
        Errors over all cells.
    """
    return parity(frames, calculator).errors


def parity(frames: Sequence[Atoms], calculator: Calculator) -> Parity:
    """Predict all cells, and put labels and predictions side by side.

    Parameters
    ----------
    frames, calculator
        As in `errors`.

    Returns
    -------
    Parity
        In the order of the cells.
    """
    if not frames:
        raise ValueError("no cells to compute errors on; expected at least one labelled cell")
    return Parity.joined(cell_parities(frames, calculator))


def cell_parities(frames: Sequence[Atoms], calculator: Calculator) -> list[Parity]:
    """Predict all cells, and put labels and predictions of each side by side.

    Parameters
    ----------
    frames, calculator
        As in `errors`.

    Returns
    -------
    list of Parity
        One of each cell, in their order; none without cells.
    """
    parities = []
    evaluate_ahead(calculator, frames)
    has_stress = "stress" in calculator.implemented_properties
    for label in frames:
        # A copy of the bare cell: the label stays in the calculator of the frame.
        predicted = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
        predicted.calc = calculator
        pair = (label, predicted)
        energies = [[atoms.get_potential_energy() / len(label)] for atoms in pair]
        stress = None
        if has_stress and label.calc.results.get("stress") is not None:
            stress = np.array([atoms.get_stress() for atoms in pair])
        parities.append(
            Parity(
                energy=np.array(energies, dtype=float),
                forces=np.array(
                    [atoms.get_forces(apply_constraint=False).ravel() for atoms in pair]
                ),
                stress=stress,
            )
        )
    return parities


def _statistics(pair: np.ndarray | None) -> tuple[float | None, float | None, float | None]:
    """Return MAE, RMSE and R²; None for each without values."""
    if pair is None:
        return None, None, None
    label, predicted = pair
    difference = predicted - label
    spread = float(np.sum((label - label.mean()) ** 2))
    r2 = 1.0 - float(np.sum(difference**2)) / spread if spread > 0.0 else None
    mae = float(np.mean(np.abs(difference)))
    return mae, float(np.sqrt(np.mean(difference**2))), r2
