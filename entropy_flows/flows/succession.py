"""What follows an iteration: the end of the campaign, or the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobflow import CURRENT_JOB, Flow, JobOrder
from pymatgen.core import Structure

from entropy_flows.flows.steering import changes_queues, decided_maker
from entropy_flows.flows.stopping import StopDecision, decide_to_stop
from entropy_flows.jobs import RelabelMaker
from entropy_flows.jobs.engine import same_engine
from entropy_flows.schemas import EvaluateDoc
from entropy_flows.store import CampaignStore, Ledger

if TYPE_CHECKING:
    from entropy_flows.flows.active_learning import ActiveLearningMaker


def decide_after(
    maker: ActiveLearningMaker,
    store: CampaignStore,
    iteration: int,
    evaluated: EvaluateDoc | None,
    is_changed: bool = False,
) -> StopDecision:
    """Decide after an iteration whether the campaign goes on.

    Parameters
    ----------
    maker
        The campaign's Makers, with its limits as they are now.
    store
        The campaign.
    iteration
        The iteration that has ended.
    evaluated
        Its evaluation; None if it has none.
    is_changed
        Whether the next iteration looks for candidates in another way. That nothing new was found
        does not end the campaign then.
    """
    ledger = store.ledger(maker.dataset)
    new = ledger.requested(iteration, iteration)
    return decide_to_stop(
        iteration,
        maker.last,
        maker.stop,
        labels=ledger.requested(0, iteration),
        new=max(new, 1) if is_changed else new,
        validation=None if evaluated is None else evaluated.validation_in_use,
        failure=next(iter(store.failures(iteration=iteration)), None),
        unknown=_unknown(maker, ledger, iteration),
    )


def _unknown(maker: ActiveLearningMaker, ledger: Ledger, iteration: int) -> float | None:
    """Return what is unknown of an iteration's target at its end, if that may end the campaign."""
    if maker.stop.unknown is None:
        return None
    variance = ledger.variance_after(iteration)
    return None if variance is None else variance.value()


def submitted_iteration(
    maker: ActiveLearningMaker,
    store: CampaignStore,
    iteration: int,
    model: str,
    seeds: Mapping[str, Structure],
    parent: str | None = None,
) -> Flow:
    """Build an iteration to submit, with all that was changed in the campaign's settings.

    Parameters
    ----------
    maker
        The campaign's Makers.
    store
        The campaign.
    iteration
        Number of the iteration.
    model
        Reference of the model that explores.
    seeds
        Phase → seed cell.
    parent
        Reference of the model to fine-tune, if it is another one.
    """
    decided, flow = _decided_iteration(maker, store, iteration, model, seeds, parent)
    flow.update_metadata({"campaign": store.name}, dynamic=True)
    return decided.queues.apply(flow)


def relabelling_flow(
    maker: ActiveLearningMaker,
    store: CampaignStore,
    last: int,
    model: str,
    seeds: Mapping[str, Structure],
    parent: str | None = None,
) -> Flow:
    """Build the flow of a fork that has the cells up to its iteration `last` labelled again.

    Imported cells alone (`last` is 0) are labelled before the first iteration; any others are
    trained on at once. Other parameters are those of `submitted_iteration`.
    """
    if last == 0:
        decided, first = _decided_iteration(maker, store, 1, model, seeds, parent)
        context = decided.context(store.name, model, 0)
        flow = Flow([RelabelMaker(plan=decided.plan).make(context), first], order=JobOrder.LINEAR)
    else:
        same_engine(store, maker.engine)
        decided, cells = decided_maker(maker, store, last, seeds)
        context = decided.context(store.name, model, last)
        flow = decided.relabelled(context, cells, parent=parent or model)
    flow.update_metadata({"campaign": store.name}, dynamic=True)
    return decided.queues.apply(flow)


def added_iteration(
    maker: ActiveLearningMaker,
    store: CampaignStore,
    iteration: int,
    model: str,
    seeds: Mapping[str, Structure],
) -> Flow:
    """Build an iteration that the running job adds, which hands its metadata on.

    Parameters are those of `submitted_iteration`.
    """
    decided, flow = _decided_iteration(maker, store, iteration, model, seeds, None)
    if changes_queues(store):
        # jobflow would lay those of the running job over the new ones
        running = CURRENT_JOB.job
        assert running is not None, "a job adds the iteration"
        running.config_updates = []
        decided.queues.apply(flow)
    return flow


def _decided_iteration(
    maker: ActiveLearningMaker,
    store: CampaignStore,
    iteration: int,
    model: str,
    seeds: Mapping[str, Structure],
    parent: str | None,
) -> tuple[ActiveLearningMaker, Flow]:
    """Return the Makers that an iteration runs with, and its flow."""
    same_engine(store, maker.engine)
    decided, cells = decided_maker(maker, store, iteration, seeds)
    requested = store.ledger(decided.dataset).requested(0, iteration - 1)
    context = decided.context(store.name, model, iteration)
    flow = decided.iteration(context, cells, parent=parent or model, requested=requested)
    return decided, flow
