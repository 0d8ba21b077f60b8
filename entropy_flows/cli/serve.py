"""`entropy-flows serve`: campaigns as a live page."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropy_flows.cli.options import FolderOption

if TYPE_CHECKING:
    from entropy_flows.web.source import Source

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
PACKAGES = ("starlette", "uvicorn")


def command(
    file: Annotated[
        Path | None,
        typer.Argument(help="A campaign file, whose database is meant.", metavar="CAMPAIGN.yaml"),
    ] = None,
    folder: FolderOption = None,
    database: Annotated[
        bool, typer.Option("--database", help="Show all campaigns of ENTROPY_FLOWS_URI's database.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8675,
    every: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two looks of an open page.")
    ] = 3.0,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ENTROPY_FLOWS_TOKEN",
            help="What a browser has to show. Another address than this machine's own has one "
            "in any case: if none is given, it is drawn and printed.",
            show_default=False,
        ),
    ] = None,
    umap: Annotated[
        bool, typer.Option("--umap", help="UMAP's coordinates on the maps, too (extra umap).")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show campaigns as a live page: what runs, what was chosen and why, errors, cost.

    It reads, and changes nothing. Needs the extra `web`.

    Example: entropy-flows serve silicon/campaign.yaml --open
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"`serve` needs {' and '.join(missing)}: pip install 'entropy_flows[web]'. "
            f"`entropy-flows report` writes the same page without a server"
        )
    if (file is None) != database:
        raise ValueError("give either a campaign file, or --database for ENTROPY_FLOWS_URI's")
    from entropy_flows.web.source import Source

    if umap:
        from entropy_flows.report.fingerprint_map import check_umap

        check_umap()
    serve(Source(file, folder, umap), host, port, token or drawn_token(host), every, open_)


def drawn_token(host: str) -> str | None:
    """Return a new token for an address that others can reach; None for this machine's own."""
    if is_loopback(host):
        return None
    import secrets

    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    source: Source, host: str, port: int, token: str | None, every: float, open_: bool
) -> None:
    """Answer requests until the command is ended."""
    import socket

    import uvicorn

    from entropy_flows.web.app import make_app

    try:
        source.campaigns()
        listening = socket.create_server((host, port), family=family_of(host))
        names = LOOPBACK_NAMES if is_loopback(host) else ("*",)
        app = make_app(source, token, names, every)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        print(f"page: {address}{f'?token={token}' if token else ''}", flush=True)
        print("end it with Ctrl-C", flush=True)
        if open_:
            typer.launch(f"{address}{f'?token={token}' if token else ''}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
    except OSError as err:
        raise ValueError(f"cannot listen on {host}, port {port}: {err.strerror}") from None
    finally:
        source.close()


def family_of(host: str) -> int:
    """Return the family of an address's sockets."""
    import socket

    return socket.AF_INET6 if ":" in host else socket.AF_INET
