"""`entropy-flows submit`: put a campaign on the launchpad for workers elsewhere."""

from __future__ import annotations

from entropy_flows.cli.check import preflight
from entropy_flows.cli.session import CampaignFile, FolderOption, need_shared_database, session


def command(file: CampaignFile, folder: FolderOption = None) -> None:
    """Put a campaign on the launchpad; start workers with qlaunch or rlaunch.

    Example: ENTROPY_FLOWS_URI=mongodb://… entropy-flows submit carbon.yaml
    """
    from entropy_flows.launch import submit

    need_shared_database("submit", ", or use `run`")
    preflight(file)
    with session(file, folder) as opened:
        if submit(opened.store, opened.campaign, file.parent):
            print(f"submitted {opened.campaign.name}; its state: entropy-flows status {file}")
        else:
            print(f"{opened.campaign.name} was submitted before; its state: entropy-flows status {file}")
