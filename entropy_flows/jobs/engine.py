"""One campaign, one label engine: labels of other settings are never mixed in unnoticed.

The configuration of a campaign cannot change, but what it means can: another version of a force
field or of GPAW, a custom Maker whose code was edited, VASP_INCAR_UPDATES of another machine. The
first to plan labels writes down what decides the engine's numbers; whoever plans, labels or imports
after it must agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from entropy_flows.label import engine_of
from entropy_flows.store.connection import StoreError
from entropy_flows.store.seals import setting

if TYPE_CHECKING:
    from jobflow import Maker

    from entropy_flows.store.campaign import CampaignStore

MAX_DIFFERENCES = 5
"""Differences named in an error."""


def same_engine(store: CampaignStore, maker: Maker, write: bool = True) -> str:
    """Make sure that a Maker computes what the campaign's other labels are made of.

    Parameters
    ----------
    store
        The campaign, registered.
    maker
        Static Maker, as it would run here.
    write
        Whether to make it the campaign's engine if there is none yet.

    Returns
    -------
    str
        Hash of its settings.

    Raises
    ------
    StoreError
        If the campaign's engine has other settings; it says which.
    """
    engine = engine_of(maker)
    settings = json.loads(json.dumps(engine.hash_input(), default=str))
    campaigns = store.database["campaigns"]
    query = {"name": store.name}
    stored = (campaigns.find_one(query, {"engine": 1}) or {}).get("engine")
    if stored is None and write:
        document = {"name": engine.name, "hash": engine.hash, "settings": settings}
        fields = setting("campaigns", query, {"engine": document})
        campaigns.update_one({**query, "engine": {"$exists": False}}, {"$set": fields})
        stored = (campaigns.find_one(query, {"engine": 1}) or {}).get("engine")
    if stored is None or stored["hash"] == engine.hash:
        return engine.hash
    changes = [
        f"{path} {old} → {new}" for path, old, new in _differences(stored["settings"], settings)
    ]
    shown = "; ".join(changes[:MAX_DIFFERENCES])
    if len(changes) > MAX_DIFFERENCES:
        shown += f" and {len(changes) - MAX_DIFFERENCES} more"
    raise StoreError(
        f"campaign {store.name!r} has its labels by {stored['name']} with other settings than the "
        f"engine has here: {shown}. Labels of two settings cannot be mixed: bring the settings "
        "back, or let `entropy-flows fork --relabel` label the cells again in another campaign"
    )


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the paths at which two plain documents differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield path, old, new
