"""The evaluation job: errors on held-out cells before and after a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.evaluate import errors
from entropy_flows.evaluate.committee import Committee
from entropy_flows.evaluate.succession import compare
from entropy_flows.jobs.common import LostInputError, StageMaker, document, stage_job
from entropy_flows.potentials import load_calculator
from entropy_flows.schemas import ContinuesDoc, EvaluateDoc, TrainDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore
from entropy_flows.train.align import energy_shifts

ZERO_CELLS = 64
"""Training cells that the zero of a model's energies is fitted to, at most."""


@dataclass
class EvaluateMaker(StageMaker):
    """Compare the new model with the one it came from."""

    name: str = "evaluate"

    @stage_job(EvaluateDoc)
    def make(
        self, campaign: str, iteration: int, before: str, trained: Any, *, engine_hash: str, align_energies: bool,
        continue_from: Literal["better", "latest"], members: Sequence[Any] = (),
    ) -> EvaluateDoc:  # fmt: skip
        """Evaluate both models on the test cells of all iterations so far, and decide which to go on from.

        The decision is by the validation cells: the test cells have no say in what becomes of a
        campaign.

        Parameters
        ----------
        campaign, iteration
            Place of this job.
        before
            Reference of the model that was fine-tuned.
        trained
            Training's document; None if it failed.
        engine_hash
            Hash of the label engine's settings.
        align_energies
            Whether the model before is compared with its energies moved to the labels' zero, as a
            training does first.
        continue_from
            "better": go on from the model before if the new one is worse; "latest": from the new
            one in any case.
        members
            Documents of a committee's further members; only makes this job wait for them.

        Raises
        ------
        LostInputError
            If training left no model.
        """
        training = document(TrainDoc, trained)
        if training is None:
            raise LostInputError("training failed, so there is no new model to evaluate")
        store = CampaignStore.open(campaign)
        so_far: dict[str, Any] = {"engine_hash": engine_hash, "iteration": {"$lte": iteration}}
        test = store.frames(split="test", **so_far)
        val = store.frames(split="val", **so_far)
        old = load_calculator(store.fetch_model(before), device=settings().device)
        new = load_calculator(store.fetch_model(training.model), device=settings().device)
        train = store.frames(split="train", **so_far) if val and align_energies else []
        shifts = zero_shifts(train, old)
        validation_before = errors_on([shifted(atoms, shifts) for atoms in val], old)
        validation = errors_on(val, new)
        comparison = compare(validation_before, validation)
        chosen = before if comparison.worse and continue_from == "better" else training.model
        result = EvaluateDoc(
            iteration=iteration,
            before=errors_on(test, old),
            after=errors_on(test, new),
            validation=validation,
            validation_before=validation_before,
            continues=ContinuesDoc(
                model=chosen,
                iteration=store.model_iteration(chosen),
                is_new=chosen == training.model,
                worse=comparison.worse,
                reason=comparison.text,
            ),
            calibration=calibration(store, iteration, test) if members else {},
        )
        store.record(iteration, evaluate=result.model_dump())
        return result


def zero_shifts(train: Sequence[Atoms], calculator: Calculator) -> dict[str, float]:
    """Energy (eV) to add to a model's by element, fitted to some of the training cells; none without cells."""
    step = -(-len(train) // ZERO_CELLS) or 1
    return energy_shifts(train[::step], calculator) if train else {}


def shifted(label: Atoms, shifts: Mapping[str, float]) -> Atoms:
    """A labelled cell with its energy less the shifts of its atoms: a model without them has the errors of one with."""
    energy = label.get_potential_energy() - sum(
        shifts.get(symbol, 0.0) for symbol in label.get_chemical_symbols()
    )
    moved = label.copy()
    moved.calc = SinglePointCalculator(moved, **{**label.calc.results, "energy": energy})
    return moved


def calibration(store: CampaignStore, iteration: int, frames: list[Atoms]) -> dict[str, Any]:
    """Spread of an iteration's committee against its error; empty without cells, or if only one member was trained."""
    models = store.committee(iteration)
    if not frames or len(models) < 2:
        return {}
    committee = Committee([store.fetch_model(model) for model in models], settings().device)
    return {name: found.as_dict() for name, found in committee.calibration(frames).items()}


def errors_on(frames: Sequence[Atoms], calculator: Calculator) -> dict[str, Any]:
    """Errors of a model; only {"n": 0} without cells."""
    return errors(frames, calculator).as_dict() if frames else {"n": 0}
