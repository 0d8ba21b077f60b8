"""Who gets in, what is written where, and what is loaded: the claims of docs/security.md."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote_plus

import pytest
import yaml
from fireworks import FWAction, FWorker
from fireworks.core.rocket_launcher import rapidfire
from launchpads import new_launchpad
from pymongo import MongoClient

import entropy_flows
from entropy_flows.cli import main
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.submit import submit
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, StoreError, connect, job_store

ROOT = Path(__file__).parents[2]
PACKAGE = Path(entropy_flows.__file__).parent
PASSWORD = "hunter2/@:Ω"
DATABASE = "guarded"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for credentials: URIs of who may write, who may read, and who may not."""
    secantus = pytest.importorskip("secantus")
    folder = tmp_path_factory.mktemp("guarded") / "database"

    def server(**options):
        made = secantus.SecantusDBServer(
            storage_path=str(folder), enable_test_commands=False, **options
        )
        made.start()
        return made

    opened = server()  # users are made before the doors are locked
    with MongoClient(opened.uri) as client:
        for name, role in (("writer", "readWrite"), ("reader", "read")):
            client.admin.command(
                "createUser", name, pwd=PASSWORD, roles=[{"role": role, "db": DATABASE}]
            )
    opened.stop()
    locked = server(require_auth=True)
    host = locked.uri.removeprefix("mongodb://").rstrip("/")
    names = {
        name: f"mongodb://{name}:{quote_plus(PASSWORD)}@{host}/" for name in ("writer", "reader")
    }
    yield SimpleNamespace(
        **names,
        wrong=f"mongodb://writer:{PASSWORD[:5]}@{host}/",
        nobody=f"mongodb://{host}/",
        host=host,
    )
    locked.stop()


@pytest.fixture
def as_user(guarded, tmp_path, monkeypatch):
    """Set this machine's URI to that of one of them; the database is empty before and after."""

    def become(name):
        monkeypatch.setenv("ENTROPY_FLOWS_URI", getattr(guarded, name))
        settings.cache_clear()

    monkeypatch.setenv("ENTROPY_FLOWS_DATABASE", DATABASE)
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    become("writer")
    yield become
    with MongoClient(guarded.writer) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE].drop_collection(name)
    settings.cache_clear()


@pytest.fixture
def command(monkeypatch, capsys):
    """A command of the command line → exit code, output, error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["entropy-flows", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def file(tmp_path):
    """A campaign of seconds."""
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    config["explore"] |= {
        "temperatures": [600],
        "entropy_weights": [3],
        "steps": 10,
        "warm_up": 1,
        "ramp": 1,
    }
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def shown(text: bytes) -> bool:
    """Whether the password is in it, as it is or as a URI has it."""
    forms = (PASSWORD, quote_plus(PASSWORD), PASSWORD.encode("unicode_escape").decode(), "hunter2")
    return any(form.encode() in text for form in forms)


# -- who gets in
# ----------------------------------------------------------------------


def test_the_right_credentials_do_everything(as_user, file):
    campaign = load_campaign(file)
    store = CampaignStore(connect(), campaign.name)
    assert store.create(campaign)
    with job_store() as jobs:
        jobs.update(
            {"uuid": "1", "index": 1, "output": {"trajectories": [1, 2]}},
            save={"data": ["trajectories"]},
        )
        assert jobs.query_one({"uuid": "1"}, load=True)["output"]["trajectories"] == [1, 2]
    pad = new_launchpad()
    submit(store, campaign, file.parent)
    fw, launch = pad.checkout_fw(FWorker(query={"spec.campaign": campaign.name}), "launcher")
    pad.complete_launch(launch, FWAction())
    assert pad.get_fw_by_id(fw.fw_id).state == "COMPLETED"


@pytest.mark.parametrize("name", ["wrong", "nobody"])
def test_others_are_refused_in_one_line(as_user, guarded, command, file, name):
    as_user(name)
    with pytest.raises(
        StoreError, match=f"MongoDB at mongodb://{guarded.host} refused: .*authentication"
    ):
        connect()
    code, out, err = command("submit", file)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(f"error: MongoDB at mongodb://{guarded.host} refused: ")
    assert not shown((out + err).encode())
    assert "hunte" not in out + err


def test_a_read_only_database_is_named(as_user, guarded, command, file):
    as_user("reader")
    code, out, err = command("submit", file)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(
        f"error: database '{DATABASE}' at {guarded.host} is read-only for this user (not authorized"
    )
    assert err.endswith(f"running a campaign needs the role readWrite on '{DATABASE}'\n")
    assert not shown((out + err).encode())


def test_who_may_read_may_look(as_user, command, file):
    assert command("submit", file)[0] == 0
    as_user("reader")
    for looking in ("status", "verify"):
        code, _, err = command(looking, file)
        assert (code, err) == (0, ""), looking


def test_the_embedded_server_listens_on_loopback_only(server):
    port = f"{int(server.rstrip('/').rsplit(':', 1)[1]):04X}"
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if local.endswith(f":{port}") and state == "0A":
                listening.append(local)
    assert listening == [f"0100007F:{port}"]


# -- what is written where
# ----------------------------------------------------------------------


def test_the_password_is_nowhere(as_user, command, file, tmp_path):
    """After a submission, a job by a worker, and every command that shows something."""
    outputs = [command("submit", file)]
    launches = tmp_path / "launches"
    launches.mkdir()
    rapidfire(
        launchpad(logdir=str(launches)),
        FWorker(),
        m_dir=str(launches),
        nlaunches=1,
        strm_lvl="DEBUG",
    )
    database = connect()
    assert database["fireworks"].count_documents({"state": "COMPLETED"}) == 1
    assert database["outputs"].count_documents({}) == 1
    outputs += [command(name, file) for name in ("status", "report", "verify", "check")]
    outputs.append(command("database", file, "--", sys.executable, "-c", ""))
    assert not shown("".join(map(str, outputs)).encode())
    names = database.list_collection_names()
    assert {
        "campaigns",
        "fireworks",
        "launches",
        "workflows",
        "blobs.chunks",
        "models.chunks",
    } <= set(names)
    for name in names:
        for row in database[name].find():
            assert not shown(repr(row).encode()), name
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"FW.json", "index.html"} <= {path.name for path in files}
    for path in files:
        assert not shown(path.read_bytes()), path


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)]
)
def test_a_settings_file_with_a_uri_is_for_its_owner_only(tmp_path, monkeypatch, mode, refused):
    path = tmp_path / "settings.yaml"
    path.write_text("uri: mongodb://someone:hunter2@host/\n")
    path.chmod(mode)
    monkeypatch.setenv("ENTROPY_FLOWS_CONFIG_FILE", str(path))
    settings.cache_clear()
    try:
        if refused:
            with pytest.raises(
                ValueError, match=f"others can read it; run: chmod 600 {path}"
            ) as caught:
                settings()
            assert "hunter2" not in str(caught.value)
        else:
            assert "hunter2" not in repr(settings())
            assert settings().uri.get_secret_value().startswith("mongodb://someone:")
    finally:
        settings.cache_clear()


def test_a_settings_file_without_a_uri_may_be_read_by_all(tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    path.write_text("device: cpu\n")
    path.chmod(0o644)
    monkeypatch.setenv("ENTROPY_FLOWS_CONFIG_FILE", str(path))
    settings.cache_clear()
    assert settings().device == "cpu"
    settings.cache_clear()


# -- what is loaded
# ----------------------------------------------------------------------


def called(tree: ast.AST):
    """(name of the function, its keyword arguments) of every call in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {word.arg: ast.unparse(word.value) for word in node.keywords},
            )


RESTRICTED = {"environments/foreign/mace.py": "its unpickler knows layers alone"}
"""File → why it may unpickle."""


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_data_are_never_executed(path):
    tree = ast.parse(path.read_text())
    modules = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    where = str(path.relative_to(PACKAGE))
    if where not in RESTRICTED:
        assert not modules & {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
    for name, options in called(tree):
        assert name not in (
            "eval",
            "exec",
            "compile",
            "os.system",
            "os.popen",
            "yaml.load",
            "yaml.unsafe_load",
        ), name
        assert options.get("shell", "False") == "False", name
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False"
        if name == "torch.load" and where in RESTRICTED:
            assert options["pickle_module"] == "reader"
        elif name == "torch.load":
            assert options.get("weights_only") == "True"


@pytest.fixture
def store(database, file):
    store = CampaignStore(database, "test")
    store.create(load_campaign(file).model_copy(update={"name": "test"}))
    return store


@pytest.mark.parametrize("suffix", [".nequip.zip", ".nequip.pt2", ".pth"])
def test_a_model_is_loaded_only_with_its_checksum(store, tmp_path, suffix):
    model = tmp_path / f"model{suffix}"
    model.write_bytes(os.urandom(1000))
    reference = store.save_model(0, model)
    assert reference == f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}"
    copy = Path(store.fetch_model(reference))
    assert (
        copy.name == reference.removeprefix("sha256:") + suffix
    )  # by which it is known how to load it
    assert copy.read_bytes() == model.read_bytes()
    copy.write_bytes(b"something else")
    assert Path(store.fetch_model(reference)).read_bytes() == model.read_bytes()
    shutil.rmtree(copy.parent)
    store.database["models.chunks"].update_one({}, {"$set": {"data": b"something else"}})
    with pytest.raises(StoreError):
        store.fetch_model(reference)
    assert not copy.exists()


def test_a_compiled_model_that_was_stored_as_a_package(store, tmp_path):
    """As the first version did."""
    model = tmp_path / "model.nequip.pt2"
    model.write_bytes(os.urandom(1000))
    reference = store.save_model(0, model)
    store.database["models.files"].update_one(
        {}, {"$set": {"filename": f"{reference[7:]}.nequip.zip"}}
    )
    assert store.fetch_model(reference).endswith(".nequip.pt2")


def test_a_path_in_the_database_is_not_loaded(store, tmp_path):
    model = tmp_path / "model.nequip.zip"
    model.write_bytes(b"")
    with pytest.raises(StoreError, match=f"model {model} is not in the database"):
        store.fetch_model(str(model))
    assert store.fetch_model("nequip.net:group/model:0.1.nequip.zip").startswith("nequip.net:")


MINIMAL = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"base_model": "../a.nequip.zip"}, "base_model ../a.nequip.zip"),
        ({"base_model": "models/../../a.nequip.zip"}, "base_model models/../../a.nequip.zip"),
        ({"base_model": "shipped:../a.nequip.zip"}, "base_model shipped:../a.nequip.zip"),
        ({"student": "./../a.nequip.zip"}, "student ./../a.nequip.zip"),
        ({"phases": [{"name": "a", "file": "x/../../a.cif"}]}, "phase 'a': file x/../../a.cif"),
    ],
)
def test_a_path_stays_inside_the_campaigns_folder(changes, named):
    with pytest.raises(
        ValueError, match="leaves the folder of the campaign file; give its absolute path"
    ) as caught:
        Campaign.model_validate(MINIMAL | changes)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model": "/models/../a.nequip.zip"},
        {"base_model": "models/x/../a.nequip.zip"},
        {"base_model": "shipped:si-small.nequip.zip"},
        {"base_model": "nequip.net:mir-group/Allegro-OAM-L:0.1"},
        {"phases": [{"name": "a", "file": "..a.cif"}]},
        {"phases": [{"name": "a", "file": "/a.cif"}]},
    ],
)
def test_a_path_that_stays_or_says_that_it_leaves(changes):
    Campaign.model_validate(MINIMAL | changes)
