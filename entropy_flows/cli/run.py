"""`entropy-flows run`: submit, start workers here, follow the campaign to its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.check import preflight
from entropy_flows.cli.repair import gather
from entropy_flows.cli.session import CampaignFile, FolderOption, Session, as_typed, session
from entropy_flows.cli.status import job_counts, job_line, show, stage_line
from entropy_flows.processes import locked

POLL_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to redraw."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local workers. Default: one per core.")] = None,
    local: Annotated[bool, typer.Option("--local", help="In this process, without FireWorks, for debugging.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run the failed jobs of a failed campaign again.")] = False,
) -> None:
    """Run a campaign here, or continue one: nothing that is done is done again.

    Example: entropy-flows run silicon/campaign.yaml --workers 2
    """
    preflight(file, runs_here=True)
    console = Console()
    with session(file, folder) as opened, locked(opened.folder / "run.lock", "this campaign", patience=3.0):
        state, message = _run_locally(opened) if local else run_workers(opened, console, workers, retry)
        show(console, opened.store.iterations(), opened.store.failures())
    if state == "failed":
        raise RuntimeError(f"campaign {opened.store.name} failed: {message}")
    console.print(f"[green]{opened.store.name}: {message}[/green]")
    console.print(f"next: entropy-flows report {as_typed(file, folder)}")


def run_workers(
    opened: Session, console: Console, workers: int | None, retry: bool = False, maker: Any = None
) -> tuple[str, str | None]:
    """Submit a campaign if it was not, and follow it with local workers to its end; its state and message.

    `maker` is of the flow to submit, in place of the one that the campaign describes.
    """
    from entropy_flows.launch import LocalWorkers, repair, submit
    from entropy_flows.launch.repair import retry_stages
    from entropy_flows.store import launchpad

    submitted = submit(opened.store, opened.settings, opened.file.parent, maker)
    pad, name = launchpad(), opened.store.name
    crew = LocalWorkers(name, opened.folder, workers, alone=opened.embedded)
    if not submitted:
        if mended := repair(pad, name, gather(opened, pad, idle=True), retry=retry):
            console.print(f"after the last run: {mended}")
        if retry and (mended := retry_stages(pad, opened.store)):
            console.print(str(mended))
        document = opened.store.document()
        if document["state"] in ("done", "failed"):
            console.print(f"{name} ended before; nothing is repeated")
            return document["state"], document["message"]
    with crew:
        return _follow(opened, pad, crew, console)


def _follow(opened: Session, pad: Any, crew: Any, console: Console) -> tuple[str, str | None]:
    """Show progress until the campaign ends or nothing can run any more."""
    shown, printed, idle = "", 0.0, 0
    with console.status("starting") as spinner:
        while True:
            if mended := crew.mend():
                console.print(f"mended: {mended}")
            document = opened.store.document()
            counts = job_counts(opened.store.database, opened.store.name)
            line = f"{stage_line(opened.store.iterations())} | {job_line(counts)}"
            spinner.update(line)
            if not console.is_terminal and line != shown and time.monotonic() - printed > QUIET_SECONDS:
                console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False, soft_wrap=True)
                shown, printed = line, time.monotonic()
            active = sum(counts.get(state, 0) for state in ("READY", "RESERVED", "RUNNING"))
            if document["state"] in ("done", "failed") and not active:
                return document["state"], document["message"]
            idle = 0 if active else idle + 1
            if idle > 10:  # the launchpad may be between two states for a moment, not for ten
                return "failed", _why_stuck(pad, opened.store.name)
            time.sleep(POLL_SECONDS)


def _why_stuck(pad: Any, campaign: str) -> str:
    fizzled = pad.fireworks.find_one({"spec.campaign": campaign, "state": "FIZZLED"}, sort=[("fw_id", -1)])
    if fizzled is None:
        return "no job can run; see `lpad get_fws -s WAITING`"
    launch = pad.launches.find_one({"fw_id": fizzled["fw_id"]}, sort=[("launch_id", -1)]) or {}
    stored = ((launch.get("action") or {}).get("stored_data") or {}).get("_exception") or {}
    lines = str(stored.get("_stacktrace", "no traceback was stored")).strip().splitlines()
    return f"job {fizzled['name']!r} failed: {lines[-1]}"


def _run_locally(opened: Session) -> tuple[str, str | None]:
    """The same flow in this process, from its first iteration: labels and models that exist are taken as they are."""
    from jobflow import run_locally

    from entropy_flows.launch.submit import build_flow
    from entropy_flows.store import StoreError, job_store, launchpad

    store, name = opened.store, opened.store.name
    if launchpad().fireworks.find_one({"spec.campaign": name}) is not None:
        raise StoreError(f"{name} is on the launchpad; continue it without --local")
    if not store.create(opened.campaign) and (done := store.document())["state"] == "done":
        return done["state"], done["message"]
    flow = build_flow(store, opened.campaign, opened.file.parent)
    store.set_state("running")
    launches = opened.folder / "launches"
    launches.mkdir(parents=True, exist_ok=True)
    run_locally(flow, store=job_store(), root_dir=Path(launches), create_folders=True)
    document = store.document()
    if document["state"] == "running":
        failure = next(reversed(store.failures()), None)
        reason = f"{failure['stage']}: {failure['message']}" if failure else "a job failed, see the log above"
        return "failed", reason
    return document["state"], document["message"]
