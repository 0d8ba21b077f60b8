"""A campaign's file, folder and database, opened for the length of a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from entropy_flows.modules import use_folder
from entropy_flows.processes import locked
from entropy_flows.schemas import AnyCampaign, Campaign, load_settings
from entropy_flows.schemas.named_code import modules_folder
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, StoreError, connect
from entropy_flows.store.connection import configured_uri, database_name
from entropy_flows.store.uri import without_password

LOCK_SECONDS = 30.0
"""How long to wait for an embedded server that is closing its files."""


@dataclass(frozen=True)
class Session:
    """A campaign, or a data set without physics, with its folder and its store."""

    settings: AnyCampaign
    file: Path
    folder: Path
    store: CampaignStore
    embedded: bool

    @property
    def campaign(self) -> Campaign:
        """The campaign; a ValueError if the file is of `entropy-flows agnostic`, for which a command has no use."""
        if not isinstance(self.settings, Campaign):
            raise ValueError(
                f"{self.file} is a file of `entropy-flows agnostic`; this command needs a campaign's"
            )
        return self.settings

    def of(self, campaign: Campaign) -> Session:
        """Another campaign of the same folder and database."""
        return replace(self, settings=campaign, store=self.store.of(campaign.name))


def campaign_folder(campaign: AnyCampaign, file: Path, folder: Path | None) -> Path:
    """The folder of a campaign's working files."""
    return (folder or file.parent / campaign.name).resolve()


def need_shared_database(what: str, otherwise: str = "") -> None:
    """Refuse, with a StoreError, to submit to a database that ends with the command."""
    if settings().uri is None:
        raise StoreError(
            f"{what} needs a database that workers can reach: set ENTROPY_FLOWS_URI{otherwise}"
        )


@contextmanager
def stored(file: Path, folder: Path | None) -> Iterator[Session]:
    """Open the database of a campaign that is in it, as `session` does; nothing is made where there is none.

    Raises
    ------
    ValueError, StoreError, MachineError
        As of `session`; and if there is no such campaign, with the place where it was looked for.
    """
    with session(file, folder, create=False) as opened:
        if not opened.store.exists():
            raise _missing(opened.store.name, opened.folder, opened.embedded)
        yield opened


@contextmanager
def session(file: Path, folder: Path | None, create: bool = True) -> Iterator[Session]:
    """Open a campaign's database for the length of the block.

    With no URI configured it is the embedded server: the one that another command runs now, or one
    started here, on a new database if `create` says so. The URI is put in this process's
    environment, where workers find it.

    Raises
    ------
    ValueError, StoreError, MachineError
        If the file is not valid, or the database not to be had or in use.
    """
    campaign = load_settings(file)
    use_folder(modules_folder(campaign, file.parent))
    home = campaign_folder(campaign, file, folder)
    embedded = settings().uri is None
    if not embedded:
        yield Session(campaign, file, home, CampaignStore(connect(), campaign.name), embedded)
        return
    from entropy_flows.store.embedded import embedded_server

    if not create and not (home / "database").is_dir():
        raise _missing(campaign.name, home, embedded)
    home.mkdir(parents=True, exist_ok=True)
    note = home / "database.uri"
    if (uri := _answering(note)) is not None:
        with _configured(uri, home):
            yield Session(campaign, file, home, CampaignStore(connect(), campaign.name), embedded)
        return
    lock = locked(home / "database.lock", "the database of this campaign", LOCK_SECONDS)
    with lock as held, embedded_server(home / "database", held) as uri:
        note.write_text(uri)
        try:
            with _configured(uri, home):
                yield Session(
                    campaign, file, home, CampaignStore(connect(), campaign.name), embedded
                )
        finally:
            note.unlink(missing_ok=True)


def _missing(name: str, home: Path, embedded: bool) -> StoreError:
    """That a campaign is not in the database, and which one that is: cron and new shells have other settings."""
    if embedded:
        return StoreError(
            f"campaign {name!r} is not in the embedded database of {home}; ENTROPY_FLOWS_URI is not set"
        )
    where = f"database {database_name()!r} at {without_password(configured_uri())}"
    return StoreError(f"campaign {name!r} is not in {where}; submit it first")


def _answering(note: Path) -> str | None:
    """The URI of an embedded server that runs now."""
    if not note.is_file():
        return None
    uri = note.read_text().strip()
    try:
        connect(uri, timeout_ms=1000)
    except StoreError:
        return None
    return uri


@contextmanager
def _configured(uri: str, home: Path) -> Iterator[None]:
    """Set this process's and its children's settings, and put them back."""
    values = {"ENTROPY_FLOWS_URI": uri, "ENTROPY_FLOWS_CACHE": str(home / "cache")}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.cache_clear()
