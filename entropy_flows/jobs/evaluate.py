"""The evaluation job: errors on held-out cells before and after a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

from entropy_flows.evaluate.committee import Committee
from entropy_flows.evaluate.errors import Parity, cell_parities, errors
from entropy_flows.evaluate.predictions import force_components, prediction_rows
from entropy_flows.evaluate.succession import compare
from entropy_flows.jobs.common import StageMaker, stage_job, training_of
from entropy_flows.jobs.context import IterationContext
from entropy_flows.jobs.forgetting import forgotten
from entropy_flows.jobs.replay import Replay
from entropy_flows.potentials import load_many
from entropy_flows.schemas import ContinuesDoc, EvaluateDoc, MemberDoc, TrainDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams
from entropy_flows.train.align import energy_shifts, moved

ZERO_CELLS = 64
"""Training cells that the zero of a model's energies is fitted to, at most."""
KNOWN_CELLS = 2000
"""Training cells whose errors are kept for the map, at most; by equal steps through them."""


@dataclass
class EvaluateMaker(StageMaker):
    """Compare the new model with the one it came from.

    Parameters
    ----------
    name
        Job name.
    """

    name: str = "evaluate"

    @stage_job(EvaluateDoc)
    def make(
        self,
        context: IterationContext,
        *,
        training: TrainDoc | None,
        parent: str,
        recipe: TrainParams,
        members: Sequence[MemberDoc | None] = (),
    ) -> EvaluateDoc:
        """Evaluate both models on the test cells so far, and decide which to go on from.

        The decision is by the validation cells: the test cells have no say in what becomes of a
        campaign.

        Parameters
        ----------
        context
            Constants of the iteration.
        training
            Document of the training; None if it failed.
        parent
            Reference of the model that was fine-tuned.
        recipe
            Recipe of the training. With `align_energies` the parent's energies are moved to the
            labels' zero first, as the training does. `continue_from` "better" goes on from the
            parent if the new model is worse, "latest" from the new one in any case.
        members
            Documents of a committee's further members, for which this job waits.

        Raises
        ------
        LostInputError
            If training left no model.
        """
        trained = training_of(training, "evaluate")
        store = CampaignStore.open(context.campaign)
        exclusions = store.training_exclusions(context.iteration)
        result = evaluate_models(store, context, parent, trained.model, recipe, exclusions)
        if members:
            test = store.frames(split="test", **_labels(context, exclusions))
            result.calibration = calibration(store, context.iteration, test)
        store.record(context.iteration, evaluate=result.model_dump())
        return result


def evaluate_models(
    store: CampaignStore,
    context: IterationContext,
    parent: str,
    model: str,
    recipe: TrainParams,
    exclusions: int,
    source: str | None = None,
    version: int = 1,
) -> EvaluateDoc:
    """Compare a model of an iteration with the one before it, and decide which to go on from.

    What both and the campaign's first model predict for each test cell is stored, and what the new
    one predicts for the cells that it knows.

    Parameters
    ----------
    store, context
        The campaign, and the constants of the iteration.
    parent, model
        References of the model before, and of the new one.
    recipe
        Recipe of the training.
    exclusions
        Number of rows of `exclusions` that count for the held-out cells.
    source
        What the new model is loaded from, if it is not in the database yet.
    version
        1 for the iteration's model; from 2 for one that was trained again.
    """
    labels = _labels(context, exclusions)
    train, val, test = (store.frames(split=name, **labels) for name in ("train", "val", "test"))
    old = load_many(store.fetch_model(parent), settings().device)
    new = load_many(source or store.fetch_model(model), settings().device)
    predictions = {"before": cell_parities(test, old), "after": cell_parities(test, new)}
    references = {"before": parent, "after": model}
    of_val = cell_parities(val, new)
    some = sampled(train, KNOWN_CELLS)
    trained_on = prediction_rows([*some, *val], {"after": [*cell_parities(some, new), *of_val]})
    keep_predictions(store, context.iteration, version, references, test, predictions, trained_on)
    zero_cells = train if recipe.align_energies else []
    validation_before = errors_on(on_models_zero(val, zero_cells, old), old)
    validation = _joined_errors(of_val)
    comparison = compare(validation_before, validation)
    keeps_parent = comparison.worse and recipe.continue_from == "better"
    replay = Replay(store, context, recipe).frames(held_out=True)
    return EvaluateDoc(
        iteration=context.iteration,
        before=_joined_errors(predictions["before"]),
        after=_joined_errors(predictions["after"]),
        validation=validation,
        validation_before=validation_before,
        continues=ContinuesDoc(
            model=parent if keeps_parent else model,
            iteration=store.model_iteration(parent) if keeps_parent else context.iteration,
            is_new=not keeps_parent,
            worse=comparison.worse,
            reason=comparison.text,
        ),
        forgotten={"before": forgotten(replay, old), "after": forgotten(replay, new)},
    )


def keep_predictions(
    store: CampaignStore,
    iteration: int,
    version: int,
    references: Mapping[str, str],
    test: Sequence[Atoms],
    predictions: Mapping[str, Sequence[Parity]],
    trained_on: Sequence[Mapping[str, Any]],
) -> None:
    """Store what models predict for test cells, and what the campaign's first model does.

    Parameters
    ----------
    store, iteration, version
        Which evaluation it is.
    references
        "before" and "after" → reference of the model.
    test
        The test cells.
    predictions
        "before" and "after" → labels and predictions of each cell.
    trained_on
        Rows of cells that the new model was trained on or stopped by.
    """
    first = store.first_trained_from()
    if first == references["before"]:
        of_first = predictions["before"]
    elif test:
        of_first = cell_parities(test, load_many(store.fetch_model(first), settings().device))
    else:
        of_first = []
    roles = {"first": of_first, **predictions}
    store.save_predictions(
        iteration,
        version,
        models={"first": first, **references},
        cells=prediction_rows(test, roles),
        known_cells=list(trained_on),
        forces=force_components(roles),
    )


def _joined_errors(parities: Sequence[Parity]) -> dict[str, Any]:
    """Return the errors over all cells; only {"n": 0} without any."""
    return Parity.joined(parities).errors.as_dict() if parities else {"n": 0}


def _labels(context: IterationContext, exclusions: int) -> dict[str, Any]:
    """Return the query of the labels that an iteration's models are compared on."""
    return {
        "engine_hash": context.engine_hash,
        "iteration": {"$lte": context.iteration},
        "exclusions": exclusions,
    }


def on_models_zero(
    frames: Sequence[Atoms], train: Sequence[Atoms], calculator: Calculator
) -> list[Atoms]:
    """Return labelled cells with their energies moved to the zero of a model.

    The model has the errors on them that it would have on the cells themselves, with its own
    energies moved. The shifts are fitted to some of the training cells; without any there are none.
    """
    if not frames or not train:
        return list(frames)
    shifts = energy_shifts(sampled(train, ZERO_CELLS), calculator)
    opposite = {element: -shift for element, shift in shifts.items()}
    return [moved(atoms, opposite) for atoms in frames]


def sampled(frames: Sequence[Atoms], most: int) -> Sequence[Atoms]:
    """Return a number of cells at most, by equal steps through them."""
    return frames[:: max(1, -(-len(frames) // most))]


def calibration(store: CampaignStore, iteration: int, frames: list[Atoms]) -> dict[str, Any]:
    """Compare the spread of an iteration's committee with its error.

    It is empty without cells, or if only one member was trained.
    """
    models = store.committee(iteration)
    if not frames or len(models) < 2:
        return {}
    committee = Committee([store.fetch_model(model) for model in models], settings().device)
    return {name: curve.as_dict() for name, curve in committee.calibration(frames).items()}


def errors_on(frames: Sequence[Atoms], calculator: Calculator) -> dict[str, Any]:
    """Compute the errors of a model; only {"n": 0} without cells."""
    return errors(frames, calculator).as_dict() if frames else {"n": 0}
