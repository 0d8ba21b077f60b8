"""The model that a job of dynamics uses: compiled where there is such a form, else as it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from pymatgen.core import Structure

from entropy_flows.compiled.cache import CompiledForm, compiled_form
from entropy_flows.compiled.program import difference
from entropy_flows.explore import ExploreParams
from entropy_flows.jobs.compile import timing_cells
from entropy_flows.jobs.context import IterationContext
from entropy_flows.potentials import BatchModel, load_batch_model
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore

logger = logging.getLogger(__name__)
Form = Literal["eager", "compiled"]


def load_exploring_model(
    store: CampaignStore,
    context: IterationContext,
    params: ExploreParams,
    job: str,
    seeds: Mapping[str, Structure],
) -> tuple[BatchModel, Form]:
    """Load the model of an iteration for a job of dynamics, and say in which form.

    A job goes on with the form that it began with, whoever runs it again. Where that one is not to
    be had, as on a machine of another kind, the model is taken as it is.

    Parameters
    ----------
    store, context
        The campaign, and the constants of the iteration.
    params
        What is explored; with `compile: never` the model is taken as it is.
    job
        What tells the job from the others of its iteration, such as "explore_3".
    seeds
        Phase → seed cell; on these a compiled form is compared with its model.
    """
    source = store.fetch_model(context.model)
    model = load_batch_model(source, device=settings().device)
    if params.compile == "never" or context.iteration == 1:
        return model, "eager"
    form = compiled_form(source, model)
    if form is None:
        return model, "eager"
    compiled = _load(form, source, model, seeds)
    offered: Form = "eager" if compiled is None else "compiled"
    begun_with: Form = store.plan(context.iteration, f"form_{job}", offered)
    if begun_with == "eager":
        return model, "eager"
    if compiled is None:
        logger.warning("%s began with a compiled model and begins again without it", job)
        return model, "eager"
    return compiled, "compiled"


def _load(
    form: CompiledForm, source: str, model: BatchModel, seeds: Mapping[str, Structure]
) -> BatchModel | None:
    """Load a compiled form; None with a line in the log if there is none that is right."""
    if not form.is_there:
        logger.warning("no compiled form for %s here: the model is used as it is", form.machine)
        return None
    try:
        compiled = form.load(model, source)
    except (ValueError, RuntimeError) as error:
        logger.warning("the compiled form is not used: %s", error)
        return None
    reason = difference(model, compiled, timing_cells(seeds))
    if reason is not None:
        logger.warning("the compiled form is not used: %s", reason)
        return None
    return compiled
