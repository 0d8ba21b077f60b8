"""Which workers take which jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobflow import Flow


def configured(
    flow: Flow, categories: Mapping[str, str], queue: Mapping[str, dict[str, Any]]
) -> Flow:
    """Set each job's worker category and changes of the queue adapter, also those of the jobs that jobs add."""
    for stage in ("", *sorted({*categories, *queue})):  # "" is part of every name: the general rule
        config: dict[str, Any] = {"_category": categories.get(stage, "cpu")}
        if stage in queue:
            config["_queueadapter"] = dict(queue[stage])
        changes = {"manager_config": config, "pass_manager_config": False}
        flow.update_config(changes, name_filter=stage, dynamic=True)
    return flow
