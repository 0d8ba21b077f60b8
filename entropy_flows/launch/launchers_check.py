"""Check the launcher files in a folder before a job is submitted.

They may have been edited, copied, or written for another machine.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from entropy_flows.launch.launcher_readers import (
    LauncherReport,
    read_job_store,
    read_launchpad,
    read_mapping,
)
from entropy_flows.launch.launchers import queue_file
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.queue_file_check import QueueFileCheck
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
SUBMIT_COMMANDS = {"SLURM": "sbatch", "PBS": "qsub"}
MIN_PINGS = 3
"""Signs of life that may be due before a job is taken for lost."""


def check_launchers(folder: Path, campaign: Campaign, load_engine: bool = True) -> LauncherReport:
    """Check everything that can be known before a job is submitted.

    Parameters
    ----------
    folder
        Folder of the files.
    campaign
        The campaign whose jobs they are for.
    load_engine
        True to import a label engine of the user's own, to see what VASP needs of its queue.

    Returns
    -------
    LauncherReport
        One line for each problem, which names the file.
    """
    report = LauncherReport()
    if not folder.is_dir():
        hint = f"`entropy-flows launchers {folder}` makes it"
        report.errors.append(f"{folder} is not a folder; {hint}")
        return report
    _check_passwords(report, folder)
    _check_database(report, folder / "my_launchpad.yaml", campaign)
    _check_job_store(report, folder / "jobflow.yaml")
    expiry = _check_config(report, folder / "FW_config.yaml")
    queue_files = QueueFileCheck(report, folder, expiry)
    changed_categories = {str(stage): name for stage, name in campaign.categories.items()}
    stage_categories = {**CATEGORIES, **changed_categories}
    categories = sorted({"cpu", *stage_categories.values()})
    adapters = {category: queue_files.check_category(category) for category in categories}
    for stage, changes in campaign.queue.items():
        category = stage_categories.get(stage, "cpu")
        queue_files.check_changes(stage, changes, adapters[category])
    label_category = stage_categories[Stage.LABEL]
    label_adapter = adapters[label_category]
    if load_engine and label_adapter is not None:
        engine = campaign.label.make_engine()
        keys = {**label_adapter, **campaign.queue.get(Stage.LABEL, {})}
        report.warnings += engine.queue_warnings(folder / queue_file(label_category), keys)
    queue_types = {str(adapter.q_type) for adapter in adapters.values() if adapter is not None}
    _check_programs(report, queue_types)
    return report


def _check_passwords(report: LauncherReport, folder: Path) -> None:
    """Refuse files with credentials that others may read, and warn of any other."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if not CREDENTIALS.search(path.read_text(errors="replace")):
            continue
        message = (
            f"{path} holds credentials; ENTROPY_FLOWS_URI and ~/.entropy_flows.yaml (chmod 600) "
            f"are for these"
        )
        is_open = path.stat().st_mode & 0o077
        (report.errors if is_open else report.warnings).append(message)


def _check_database(report: LauncherReport, path: Path, campaign: Campaign) -> None:
    """Check that the launchpad file names the configured database, which answers."""
    server = report.read(path, read_launchpad)
    if server is None:
        return
    host, name = server
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
    missing = _missing_indexes(database)
    if missing:
        report.errors.append(
            f"indexes missing in the database: {'; '.join(missing)}; "
            f"entropy-flows submit makes them"
        )


def _missing_indexes(database: Any) -> list[str]:
    """Return the unique indexes that the database lacks."""
    missing = []
    for collection, indexes in UNIQUE.items():
        present = set(_unique_keys(database[collection].index_information().values()))
        missing += [f"{collection} {keys}" for keys in indexes if keys not in present]
    if ("fw_id",) not in _unique_keys(launchpad().fireworks.index_information().values()):
        missing.append("fireworks ('fw_id',)")
    return missing


def _unique_keys(indexes: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the fields of each unique index."""
    return [tuple(key for key, _ in index["key"]) for index in indexes if index.get("unique")]


def _check_job_store(report: LauncherReport, path: Path) -> None:
    """Check that a jobflow.yaml has the outputs where the campaign's are."""
    if not path.is_file():
        return  # only programs of the user's own need it
    try:
        name = database_name()
    except StoreError:
        return  # a missing or malformed URI is reported once
    store = report.read(path, read_job_store)
    if store is None:
        return
    database = store.docs_store.database
    collection = store.docs_store.collection_name
    if (database, collection) != (name, OUTPUTS):
        report.errors.append(
            f"{path}: outputs in {database}.{collection}, but they are in {name}.{OUTPUTS}"
        )


def _check_config(report: LauncherReport, path: Path) -> float:
    """Check FireWorks' settings.

    Returns
    -------
    float
        Seconds after which a job without a sign of life is lost.
    """
    from fireworks import fw_config

    config = report.read(path, read_mapping) or {}
    unknown = [key for key in config if key != "ADD_USER_PACKAGES" and not hasattr(fw_config, key)]
    if unknown:
        names = ", ".join(sorted(unknown))
        report.errors.append(f"{path}: FireWorks does not know {names}")
    client = config.get("MongoClient")
    if config and client is not ConfiguredClient:
        report.errors.append(
            f"{path}: MongoClient is {client!r}, expected {ConfiguredClient.__name__} of "
            f"{ConfiguredClient.__module__}, which puts the settings in the place of the names in "
            f"my_launchpad.yaml (an old monty does not read it: pip install --upgrade monty)"
        )
    _check_precedence(report, path, config)
    expiry = config.get("RUN_EXPIRATION_SECS", fw_config.RUN_EXPIRATION_SECS)
    pings = {
        "PING_TIME_SECS": config.get("PING_TIME_SECS", fw_config.PING_TIME_SECS),
        "ENTROPY_FLOWS_HEARTBEAT": settings().heartbeat,
    }
    for name, ping in pings.items():
        if ping * MIN_PINGS > expiry:
            report.errors.append(
                f"{path}: RUN_EXPIRATION_SECS {expiry:g} is less than {MIN_PINGS} × {name} {ping:g}"
            )
    return float(expiry)


def _check_precedence(report: LauncherReport, path: Path, config: dict[str, Any]) -> None:
    """Check that FireWorks reads this file.

    It reads one file alone: that of the working folder, of ~/.fireworks, or of FW_CONFIG_FILE,
    whichever there is first.
    """
    home = Path.home() / ".fireworks" / "FW_config.yaml"
    for other in (home, Path.cwd() / "FW_config.yaml"):
        if not other.is_file() or other.resolve() == path.resolve():
            continue
        other_config = report.read(other, read_mapping) or {}
        different = [key for key, value in config.items() if other_config.get(key) != value]
        if different:
            names = ", ".join(different)
            report.errors.append(
                f"{other} is taken instead of {path}; move it away, or copy {names} into it"
            )
    try:
        configured = Path(variable("FW_CONFIG_FILE"))
    except ValueError:
        configured = None
    is_configured = configured is not None and configured.resolve() == path.resolve()
    if not home.is_file() and not is_configured:
        report.warnings.append(
            f"FW_CONFIG_FILE is {configured or 'not set'} in this shell; qlaunch and lpad need "
            f"{path.resolve()} there to find the database"
        )


def _check_programs(report: LauncherReport, queue_types: set[str]) -> None:
    """Check that FireWorks' programs and the queue's are on this machine."""
    beside_python = str(Path(sys.executable).parent)
    for name in ("rlaunch", "qlaunch"):
        if not shutil.which(name) and not shutil.which(name, path=beside_python):
            report.errors.append(f"{name} is not on PATH: pip install fireworks")
    for queue_type in sorted(queue_types):
        name = SUBMIT_COMMANDS.get(queue_type, "qsub")
        if not shutil.which(name):
            report.warnings.append(
                f"{name} is not on PATH: nothing can be submitted to {queue_type} from here"
            )
