"""`entropy-flows resume`: let a campaign go on that was paused or cancelled."""

from __future__ import annotations

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed
from entropy_flows.launch.session import open_stored


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Let a campaign go on that was paused or cancelled, exactly where it was.

    Jobs that somebody paused by the workflow manager's own commands go on, too.

    Example: entropy-flows resume silicon/campaign.yaml
    """
    from entropy_flows.launch.job_states import job_line
    from entropy_flows.launch.manager import workflow_manager
    from entropy_flows.store.holds import HOLD_STATES, HoldKind

    with open_stored(file, folder) as session:
        store = session.store
        manager = workflow_manager(store)
        store.document()  # raises if another version wrote it
        before = store.hold()
        store.set_hold(HoldKind.RESUME)
        changed = manager.apply_hold(store)
        counts = manager.job_counts(store.name)
        start = manager.start_command(as_typed(file, folder), session.embedded)
    was = HOLD_STATES.get(before.kind, "not held") if before is not None else "not held"
    print(f"{store.name} was {was}; {changed} jobs were let go on")
    if counts:
        print(f"jobs: {job_line(counts)}")
    print(f"without workers: {start}")
