"""A MongoDB URI, split as the driver does it: no piece of a password is taken for a host.

Its form is scheme://user:password@host,host/database?option=value&option=value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SCHEMES = ("mongodb", "mongodb+srv")
SERVERS_OWN = ("admin", "config", "local")
"""Databases of the server itself."""
ENFORCED = "w=majority&journal=true&readPreference=primary"
"""What every connection asks for: see `store.connection`."""
_OVERRIDDEN = re.compile(
    "(w|wtimeout|wtimeoutms|j|journal|fsync|readpreference|readpreferencetags"
    "|maxstalenessseconds|readconcernlevel)=",
    re.IGNORECASE,
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+)(:[0-9]{1,5})?")
_ENCODE = (
    "user name or password has a character that must be written as %XX (percent-encoded), "
    "such as %40 for @"
)


@dataclass(frozen=True)
class URI:
    """The parts of a URI, as they are written."""

    scheme: str
    credentials: str
    hosts: str
    database: str
    options: tuple[str, ...]


def split_uri(uri: str) -> URI:
    """Split a URI by the driver's rules; nothing is refused."""
    scheme, _, rest = uri.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    credentials, _, hosts = authority.rpartition("@")
    path, _, query = rest[len(authority) :].partition("?")
    options = tuple(option for option in query.split("&") if option)
    return URI(scheme, credentials, hosts, path.removeprefix("/"), options)


def check_uri(uri: str) -> None:
    """Refuse a URI that the driver refuses, or that it could read otherwise than it is meant.

    Raises
    ------
    ValueError
        Saying what is wrong, without any part of the URI that could be of a password.
    """
    parts = split_uri(uri)
    if uri != uri.strip() or not uri:
        raise ValueError("it is empty" if not uri.strip() else "it begins or ends with a blank")
    if "://" not in uri or parts.scheme not in SCHEMES:
        raise ValueError(
            f"expected {' or '.join(f'{scheme}://' for scheme in SCHEMES)} at its beginning"
        )
    if uri.count("@") > bool(parts.credentials) or _reserved(parts.credentials):
        raise ValueError(_ENCODE)
    if not parts.hosts:
        raise ValueError("it names no server (the path of a socket is written with %2F for /)")
    if not all(_HOST.fullmatch(host) for host in parts.hosts.split(",")):
        raise ValueError("its servers must be HOST or HOST:PORT, joined by commas")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", unquote(parts.database)):
        raise ValueError("the name of its database may have letters, digits, _ and - only")
    if not all(re.fullmatch(r"[^=]+=.*", option) for option in parts.options):
        raise ValueError("its options must be KEY=VALUE, joined by &")


def named_database(uri: str) -> str | None:
    """Return the database that a URI names.

    Raises
    ------
    ValueError
        If it is one of the server's own.
    """
    name = unquote(split_uri(uri).database)
    if name in SERVERS_OWN:
        raise ValueError(
            f"its database {name!r} is the server's own; where the user is defined there, "
            f"write /?authSource={name}"
        )
    return name or None


def selection_timeout(uri: str) -> int | None:
    """Return the milliseconds that a URI lets the driver look for a server; None if it does not."""
    for option in split_uri(uri).options:
        name, _, value = option.partition("=")
        if name.lower() == "serverselectiontimeoutms" and value.isdigit():
            return int(value)
    return None


def journaled(uri: str) -> str:
    """Return the URI with journaled writes of a majority and reads from the primary.

    Whatever else it says about them is taken out.
    """
    parts = split_uri(uri)
    credentials = (
        quote(parts.credentials, safe=":%!$&'()*+,;=@/?") + "@" if parts.credentials else ""
    )
    options = [option for option in parts.options if not _OVERRIDDEN.match(option)]
    query = "&".join([*options, ENFORCED])
    return f"{parts.scheme}://{credentials}{parts.hosts}/{parts.database}?{query}"


def without_password(uri: str) -> str:
    """Return the URI as it may be shown: its scheme and hosts.

    Not even the hosts are shown where a password may be among them.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or not re.fullmatch(r"[\w+]+", scheme):
        scheme, rest = "", uri
    credentials, _, hosts = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    return f"{scheme}://{hosts if rest.count('@') == bool(credentials) else '…'}"


def masked(text: str) -> str:
    """Return a message without the credentials of any MongoDB URI in it."""
    return re.sub(r"(mongodb(?:\+srv)?://)\S*@", r"\1…@", text)


def _reserved(credentials: str) -> bool:
    """Tell whether a user's name or password has a character that a URI needs for itself."""
    return bool(re.search(r"[@/?#\[\]]|:.*:|%(?![0-9A-Fa-f]{2})", credentials))
