"""What a worker imports and loads while it has no job: its first jobs then begin at once.

Importing torch and a model's package takes seconds, and so does loading a model. A worker does it
piece by piece, and looks for jobs in between.
"""

from __future__ import annotations

import importlib
import sys
from collections import deque
from collections.abc import Callable

STAGES = ("explore", "anchor", "select", "refine", "plan", "label", "gather", "train", "evaluate")
"""Modules of jobs, in the order in which a campaign needs them."""


class Preload:
    """The pieces that are left to import and load.

    A piece that fails says so, and is left out: the job that needs it will fail with its reason.

    Parameters
    ----------
    campaign
        Name of the campaign whose jobs will come.
    model
        Name or path of the model that explores first; None loads none.
    """

    def __init__(self, campaign: str, model: str | None = None) -> None:
        self._campaign = campaign
        self._pieces: deque[Callable[[], None]] = deque()
        self._pieces.append(_import_what_all_need)
        if model is not None:
            self._pieces.append(lambda: _load_model(model))

    def add_what_is_stored(self) -> None:
        """Add what follows from the campaign's documents, once there is a database."""
        self._pieces.append(lambda: _load_engine(self._campaign))
        self._pieces.append(_import_stages)

    def next(self) -> bool:
        """Do the next piece; return False if none was left."""
        if not self._pieces:
            return False
        piece = self._pieces.popleft()
        try:
            piece()
        except (ImportError, OSError, LookupError, ValueError, RuntimeError) as error:
            print(f"not loaded ahead: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return True


def _import_what_all_need() -> None:
    """Import what runs a job, and torch."""
    importlib.import_module("torch")
    importlib.import_module("entropy_flows.launch.task")
    importlib.import_module("entropy_flows.jobs.explore")


def _import_stages() -> None:
    """Import the jobs of all stages, and the flow that the last one builds."""
    for stage in STAGES:
        importlib.import_module(f"entropy_flows.jobs.{stage}")
    importlib.import_module("entropy_flows.flows.active_learning")


def _load_model(model: str) -> None:
    """Load a model that is kept between jobs; one on a GPU would take its memory."""
    from entropy_flows.potentials import load_batch_model, match_model
    from entropy_flows.potentials.loaded_models import keep_models
    from entropy_flows.settings import settings

    match = match_model(model)
    if match is None or not match.family.may_be_kept or settings().device != "cpu":
        return
    with keep_models():
        load_batch_model(model, settings().device)


def _load_engine(campaign: str) -> None:
    """Load the calculator of a label engine that labels in memory."""
    from entropy_flows.label import engine_of, make_static_maker
    from entropy_flows.potentials.loaded_models import keep_models
    from entropy_flows.schemas import Campaign
    from entropy_flows.settings import settings
    from entropy_flows.store import CampaignStore

    document = CampaignStore.open(campaign).document()
    if document["config"].get("label") is None or settings().device != "cpu":
        return
    engine = engine_of(make_static_maker(Campaign.model_validate(document["config"]).label))
    if engine.in_memory:
        with keep_models():
            engine.calculator()
