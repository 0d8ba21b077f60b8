"""What an iteration runs with: its Makers, and what was changed since the campaign began.

    section that a change names          as the campaign's document has it now
    everything else                      as the Maker has it, also if Python has changed it

It is decided once, when the jobs of an iteration are made, and kept in the iteration's document:
`sections` (explore, anchors, select, refine, train, local_fingerprint), `label` without its engine,
`stop` and `phases`. Who makes the jobs of an iteration again makes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from entropy_flows.flows.description import stage_sections
from entropy_flows.flows.queues import Queues
from entropy_flows.flows.sizes import item_of
from entropy_flows.jobs import PlanMaker
from entropy_flows.label import OutlierParams, labels_per_job
from entropy_flows.schemas import Campaign, IterationSettings, StopParams
from entropy_flows.schemas.changes import STAGE_SECTIONS
from entropy_flows.store import CampaignStore
from entropy_flows.store.settings_changes import (
    SettingsChange,
    changes_of,
    decide_settings,
    stored_campaign,
)

if TYPE_CHECKING:
    from entropy_flows.flows.active_learning import ActiveLearningMaker
    from entropy_flows.flows.iteration import IterationMaker
    from entropy_flows.schemas import AnyCampaign

Seeds = dict[str, Structure]
LABEL_FIELDS = ("min_distance_fraction", "scf_retries", "keep_documents")
"""Settings of the Maker that labels which decide no number of a label."""


def decided_maker(
    maker: ActiveLearningMaker, store: CampaignStore, iteration: int, seeds: Mapping[str, Structure]
) -> tuple[ActiveLearningMaker, Seeds]:
    """Return the Makers and seed cells that an iteration runs with.

    Parameters
    ----------
    maker
        The campaign's Makers.
    store
        The campaign.
    iteration
        Number of the iteration.
    seeds
        Phase → seed cell, of all phases that the Makers know of.

    Returns
    -------
    tuple
        The Makers, those of the iteration as they were decided; and phase → seed cell.
    """
    current = changed_maker(maker, store)
    described = described_settings(current, iteration)
    described["sections"] |= store.searched_sections(iteration)
    cells = {**stored_seeds(store), **seeds}

    def proposal(campaign: AnyCampaign, changes: Sequence[SettingsChange]) -> dict[str, Any]:
        names = list(seeds)
        if isinstance(campaign, Campaign) and "phases" in changed_keys(changes):
            names = [phase.name for phase in campaign.phases]
        return {**described, "phases": names}

    decided = decide_settings(store, iteration, proposal)
    if any(decided[name] != value for name, value in described.items()):
        current = restored_maker(current, iteration, decided)
    return current, {name: cells[name] for name in decided["phases"]}


def changed_maker(maker: ActiveLearningMaker, store: CampaignStore) -> ActiveLearningMaker:
    """Lay over a campaign's Makers what was changed in its settings since it began."""
    document = store.document()
    changes = changes_of(document)
    if not changes:
        return maker
    campaign = stored_campaign(store, document)
    keys = changed_keys(changes)
    sections = {name for change in changes for name in change.difference.sections}
    fields: dict[str, Any] = {"iterations": _changed_stages(maker, campaign, sections, keys)}
    if sections & {"stop", "iterations"}:
        fields |= {"stop": campaign.stop, "last": campaign.n_iterations}
    if sections & {"categories", "queue"}:
        fields["queues"] = Queues.from_file(campaign)
    if any(key.startswith("label.") for key in keys):
        fields |= _changed_labelling(maker, campaign, keys)
    return replace(maker, **fields)


def changed_keys(changes: Iterable[SettingsChange]) -> set[str]:
    """Return the keys that were changed."""
    return {change.key for change in changes}


def changes_queues(store: CampaignStore) -> bool:
    """Tell whether a campaign's worker categories or queue settings were changed."""
    sections = {change.difference.section for change in changes_of(store.document())}
    return bool(sections & {"categories", "queue"})


def stored_seeds(store: CampaignStore) -> Seeds:
    """Return the seed cells that a change of `phases` has stored."""
    seeds = store.document().get("seeds") or {}
    return {name: Structure.from_dict(cell) for name, cell in seeds.items()}


def described_settings(maker: ActiveLearningMaker, iteration: int) -> dict[str, Any]:
    """Write what an iteration's Makers run with as plain settings."""
    stages = item_of(maker.iterations, iteration)
    sections = stage_sections(stages)
    label = {
        **{name: getattr(maker.plan.label, name) for name in LABEL_FIELDS},
        "batch_size": maker.plan.batch_size,
        "approve": maker.plan.approve,
        "outliers": maker.outliers.model_dump(mode="json"),
        "top_up": stages.top_ups,
    }
    return {
        # with every default, which another version of this package may have changed
        "sections": {name: params.model_dump(mode="json") for name, params in sections.items()},
        "label": label,
        "stop": maker.stop.model_dump(mode="json"),
    }


def restored_maker(
    maker: ActiveLearningMaker, iteration: int, decided: Mapping[str, Any]
) -> ActiveLearningMaker:
    """Return a campaign's Makers with the settings that were decided for an iteration."""
    settings = IterationSettings.model_validate(decided["sections"])
    label = decided["label"]
    stages = item_of(maker.iterations, iteration)
    stages = _with_sections(stages, settings, STAGE_SECTIONS, label["top_up"])
    restored = with_stages(maker, iteration, stages)
    return replace(
        restored,
        plan=_with_labelling(maker.plan, label),
        outliers=OutlierParams.model_validate(label["outliers"]),
        stop=StopParams.model_validate(decided["stop"]),
    )


def with_stages(
    maker: ActiveLearningMaker, iteration: int, stages: IterationMaker
) -> ActiveLearningMaker:
    """Return a campaign's Makers with those of one iteration replaced, the others as they were."""
    length = max(len(maker.iterations), iteration + 1)
    makers = [item_of(maker.iterations, number) for number in range(1, length + 1)]
    makers[iteration - 1] = stages
    return replace(maker, iterations=makers)


def _changed_stages(
    maker: ActiveLearningMaker, campaign: Campaign, sections: set[str], keys: set[str]
) -> list[IterationMaker]:
    """Return the Makers of each iteration with the changed sections of the campaign."""
    length = len(campaign.iterations) if "iterations" in sections else len(maker.iterations)
    changed = [name for name in STAGE_SECTIONS if name in sections]
    top_ups = campaign.label.top_up if "label.top_up" in keys else None
    makers = []
    for number in range(1, max(1, length, len(maker.iterations)) + 1):
        stages = item_of(maker.iterations, number)
        settings = campaign.iteration(number)
        local = settings.local_fingerprint.model_copy(update={"elements": campaign.elements})
        settings = settings.model_copy(update={"local_fingerprint": local})
        makers.append(_with_sections(stages, settings, changed, top_ups))
    return makers


def _with_sections(
    stages: IterationMaker, settings: IterationSettings, names: Iterable[str], top_ups: int | None
) -> IterationMaker:
    """Return an iteration's Makers with some sections of the settings."""
    chosen = set(names)
    explore = stages.explore
    if "explore" in chosen:
        explore = replace(explore, params=settings.explore)
    if "local_fingerprint" in chosen:
        explore = replace(explore, fingerprint=settings.local_fingerprint)
    fields: dict[str, Any] = {"explore": explore}
    if "anchors" in chosen:
        fields["anchor"] = replace(stages.anchor, params=settings.anchors)
    for name in ("select", "refine", "train"):
        if name in chosen:
            fields[name] = replace(getattr(stages, name), params=getattr(settings, name))
    if top_ups is not None:
        fields["top_ups"] = top_ups
    return replace(stages, **fields)


def _changed_labelling(
    maker: ActiveLearningMaker, campaign: Campaign, keys: set[str]
) -> dict[str, Any]:
    """Return the fields of the Makers that a change of the labelling sets, the engine apart."""
    label = campaign.label
    changed = {name: getattr(label, name) for name in LABEL_FIELDS if f"label.{name}" in keys}
    if "label.approve" in keys:
        changed["approve"] = label.approve
    if "label.batch_size" in keys:
        changed["batch_size"] = labels_per_job(label, maker.engine)
    fields: dict[str, Any] = {"plan": _with_labelling(maker.plan, changed)}
    if any(key.startswith("label.outliers") for key in keys):
        fields["outliers"] = label.outliers
    return fields


def _with_labelling(plan: PlanMaker, values: Mapping[str, Any]) -> PlanMaker:
    """Return the Maker that plans labels with other settings, its engine apart."""
    fields = {name: values[name] for name in LABEL_FIELDS if name in values}
    planning = {name: values[name] for name in ("batch_size", "approve") if name in values}
    return replace(plan, label=replace(plan.label, **fields), **planning)
