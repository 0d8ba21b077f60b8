"""What a MongoDB URI may say, what is made of it, and what is shown of it."""

import time
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient, ReadPreference
from pymongo.uri_parser import parse_uri

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.settings import settings
from entropy_flows.store import StoreError, connect
from entropy_flows.store.connection import ConfiguredClient, database_name
from entropy_flows.store.uri import check_uri, journaled, masked, without_password


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("mongodb://host", ""),
        ("mongodb://host/?journal=false", ""),
        ("mongodb://host/?J=false&w=0&wtimeoutMS=5&fsync=true", ""),
        ("mongodb://a,b:27/db?replicaSet=rs&w=1", "replicaSet=rs&"),
        (
            "mongodb://h/?readPreference=nearest&readPreferenceTags=a:b&readPreferenceTags=&maxStalenessSeconds=90",
            "",
        ),
        (
            "mongodb://h/?READPREFERENCE=secondaryPreferred&readConcernLevel=available&tls=true",
            "tls=true&",
        ),
        ("mongodb://user:p%40ss@host/?authSource=admin", "authSource=admin&"),
        ("mongodb://[::1]:27,%2Ftmp%2Fa.sock/", ""),
    ],
)
def test_no_uri_changes_how_is_written_and_read(uri, options):
    made = journaled(uri)
    assert made.partition("?")[2] == f"{options}w=majority&journal=true&readPreference=primary"
    assert made.partition("?")[0].rstrip("/") == uri.partition("?")[0].rstrip("/")
    assert journaled(made) == made
    for client in (MongoClient(made, connect=False), ConfiguredClient(uri, connect=False)):
        with client:
            assert client.write_concern.document == {"w": "majority", "j": True}
            assert client.read_preference == ReadPreference.PRIMARY


def test_a_password_with_a_hash_sign_is_no_other_server():
    """`#` ends a URI for Python's parser, which then takes part of the password for the host."""
    made = journaled("mongodb://ann:123#4@db.example/")
    assert urlsplit(made).hostname == "db.example"
    assert parse_uri(made)["password"] == "123#4"


ENCODE = (
    "user name or password has a character that must be written as %XX (percent-encoded), "
    "such as %40 for @"
)
NAME = "the name of its database may have letters, digits, _ and - only"
MALFORMED = {
    "mongodb://ann:p@ss@db.example/": ENCODE,
    "mongodb://ann:p/w@db.example/": ENCODE,
    "mongodb://ann:50%off@db.example/": ENCODE,
    "mongodb://ann:100%@db.example/": ENCODE,
    "mongodb://ann:123#4@db.example/": ENCODE,
    "mongodb://ann:a?b@db.example/": ENCODE,
    "mongodb://ann:a?b=c@db.example/": ENCODE,
    "mongodb://ann:a:b@db.example/": ENCODE,
    "mongodb://ann:[x]@db.example/": ENCODE,
    "mongodb://a@b.c:pw@db.example/": ENCODE,
    "mongodb+srv://ann:p@ss@db.example/": ENCODE,
    "mongodb://ann:p@evil.example/x@db.example/": ENCODE,
    "mongodb:///tmp/mongodb.sock": (
        "it names no server (the path of a socket is written with %2F for /)"
    ),
    "mongodb://": "it names no server (the path of a socket is written with %2F for /)",
    "mongodb://ann:secret@": "it names no server (the path of a socket is written with %2F for /)",
    "mongodb://host:port/": "its servers must be HOST or HOST:PORT, joined by commas",
    "mongodb://::1/": "its servers must be HOST or HOST:PORT, joined by commas",
    "mongodb://a b/": "its servers must be HOST or HOST:PORT, joined by commas",
    "http://ann:secret@host/": "expected mongodb:// or mongodb+srv:// at its beginning",
    "ann:secret@host": "expected mongodb:// or mongodb+srv:// at its beginning",
    " mongodb://host/": "it begins or ends with a blank",
    " ": "it is empty",
    "mongodb://host/a.b": NAME,
    "mongodb://host/a b": NAME,
    "mongodb://host/?w": "its options must be KEY=VALUE, joined by &",
}


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_uri_says_what_is_wrong(uri):
    with pytest.raises(StoreError) as caught:
        connect(uri, timeout_ms=300)
    message = str(caught.value)
    assert message.startswith("not a usable MongoDB URI (")
    assert message.endswith(f"): {MALFORMED[uri]}")
    for piece in ("ann", "ss@", "p/w", "50%", "123", "a?b", "a:b", "[x]", "pw", "secret", "evil"):
        assert piece not in message.replace(ENCODE, "")


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://h",
        "mongodb+srv://ann:p%40%2F%25%23%3F%3Ass@c.example.org/db?tls=true",
        "mongodb://a:1,b:2,[fe80::1]:3/",
        "mongodb://ann@h/",
        "mongodb://ann:@h/",
        "mongodb://ann:p w$&+=~é@h/db",
        "mongodb://%2Ftmp%2Fm.sock",
    ],
)
def test_a_well_formed_uri_is_taken(uri):
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "configured", "expected"),
    [
        ("mongodb://h/", None, "entropy_flows"),
        ("mongodb://h/mine", None, "mine"),
        ("mongodb://h/", "theirs", "theirs"),
        ("mongodb://h/mine", "mine", "mine"),
        ("mongodb://h/m%69ne", "mine", "mine"),
        (
            "mongodb://h/mine",
            "theirs",
            "names the database 'mine', but ENTROPY_FLOWS_DATABASE is 'theirs'",
        ),
        (
            "mongodb://u:secret@h/admin",
            "theirs",
            "'admin' is the server's own; .* /?authSource=admin",
        ),
        ("mongodb://u:secret@h/local", None, "'local' is the server's own"),
    ],
)
def test_the_database_that_a_uri_names_counts(uri, configured, expected, monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_URI", uri)
    if configured:
        monkeypatch.setenv("ENTROPY_FLOWS_DATABASE", configured)
    settings.cache_clear()
    try:
        if " " not in expected:
            assert database_name() == launchpad().name == expected
            assert database_name("mongodb://elsewhere/other") == "other"
            return
        with pytest.raises(StoreError, match=expected.replace("?", r"\?")) as caught:
            connect(timeout_ms=300)
        assert "secret" not in str(caught.value)
    finally:
        settings.cache_clear()


def test_credentials_in_a_message_of_others_are_masked():
    text = "Authentication to 'mongodb://ann:p@s/s@db.example/x' failed; mongodb+srv://a:b@c, mongodb://d/e"
    assert (
        masked(text)
        == "Authentication to 'mongodb://…@db.example/x' failed; mongodb+srv://…@c, mongodb://d/e"
    )


SECRET = "hunter2"
WITH_PASSWORD = [
    f"mongodb://user:{SECRET}@host:27017/db",
    f"mongodb+srv://user:{SECRET}@cluster.example.org/?w=majority",
    f"mongodb://user:{SECRET}@a:1,b:2/db?replicaSet=rs",
    f"mongodb://user:a://{SECRET}@host/",
    f"mongodb://user:{SECRET}://b@host/",
    f"mongodb://user:{SECRET}/x@host/",
    f"mongodb://user:{SECRET}?x@host/",
    f"mongodb://user:p@{SECRET}/x@host/",
    f"mongodb://user:p@{SECRET}@host/",
    f"mongodb://user:{SECRET}@host/?appName=a://b",
    f"mongodb://user:p@host/?tlsCertificateKeyFilePassword=a@{SECRET}",
    f"mongodb://host/?tlsCertificateKeyFilePassword=a@{SECRET}",
    f"mongodb://host?tlsCertificateKeyFilePassword={SECRET}",
    f"user:{SECRET}@host",
    f"user:{SECRET}@host/?appName=a://b",
]


@pytest.mark.parametrize("uri", WITH_PASSWORD)
def test_a_password_is_never_shown(uri):
    shown = without_password(uri)
    assert SECRET not in shown
    assert "user" not in shown


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (WITH_PASSWORD[0], "mongodb://host:27017"),
        (WITH_PASSWORD[1], "mongodb+srv://cluster.example.org"),
        (WITH_PASSWORD[2], "mongodb://a:1,b:2"),
        (WITH_PASSWORD[9], "mongodb://host"),
        ("mongodb://host/db?w=1", "mongodb://host"),
    ],
)
def test_a_server_is_named(uri, shown):
    assert without_password(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://user:{SECRET}@127.0.0.1:1/",
        f"mongodb://user:{SECRET}@127.0.0.1:port/",
        f"mongodb://user:p/{SECRET}@127.0.0.1/",
        f"user:{SECRET}@127.0.0.1",
        f"http://user:{SECRET}@127.0.0.1/",
    ],
)
def test_no_server_is_one_line_within_seconds(uri):
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        connect(uri, "test", timeout_ms=500)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    assert caught.value.__suppress_context__
    if ":1/" in uri:
        assert message.startswith(
            "MongoDB at mongodb://127.0.0.1:1 cannot be reached within 0.5 s ("
        )
    else:
        assert message.startswith("not a usable MongoDB URI (")


def test_no_uri(database, monkeypatch):
    monkeypatch.delenv("ENTROPY_FLOWS_URI")
    settings.cache_clear()
    with pytest.raises(StoreError, match="no database is configured: set ENTROPY_FLOWS_URI"):
        connect()
