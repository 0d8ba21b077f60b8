"""A campaign as the database holds it: its configuration and state, and the way to the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError, OperationFailure

from entropy_flows.entropy import DatasetParams
from entropy_flows.schemas import Campaign, schema_of
from entropy_flows.schemas.changes import RULES, When, differences
from entropy_flows.store.approvals import Approvals
from entropy_flows.store.connection import StoreError, refused
from entropy_flows.store.entries import Entries
from entropy_flows.store.equations import Equations
from entropy_flows.store.holds import Holds
from entropy_flows.store.labels import Labels
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.map_rows import MapRows
from entropy_flows.store.models import Models
from entropy_flows.store.predictions import Predictions
from entropy_flows.store.relabelling import Relabelling
from entropy_flows.store.replays import Replays
from entropy_flows.store.running import job_store_database, running_database
from entropy_flows.store.schema import SCHEMA, make_indexes, refuse_old_worker, require_current
from entropy_flows.store.seals import sealed, set_fields

if TYPE_CHECKING:
    from jobflow import JobStore

    from entropy_flows.schemas import AnyCampaign

VERSIONED = ("entropy_flows", "atomate2", "nequip", "torch")
"""Packages whose versions a campaign records."""
CHANGEABLE = tuple(key for key, rule in RULES.items() if rule.when is When.AT_ONCE)
"""Sections that no job of the campaign itself takes: what is done with models and labels."""


class CampaignStore(
    Approvals,
    Entries,
    Equations,
    Holds,
    Labels,
    MapRows,
    Models,
    Predictions,
    Relabelling,
    Replays,
):
    """One campaign's documents.

    Parameters
    ----------
    database
        Connected database.
    name
        Name of the campaign.
    """

    @classmethod
    def open(cls, name: str) -> CampaignStore:
        """Open a campaign on the running job's database; outside of one, on the configured one."""
        return cls(running_database(), name)

    @classmethod
    def of_job_store(cls, store: JobStore, name: str) -> CampaignStore:
        """Open a campaign whose flow ran with this JobStore."""
        return cls(job_store_database(store), name)

    def of(self, name: str) -> CampaignStore:
        """Open another campaign of the same database."""
        return CampaignStore(self.database, name)

    def create(self, campaign: AnyCampaign) -> bool:
        """Register the campaign and make sure that the indexes exist.

        Returns
        -------
        bool
            False if the campaign was there already, unchanged.

        Raises
        ------
        StoreError
            If a campaign of this name has a different configuration, the database is read-only, or
            another version of this package has written the campaign.
        """
        make_indexes(self.database)
        document = {
            "name": self.name,
            "schema": SCHEMA,
            "config": campaign.model_dump(mode="json"),
            "state": "new",
            "message": None,
            "versions": {package: version(package) for package in VERSIONED},
            "created": datetime.now(UTC),
        }
        try:
            self.database["campaigns"].insert_one(sealed("campaigns", document))
            return True
        except DuplicateKeyError:
            self.compare(campaign)
            self.note_version()
            return False
        except OperationFailure as err:
            raise refused(self.database, err, f"cannot register campaign {self.name!r}") from None

    def note_version(self) -> None:
        """Record that this version of the package has submitted the campaign last."""
        self._set({"versions.entropy_flows": version("entropy_flows")})

    def exists(self) -> bool:
        """Tell whether a campaign of this name is registered."""
        return self.database["campaigns"].count_documents({"name": self.name}, limit=1) > 0

    def compare(self, campaign: AnyCampaign) -> dict[str, Any]:
        """Return the document of the campaign that exists, provided that it has this configuration.

        Raises
        ------
        StoreError
            If there is none, its configuration is another one, or another version of this package
            has written it.
        """
        document = self._document()
        require_current(document)
        refuse_old_worker(document)
        stored = self.validated(document["config"])
        if isinstance(campaign, Campaign) and isinstance(stored, Campaign):
            changed = [item.key for item in differences(stored, campaign)]
            hint = "`entropy-flows run` or `submit` changes them, or says why it cannot"
        else:
            config = campaign.model_dump(mode="json")
            before = stored.model_dump(mode="json")
            changed = sorted(key for key, value in config.items() if before.get(key) != value)
            hint = "give the changed one a new name"
        changed = [key for key in changed if key.partition(".")[0] not in CHANGEABLE]
        if changed:
            raise StoreError(
                f"campaign {self.name!r} exists with other settings ({', '.join(changed)}); {hint}"
            )
        return document

    def document(self) -> dict[str, Any]:
        """Return the campaign's own document.

        Raises
        ------
        StoreError
            If there is none, or if it was written by a version of this package with other
            documents.
        """
        document = self._document()
        require_current(document)
        return document

    def campaign(self) -> Campaign:
        """Return the configuration that the campaign was started with."""
        return Campaign.model_validate(self.document()["config"])

    def set_state(self, state: str, message: str | None = None) -> None:
        """Record how the campaign stands: new, running, done or failed."""
        self._set({"state": state, "message": message, "updated": datetime.now(UTC)})

    def manager(self) -> dict[str, Any] | None:
        """Return the workflow manager that has the campaign's jobs; None for the usual one."""
        document = self.database["campaigns"].find_one({"name": self.name}, {"manager": 1})
        return (document or {}).get("manager")

    def set_manager(self, manager: dict[str, Any]) -> None:
        """Record the workflow manager that has the campaign's jobs."""
        self._set({"manager": manager})

    def ledger(self, dataset: DatasetParams) -> Ledger:
        """Return the campaign's ledger."""
        return Ledger(self.database, self.name, dataset)

    def _document(self) -> dict[str, Any]:
        document = self.database["campaigns"].find_one({"name": self.name})
        if document is None:
            raise StoreError(f"campaign {self.name!r} is not in this database; submit it first")
        return document

    def validated(self, config: dict[str, Any]) -> AnyCampaign:
        """Validate a stored configuration, which gives keys of a newer version their defaults."""
        try:
            return schema_of(config).model_validate(config)
        except ValidationError as err:
            error = err.errors()[0]
            message = f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
            raise StoreError(
                f"campaign {self.name!r} exists with settings that are refused now: {message}"
            ) from None

    def _set(self, fields: dict[str, Any]) -> None:
        """Set fields of the campaign's own document."""
        set_fields(self.database["campaigns"], {"name": self.name}, fields)
