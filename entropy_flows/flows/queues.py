"""The workers that take a flow's jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from jobflow import Flow
from monty.json import MSONable

from entropy_flows.schemas.stages import CATEGORIES

if TYPE_CHECKING:
    from entropy_flows.schemas import AnyCampaign


@dataclass
class Queues(MSONable):
    """Worker categories and changes of the queue adapter, by stage.

    Parameters
    ----------
    categories
        Stage → FireWorks category; the others run on `cpu`.
    adapters
        Stage → changes of the queue adapter for its jobs.
    """

    categories: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_file(cls, settings: AnyCampaign) -> Self:
        """Read them off a file's settings, over the usual categories."""
        changed = {str(stage): name for stage, name in settings.categories.items()}
        adapters = {str(stage): dict(changes) for stage, changes in settings.queue.items()}
        return cls({**CATEGORIES, **changed}, adapters)

    def apply(self, flow: Flow) -> Flow:
        """Set each job's category and queue adapter, also those of the jobs that jobs add."""
        stages = {*self.categories, *self.adapters}
        # jobflow matches any part of a name, so the empty one is the general rule
        for stage in ("", *sorted(stages)):
            config: dict[str, Any] = {"_category": self.categories.get(stage, "cpu")}
            if stage in self.adapters:
                config["_queueadapter"] = dict(self.adapters[stage])
            changes = {"manager_config": config, "pass_manager_config": False}
            flow.update_config(changes, name_filter=stage, dynamic=True)
        return flow
