"""`entropy-flows pause`: let a campaign start no more jobs, until it is resumed."""

from __future__ import annotations

from entropy_flows.cli.options import CampaignFile, FolderOption, NowOption


def command(
    file: CampaignFile,
    folder: FolderOption = None,
    now: NowOption = False,
) -> None:
    """Start no more jobs of a campaign; `resume` lets it go on where it was.

    Workers end the jobs that they have. They may stay, and wait for the resumption.

    Example: entropy-flows pause silicon/campaign.yaml
    """
    from entropy_flows.cli.holds import hold_campaign
    from entropy_flows.store.holds import HoldKind

    hold_campaign(file, folder, HoldKind.PAUSE, now)
