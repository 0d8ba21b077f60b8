"""A campaign's model as people take it away: its name, its errors and how it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entropy_flows.conventions import GPA
from entropy_flows.potentials import ase_lines, file_suffix, find_model, split_model, with_arguments
from entropy_flows.report.text import number

if TYPE_CHECKING:
    from entropy_flows.store import CampaignStore

ROLES = {0: "base", -1: "student"}
"""Word for the models that no iteration has trained, in place of a number."""


@dataclass(frozen=True)
class CampaignModel:
    """A model of a campaign."""

    campaign: str
    """Name of the campaign."""
    iteration: int
    """Iteration that has trained it; 0 is the base model, −1 the student."""
    reference: str
    """Reference that the campaign's store fetches it by."""
    name: str
    """Name of its file, or of the published model, with the arguments that it is loaded with."""
    sha256: str | None
    """SHA-256 of its file; None for a published model."""
    errors: Mapping[str, Any]
    """Errors on held-out cells, as the iteration's evaluation has them; empty without one."""

    @property
    def family(self) -> str:
        """Name of the family of models that it belongs to."""
        return find_model(self.name).family.name

    @property
    def file_name(self) -> str:
        """A name for its file that says campaign, iteration and family, and how it is loaded."""
        suffix = file_suffix(self.name)
        ending = suffix if suffix.startswith(f".{self.family}") else f".{self.family}{suffix}"
        return f"{self.campaign}-{ROLES.get(self.iteration, self.iteration)}{ending}"

    def name_at(self, path: object) -> str:
        """Return the name of the model where its file lies at a path."""
        return with_arguments(str(path), split_model(self.name)[1])

    def title(self) -> str:
        """Write its name, where it comes from, and the beginning of its checksum."""
        if self.sha256 is None:
            return f"{self.name} (published, not a file)"
        origin = ROLES.get(self.iteration, f"iteration {self.iteration}")
        return f"{self.file_name} ({origin}, {self.family}, sha256 {self.sha256[:12]})"

    def error_line(self) -> str:
        """Write its errors on held-out cells."""
        errors = self.errors
        if not errors:
            return "no errors on held-out cells are known"
        energy = number(errors.get("energy_mae"), 1, 1e3)
        forces = number(errors.get("forces_mae"), 0, 1e3)
        stress = number(errors.get("stress_mae"), 2, GPA)
        return (
            f"MAE on {errors['n']} held-out cells: energy {energy} meV/atom, "
            f"forces {forces} meV/Å, stress {stress} GPa"
        )

    def lines(self, path: object) -> list[str]:
        """Write three lines that load it in ASE from a path."""
        return ase_lines(self.name_at(path))


def campaign_model(store: CampaignStore, iteration: int | None = None) -> CampaignModel | None:
    """Return a model of a campaign; None if there is none yet.

    Parameters
    ----------
    store
        The campaign.
    iteration
        Number of the iteration that trained it, 0 for the base model, −1 for the student; None for
        the model that the campaign goes on from, or would begin with.
    """
    row = store.model_in_use() if iteration is None else store.model(iteration)
    if row is None:
        return None
    evaluated = [doc for doc in store.iterations() if doc["iteration"] == row["iteration"]]
    if "version" in row:
        evaluated = [row]
    errors = evaluated[0].get("evaluate", {}).get("after", {}) if evaluated else {}
    _, arguments = split_model(row["reference"])
    return CampaignModel(
        campaign=store.name,
        iteration=row["iteration"],
        reference=row["reference"],
        name=with_arguments(split_model(row["name"])[0], arguments),
        sha256=row["sha256"],
        errors=errors or {},
    )


def closing_lines(model: CampaignModel, path: object) -> list[str]:
    """Write what a campaign's reports end with: the model, its errors, and how it is loaded."""
    code = [f"    {line}" for line in model.lines(path)]
    return [f"model: {model.title()}", model.error_line(), "in ASE:", *code]
