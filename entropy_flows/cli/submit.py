"""`entropy-flows submit`: put a campaign on the launchpad for workers elsewhere."""

from __future__ import annotations

from entropy_flows.cli.options import CampaignFile, FolderOption, as_typed, show_changes
from entropy_flows.launch.session import need_shared_database, open_session


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Put a campaign on the launchpad; start workers with qlaunch or rlaunch.

    Example: ENTROPY_FLOWS_URI=mongodb://… entropy-flows submit carbon.yaml
    """
    need_shared_database("submit", ", or use `run`")

    from entropy_flows.cli.preflight import preflight
    from entropy_flows.launch.submit import submit

    preflight(file)
    with open_session(file, folder) as session:
        submission = submit(session.store, session.campaign, file.parent)
        document = session.store.document()
    show_changes(submission.changes)
    done = "is submitted" if submission.added else "was submitted before"
    if not submission.added and document["state"] == "done":
        done = f"is done ({document['message']})"
    typed = as_typed(file, folder)
    print(f"{session.campaign.name} {done}; its state: entropy-flows status {typed}")
