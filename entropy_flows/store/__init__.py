"""What MongoDB holds: the campaign's collections and the append-only ledger of acceptances."""

from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.connection import StoreError, connect, job_store, launchpad
from entropy_flows.store.ledger import Entry, Ledger, structure_id

__all__ = ["CampaignStore", "Entry", "Ledger", "StoreError", "connect", "job_store", "launchpad", "structure_id"]
