"""What MongoDB holds: the campaign's collections and the append-only ledger of acceptances.

Names are looked up on first use: each process that a workflow manager starts connects by
`connection`, which does without numerics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.store.campaign import CampaignStore
    from entropy_flows.store.checks import PhysicsChecks
    from entropy_flows.store.connection import StoreError, UnreachableError, connect, job_store
    from entropy_flows.store.entry import Entry, structure_id
    from entropy_flows.store.ledger import Ledger
    from entropy_flows.store.outputs import stored_output
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "CampaignStore",
    "Entry",
    "Ledger",
    "PhysicsChecks",
    "StoreError",
    "UnreachableError",
    "connect",
    "job_store",
    "stored_output",
    "structure_id",
]
