"""The workers that take a flow's jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from jobflow import Flow
from monty.json import MSONable

from entropy_flows.schemas.stages import CATEGORIES, Stage

if TYPE_CHECKING:
    from entropy_flows.schemas import AnyCampaign


@dataclass
class Queues(MSONable):
    """Worker categories and what jobs ask of the queue, by stage.

    Parameters
    ----------
    categories
        Stage → category of the workers that take its jobs; the others run on `cpu`.
    adapters
        Stage → what its jobs ask of the queue beyond its usual settings.
    """

    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_file(cls, settings: AnyCampaign) -> Self:
        """Read them off a file's settings, over the usual categories."""
        changed = {str(stage): name for stage, name in settings.categories.items()}
        if Stage.EXPLORE.value in changed:
            # a compiled model is used by the machines that explore
            changed.setdefault(Stage.COMPILE.value, changed[Stage.EXPLORE.value])
        adapters = {str(stage): dict(changes) for stage, changes in settings.queue.items()}
        return cls({**CATEGORIES, **changed}, adapters)

    def apply(self, flow: Flow) -> Flow:
        """Set each job's category and what it asks of the queue, also of the jobs that jobs add.

        The workflow manager puts both into its own words.
        """
        chosen = {*self.categories, *self.adapters}
        # jobflow matches any part of a name: the empty one is the general rule, and "relabel" is
        # to have its own after that of "label"
        longer = {stage.value for stage in Stage for name in chosen if name in stage.value}
        for stage in ("", *sorted(chosen | longer, key=lambda name: (len(name), name))):
            config: dict[str, Any] = {"category": self.categories.get(stage, "cpu")}
            if stage in self.adapters:
                config["queue"] = dict(self.adapters[stage])
            changes = {"manager_config": config, "pass_manager_config": False}
            flow.update_config(changes, name_filter=stage, dynamic=True)
        return flow
