"""Check the files of `explore.source` before a campaign starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy_flows.schemas import Campaign


def check_sources(campaign: Campaign) -> None:
    """Refuse a campaign whose candidates are in files that are not there.

    Raises
    ------
    ValueError
        Naming the iteration and the file.
    """
    last = min(campaign.n_iterations, max(1, len(campaign.iterations)))
    checked: set[tuple[str, ...]] = set()
    for number in range(1, last + 1):
        source = campaign.iteration(number).explore.source
        if not source or source in checked:
            continue
        from entropy_flows.frames.kinds import format_of
        from entropy_flows.frames.locate import locate_files

        checked.add(source)
        try:
            for path in locate_files(source):
                format_of(path)
        except ValueError as err:
            raise ValueError(f"explore.source of iteration {number}: {err}") from None
