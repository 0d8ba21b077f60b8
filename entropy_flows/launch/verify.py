"""Check everything that a campaign has stored, its jobs included."""

from __future__ import annotations

from collections.abc import Callable

from entropy_flows.launch.manager import WorkflowManager
from entropy_flows.store import CampaignStore
from entropy_flows.store.verify import CHECKS, DEEP_CHECKS, run_check
from entropy_flows.store.verify_context import Progress, VerifyContext, VerifyResult


def verify(
    store: CampaignStore,
    manager: WorkflowManager,
    *,
    deep: bool = False,
    on_progress: Progress | None = None,
) -> list[VerifyResult]:
    """Check a campaign; it may be running meanwhile.

    Parameters
    ----------
    store
        The campaign.
    manager
        The workflow manager that has its jobs.
    deep
        Recompute all fingerprints instead of a sample of 500, and gains and splits. The sample is
        the same each time.
    on_progress
        Called with the name of a long check, how far it is, and how far it goes.

    Raises
    ------
    StoreError
        If there is no such campaign, or it was written by another version.
    """
    context = VerifyContext(store, manager.job_uuids(store.name), deep, on_progress)
    checks = (*quick_checks(manager), *(DEEP_CHECKS if deep else ()))
    return [run_check(check, context) for check in checks]


def quick_checks(
    manager: WorkflowManager,
) -> tuple[Callable[[VerifyContext], VerifyResult], ...]:
    """Return the checks of every run of `verify`, that of the manager's jobs among them."""

    def jobs(context: VerifyContext) -> VerifyResult:
        return manager.check_jobs(context.store)

    return (jobs, *CHECKS)
