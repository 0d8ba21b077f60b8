"""What every part of a campaign's store has: a database and the campaign's name."""

from __future__ import annotations

from pymongo.database import Database


class CampaignCollections:
    """The collections of one campaign.

    Parameters
    ----------
    database
        Connected database.
    name
        Name of the campaign.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
