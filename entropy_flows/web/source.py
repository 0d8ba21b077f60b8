"""What the pages are made of, read from the database no more often than it can have changed.

However many people look, each page is read once in `FRESH` seconds. What takes long to read, as the
labels of a campaign of ten thousand do, is read less often: pages cost a database at most `SHARE`
of its time. A database that goes away, as an embedded one does between two commands, is opened
again when somebody looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from entropy_flows.launch.manager import workflow_manager
from entropy_flows.launch.session import Session, open_session
from entropy_flows.launch.status import read_status
from entropy_flows.report.campaign import (
    CampaignPage,
    campaign_figures,
    campaign_page,
    gain_thresholds,
)
from entropy_flows.report.campaign_cells import CampaignCells, campaign_cells
from entropy_flows.report.cell_errors import stored_parities
from entropy_flows.report.page import svg_figures
from entropy_flows.report.refused import RefusedCell, refused_cells
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, Ledger, StoreError, connect
from entropy_flows.store.overview import CampaignOverview, campaigns_of

FRESH = 2.0
"""Time for which something that was read is shown without reading it again (s)."""
SHARE = 0.05
"""Share of the time that reading one thing takes at most, however often somebody looks."""
NO_COMMAND = "entropy-flows run CAMPAIGN.yaml"
"""What starts a campaign whose file is not at hand."""

Value = TypeVar("Value")


@dataclass
class _Entry:
    """Something that was read."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stale_at: float = float("-inf")
    value: Any = None


class Cache:
    """Values that were read lately; who asks while another reads waits for what that one gets."""

    def __init__(self, fresh: float = FRESH, share: float = SHARE):
        self.fresh = fresh
        self.share = share
        self._lock = threading.Lock()
        self._entries: dict[Any, _Entry] = {}

    def get(self, key: Any, read: Callable[[Any], Value], limited: bool = True) -> Value:
        """Return a value that is fresh.

        Parameters
        ----------
        key
            Name of the value.
        read
            Reads it again; takes the value before, which is None at first.
        limited
            Whether it has a share of the time; not what asks no database, or is made of others that
            have a share each.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            began = time.monotonic()
            if began > entry.stale_at:
                entry.value = read(entry.value)
                end = time.monotonic()
                waits = (end - began) / self.share if limited else 0.0
                entry.stale_at = end + max(self.fresh, waits)
            return entry.value


class Source:
    """The campaigns of one database.

    Parameters
    ----------
    file, folder
        A campaign whose database is meant, and the folder of its files; None takes the configured
        database.
    umap
        Whether maps have UMAP's coordinates, too.
    """

    def __init__(self, file: Path | None = None, folder: Path | None = None, umap: bool = False):
        self.file = file
        self.folder = folder
        self.umap = umap
        self.cache = Cache()
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._session: Session | None = None
        self._drawing = threading.Lock()
        self._refused_cells: dict[tuple[str, int], list[RefusedCell]] = {}

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._stack.close()
            self._session = None

    def campaigns(self) -> list[CampaignOverview]:
        """Return the campaigns of the database, the one that was changed last first."""
        return self.cache.get("campaigns", lambda _: self._read(self._campaigns))

    def page(self, name: str) -> CampaignPage:
        """Return the page of a campaign.

        Raises
        ------
        StoreError
            If there is no such campaign, or the database does not answer.
        """

        def read(before: CampaignPage | None) -> CampaignPage:
            return self._read(lambda: self._page(name, before))

        return self.cache.get(("page", name), read, limited=False)

    def map(self, name: str) -> dict[str, Any]:
        """Return the map of a campaign's cells, for its script; raises as `page`."""
        return self._cells(name).points.as_dict()

    def card(self, name: str, key: str) -> dict[str, Any] | None:
        """Return one cell, None if there is none of this key; raises as `page`."""
        cells = self._cells(name)
        return self._read(lambda: cells.cards(self._of(name).store, [key]).get(key))

    def _read(self, read: Callable[[], Value]) -> Value:
        """Read, and once more on a database that had to be opened again."""
        try:
            return read()
        except PyMongoError as err:
            self.close()
            try:
                return read()
            except PyMongoError:
                raise StoreError(f"the database does not answer ({type(err).__name__})") from None

    def _file_session(self) -> Session | None:
        """Return the session of the campaign file; None without one."""
        if self.file is None:
            return None
        with self._lock:
            if self._session is None:
                session: AbstractContextManager[Session] = open_session(
                    self.file, self.folder, create=False
                )
                self._session = self._stack.enter_context(session)
            return self._session

    def _database(self) -> Any:
        session = self._file_session()
        return connect() if session is None else session.store.database

    def _campaigns(self) -> list[CampaignOverview]:
        return campaigns_of(self._database())

    def _of(self, name: str) -> Session:
        """Return the session of a campaign of this database."""
        store = CampaignStore(self._database(), name)
        document = store.document()
        settings = store.validated(document["config"])
        session = self._file_session()
        if session is None:
            folder = Path(name)
            return Session(settings, folder.with_suffix(".yaml"), folder, store, embedded=False)
        return replace(session, settings=settings, store=store)

    def _page(self, name: str, before: CampaignPage | None) -> CampaignPage:
        session = self._of(name)
        store = session.store
        iterations = store.iterations()
        command = NO_COMMAND if self.file is None else f"entropy-flows run {self.file}"
        engines = self.cache.get(("engines", name), lambda _: store.label_engines())
        labels = self.cache.get(("labels", name), lambda _: store.label_rows())
        manager = workflow_manager(store)
        status = read_status(session, manager, command, iterations=iterations, engines=engines)
        parities = stored_parities(store)
        entries = self._sizes(store)[0]
        page = campaign_page(store, status, iterations, parities, command, labels, entries)
        figures = self._figures(name, iterations, parities)
        page = replace(page, figures=figures)
        # Only what was read when it changed has a new time, so that browsers are told of changes.
        if before is not None and replace(page, time=before.time) == before:
            return before
        return page

    def _figures(self, name: str, iterations: Any, parities: Any) -> Any:
        """Return the figures of a campaign, which are drawn when what they show has changed."""
        shown = [
            (
                doc["iteration"],
                len((doc.get("train") or {}).get("history") or ()),
                doc.get("updated"),
            )
            for doc in iterations
        ]

        def draw(before: Any) -> Any:
            if before is not None and before[0] == shown:
                return before
            figures = campaign_figures(iterations, gain_thresholds(iterations), parities)
            # Matplotlib's settings belong to the process.
            with self._drawing:
                return shown, svg_figures(figures)

        return self.cache.get(("figures", name), draw, limited=False)[1]

    def _cells(self, name: str) -> CampaignCells:
        """Return the cells of a campaign, which are read when there are others."""

        def read(before: Any) -> tuple[tuple[int, ...], CampaignCells]:
            session = self._of(name)
            sizes = self._sizes(session.store)
            if before is not None and before[0] == sizes:
                return before
            is_campaign = isinstance(session.settings, Campaign)
            dataset = session.settings.dataset if is_campaign else None
            return sizes, campaign_cells(session.store, dataset, self.umap, self._refused)

        return self.cache.get(("cells", name), lambda before: self._read(lambda: read(before)))[1]

    def _sizes(self, store: CampaignStore) -> tuple[int, ...]:
        """Return the sizes that tell whether a campaign has other cells or labels."""
        return self.cache.get(("sizes", store.name), lambda _: store.sizes())

    def _refused(
        self,
        store: CampaignStore,
        ledger: Ledger,
        iteration: Mapping[str, Any],
        chosen: Collection[str],
    ) -> list[RefusedCell]:
        """Return the refused cells of an iteration, which stay what they are once it has chosen."""
        if not iteration.get("select"):
            return []
        key = (store.name, iteration["iteration"])
        if key not in self._refused_cells:
            self._refused_cells[key] = refused_cells(store, ledger, iteration, chosen)
        return self._refused_cells[key]
