"""Open a campaign's file, folder and database for the length of a command.

Nothing heavy is imported before a campaign is opened: every command imports this module, also for
its help.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy_flows.schemas import AnyCampaign, Campaign
    from entropy_flows.store import CampaignStore, StoreError

LOCK_SECONDS = 60.0
"""Time to wait for an embedded server that another command is starting, or is closing (s)."""
LASTING = "lasting"
"""Word in the file of a server's URI: the command that runs it goes on until it is told to end."""


@dataclass(frozen=True)
class Session:
    """A campaign, or a data set without physics, with its folder and its database.

    Attributes
    ----------
    settings
        What the file says.
    file
        The campaign file.
    folder
        The folder of its working files.
    store
        Its collections in the database.
    embedded
        True if the database is the campaign's own, run by a command.
    typed_folder
        The folder that was asked for; None where it is the one beside the file.
    """

    settings: AnyCampaign
    file: Path
    folder: Path
    store: CampaignStore
    embedded: bool
    typed_folder: Path | None = None

    @property
    def campaign(self) -> Campaign:
        """The campaign.

        Raises
        ------
        ValueError
            If the file is one of `entropy-flows agnostic`, for which a command has no use.
        """
        from entropy_flows.schemas import Campaign

        if not isinstance(self.settings, Campaign):
            raise ValueError(
                f"{self.file} is a file of `entropy-flows agnostic`; "
                f"this command needs a campaign's"
            )
        return self.settings

    def of(self, campaign: Campaign) -> Session:
        """Return the session of another campaign of the same folder and database."""
        return replace(self, settings=campaign, store=self.store.of(campaign.name))


def campaign_folder(campaign: AnyCampaign, file: Path, folder: Path | None) -> Path:
    """Return the folder of a campaign's working files."""
    return (folder or file.parent / campaign.name).resolve()


def need_shared_database(what: str, otherwise: str = "") -> None:
    """Raise a StoreError if the only database is one that ends with the command."""
    from entropy_flows.settings import settings
    from entropy_flows.store import StoreError

    if settings().uri is None:
        raise StoreError(
            f"{what} needs a database that workers can reach: set ENTROPY_FLOWS_URI{otherwise}"
        )


@contextmanager
def open_stored(file: Path, folder: Path | None) -> Iterator[Session]:
    """Open the database of a campaign that is in it; nothing is made where there is none.

    Raises
    ------
    ValueError, StoreError, MachineError
        As of `open_session`. Also if there is no such campaign; the message names the database.
    """
    with open_session(file, folder, create=False) as session:
        if not session.store.exists():
            raise _missing(session.store.name, session.folder, session.embedded)
        yield session


@contextmanager
def open_session(
    file: Path, folder: Path | None, create: bool = True, is_lasting: bool = False
) -> Iterator[Session]:
    """Open a campaign's database for the length of the block.

    With no URI configured it is the embedded server: the one that another command runs now, or one
    started here. The URI is put in this process's environment, where workers find it. One that is
    just being started or closed is waited for, which a line on the error stream says.

    Parameters
    ----------
    file
        The campaign file.
    folder
        The folder of its working files; None takes the one beside the file.
    create
        True to make a new embedded database where there is none.
    is_lasting
        True for a command that goes on until it is told to end. It joins no embedded server of one
        that soon ends.

    Raises
    ------
    ValueError, StoreError, MachineError
        If the file is not valid, or the database not to be had or in use.
    """
    from entropy_flows.modules import use_folder
    from entropy_flows.schemas import load_settings
    from entropy_flows.schemas.named_code import modules_folder
    from entropy_flows.settings import settings
    from entropy_flows.store import CampaignStore, connect

    campaign = load_settings(file)
    use_folder(modules_folder(campaign, file.parent))
    home = campaign_folder(campaign, file, folder)
    if settings().uri is not None:
        store = CampaignStore(connect(), campaign.name)
        yield Session(campaign, file, home, store, embedded=False, typed_folder=folder)
        return
    if not create and not (home / "database").is_dir():
        raise _missing(campaign.name, home, embedded=True)
    with _embedded_database(home, is_lasting):
        store = CampaignStore(connect(), campaign.name)
        yield Session(campaign, file, home, store, embedded=True, typed_folder=folder)


@contextmanager
def _embedded_database(home: Path, is_lasting: bool) -> Iterator[None]:
    """Configure the embedded server of a folder, which is started unless it runs."""
    from entropy_flows.store.embedded import embedded_server

    home.mkdir(parents=True, exist_ok=True)
    uri_file = home / "database.uri"
    with ExitStack() as stack:
        server = _server_or_lock(home, is_lasting, stack)
        if isinstance(server, str):
            uri = server
        else:
            uri = stack.enter_context(embedded_server(home / "database", server))
            stack.callback(uri_file.unlink, missing_ok=True)
            uri_file.write_text(f"{uri}\n{LASTING}\n" if is_lasting else uri)
        with _configured(uri, home):
            yield


def _server_or_lock(home: Path, is_lasting: bool, stack: ExitStack) -> str | int:
    """Return the URI of the server that runs on a folder, or the descriptor of its locked file.

    Parameters
    ----------
    home
        The folder.
    is_lasting
        Whether only the lock will do, or the server of a lasting command.
    stack
        What lets go of the lock.

    Raises
    ------
    MachineError
        If another process has the lock, and no server of it answers.
    """
    from entropy_flows.faults import MachineError
    from entropy_flows.processes import locked

    path = home / "database.lock"
    deadline = time.monotonic() + LOCK_SECONDS
    has_said = False
    while True:
        uri, may_end_soon = _answering(home / "database.uri")
        if uri is not None and not (is_lasting and may_end_soon):
            return uri
        try:
            return stack.enter_context(locked(path, "the database", patience=0.2))
        except MachineError:
            if time.monotonic() > deadline:
                raise MachineError(_in_use(path, uri)) from None
        if not has_said:
            print(f"waiting for another command that has {path} locked", file=sys.stderr)
            has_said = True


def _in_use(path: Path, uri: str | None) -> str:
    """Say that the database is another command's, and what can be done."""
    waited = f"is in use by another command ({path}, waited {LOCK_SECONDS:.0f} s)"
    hint = "" if uri is None else f": end it, or set ENTROPY_FLOWS_URI={uri} to depend on it"
    return f"the database of this campaign {waited}{hint}"


def _missing(name: str, home: Path, embedded: bool) -> StoreError:
    """Build the error that a campaign is not in the database, and which database that is.

    Cron and new shells often have other settings than the shell that submitted it.
    """
    from entropy_flows.store import StoreError
    from entropy_flows.store.connection import configured_uri, database_name
    from entropy_flows.store.uri import without_password

    if embedded:
        return StoreError(
            f"campaign {name!r} is not in the embedded database of {home}; "
            f"ENTROPY_FLOWS_URI is not set"
        )
    server = without_password(configured_uri())
    return StoreError(
        f"campaign {name!r} is not in database {database_name()!r} at {server}; submit it first"
    )


def _answering(uri_file: Path) -> tuple[str | None, bool]:
    """Return the URI of an embedded server that runs now, None without, and if it may end soon."""
    from entropy_flows.store import StoreError, connect

    try:
        uri, *words = uri_file.read_text().split()
        connect(uri, timeout_ms=1000)
    except (OSError, ValueError, StoreError):
        return None, True
    return uri, LASTING not in words


@contextmanager
def _configured(uri: str, home: Path) -> Iterator[None]:
    """Set this process's and its children's settings, and put them back."""
    from entropy_flows.settings import settings

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
