"""The files that a database may have been filled from: campaigns, and data sets without physics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_flows.schemas.campaign import Campaign, read_mapping, validated

if TYPE_CHECKING:
    from entropy_flows.schemas.agnostic import AgnosticParams

    AnyCampaign = Campaign | AgnosticParams


def schema_of(data: dict[str, Any]) -> type[Campaign] | type[AgnosticParams]:
    """Return the schema of a mapping: only a data set without physics has one `element`."""
    if "element" not in data:
        return Campaign
    from entropy_flows.schemas.agnostic import AgnosticParams

    return AgnosticParams


def load_settings(path: Path | str) -> AnyCampaign:
    """Read and validate a file of either kind; errors as in `load_campaign`."""
    data = read_mapping(Path(path))
    return validated(Path(path), data, schema_of(data))


def load_agnostic(path: Path | str) -> AgnosticParams:
    """Read and validate a file of `entropy-flows agnostic`; errors as in `load_campaign`."""
    from entropy_flows.schemas.agnostic import AgnosticParams

    return validated(Path(path), read_mapping(Path(path)), AgnosticParams)
