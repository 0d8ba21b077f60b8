"""`entropy-flows cancel`: end a campaign before its time; nothing of it is deleted."""

from __future__ import annotations

from entropy_flows.cli.options import CampaignFile, FolderOption, NowOption


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    now: NowOption = False,
) -> None:
    """End a campaign here; what it has made stays, and `resume` brings it back.

    Workers end the jobs that they have, and `run` ends. `delete` is what deletes.

    Example: entropy-flows cancel silicon/campaign.yaml
    """
    from entropy_flows.cli.holds import hold_campaign
    from entropy_flows.store.holds import HoldKind

    hold_campaign(file, folder, HoldKind.CANCEL, now)
