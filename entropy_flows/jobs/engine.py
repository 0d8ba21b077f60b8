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

SHOWN = 5
"""Differences named in an error."""


def same_engine(store: CampaignStore, maker: Maker, write: bool = True) -> str:
    """Make sure that a Maker's numbers are those of the campaign's other labels.

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
    own = engine_of(maker).hash
    content = json.loads(json.dumps(engine_of(maker).hash_input(), default=str))
    campaigns, this = store.database["campaigns"], {"name": store.name}
    if write:
        engine = {"name": engine_of(maker).name, "hash": own, "settings": content}
        fields = setting("campaigns", this, {"engine": engine})
        campaigns.update_one({**this, "engine": {"$exists": False}}, {"$set": fields})
    found = (campaigns.find_one(this, {"engine": 1}) or {}).get("engine")
    if found is None or found["hash"] == own:
        return own
    changes = [
        f"{where} {old} → {new}" for where, old, new in _differences(found["settings"], content)
    ]
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    raise StoreError(
        f"campaign {store.name!r} has its labels by {found['name']} with other settings than the engine has here: "
        f"{'; '.join(changes[:SHOWN])}{more}. Labels of two settings cannot be mixed: bring the settings back, or "
        f"start a campaign of another name and import these labels"
    )


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Paths at which two plain documents differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield where, old, new
