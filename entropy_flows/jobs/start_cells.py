"""The cells that an exploration's runs start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.explore import (
    EquationOfState,
    Run,
    UnboundPhaseError,
    equation_of_state,
    prescale,
)
from entropy_flows.geometry import cell_hash, to_atoms
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.vacuum import vacuum_of


class StartCells:
    """Starting cells: seeds at the volume that stands for their pressure.

    Equations of state are fitted once a campaign, by the first job that needs them; they are in the
    campaign's documents.

    Parameters
    ----------
    store
        The campaign.
    seeds
        Phase → seed cell.
    model
        Reference of the model of the equations of state.
    load_model
        Loads that model, where an equation is not there yet.
    """

    def __init__(
        self,
        store: CampaignStore,
        seeds: Mapping[str, Structure],
        model: str,
        load_model: Callable[[], BatchModel],
    ):
        self.store = store
        self.seeds = seeds
        self.model = model
        self.load_model = load_model
        self.equations: dict[str, EquationOfState] = {}

    @classmethod
    def of_campaign(
        cls, store: CampaignStore, seeds: Mapping[str, Structure], model: str, loaded: BatchModel
    ) -> Self:
        """Use the equations of state of the campaign's base model in each iteration.

        So a pressure is the same volume in each of them. A model that has just learned from
        far-away cells may be wrong at the crystals' own minima.

        Parameters
        ----------
        store, seeds
            The campaign, and phase → seed cell.
        model, loaded
            Reference of a model that is loaded already, and that model.
        """
        base = store.model(0)
        reference = model if base is None else str(base["reference"])

        def load_model() -> BatchModel:
            if reference == model:
                return loaded
            return load_batch_model(store.fetch_model(reference), device=settings().device)

        return cls(store, seeds, reference, load_model)

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
        """Return a phase's equation of state, unless its cell has a vacuum.

        Raises
        ------
        UnboundPhaseError
            If the model does not bind the phase.
        ValueError
            If the cell has a vacuum.
        """
        if phase not in self.equations:
            vacuum = vacuum_of(to_atoms(self.seeds[phase]))
            if vacuum is not None:
                raise ValueError(
                    f"phase {phase!r} is {vacuum}: no volume of its cell stands for a pressure"
                )
            row = self._stored(phase)
            if row["reason"] is not None:
                raise UnboundPhaseError(row["reason"])
            self.equations[phase] = EquationOfState(row["volume"], row["bulk_modulus"])
        return self.equations[phase]

    def fitted(self) -> dict[str, dict[str, float]]:
        """Return volume (Å³/atom) and bulk modulus (GPa) of each phase that was asked for."""
        return {phase: equation.as_dict() for phase, equation in self.equations.items()}

    def _stored(self, phase: str) -> Mapping[str, Any]:
        """Return the document of a phase's equation of state, which is fitted if there is none."""
        seed = self.seeds[phase]
        name = cell_hash(seed)
        row = self.store.equation(self.model, name)
        if row is not None:
            return row
        fit: dict[str, float | str | None]
        try:
            fit = {**equation_of_state(to_atoms(seed), self.load_model()).as_dict(), "reason": None}
        except UnboundPhaseError as err:
            # the search for a minimum is the longest where there is none
            fit = {"volume": None, "bulk_modulus": None, "reason": str(err)}
        # another job may have written it meanwhile: all jobs go on with what is there
        return self.store.save_equation(self.model, name, phase=phase, **fit)
