"""`entropy-flows run`: submit, start workers here, follow the campaign to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from entropy_flows.cli.check import preflight
from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.cli.repair import gather
from entropy_flows.cli.status import ACTIVE, HELD, job_counts, job_line, show_iterations
from entropy_flows.launch.session import Session, session
from entropy_flows.processes import locked
from entropy_flows.report.iterations import stage_line

if TYPE_CHECKING:
    from entropy_flows.store.fence import Fence

POLL_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to redraw."""


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers. Default: one per core.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="In this process, without FireWorks, for debugging.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run the failed jobs of a failed campaign again.")
    ] = False,
) -> None:
    """Run a campaign here, or continue one: nothing that is done is done again.

    Example: entropy-flows run silicon/campaign.yaml --workers 2
    """
    preflight(file, runs_here=True)
    console = Console()
    with (
        session(file, folder) as opened,
        locked(opened.folder / "run.lock", "this campaign", patience=3.0),
    ):
        state, message = (
            _run_locally(opened) if local else run_workers(opened, console, workers, retry)
        )
        show_iterations(console, opened.store.iterations(), opened.store.failures())
    refuse_unfinished(opened.store.name, state, message)
    console.print(f"[green]{opened.store.name}: {message}[/green]")
    print(f"next: entropy-flows report {as_typed(file, folder)}")


def refuse_unfinished(name: str, state: str, message: str | None) -> None:
    """Raise a RuntimeError with the reason if a campaign has failed, or stands still."""
    if state == "stuck":
        raise RuntimeError(f"campaign {name} stands still: {message}")
    if state == "failed":
        raise RuntimeError(f"campaign {name} failed: {message}")


def run_workers(
    opened: Session, console: Console, workers: int | None, retry: bool = False, maker: Any = None
) -> tuple[str, str | None]:
    """Submit a campaign if it was not, and follow it with local workers to its end; its state and message.

    `maker` is of the flow to submit, in place of the one that the campaign describes.

    Raises
    ------
    StoreError
        If another `run` has the campaign, from whatever folder or machine.
    """
    from entropy_flows.launch.launchpad import launchpad
    from entropy_flows.launch.local import LocalWorkers
    from entropy_flows.launch.submit import submit

    with only_run(opened) as held:
        submitted = submit(opened.store, opened.settings, opened.file.parent, maker)
        pad = launchpad()
        crew = LocalWorkers(opened.store.name, opened.folder, workers, alone=opened.embedded)
        if not submitted and (ended := _taken_up(opened, pad, console, retry)) is not None:
            return ended
        with crew:
            return _follow(opened, pad, crew, console, held)


@contextmanager
def only_run(opened: Session) -> Iterator[Fence]:
    """Be the only `run` of a campaign on its database for the length of the block.

    Raises
    ------
    StoreError
        If another one is, or has become it while this process was stopped.
    """
    from entropy_flows.store import StoreError
    from entropy_flows.store.lease import LeaseLostError, LeaseTakenError, lease

    name = opened.store.name
    database = opened.store.database
    try:
        with lease(
            database, f"run/{name}", patience=0, regain=True, folder=str(opened.folder)
        ) as held:
            yield held
    except LeaseTakenError as err:
        raise StoreError(f"campaign {name!r} is being run by {_who(err.holder)}") from None
    except LeaseLostError:
        raise StoreError(
            f"campaign {name!r}: this run was stopped, and another one has taken over meanwhile"
        ) from None


def _who(holder: dict[str, Any]) -> str:
    """Who runs a campaign, and what can be done."""
    from entropy_flows.store.lease import LEASE_SECONDS

    _, number, _ = holder["process"].split("-")
    return (
        f"process {number} on {holder['host']} (folder {holder['folder']}) since {holder['since']:%Y-%m-%d %H:%M} UTC; "
        f"follow it with `entropy-flows status`. If that machine is down, try again in {LEASE_SECONDS:.0f} s"
    )


def _taken_up(
    opened: Session, pad: Any, console: Console, retry: bool
) -> tuple[str, str | None] | None:
    """Mend what the last run has left; the campaign's end if it has ended."""
    from entropy_flows.launch.repair import repair, retry_stages

    name = opened.store.name
    if mended := repair(pad, name, gather(opened, pad, idle=True), retry=retry):
        console.print(f"after the last run: {mended}")
    if retry and (mended := retry_stages(pad, opened.store)):
        console.print(str(mended))
    document = opened.store.document()
    if document["state"] not in ("done", "failed"):
        return None
    console.print(f"{name} ended before; nothing is repeated")
    return document["state"], document["message"]


def _follow(
    opened: Session, pad: Any, crew: Any, console: Console, held: Fence
) -> tuple[str, str | None]:
    """Show progress until the campaign ends or nothing can run any more."""
    shown, printed, idle = "", 0.0, 0
    with console.status("starting") as spinner:
        while True:
            held.check(opened.store.database)
            if mended := crew.mend():
                console.print(f"mended: {mended}")
            document = opened.store.document()
            counts = job_counts(opened.store.database, opened.store.name)
            line = f"{stage_line(opened.store.iterations())} | {job_line(counts)}"
            spinner.update(line)
            if (
                not console.is_terminal
                and line != shown
                and time.monotonic() - printed > QUIET_SECONDS
            ):
                console.print(
                    f"{time.strftime('%H:%M:%S')} {line}", highlight=False, soft_wrap=True
                )
                shown, printed = line, time.monotonic()
            active = sum(counts.get(state, 0) for state in ACTIVE)
            if document["state"] in ("done", "failed") and not active:
                return document["state"], document["message"]
            idle = 0 if active else idle + 1
            if idle > 10:  # the launchpad may be between two states for a moment, not for ten
                is_held = any(counts.get(state) for state in HELD)
                why = job_line(counts) if is_held else _why_stuck(pad, opened.store.name)
                return "stuck" if is_held else "failed", why
            time.sleep(POLL_SECONDS)


def _why_stuck(pad: Any, campaign: str) -> str:
    fizzled = pad.fireworks.find_one(
        {"spec.campaign": campaign, "state": "FIZZLED"}, sort=[("fw_id", -1)]
    )
    if fizzled is None:
        return "no job can run; see `lpad get_fws -s WAITING`"
    launch = pad.launches.find_one({"fw_id": fizzled["fw_id"]}, sort=[("launch_id", -1)]) or {}
    stored = ((launch.get("action") or {}).get("stored_data") or {}).get("_exception") or {}
    lines = str(stored.get("_stacktrace", "no traceback was stored")).strip().splitlines()
    return f"job {fizzled['name']!r} failed: {lines[-1]}"


def _run_locally(opened: Session) -> tuple[str, str | None]:
    """The same flow in this process, from its first iteration: labels and models that exist are taken as they are."""
    from jobflow import run_locally

    from entropy_flows.launch.launchpad import launchpad
    from entropy_flows.launch.submit import build_flow
    from entropy_flows.store import StoreError, job_store

    store, name = opened.store, opened.store.name
    if launchpad().fireworks.find_one({"spec.campaign": name}) is not None:
        raise StoreError(f"{name} is on the launchpad; continue it without --local")
    if not store.create(opened.campaign) and (done := store.document())["state"] == "done":
        return done["state"], done["message"]
    flow = build_flow(store, opened.campaign, opened.file.parent)
    store.set_state("running")
    launches = opened.folder / "launches"
    launches.mkdir(parents=True, exist_ok=True)
    with only_run(opened):
        run_locally(flow, store=job_store(), root_dir=Path(launches), create_folders=True)
    document = store.document()
    if document["state"] == "running":
        failure = next(reversed(store.failures()), None)
        reason = (
            f"{failure['stage']}: {failure['message']}"
            if failure
            else "a job failed, see the log above"
        )
        return "failed", reason
    return document["state"], document["message"]
