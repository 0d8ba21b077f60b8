"""The cells of a fork that its own engine labels again, with the splits that they bring.

The fork writes them into the documents of the iterations that it shares:

    plan.relabel      split, or "none" → keys of the cells that had a label, and bring this split
    plan.searched     what the last of these iterations has searched with, as `plan.settings` has it

What came of the labels stays behind: counts, trainings, evaluations, draws of splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from entropy_flows.schemas.stages import Stage
from entropy_flows.store.collections import CampaignCollections

RELABEL = "relabel"
"""Item of an iteration's plan that names the cells which are labelled again."""
SEARCHED = "searched"
"""Item of an iteration's plan: sections of the settings that its cells were found with."""
NONE = "none"
"""Name of the split of a cell that brings none."""
SEARCH_STAGES = (
    Stage.EXPLORE.value,
    Stage.ANCHOR.value,
    Stage.SELECT.value,
    Stage.REFINE.value,
)
"""Stages that find cells; labels have no part in what they leave."""
LEARNED = ("label", "train", "evaluate")
"""Fields of an iteration's document that follow from its labels."""
LEARNED_PLANS = ("settings", "split", "training_exclusions")
"""Decisions of an iteration that are made again with other labels."""


class Relabelling(CampaignCollections):
    """The cells of one campaign that are labelled again before it goes on."""

    def last_relabelled(self) -> int | None:
        """Return the last iteration whose cells are labelled again; None where none is."""
        query = {"name": self.name, "forked_from.relabel": True}
        document = self.database["campaigns"].find_one(query, {"forked_from": 1})
        return None if document is None else int(document["forked_from"]["iteration"]) - 1

    def relabelled_cells(self, iteration: int) -> dict[str, str | None]:
        """Return key → split that it brings, of an iteration's cells that are labelled again."""
        groups = self._planned(iteration, RELABEL)
        return {
            key: None if split == NONE else split for split, keys in groups.items() for key in keys
        }

    def searched_sections(self, iteration: int) -> dict[str, Any]:
        """Return the sections of the settings that the cells of an iteration were found with.

        They are kept of an iteration that is trained anew in a fork; else there are none.
        """
        return self._planned(iteration, SEARCHED)

    def _planned(self, iteration: int, name: str) -> dict[str, Any]:
        """Return an item of an iteration's plan, or an empty mapping."""
        query = {"campaign": self.name, "iteration": iteration}
        row = self.database["iterations"].find_one(query, {f"plan.{name}": 1}) or {}
        return dict(row.get("plan", {}).get(name) or {})


def unlabelled_iteration(
    document: Mapping[str, Any], labels: Iterable[Mapping[str, Any]], is_last: bool
) -> dict[str, Any]:
    """Return an iteration's document as it was before its cells were labelled.

    Parameters
    ----------
    document
        The document.
    labels
        Labels of its cells, those of other engines not among them.
    is_last
        Whether it is the iteration that is trained anew.
    """
    plan: dict[str, Any] = dict(document.get("plan", {}))
    searched = plan.get("settings", {}).get("sections", {})
    for name in LEARNED_PLANS:
        if is_last or name != "settings":
            plan.pop(name, None)
    if is_last:
        plan[SEARCHED] = {name: value for name, value in searched.items() if name != "train"}
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(label.get("split") or NONE, []).append(label["key"])
    plan[RELABEL] = groups
    rest = {name: value for name, value in document.items() if name not in LEARNED}
    seconds = {
        job: value
        for job, value in document.get("seconds", {}).items()
        if job.partition("/")[0] in SEARCH_STAGES
    }
    return {**rest, "plan": plan, **({"seconds": seconds} if seconds else {})}
