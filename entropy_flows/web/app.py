"""The routes of the page: they read, and change nothing.

    /                           campaigns
    /campaign/NAME              one campaign; the same address is asked again while it is open
    /campaign/NAME/map          its cells as points, JSON
    /campaign/NAME/cell/KEY     one cell, JSON
    /static/FILE                style and scripts

Every answer says that a browser may load nothing from elsewhere and run nothing but `static`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from entropy_flows.digest import digest
from entropy_flows.report.page import KIT, render
from entropy_flows.report.text import MISSING
from entropy_flows.store import StoreError
from entropy_flows.store.holds import standing
from entropy_flows.web.source import Source

COOKIE = "entropy_flows_token"
ASSETS = {
    "style.css": "text/css",
    "map.js": "text/javascript",
    "live.js": "text/javascript",
    "3Dmol-min.js": "text/javascript",
}
"""Files that a browser may ask for → their type."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says to the browser."""
Next = Callable[[Request], Awaitable[Response]]


def make_app(
    source: Source, token: str | None = None, hosts: tuple[str, ...] = ("*",), every: float = 3.0
) -> Starlette:
    """Build the application.

    Parameters
    ----------
    source
        What the pages are made of.
    token
        What a browser has to show; None asks for nothing.
    hosts
        Names under which the page may be asked for: a page elsewhere cannot read this one under a
        name of its own.
    every
        Time between two looks of an open page (s).
    """
    pages = Pages(source, every)
    routes = [
        Route("/", pages.campaigns),
        Route("/campaign/{name}", pages.campaign),
        Route("/campaign/{name}/map", pages.map),
        Route("/campaign/{name}/cell/{key:path}", pages.cell),
        Route("/static/{file}", pages.static),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(Guard, token=token),
        Middleware(GZipMiddleware, minimum_size=2000),
    ]
    handlers: dict[Any, Any] = {StoreError: unavailable, HTTPException: refused}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class Guard(BaseHTTPMiddleware):
    """Asks for the token, and says what a browser may do with an answer.

    Parameters
    ----------
    app
        The application.
    token
        As of `make_app`.
    """

    def __init__(self, app: Any, token: str | None):
        super().__init__(app)
        self.token = token

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        """Answer a request, or refuse it."""
        response = self._refusal(request) or await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to who has not shown the token yet; None to who has."""
        if self.token is None or self._is_token(request.cookies.get(COOKIE)):
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given):
            return None
        if self._is_token(request.query_params.get("token")):
            # The address is shown and kept by browsers: it goes on without the token.
            answer = RedirectResponse(request.url.path, HTTPStatus.SEE_OTHER)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        message = "This page asks for a token: open the address that `entropy-flows serve` printed."
        return PlainTextResponse(message, HTTPStatus.UNAUTHORIZED)

    def _is_token(self, given: str | None) -> bool:
        if given is None or self.token is None:
            return False
        return secrets.compare_digest(given.encode(), self.token.encode())


class Pages:
    """Answers to requests; parameters as of `make_app`."""

    def __init__(self, source: Source, every: float):
        self.source = source
        self.every = every

    def campaigns(self, request: Request) -> Response:
        """List the campaigns."""
        rows = [
            {
                "name": overview.name,
                "state": standing(overview.document)[0],
                "message": standing(overview.document)[1] or "",
                "fork": (overview.document.get("forked_from") or {}).get("campaign", ""),
                "iterations": overview.iterations,
                "entries": overview.entries,
                "labels": overview.labels,
                "change": f"{overview.last_change:%Y-%m-%d %H:%M}",
            }
            for overview in self.source.campaigns()
        ]
        html = render("campaigns.html", title="Campaigns", rows=rows, root="", every=self.every)
        return tagged(request, html)

    def campaign(self, request: Request) -> Response:
        """Show a campaign."""
        name = request.path_params["name"]
        page = self.source.page(name)
        html = render(
            "campaign.html",
            title=page.name,
            page=page,
            frozen=False,
            root="../",
            home="../",
            every=self.every,
            cell_count=page.entries,
            map_url=f"{name}/map",
            cells_url=f"{name}/cell/",
        )
        return tagged(request, html)

    def map(self, request: Request) -> Response:
        """Return the cells of a campaign as points."""
        return JSONResponse(self.source.map(request.path_params["name"]))

    def cell(self, request: Request) -> Response:
        """Return one cell."""
        card = self.source.card(request.path_params["name"], request.path_params["key"])
        if card is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such cell in this campaign")
        return JSONResponse(card)

    def static(self, request: Request) -> Response:
        """Return a file of the kit."""
        file = request.path_params["file"]
        if file not in ASSETS:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such file")
        content = (KIT / file).read_bytes()
        headers = {"Cache-Control": "max-age=3600"}
        return Response(content, media_type=ASSETS[file], headers=headers)


def tagged(request: Request, html: str) -> Response:
    """Return a page, or say that it is as the browser has it."""
    tag = f'W/"{digest(html)[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return HTMLResponse(html, headers={"ETag": tag})


def unavailable(request: Request, error: Exception) -> Response:
    """Answer where the database has no such campaign, or does not answer."""
    text = str(error)
    is_missing = "is not in this database" in text
    status = HTTPStatus.NOT_FOUND if is_missing else HTTPStatus.SERVICE_UNAVAILABLE
    html = render("error.html", title="Not there", message=text or MISSING, root=root_of(request))
    return HTMLResponse(html, status)


def refused(request: Request, error: HTTPException) -> Response:
    """Answer what the page has not."""
    html = render("error.html", title="Not there", message=error.detail, root=root_of(request))
    return HTMLResponse(html, error.status_code, headers=error.headers)


def root_of(request: Request) -> str:
    """Return the way from an address to that of the list of campaigns."""
    return "../" * (request.url.path.count("/") - 1)
