"""Replay: cells that the first model labels, made once a campaign by the job that needs them first.

They follow from that model, the seeds, the campaign's seed and `ReplayParams`. They are no entries
of the ledger: the engine has not labelled them, so they are in no statistics and in no split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Structure

from entropy_flows.digest import digest
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.replay_cells import ReplaySource
from entropy_flows.potentials import load_batch_model, load_many
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train.align import energy_shifts, moved
from entropy_flows.train.params import TrainParams


@dataclass(frozen=True)
class Replay:
    """The replay cells that belong to a campaign and a recipe.

    Parameters
    ----------
    store
        The campaign.
    context
        Constants of the iteration.
    recipe
        Recipe of the training, whose `replay` says which cells there are.
    """

    store: CampaignStore
    context: IterationContext
    recipe: TrainParams

    @property
    def model(self) -> str:
        """Reference of the model that labels: the one that the first training starts from."""
        return self.store.first_trained_from()

    @property
    def replay_hash(self) -> str:
        """Hash of all that the cells follow from, beside the seeds."""
        assert self.recipe.replay is not None
        return digest([self.model, self.context.seed, self.recipe.replay.cells_as_dict()])

    def make(self, seeds: Mapping[str, Structure]) -> None:
        """Make the cells, unless they are there or none are wanted.

        A job that is killed has stored nothing, and makes the same cells when it is run again.

        Parameters
        ----------
        seeds
            Phase → seed cell.
        """
        params = self.recipe.replay
        if params is None or self.store.replay(self.replay_hash) is not None:
            return
        model = load_batch_model(self.store.fetch_model(self.model), device=settings().device)
        source = ReplaySource(self.context, seeds, params, model, self.model)
        cells = source.cells()
        self.store.save_replay(
            self.replay_hash,
            model=self.model,
            seed=self.context.seed,
            params=params.cells_as_dict(),
            cells=cells,
            refused=[f"{count} × {reason}" for reason, count in source.refused.items()],
        )

    def frames(self, held_out: bool) -> list[Atoms]:
        """Return the cells with the first model's labels; none if they were not made.

        Parameters
        ----------
        held_out
            True for those that are measured on, False for those that may be trained on.
        """
        if self.recipe.replay is None:
            return []
        document = self.store.replay(self.replay_hash)
        cells = [] if document is None else document["cells"]
        return [replay_frame(cell) for cell in cells if cell["held_out"] == held_out]

    def training_cells(self, train: Sequence[Atoms]) -> list[Atoms]:
        """Return the cells to train on, on the zero of the labels; none with a weight of 0.

        Parameters
        ----------
        train
            The labelled training cells, which the zero is fitted to.

        Raises
        ------
        ValueError
            If they are to be trained on, and there is none.
        """
        if self.recipe.replay_weight == 0.0:
            return []
        frames = self.frames(held_out=False)
        if not frames:
            document = self.store.replay(self.replay_hash) or {}
            reasons = "; ".join(document.get("refused", [])) or "none was asked for"
            raise ValueError(f"train.replay has a weight, but no cell: {reasons}")
        shifts = self._shifts(train)
        return [moved(atoms, shifts) for atoms in frames]

    def _shifts(self, train: Sequence[Atoms]) -> dict[str, float]:
        """Return δ (eV) by element, as a training of the first model fits it."""
        if not self.recipe.align_energies:
            return {}
        calculator = load_many(self.store.fetch_model(self.model), device=settings().device)
        return energy_shifts(train, calculator)


def replay_frame(cell: Mapping[str, Any]) -> Atoms:
    """Return a stored cell with its label, its kind in `info`."""
    atoms = Atoms(cell["numbers"], cell["positions"], cell=cell["cell"], pbc=True)
    atoms.info["kind"] = cell["kind"]
    results = {name: cell[name] for name in ("energy", "forces", "stress")}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
