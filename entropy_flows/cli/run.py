"""`entropy-flows run`: submit, start workers here, follow the campaign to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed, show_changes
from entropy_flows.launch.session import Session, open_session

if TYPE_CHECKING:
    from rich.console import Console

    from entropy_flows.launch.manager import WorkflowManager
    from entropy_flows.store.fence import Fence


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Local workers. Default: one per core.")
    ] = None,
    local: Annotated[
        bool,
        typer.Option("--local", help="In this process, without a workflow manager, for debugging."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run the failed jobs of a failed campaign again.")
    ] = False,
) -> None:
    """Run a campaign here, or continue one: nothing that is done is done again.

    Example: entropy-flows run silicon/campaign.yaml --workers 2
    """
    from rich.console import Console

    from entropy_flows.cli.model import model_lines, print_lines
    from entropy_flows.cli.preflight import preflight
    from entropy_flows.cli.status_lines import show_iterations
    from entropy_flows.processes import locked

    preflight(file, runs_here=True)
    console = Console()
    with (
        open_session(file, folder, is_lasting=True) as session,
        locked(session.folder / "run.lock", "this campaign", patience=3.0),
    ):
        if local:
            state, message = _run_locally(session)
        else:
            state, message = run_workers(session, console, workers, retry)
        show_iterations(console, session.store.iterations(), session.store.failures())
        print_lines(console, model_lines(session, as_typed(file, folder), write=True))
    refuse_unfinished(session.store.name, state, message)
    console.print(f"[green]{session.store.name}: {message}[/green]")
    print(f"next: entropy-flows report {as_typed(file, folder)}")


def refuse_unfinished(name: str, state: str, message: str | None) -> None:
    """Raise a RuntimeError with the reason if a campaign has failed, or stands still."""
    if state == "stuck":
        raise RuntimeError(f"campaign {name} stands still: {message}")
    if state == "failed":
        raise RuntimeError(f"campaign {name} failed: {message}")


def run_workers(
    session: Session, console: Console, workers: int | None, retry: bool = False, maker: Any = None
) -> tuple[str, str | None]:
    """Submit a campaign if it was not, and follow it with local workers to its end.

    Parameters
    ----------
    session
        The campaign.
    console
        Where progress is printed.
    workers
        Number of local workers; None takes the settings' number, or one per core.
    retry
        Run failed jobs and stages again.
    maker
        Maker of the flow to submit, in place of the one that the campaign describes.

    Returns
    -------
    tuple
        The campaign's state and message.

    Raises
    ------
    StoreError
        If another `run` has the campaign, from whatever folder or machine.
    """
    from entropy_flows.cli.follow import Follower
    from entropy_flows.launch.local import LocalWorkers
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.submit import submit

    _refuse_held(session)
    model = _first_model(session)
    crew = LocalWorkers(session.store.name, session.folder, workers, session.embedded, model)
    with only_run(session) as fence, ExitStack() as running:
        if not _has_ended(session):
            running.enter_context(crew)  # they import and load while this process submits
        submission = submit(session.store, session.settings, session.file.parent, maker)
        show_changes(submission.changes)
        manager = workflow_manager(session.store)
        if not submission.added:
            ended = _resume(session, manager, console, retry)
            if ended is not None:
                return ended
        if not crew.is_started:
            running.enter_context(crew)
        crew.begin()
        return Follower(session, manager, crew, console, fence).follow()


def _first_model(session: Session) -> str | None:
    """Return the model that a campaign explores with first; None for one that explores with none.

    Raises
    ------
    ValueError
        If its file is not there.
    """
    from entropy_flows.potentials import locate_model
    from entropy_flows.schemas import Campaign

    if not isinstance(session.settings, Campaign):
        return None
    return locate_model(session.settings.base_model, session.file.parent)


def _has_ended(session: Session) -> bool:
    """Tell whether a campaign is in the database and there is probably nothing left to do."""
    store = session.store
    return store.exists() and store.document()["state"] in ("done", "failed")


def _refuse_held(session: Session) -> None:
    """Refuse to start workers for a campaign that somebody has paused or cancelled."""
    from entropy_flows.store import StoreError
    from entropy_flows.store.holds import HOLD_STATES, standing

    store = session.store
    if not store.exists():
        return
    _refuse_other_manager(session)
    state, message = standing(store.document())
    if state in HOLD_STATES.values():
        raise StoreError(
            f"campaign {store.name!r} is {state} {message}; to go on: "
            f"entropy-flows resume {session.file}"
        )


def _refuse_other_manager(session: Session) -> None:
    """Refuse to start workers for a campaign whose jobs are not theirs to take."""
    from entropy_flows.launch.manager import FIREWORKS, manager_choice, workflow_manager
    from entropy_flows.store import StoreError

    choice = manager_choice(session.store)
    if choice.name == FIREWORKS:
        return
    start = workflow_manager(session.store).start_command(str(session.file), session.embedded)
    raise StoreError(
        f"campaign {session.store.name!r} has its jobs at {choice}, which starts its workers "
        f"itself: {start}"
    )


@contextmanager
def only_run(session: Session) -> Iterator[Fence]:
    """Be the only `run` of a campaign on its database for the length of the block.

    Raises
    ------
    StoreError
        If another one is, or has become it while this process was stopped.
    """
    from entropy_flows.store import StoreError
    from entropy_flows.store.lease import LeaseLostError, LeaseTakenError, lease

    name = session.store.name
    database = session.store.database
    folder = str(session.folder)
    try:
        with lease(database, f"run/{name}", patience=0, regain=True, folder=folder) as fence:
            yield fence
    except LeaseTakenError as err:
        raise StoreError(f"campaign {name!r} is being run by {_describe(err.holder)}") from None
    except LeaseLostError:
        raise StoreError(
            f"campaign {name!r}: this run was stopped, and another one has taken over meanwhile"
        ) from None


def _describe(holder: dict[str, Any]) -> str:
    """Describe who runs a campaign, and what can be done."""
    from entropy_flows.store.lease import LEASE_SECONDS

    _, number, _ = holder["process"].split("-")
    return (
        f"process {number} on {holder['host']} (folder {holder['folder']}) "
        f"since {holder['since']:%Y-%m-%d %H:%M} UTC; follow it with `entropy-flows status`. "
        f"If that machine is down, try again in {LEASE_SECONDS:.0f} s"
    )


def _resume(
    session: Session, manager: WorkflowManager, console: Console, retry: bool
) -> tuple[str, str | None] | None:
    """Mend what the last run has left; return state and message if the campaign has ended."""
    from entropy_flows.launch.job_states import ACTIVE_STATES
    from entropy_flows.launch.liveness import liveness_criteria

    name = session.store.name
    criteria = liveness_criteria(session, manager, idle=True)
    report = manager.repair(name, criteria, retry=retry)
    if report.is_notable:
        console.print(f"after the last run: {report}", highlight=False)
    if retry:
        stages = manager.retry_stages(session.store)
        if stages:
            console.print(str(stages))
    document = session.store.document()
    counts = manager.job_counts(name)
    # such as a training again, or a physics check
    has_active = any(counts.get(state) for state in ACTIVE_STATES)
    if document["state"] not in ("done", "failed") or has_active:
        return None
    console.print(f"{name} ended before; nothing is repeated")
    return document["state"], document["message"]


def _run_locally(session: Session) -> tuple[str, str | None]:
    """Run the same flow in this process; return state and message.

    Labels and models that exist are taken as they are.
    """
    from jobflow import run_locally

    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.launch.steering import take_settings
    from entropy_flows.launch.submit import campaign_flow
    from entropy_flows.store import StoreError, job_store

    store = session.store
    manager = workflow_manager(store)
    if manager.jobs(store.name):
        raise StoreError(f"{store.name} was submitted; continue it without --local")
    base = session.file.parent
    show_changes(take_settings(store, session.campaign, base, manager))
    flow = campaign_flow(store, session.campaign, base, manager)
    if flow is None:
        document = store.document()
        return document["state"], document["message"]
    store.set_state("running")
    launches = session.folder / "launches"
    launches.mkdir(parents=True, exist_ok=True)
    with only_run(session):
        run_locally(flow, store=job_store(), root_dir=Path(launches), create_folders=True)
    document = store.document()
    if document["state"] != "running":
        return document["state"], document["message"]
    failures = store.failures()
    if not failures:
        return "failed", "a job failed, see the log above"
    return "failed", f"{failures[-1]['stage']}: {failures[-1]['message']}"
