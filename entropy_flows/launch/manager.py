"""What the package asks of a workflow manager, and the one that it is given."""

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

    FireWorks' is `FireWorksManager`.
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


def workflow_manager() -> WorkflowManager:
    """Return the workflow manager on the database of this machine's settings."""
    from entropy_flows.launch.fireworks_manager import FireWorksManager
    from entropy_flows.launch.launchpad import LaunchPadOnDemand
    from entropy_flows.store import connect

    return FireWorksManager(LaunchPadOnDemand(connect()))
