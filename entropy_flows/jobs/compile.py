"""The job that makes a compiled form of the new model, beside the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ase import Atoms
from pymatgen.core import Structure

from entropy_flows.compiled.cache import CompiledForm, compiled_form
from entropy_flows.compiled.decision import CompileEstimate
from entropy_flows.compiled.make import NotMadeError, make_form
from entropy_flows.compiled.speed import Speed, measure_speed
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs.common import StageMaker, stage_job, training_of
from entropy_flows.jobs.context import IterationContext
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.schemas import CompileDoc, TrainDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

MAX_CELLS = 4
"""Seed cells that models are timed and compared on, at most."""
DISPLACEMENT = 0.05
"""Standard deviation of the atoms' displacements in these cells (Å)."""


@dataclass
class CompileMaker(StageMaker):
    """Compile the new model for the iterations to come, where that pays.

    No job waits for this one: an exploration that begins before the form is there uses the model as
    it is.

    Parameters
    ----------
    name
        Job name.
    always
        Whether to compile without asking whether it pays.
    calls
        Cells of a call and number of such calls, that the dynamics to come makes of the model.
    """

    name: str = "compile"
    always: bool = False
    calls: list[tuple[int, int]] = field(default_factory=list)

    @stage_job(CompileDoc)
    def make(
        self,
        context: IterationContext,
        *,
        training: TrainDoc | None,
        seeds: dict[str, Structure],
    ) -> CompileDoc:
        """Time the model, decide, and compile it.

        Parameters
        ----------
        context
            Constants of the iteration.
        training
            Document of the training; None if it failed.
        seeds
            Phase → seed cell.

        Raises
        ------
        LostInputError
            If training left no model.
        """
        trained = training_of(training, "compile")
        store = CampaignStore.open(context.campaign)
        source = store.fetch_model(trained.model)
        model = load_batch_model(source, settings().device)
        form = compiled_form(source, model)
        result = CompileDoc(iteration=context.iteration, model=trained.model, is_there=False)
        if form is None:
            result.reason = "models of its family have no compiled form"
        else:
            result.machine = str(form.machine)
            self._make_form(result, store, form, source, model, timing_cells(seeds))
        store.record(context.iteration, compile=result.model_dump())
        return result

    def _make_form(
        self,
        result: CompileDoc,
        store: CampaignStore,
        form: CompiledForm,
        source: str,
        model: BatchModel,
        cells: Sequence[Atoms],
    ) -> None:
        """Make the form unless it is there or does not pay, and write down what was decided."""
        if form.fits(model, source):
            result.is_there = True
            result.reason = "its architecture was compiled before"
        elif self._decide(result, form, model, cells):
            stop = _Stop(store)
            size = max(size for size, _ in self.calls)
            try:
                # one that is there has other fixed numbers in its code
                replaces = form.is_there
                make_form(form, source, cells, size, settings().device, stop, replaces)
                result.is_there = form.fits(model, source)
                result.is_new = result.is_there
            except NotMadeError as error:
                result.reason = str(error)
        facts = form.facts()
        if result.is_there and facts is not None and facts.eager and facts.compiled:
            result.seconds = facts.seconds
            result.size = facts.size
            result.eager = Speed(*facts.eager).seconds(facts.size)
            result.compiled = Speed(*facts.compiled).seconds(facts.size)

    def _decide(
        self, result: CompileDoc, form: CompiledForm, model: BatchModel, cells: Sequence[Atoms]
    ) -> bool:
        """Decide whether to compile, and write down why."""
        if not self.calls:
            result.reason = "no dynamics follows"
            return False
        facts = form.facts()
        if facts is not None and facts.reason is not None and not self.always:
            result.reason = f"it was tried before: {facts.reason}"
            return False
        calls: Mapping[int, int] = dict(self.calls)
        speed = measure_speed(model, cells, max(calls))
        estimate = CompileEstimate.of(calls, speed, form.latest_facts())
        result.reason = estimate.text()
        result.saved = estimate.saved
        return self.always or estimate.pays


class _Stop:
    """Ask whether a campaign still needs its compiled form."""

    def __init__(self, store: CampaignStore) -> None:
        self.store = store

    def __call__(self) -> str | None:
        """Return why it needs none any more; None while it does."""
        state = self.store.document()["state"]
        return f"the campaign is {state}" if state in ("done", "failed") else None


def timing_cells(seeds: Mapping[str, Structure]) -> list[Atoms]:
    """Return seed cells with displaced atoms, to time and compare forms of a model on."""
    cells = [to_atoms(seed) for seed in list(seeds.values())[:MAX_CELLS]]
    for number, atoms in enumerate(cells):
        atoms.rattle(DISPLACEMENT, seed=number)
    return cells
