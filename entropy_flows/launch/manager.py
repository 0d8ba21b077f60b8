"""What the package asks of a workflow manager, and the ones that there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobflow import Flow

    from entropy_flows.launch.liveness import LivenessCriteria
    from entropy_flows.launch.repair_report import RepairReport
    from entropy_flows.schemas.status import RunningJob
    from entropy_flows.store import CampaignStore
    from entropy_flows.store.verify_context import VerifyResult


FIREWORKS = "fireworks"
REMOTE = "jobflow-remote"
MANAGERS = (FIREWORKS, REMOTE)
"""Names of the workflow managers, the usual one first."""


@dataclass(frozen=True)
class ManagerChoice:
    """A workflow manager, by its name.

    Attributes
    ----------
    name
        One of `MANAGERS`.
    project
        Name of a project of jobflow-remote; None for its usual one, and for FireWorks.
    """

    name: str = FIREWORKS
    project: str | None = None

    def __str__(self) -> str:
        return self.name if self.project is None else f"{self.name} (project {self.project})"


@dataclass(frozen=True)
class JobRecord:
    """One job of a campaign, as its workflow manager knows it.

    Attributes
    ----------
    uuid
        The job's identifier in jobflow.
    name
        The job's name, which is that of its stage.
    state
        One of `job_states`.
    """

    uuid: str
    name: str
    state: str


class WorkflowManager(Protocol):
    """A program that keeps the jobs of campaigns and has workers run them.

    Commands and checks speak to a manager through these methods alone. An implementation owes

    - that a job keeps the metadata of its flow, `campaign` among them, by which it is found;
    - that a job runs as one launch at a time, with a fence that ends with it (`store.fence`);
    - that a flow is added whole or not at all, also when the process that adds it is killed;
    - that no job starts of a campaign that is held (`store.holds`);
    - that every method can be called while workers run, and again after it was interrupted.

    FireWorks' is `FireWorksManager`, that of jobflow-remote `remote.manager.RemoteManager`.
    """

    def prepare(self) -> None:
        """Make what a new database lacks before the first flow is added."""

    def jobs(self, campaign: str, **metadata: str) -> list[JobRecord]:
        """Return a campaign's jobs, those with this metadata alone if there is any."""

    def job_uuids(self, campaign: str) -> frozenset[str]:
        """Return the identifiers of a campaign's jobs."""

    def job_counts(self, campaign: str) -> dict[str, int]:
        """Return the number of a campaign's jobs by state."""

    def open_jobs(self, campaign: str) -> list[JobRecord]:
        """Return the jobs of a campaign that have not ended."""

    def running_jobs(self, campaign: str, criteria: LivenessCriteria) -> list[RunningJob]:
        """Return the jobs that somebody has taken, with what their workers say of them."""

    def has_flow(self, flow: Flow) -> bool:
        """Return True if the flow's jobs were added before."""

    def add_flow(self, flow: Flow) -> bool:
        """Add a flow unless its jobs are there; return True if it was added."""

    def delete(self, campaign: str, uuids: Collection[str] | None = None) -> int:
        """Delete a campaign's jobs, or the flows of these; return the number of jobs."""

    def last_failure(self, campaign: str) -> str | None:
        """Describe the last job that failed, in one line; None if none did."""

    def start_command(self, typed: str, is_embedded: bool) -> str:
        """Return the command that starts workers, for people.

        Parameters
        ----------
        typed
            The campaign's file and folder as arguments of a command.
        is_embedded
            Whether the database is the campaign's own, which no queue reaches.
        """

    def has_workers(self, store: CampaignStore) -> bool:
        """Return True if somebody looks for jobs of a campaign all the time."""

    def workers(self, campaign: str) -> Collection[str]:
        """Return the names of all local workers that ever took a job of a campaign."""

    def ended_workers(self, campaign: str) -> Collection[str]:
        """Return the names of those local workers whose process has ended on this machine."""

    def apply_hold(self, store: CampaignStore) -> int:
        """Keep a held campaign's jobs from starting, or let them go on; return how many changed.

        It follows the campaign's hold (`store.holds`), and completes what was interrupted.
        """

    def release_approved(self, store: CampaignStore) -> None:
        """Let the jobs go on whose cells have all been approved or rejected."""

    def repair(
        self,
        campaign: str,
        criteria: LivenessCriteria | None = None,
        *,
        dry_run: bool = False,
        retry: bool = False,
    ) -> RepairReport:
        """Find and mend what dead workers left of a campaign's jobs; see `launch.repair`."""

    def retry_stages(self, store: CampaignStore, dry_run: bool = False) -> RepairReport:
        """Run the failed stages of the last iteration again, and the jobs after them."""

    def check_jobs(self, store: CampaignStore) -> VerifyResult:
        """Check that a campaign's jobs are whole and agree with one another."""


def workflow_manager(
    store: CampaignStore | None = None, choice: ManagerChoice | None = None
) -> WorkflowManager:
    """Return the workflow manager of a campaign.

    Parameters
    ----------
    store
        The campaign, whose document says which manager it was submitted to. None: FireWorks'.
    choice
        What a submission asks for; None takes what the campaign has.

    Raises
    ------
    StoreError
        If the campaign has another manager than is asked for, or that manager cannot be had here.
    """
    choice = manager_choice(store, choice)
    if choice.name == REMOTE:
        from entropy_flows.launch.remote.manager import RemoteManager

        return RemoteManager.of_project(choice.project)
    from entropy_flows.launch.fireworks_manager import FireWorksManager
    from entropy_flows.launch.launchpad import LaunchPadOnDemand
    from entropy_flows.store import connect

    return FireWorksManager(LaunchPadOnDemand(connect()))


def manager_choice(
    store: CampaignStore | None, asked: ManagerChoice | None = None
) -> ManagerChoice:
    """Return the manager that a campaign has, or is to have; arguments as in `workflow_manager`."""
    from entropy_flows.store import StoreError

    stored = None if store is None else store.manager()
    if stored is None:
        return asked or ManagerChoice()
    choice = ManagerChoice(**stored)
    if store is not None and asked is not None and asked != choice:
        raise StoreError(
            f"campaign {store.name!r} has its jobs at {choice}, not at {asked}: a campaign stays "
            f"with its workflow manager; `entropy-flows fork` begins another one from it"
        )
    return choice


def typed_choice(name: str | None, project: str | None) -> ManagerChoice | None:
    """Read a manager and its project off a command's options; None if neither is given.

    Raises
    ------
    ValueError
        If there is no such manager, or it has no projects.
    """
    if name is None and project is None:
        return None
    if name is not None and name not in MANAGERS:
        raise ValueError(f"--manager {name}: expected one of {', '.join(MANAGERS)}")
    if project is not None and name != REMOTE:
        raise ValueError(f"--project {project}: needs --manager {REMOTE}")
    return ManagerChoice(name or FIREWORKS, project)
