"""The stores that a project of jobflow-remote names, on the database of this machine's settings.

The project's file then holds no server and no password. Jobs lie beside the campaigns: the fence
of a job's writes (`store.fence`) is the job's own document.
"""

from __future__ import annotations

from typing import Any

from maggma.stores.mongolike import MongoStore

from entropy_flows.store.connection import configured_uri, database_name, job_store
from entropy_flows.store.job_stores import Arrays, Outputs
from entropy_flows.store.uri import journaled

JOBS = "jobs"
"""Collection of jobflow-remote's jobs."""
FLOWS = "flows"
"""Collection of jobflow-remote's flows."""
AUXILIARY = "jf_auxiliary"
"""Collection of what else jobflow-remote keeps: counters, and when its runners were seen."""


class ConfiguredQueue(MongoStore):
    """The jobs of jobflow-remote, beside the campaigns."""

    @classmethod
    def from_dict(cls, _: dict[str, Any]) -> ConfiguredQueue:
        """Return the store of this machine's settings."""
        return cls.from_uri(journaled(configured_uri()), JOBS, database=database_name())


class ConfiguredOutputs:
    """The outputs of a campaign's jobs."""

    @classmethod
    def from_dict(cls, _: dict[str, Any]) -> Outputs:
        """Return the store of this machine's settings."""
        outputs = job_store().docs_store
        assert isinstance(outputs, Outputs), "the package's own store"
        return outputs


class ConfiguredArrays:
    """The large arrays in the outputs of a campaign's jobs."""

    @classmethod
    def from_dict(cls, _: dict[str, Any]) -> Arrays:
        """Return the store of this machine's settings."""
        stores: dict[str, Arrays] = job_store().additional_stores  # type: ignore[has-type]
        return stores["data"]
