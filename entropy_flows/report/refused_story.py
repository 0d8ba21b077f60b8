"""The story of a candidate that was not chosen, in the form that an entry's story has.

refused_story(store, ledger, "001/explore/00003/00140")    None if the key names no candidate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from entropy_flows.report.refused import STATUS, RefusedCell, find_refused
from entropy_flows.report.structure import Neighbour, neighbours_at
from entropy_flows.report.structure_text import Section, neighbour_lines, origin_lines
from entropy_flows.report.text import number
from entropy_flows.store.mean_prints import mean_prints, nearest_to

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore, Ledger


@dataclass(frozen=True)
class RefusedStory:
    """A candidate that was explored and not chosen."""

    campaign: str
    key: str
    """Key that it would have in the ledger."""
    iteration: int
    """Iteration that explored it."""
    formula: str
    n_atoms: int
    volume_per_atom: float
    """Å³."""
    origin: Mapping[str, Any]
    """Phase, temperature (K), k (eV), pressure (GPa), mode, run, step and seed."""
    gain: float
    """ΔH beside all that its iteration's selection chose."""
    threshold: float | None
    """Least ΔH of the chosen; None if none was chosen by its gain."""
    neighbours: tuple[Neighbour, ...]
    """Nearest entries of the ledger, the nearest first."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @property
    def headline(self) -> str:
        """Return in one line what the candidate is."""
        return f"{self.formula}, {self.n_atoms} atoms, {self.volume_per_atom:.2f} Å³/atom; {STATUS}"

    @property
    def sections(self) -> list[Section]:
        """Return the story in sections of named lines; one without lines is left out."""
        least = "" if self.threshold is None else f"; the least of the chosen {self.threshold:.4g}"
        choice = [
            ("why not", f"iteration {self.iteration} explored it, and chose others"),
            ("gain ΔH", f"{number(self.gain, 4)} beside what was chosen{least}"),
        ]
        every = [
            Section("origin", list(origin_lines(self.origin))),
            Section("choice", choice),
            Section("nearest entries", list(neighbour_lines(self.neighbours))),
        ]
        return [section for section in every if section.lines]


def refused_story(
    store: CampaignStore, ledger: Ledger, key: str, neighbours: int
) -> tuple[RefusedStory, RefusedCell] | None:
    """Read the story of a candidate that is in no ledger, and the candidate itself.

    Parameters
    ----------
    store, ledger
        The campaign and its ledger.
    key
        Key that the candidate would have.
    neighbours
        Number of the nearest entries to name.

    Returns
    -------
    tuple of RefusedStory and RefusedCell, or None
        None if nothing of that key was explored, or what the explore job returned is gone.
    """
    located = find_refused(store, ledger, key)
    if located is None:
        return None
    cell, least = located
    others = nearest_to(mean_prints(ledger), cell.mean, neighbours) if neighbours else []
    facts = ("key", "iteration", "formula", "n_atoms", "volume_per_atom", "origin", "gain")
    story = RefusedStory(
        campaign=store.name,
        **{name: cell.entry[name] for name in facts},
        threshold=least,
        neighbours=neighbours_at(ledger, others),
    )
    return story, cell
