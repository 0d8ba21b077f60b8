"""Settings that change while a campaign runs, and those that each iteration runs with.

    config              the settings of iterations to come
    changes             who changed which key, when, and from which iteration on
    plan.settings       of an iteration: what its jobs run with, decided once, when they are made

A change and a decision hold the same lease. So a change is either in what an iteration runs with,
or recorded for a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entropy_flows.processes import author
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.changes import Difference, When, differences, refusals
from entropy_flows.store.campaign import CampaignStore
from entropy_flows.store.connection import StoreError
from entropy_flows.store.fence import Fence
from entropy_flows.store.lease import lease
from entropy_flows.store.relabelling import SEARCHED
from entropy_flows.store.schema import refuse_old_worker
from entropy_flows.store.seals import set_fields

if TYPE_CHECKING:
    from entropy_flows.schemas import AnyCampaign

SETTINGS = "settings"
"""Item of an iteration's plan that holds what its jobs run with."""
UNFINISHED = {
    "forking": "a fork of it was interrupted: run `entropy-flows fork` again",
    "deleting": "its deletion was interrupted: run `entropy-flows delete` again",
}
"""State of a campaign that lacks documents → what completes it."""


@dataclass(frozen=True)
class SettingsChange:
    """A key of the campaign file that was changed after the campaign had begun.

    Attributes
    ----------
    key
        Path of the key, with dots.
    old, new
        Its values; None where there is no such key.
    iteration
        First iteration that runs with the new value; None if it holds at once.
    by
        User and machine.
    at
        When it was changed.
    """

    key: str
    old: Any
    new: Any
    iteration: int | None
    by: str
    at: datetime

    @property
    def difference(self) -> Difference:
        """The key with its values."""
        return Difference(self.key, self.old, self.new)

    def text(self) -> str:
        """Write the change in one line, without who made it."""
        since = "at once" if self.iteration is None else f"from iteration {self.iteration} on"
        return f"{self.difference.text()}, {since}"


@dataclass(frozen=True)
class Progress:
    """Counts of what a campaign has done, as its documents say.

    Attributes
    ----------
    begun
        Last iteration whose jobs were made; 0 if none were.
    evaluated
        Last iteration with a decision on the model to go on from; 0 if there is none.
    in_ledger
        Whether the ledger has entries of the last iteration that has begun.
    state
        State of the campaign.
    """

    begun: int
    evaluated: int
    in_ledger: bool
    state: str

    @classmethod
    def of(cls, store: CampaignStore) -> Progress:
        """Read it from the campaign's documents."""
        documents = store.iterations()
        begun = max((row["iteration"] for row in documents if _has_begun(row)), default=0)
        decided = [row["iteration"] for row in documents if "continues" in row.get("evaluate", {})]
        query = {"campaign": store.name, "iteration": begun}
        in_ledger = begun > 0 and store.database["structures"].find_one(query) is not None
        state = store.document()["state"]
        return cls(begun, max(decided, default=0), in_ledger, state)

    @property
    def has_failed_in_iteration(self) -> bool:
        """True if the last iteration ended without a model."""
        return self.state == "failed" and self.begun > self.evaluated

    def first_iteration(self, change: Difference) -> int | None:
        """Return the first iteration that a change holds for; None for one that holds at once.

        An iteration that failed is made again with changed settings, as far as nothing of it is in
        the ledger; else its training is.
        """
        if change.rule.when is When.AT_ONCE:
            return None
        redone = not self.in_ledger or change.sections <= {"train"}
        return self.begun if self.has_failed_in_iteration and redone else self.begun + 1


def _has_begun(row: Mapping[str, Any]) -> bool:
    """Tell whether the jobs of an iteration were made, by the iteration's document.

    Those that a fork shares and trains anew have their cells before.
    """
    plan = row.get("plan", {})
    has_stages = not row.keys().isdisjoint(("runs", "select", "label"))
    return SETTINGS in plan or (has_stages and SEARCHED not in plan)


def change_settings(
    store: CampaignStore, campaign: Campaign, cells: Mapping[str, Any] | None = None
) -> list[SettingsChange]:
    """Make a campaign's settings those of an edited file, and record each key that changes.

    Parameters
    ----------
    store
        The campaign, registered.
    campaign
        What the file says now.
    cells
        Phase → seed cell as a plain document, from which phases that are added start.

    Returns
    -------
    list
        The keys that changed; empty if the file says what the campaign has.

    Raises
    ------
    StoreError
        If a key may not change any more; it names the key, the reason and the way out.
    """
    with settings_lease(store) as held:
        document = current_document(store)
        stored = stored_campaign(store, document)
        changed = differences(stored, campaign)
        if not changed:
            return []
        refuse_changes(store, changed)
        progress = Progress.of(store)
        now = datetime.now(UTC)
        rows = [
            SettingsChange(
                change.key, change.old, change.new, progress.first_iteration(change), author(), now
            )
            for change in changed
        ]
        config = campaign.model_dump(mode="json")
        if campaign.train.device is None:
            # a campaign goes on where it was told to train, unless the file says otherwise
            config["train"]["device"] = stored.train.device
        fields: dict[str, Any] = {
            "config": config,
            "changes": [*document.get("changes", []), *map(asdict, rows)],
        }
        if cells is not None and any(change.key == "phases" for change in changed):
            fields["seeds"] = dict(cells)
        set_fields(store.database["campaigns"], {"name": store.name}, fields, lease=held)
        return rows


def refuse_changes(store: CampaignStore, changed: Sequence[Difference]) -> None:
    """Raise a StoreError that names the keys that may not change any more, and the way out."""
    refused = refused_keys(store, changed)
    if not refused:
        return
    listed = "; ".join(f"{key}: {why}" for key, why in refused)
    raise StoreError(
        f"campaign {store.name!r} has begun, and some keys cannot change any more ({listed}): "
        f"give the file another name and begin it with "
        f"`entropy-flows fork OLD.yaml NEW.yaml --from-iteration N`"
    )


def refused_keys(store: CampaignStore, changed: Sequence[Difference]) -> list[tuple[str, str]]:
    """Return the keys that may not change any more, each with the reason."""
    # a submission that was interrupted has stored the base model
    begun = Progress.of(store).begun or int(store.model(0) is not None)
    return refusals(changed, begun, explored_phases(store))


def decide_settings(
    store: CampaignStore,
    iteration: int,
    proposal: Callable[[AnyCampaign, Sequence[SettingsChange]], dict[str, Any]],
) -> dict[str, Any]:
    """Decide what an iteration runs with, once: whoever asks again is told the same.

    Parameters
    ----------
    store
        The campaign.
    iteration
        Number of the iteration.
    proposal
        Makes the settings from the campaign as it is now and from all that was changed.
    """
    with settings_lease(store) as held:
        document = store.document()
        settings = proposal(stored_campaign(store, document), changes_of(document))
        decided: dict[str, Any] = store.plan(iteration, SETTINGS, settings, lease=held)
        return decided


def iteration_settings(store: CampaignStore, iteration: int) -> dict[str, Any] | None:
    """Return what an iteration runs with, or None if that was not decided."""
    row = store.database["iterations"].find_one(
        {"campaign": store.name, "iteration": iteration}, {f"plan.{SETTINGS}": 1}
    )
    return None if row is None else row.get("plan", {}).get(SETTINGS)


def explored_phases(store: CampaignStore) -> list[str]:
    """Return the phases that the iterations which have begun explore."""
    names: dict[str, None] = {}
    for row in store.iterations():
        settings = row.get("plan", {}).get(SETTINGS, {})
        names |= dict.fromkeys(settings.get("phases", ()))
    return list(names)


def changes_of(document: Mapping[str, Any]) -> list[SettingsChange]:
    """Return the changes that a campaign's document records, in order."""
    return [SettingsChange(**row) for row in document.get("changes") or ()]


def stored_campaign(store: CampaignStore, document: Mapping[str, Any]) -> Campaign:
    """Return the settings of a campaign's iterations to come.

    Raises
    ------
    StoreError
        If it is a data set without physics, whose settings cannot change.
    """
    settings = store.validated(document["config"])
    if not isinstance(settings, Campaign):
        raise StoreError(f"{store.name!r} is a data set without physics: its settings stay")
    return settings


def current_document(store: CampaignStore) -> dict[str, Any]:
    """Return the campaign's document if this package may work with it, and all of it is there.

    Raises
    ------
    StoreError
        If another version wrote it, or a fork or a deletion was interrupted.
    """
    document = store.document()
    refuse_old_worker(document)
    refuse_unfinished(document)
    return document


def refuse_unfinished(document: Mapping[str, Any]) -> None:
    """Raise a StoreError if a fork or a deletion of a campaign was interrupted."""
    hint = UNFINISHED.get(document["state"])
    if hint is not None:
        raise StoreError(f"campaign {document['name']!r} is not whole: {hint}")


@contextmanager
def settings_lease(store: CampaignStore) -> Iterator[Fence]:
    """Be the only one who changes a campaign's settings, or decides those of an iteration."""
    with lease(store.database, f"settings/{store.name}") as held:
        yield held
