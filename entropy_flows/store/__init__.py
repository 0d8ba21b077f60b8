"""What MongoDB holds: the campaign's collections and the append-only ledger of acceptances."""

from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.checks import PhysicsChecks
from entropy_flows.store.connection import (
    StoreError,
    UnreachableError,
    connect,
    job_store,
)
from entropy_flows.store.entry import Entry, structure_id
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.outputs import stored_output

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
