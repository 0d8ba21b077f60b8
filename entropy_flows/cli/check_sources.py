"""Check the files of `explore.source` and `select.target` before a campaign starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy_flows.schemas import Campaign


def check_sources(campaign: Campaign) -> None:
    """Refuse a campaign whose candidates or targets are in files that are not there.

    Raises
    ------
    ValueError
        Naming the iteration and the file.
    """
    last = min(campaign.n_iterations, max(1, len(campaign.iterations)))
    checked: set[tuple[str, ...]] = set()
    for number in range(1, last + 1):
        config = campaign.iteration(number)
        target = getattr(config.select, "target_file", None)
        target_files = () if target is None else (str(target),)
        files = {"explore.source": config.explore.source, "select.target": target_files}
        for key, source in files.items():
            if not source or source in checked:
                continue
            checked.add(source)
            try:
                _check_files(source)
            except ValueError as err:
                raise ValueError(f"{key} of iteration {number}: {err}") from None


def _check_files(source: tuple[str, ...]) -> None:
    """Refuse files that are not there, or whose format nobody knows."""
    from entropy_flows.frames.kinds import format_of
    from entropy_flows.frames.locate import locate_files

    for path in locate_files(source):
        format_of(path)
