"""One database server for the session, a fresh database for a test, and nobody's own settings."""

import os
import sys

for threads in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
):
    os.environ[threads] = "1"
for name in [name for name in os.environ if name.startswith("ENTROPY_FLOWS_")]:
    del os.environ[name]
# Hundreds of processes start here: without compiled files each compiles the package, and each
# worker the tests, anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["ENTROPY_FLOWS_CONFIG_FILE"] = os.path.join(os.sep, "nonexistent", "entropy_flows.yaml")

import gc  # noqa: E402
import signal  # noqa: E402
import uuid  # noqa: E402

import pytest  # noqa: E402

# a shell starts what it runs in the background with SIGINT ignored, and programs inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = ("cli/test_loop", "train/test_resume", "cli/test_agnostic", "launch/test_retraining")
"""Files of more than half a minute: they come first, so that no worker begins one at the end."""


def pytest_collection_modifyitems(items):
    """Have the longest files first; the others keep their order."""
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONGEST))


def pytest_collection_finish():
    """Have the garbage collector leave alone what stays to the end: all that was imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """URI of an embedded MongoDB-protocol server."""
    pytest.importorskip("secantus")
    from entropy_flows.store.embedded import embedded_server

    with embedded_server(tmp_path_factory.mktemp("server") / "database") as uri:
        yield uri


@pytest.fixture
def database(server, tmp_path, monkeypatch):
    """A fresh database, configured as this machine's."""
    from entropy_flows.settings import settings
    from entropy_flows.store import connect

    monkeypatch.setenv("ENTROPY_FLOWS_URI", server)
    monkeypatch.setenv("ENTROPY_FLOWS_DATABASE", f"test_{uuid.uuid4().hex[:12]}")
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()
    opened = connect()
    yield opened
    opened.client.drop_database(opened.name)
    opened.client.close()
    settings.cache_clear()


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Run the command line in this process; its exit code, and what it prints, in one line."""
    from entropy_flows.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["entropy-flows", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsys.readouterr()
        return int(done.value.code or 0), " ".join((out + err).replace("│", " ").split())

    return run
