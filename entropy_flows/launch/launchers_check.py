"""Whether the launcher files in a folder will do: they may have been edited, copied, or written for another machine."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pymongo.errors import PyMongoError
from ruamel.yaml.error import YAMLError as FireWorksYAMLError

from entropy_flows.label import engine_of, make_static_maker
from entropy_flows.launch.launchers import Cluster, queue_file, worker_file
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.queue_keys import template_keys
from entropy_flows.launch.walltime import seconds
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import CATEGORIES, Stage
from entropy_flows.settings import settings, variable
from entropy_flows.store import StoreError, connect
from entropy_flows.store.connection import (
    DATABASE_NAME,
    OUTPUTS,
    URI_NAME,
    ConfiguredClient,
    configured_uri,
    database_name,
)
from entropy_flows.store.schema import UNIQUE
from entropy_flows.store.uri import journaled

CREDENTIALS = re.compile(r"://[^\s/@'\"]+@|^\s*password:\s*(?!null\b)[^\s#]", re.MULTILINE)
"""A URI with a user in it, or a password by itself."""
SUBMIT = {"SLURM": "sbatch", "PBS": "qsub"}
PINGS = 3
"""So many signs of life may be lost before a job is taken for lost."""


UNREADABLE = (
    *(OSError, ImportError, AttributeError, LookupError, TypeError, ValueError),
    *(yaml.YAMLError, FireWorksYAMLError, PyMongoError),
)
"""What FireWorks and jobflow raise for a file that is not what they expect."""


@dataclass
class Report:
    """What was found: `errors` keep a campaign from running well, `warnings` may."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, path: Path, how: Callable[[Path], Any]) -> Any:
        """A file as `how` reads it; None, and an error, if it cannot be read."""
        try:
            return how(path)
        except FileNotFoundError:
            self.errors.append(f"{path} is missing; `entropy-flows launchers` writes it")
        except UNREADABLE as err:
            self.errors.append(
                f"{path} cannot be read: {type(err).__name__}: {' '.join(str(err).split())[:200]}"
            )
        return None


def check_launchers(folder: Path, campaign: Campaign, load_engine: bool = True) -> Report:
    """Look at everything that can be known before a job is submitted.

    Parameters
    ----------
    folder
        Where the files are.
    campaign
        Whose jobs they are for.
    load_engine
        Whether a label engine of the user's own may be imported, to see what VASP needs of its
        queue.

    Returns
    -------
    Report
        One line for each problem, which names the file.
    """
    report = Report()
    if not folder.is_dir():
        report.errors.append(
            f"{folder} is not a folder; `entropy-flows launchers {folder}` makes it"
        )
        return report
    _check_passwords(report, folder)
    _check_database(report, folder / "my_launchpad.yaml", campaign)
    _check_job_store(report, folder / "jobflow.yaml")
    expiry = _check_config(report, folder / "FW_config.yaml")
    of_stages = {
        **CATEGORIES,
        **{str(stage): category for stage, category in campaign.categories.items()},
    }
    categories = sorted({"cpu", *of_stages.values()})
    adapters = {
        category: _check_category(report, folder, category, expiry) for category in categories
    }
    for stage, changes in campaign.queue.items():
        _check_walltime(report, f"queue of stage {stage}", changes.get("walltime"), expiry)
        _check_changes(report, stage, changes, adapters[of_stages.get(stage, "cpu")])
    label = adapters[of_stages["label"]]
    if load_engine and label is not None:
        engine = engine_of(make_static_maker(campaign.label))
        keys = {**label, **campaign.queue.get(Stage.LABEL, {})}
        report.warnings += engine.queue_warnings(folder / queue_file(of_stages["label"]), keys)
    _check_programs(
        report, {str(adapter.q_type) for adapter in adapters.values() if adapter is not None}
    )
    return report


def _check_passwords(report: Report, folder: Path) -> None:
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if CREDENTIALS.search(path.read_text(errors="replace")):
            said = f"{path} holds credentials; ENTROPY_FLOWS_URI and ~/.entropy_flows.yaml (chmod 600) are for these"
            (report.errors if path.stat().st_mode & 0o077 else report.warnings).append(said)


def _check_database(report: Report, path: Path, campaign: Campaign) -> None:
    """The launchpad file names the configured database, which answers and has its indexes."""
    pad = report.read(path, _launchpad_file)
    if pad is None:
        return
    host, name = pad
    try:
        if name not in (DATABASE_NAME, database_name()):
            report.errors.append(
                f"{path}: database {name!r}, but {database_name()!r} is configured"
            )
        if host != URI_NAME and "journal=true" not in host.lower():
            report.errors.append(
                f"{path}: host without journal=true; a killed server loses acknowledged writes"
            )
        if host != URI_NAME and journaled(host) != journaled(configured_uri()):
            report.errors.append(
                f"{path}: another host than that of ENTROPY_FLOWS_URI; write {URI_NAME} for it"
            )
        database = connect()
    except StoreError as err:
        report.errors.append(str(err))
        return
    if database["campaigns"].find_one({"name": campaign.name}, {"_id": 1}) is None:
        report.warnings.append(
            f"campaign {campaign.name!r} is not in the database yet: entropy-flows submit"
        )
        return
    unique = {
        collection: set(_keys(database[collection].index_information().values()))
        for collection in UNIQUE
    }
    missing = [
        f"{name} {keys}"
        for name, wanted in UNIQUE.items()
        for keys in wanted
        if keys not in unique[name]
    ]
    if ("fw_id",) not in _keys(launchpad().fireworks.index_information().values()):
        missing.append("fireworks ('fw_id',)")
    if missing:
        report.errors.append(
            f"indexes missing in the database: {'; '.join(missing)}; entropy-flows submit makes them"
        )


def _check_job_store(report: Report, path: Path) -> None:
    if not path.is_file():
        return  # only programs of the user's own need it
    try:
        name = database_name()
    except StoreError:
        return  # a missing or malformed URI is told once
    store = report.read(path, _job_store)
    collection = (
        None if store is None else (store.docs_store.database, store.docs_store.collection_name)
    )
    if collection and collection != (name, OUTPUTS):
        report.errors.append(
            f"{path}: outputs in {'.'.join(collection)}, but they are in {name}.{OUTPUTS}"
        )


def _keys(indexes: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The fields of each unique index."""
    return [tuple(key for key, _ in index["key"]) for index in indexes if index.get("unique")]


def _check_config(report: Report, path: Path) -> float:
    """FireWorks' settings; returns the seconds after which a job without a sign of life is lost."""
    from fireworks import fw_config

    config = report.read(path, _mapping) or {}
    if unknown := sorted(
        key for key in config if key != "ADD_USER_PACKAGES" and not hasattr(fw_config, key)
    ):
        report.errors.append(f"{path}: FireWorks does not know {', '.join(unknown)}")
    if config and config.get("MongoClient") is not ConfiguredClient:
        report.errors.append(
            f"{path}: MongoClient is {config.get('MongoClient')!r}, expected {ConfiguredClient.__name__} of "
            f"{ConfiguredClient.__module__}, which puts the settings in the place of the names in my_launchpad.yaml "
            f"(an old monty does not read it: pip install --upgrade monty)"
        )
    _check_taken(report, path, config)
    expiry = config.get("RUN_EXPIRATION_SECS", fw_config.RUN_EXPIRATION_SECS)
    ping = config.get("PING_TIME_SECS", fw_config.PING_TIME_SECS)
    for what, beat in (("PING_TIME_SECS", ping), ("ENTROPY_FLOWS_HEARTBEAT", settings().heartbeat)):
        if beat * PINGS > expiry:
            report.errors.append(
                f"{path}: RUN_EXPIRATION_SECS {expiry:g} is less than {PINGS} × {what} {beat:g}"
            )
    return float(expiry)


def _check_taken(report: Report, path: Path, config: dict[str, Any]) -> None:
    """What FireWorks reads: the file of the working folder, of ~/.fireworks, of FW_CONFIG_FILE, whichever is first."""
    home = Path.home() / ".fireworks" / "FW_config.yaml"
    for other in (home, Path.cwd() / "FW_config.yaml"):
        if not other.is_file() or other.resolve() == path.resolve():
            continue
        theirs = report.read(other, _mapping) or {}
        if missing := [key for key, value in config.items() if theirs.get(key) != value]:
            report.errors.append(
                f"{other} is taken instead of {path}; move it away, or copy {', '.join(missing)} into it"
            )
    try:
        named = Path(variable("FW_CONFIG_FILE"))
    except ValueError:
        named = None
    if not home.is_file() and (named is None or named.resolve() != path.resolve()):
        report.warnings.append(
            f"FW_CONFIG_FILE is {named or 'not set'} in this shell; qlaunch and lpad need {path.resolve()} there to "
            f"find the database"
        )


def _check_category(report: Report, folder: Path, category: str, expiry: float) -> Any:
    """A category's worker and queue files; returns the adapter of one queue job for each job."""
    own = (folder / worker_file(category), folder / queue_file(category))
    if category not in Cluster().queues and not all(path.is_file() for path in own):
        report.errors.append(_how_to_add(folder, category))
        return None
    worker = report.read(folder / worker_file(category), _worker)
    if worker is not None and worker != category:
        report.errors.append(
            f"{folder / worker_file(category)}: category {worker!r}, expected {category!r}"
        )
    found = None
    for pull in (False, True):
        path = folder / queue_file(category, pull)
        if (pull and not path.exists()) or (adapter := report.read(path, _adapter)) is None:
            continue
        found = adapter if found is None else found
        _check_rocket(report, path, adapter, category)
        total = _check_walltime(report, str(path), adapter.get("walltime"), expiry)
        timeout = re.search(r"rapidfire.*--timeout[ =](\d+)", adapter.get("rocket_launch") or "")
        if total and timeout and int(timeout[1]) >= total:
            report.errors.append(
                f"{path}: --timeout {timeout[1]} s is not less than the walltime, {total} s"
            )
        if pull and not timeout:
            report.errors.append(
                f"{path}: no `rapidfire --timeout` in rocket_launch: it begins jobs until the end"
            )
        if total:
            _check_signal(report, path, adapter, total)
    return found


def _how_to_add(folder: Path, category: str) -> str:
    """How a category that `entropy-flows launchers` does not write comes by its files."""
    worker, queue = worker_file(category), queue_file(category)
    return (
        f"{folder} has no {worker} and {queue}: copy {worker_file('gpu')} to the first with category: {category}, "
        f"{queue_file('gpu')} to the second with -w {folder / worker} in rocket_launch and its own queue, "
        f"and start a qlaunch with these two"
    )


def _check_changes(report: Report, stage: str, changes: Mapping[str, Any], adapter: Any) -> None:
    """What a campaign changes of a stage's queue jobs has its place in their batch script."""
    if adapter is None:
        return
    keys = template_keys(Path(adapter.template_file).read_text())
    if unknown := [key for key in changes if key not in keys]:
        report.errors.append(
            f"queue of stage {stage}: {', '.join(unknown)} not in {adapter.template_file}"
        )


def _check_rocket(report: Report, path: Path, adapter: Any, category: str) -> None:
    """The worker that a queue job starts is that of its category."""
    launch = adapter.get("rocket_launch") or ""
    files = dict(re.findall(r"(?<=\s)(-[lw]|--\w+_file)[ =](\S+)", launch))
    worker = files.get("-w") or files.get("--fworker_file")
    if worker is None:
        report.errors.append(
            f"{path}: rocket_launch names no worker file (-w); it would take jobs of every category"
        )
    elif Path(worker).name != worker_file(category):
        report.errors.append(
            f"{path}: rocket_launch starts a worker of {worker}, expected {worker_file(category)}"
        )
    for named in files.values():
        if not Path(named).is_file():
            report.errors.append(f"{path}: {named} in rocket_launch does not exist")
    if not re.match(r"\s*exec\s", launch):
        report.warnings.append(
            f"{path}: rocket_launch without `exec`: SIGTERM does not reach the worker"
        )


def _check_walltime(report: Report, where: str, walltime: Any, expiry: float) -> int | None:
    """A walltime in seconds, longer than it takes to find a job lost."""
    if walltime is None:
        return None
    try:
        total = seconds(str(walltime))
    except ValueError as err:
        report.errors.append(f"{where}: {err}")
        return None
    if expiry > total:
        report.errors.append(
            f"{where}: walltime {walltime} is less than RUN_EXPIRATION_SECS, {expiry:g} s"
        )
    return total


def _check_signal(report: Report, path: Path, adapter: Any, total: int) -> None:
    """SIGTERM comes before the walltime is over."""
    if adapter.q_type == "SLURM":
        found = re.fullmatch(r"B:(?:SIG)?TERM@(\d+)", str(adapter.get("signal")))
        lead = int(found[1]) if found else 0
    else:
        found = re.search(
            r"\btimeout .*--signal=(?:SIG)?TERM\s+(\d+)\s", adapter.get("rocket_launch") or ""
        )
        lead = total - int(found[1]) if found else 0
    if not 0 < lead < total:
        report.errors.append(
            f"{path}: no SIGTERM before the walltime is over, so no checkpoint (signal: B:TERM@120)"
        )


def _check_programs(report: Report, kinds: set[str]) -> None:
    beside = str(Path(sys.executable).parent)
    for name in ("rlaunch", "qlaunch"):
        if not shutil.which(name) and not shutil.which(name, path=beside):
            report.errors.append(f"{name} is not on PATH: pip install fireworks")
    for kind in sorted(kinds):
        if not shutil.which(name := SUBMIT.get(kind, "qsub")):
            report.warnings.append(
                f"{name} is not on PATH: nothing can be submitted to {kind} from here"
            )


def _mapping(path: Path) -> dict[str, Any]:
    """A file of settings, as FireWorks reads it."""
    from monty.serialization import loadfn

    return loadfn(path)


def _launchpad_file(path: Path) -> tuple[str, str]:
    """Host and database name of a launchpad file, as FireWorks reads it; nothing is connected."""
    from fireworks import LaunchPad

    pad = LaunchPad.from_file(str(path))
    pad.connection.close()
    if not pad.uri_mode:
        raise ValueError("expected uri_mode: true")
    return str(pad.host), str(pad.name)


def _job_store(path: Path) -> Any:
    """The job store of a jobflow.yaml, as jobflow reads it."""
    from jobflow.settings import JobflowSettings

    return JobflowSettings(CONFIG_FILE=str(path)).JOB_STORE


def _worker(path: Path) -> str:
    """Category of a worker file."""
    from fireworks import FWorker

    return str(FWorker.from_file(str(path)).category)


def _adapter(path: Path) -> Any:
    """The adapter of a queue file, whose script can be made."""
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
    from fireworks.utilities.fw_serializers import load_object

    data = yaml.safe_load(path.read_text())
    # FireWorks looks for a class by this name in all its modules, its tests among them
    adapter = (
        CommonAdapter.from_dict(data) if data["_fw_name"] == "CommonAdapter" else load_object(data)
    )
    adapter.get_script_str(".")
    return adapter
