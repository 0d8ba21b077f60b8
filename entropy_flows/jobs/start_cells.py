"""The cells that an exploration's runs start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.explore import EquationOfState, Run, equation_of_state, prescale
from entropy_flows.geometry import to_atoms
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.vacuum import vacuum_of


class StartCells:
    """Starting cells: seeds at the volume that stands for their pressure.

    Parameters
    ----------
    seeds
        Phase → seed cell.
    model
        Model of the equations of state: the campaign's base model, so that a pressure is the same
        volume in each iteration. A model that has just learned from far-away cells may be wrong at
        the crystals' own minima.
    """

    def __init__(self, seeds: Mapping[str, Structure], model: BatchModel):
        self.seeds = seeds
        self.model = model
        self.equations: dict[str, EquationOfState] = {}

    @classmethod
    def of_campaign(
        cls, store: CampaignStore, seeds: Mapping[str, Structure], model: str, loaded: BatchModel
    ) -> Self:
        """Use the campaign's base model, which is loaded if it is not `model`, loaded already."""
        base = store.model(0)
        if base is None or base["reference"] == model:
            return cls(seeds, loaded)
        source = store.fetch_model(base["reference"])
        return cls(seeds, load_batch_model(source, device=settings().device))

    def __call__(self, run: Run) -> Atoms:
        """Build the cell that a run starts from; one with a vacuum starts as it is.

        Raises
        ------
        ValueError
            If the model does not bind the phase, the pressure is too high, or a cell with a vacuum
            has a pressure.
        """
        condition = run.condition
        atoms = to_atoms(self.seeds[condition.phase])
        if condition.pressure == 0 and vacuum_of(atoms) is not None:
            return atoms
        return prescale(atoms, condition.pressure, self.equation_of(condition.phase))

    def equation_of(self, phase: str) -> EquationOfState:
        """Return a phase's equation of state, fitted once, unless its cell has a vacuum."""
        if phase not in self.equations:
            atoms = to_atoms(self.seeds[phase])
            vacuum = vacuum_of(atoms)
            if vacuum is not None:
                raise ValueError(
                    f"phase {phase!r} is {vacuum}: no volume of its cell stands for a pressure"
                )
            self.equations[phase] = equation_of_state(atoms, self.model)
        return self.equations[phase]

    def fitted(self) -> dict[str, dict[str, float]]:
        """Return volume (Å³/atom) and bulk modulus (GPa) of each phase that was fitted."""
        return {
            phase: {"volume": equation.volume, "bulk_modulus": equation.bulk_modulus}
            for phase, equation in self.equations.items()
        }
