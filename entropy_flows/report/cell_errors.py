"""Errors of single cells, from what the evaluation stored: no model is loaded.

    cell_errors(store)             all cells, by the last evaluation
    cell_errors(store, iteration)  those of the last evaluation of one iteration
    stored_parities(store)         the first model and the one in use beside the labels, for plots

A held-out cell has three predictions: by the `first` model of the campaign (the student, or the
base model), and by those `before` and `after` the iteration's training. In iteration 1 the first
two are one. A cell that the model was trained on or stopped by has the last alone: its error says
what the model could not learn, and nothing of what it does elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from entropy_flows.conventions import GPA
from entropy_flows.evaluate.errors import Parity
from entropy_flows.store.labels import CONDITION

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore

Role = Literal["first", "before", "after"]


@dataclass(frozen=True)
class CellPrediction:
    """Prediction of one model for one cell, and its difference from the label."""

    energy: float
    """Predicted energy, eV/atom."""
    energy_error: float
    """Predicted less labelled energy, eV/atom."""
    forces_mae: float
    """Mean |error| of the force components, eV/Å."""
    stress_mae: float | None
    """Mean |error| of the stress components, GPa; None without a stress."""


@dataclass(frozen=True)
class CellErrors:
    """A cell: what it is, its label, and what models predict."""

    key: str
    """Key of the entry of the ledger."""
    position: int
    """Its position in the ledger."""
    n_atoms: int
    """Number of atoms."""
    energy: float
    """Labelled energy, eV/atom."""
    phase: str | None
    """Phase that it was explored from; like the next three, None if it has none."""
    temperature: float | None
    """Temperature of the thermostat, K."""
    k: float | None
    """Strength of the bias, eV."""
    pressure: float | None
    """Nominal pressure, GPa."""
    first: CellPrediction | None
    """By the model that the first training started from; None for a cell that was not held out."""
    before: CellPrediction | None
    """By the model before the iteration's training; None likewise."""
    after: CellPrediction
    """By the model after it."""


def cell_errors(store: CampaignStore, iteration: int | None = None) -> list[CellErrors]:
    """Return the errors of the held-out cells, and then of those that the model knows.

    Parameters
    ----------
    store
        The campaign.
    iteration
        Iteration whose evaluation counts; None takes the last one. Of a model that was trained
        again it is the last version.

    Returns
    -------
    list of CellErrors
        Each of both in the ledger's order; empty if nothing was evaluated.
    """
    document = store.predictions(iteration)
    if document is None:
        return []
    cells = predicted_cells(document)
    conditions = store.conditions([cell["key"] for cell in cells])
    return [errors_of(cell, conditions.get(cell["key"], {})) for cell in cells]


def predicted_cells(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of a document of `predictions`, those of held-out cells first."""
    return [*document["cells"], *document.get("known_cells", ())]


def stored_parities(store: CampaignStore) -> tuple[Parity, Parity] | None:
    """Return labels and predictions of the campaign's first model and of the one in use.

    Both are of the test cells of the last evaluation, with its force components. The model in use
    is the one that this evaluation decided for.

    Returns
    -------
    tuple of Parity, or None
        None if nothing was evaluated, or without held-out cells.
    """
    document = store.predictions()
    if document is None or not document["cells"]:
        return None
    return parity_of(document, "first"), parity_of(document, role_in_use(store, document))


def role_in_use(store: CampaignStore, document: Mapping[str, Any]) -> Role:
    """Return which of an evaluation's models the campaign has gone on from."""
    in_use = store.model_in_use()
    if in_use is not None and in_use["reference"] == document["models"]["before"]:
        return "before"
    return "after"


def parity_of(document: Mapping[str, Any], role: Role) -> Parity:
    """Return labels and predictions of one model, of a document of `predictions`.

    Forces are those components that were kept, stresses those of cells that have both.
    """
    cells = document["cells"]
    energies = [[cell["energy"] for cell in cells], [cell[role]["energy"] for cell in cells]]
    stressed = [
        (cell["stress"], cell[role]["stress"])
        for cell in cells
        if cell["stress"] is not None and cell[role]["stress"] is not None
    ]
    stress = None
    if stressed:
        labels, predicted = zip(*stressed, strict=True)
        stress = np.array([np.ravel(labels), np.ravel(predicted)])
    forces = np.array([document["forces"]["label"], document["forces"][role]])
    return Parity(energy=np.array(energies), forces=forces, stress=stress)


def errors_of(cell: Mapping[str, Any], condition: Mapping[str, Any]) -> CellErrors:
    """Read the errors of one row of `predictions`, given its phase, temperature, k and pressure."""
    return CellErrors(
        key=cell["key"],
        position=cell["position"],
        n_atoms=cell["n_atoms"],
        energy=cell["energy"],
        first=_prediction(cell, "first") if "first" in cell else None,
        before=_prediction(cell, "before") if "before" in cell else None,
        after=_prediction(cell, "after"),
        **{name: condition.get(name) for name in CONDITION},
    )


def _prediction(cell: Mapping[str, Any], role: Role) -> CellPrediction:
    predicted = cell[role]
    stress_mae = None
    if cell["stress"] is not None and predicted["stress"] is not None:
        difference = np.subtract(predicted["stress"], cell["stress"])
        stress_mae = float(np.mean(np.abs(difference)) * GPA)
    return CellPrediction(
        energy=predicted["energy"],
        energy_error=predicted["energy"] - cell["energy"],
        forces_mae=predicted["forces_mae"],
        stress_mae=stress_mae,
    )
