"""Which keys of a campaign file may change once the campaign has begun, and from when.

`RULES` decides it key by key. A key without a rule of its own has that of the section it is in.
What concerns only iterations to come may change at any time. What would make the past another past
may not: a fork changes it, from an iteration on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from entropy_flows.schemas.campaign import Campaign, IterationSettings

MAX_VALUE = 60
"""Longest text of a value in a line about a change, in characters."""


class When(StrEnum):
    """The time from which a changed key holds. It is an iteration for most keys."""

    AT_ONCE = "at once"
    NEXT = "from the next iteration on"
    FORK = "in a fork, from the iteration on that it begins with"
    BEGINNING = "in a fork from iteration 1, or with `--relabel`"


@dataclass(frozen=True)
class Rule:
    """A rule says when a key may change, and why not before.

    Attributes
    ----------
    when
        From when a change holds.
    why
        What would be wrong otherwise, or what the change does, in a few words.
    """

    when: When
    why: str


RULES: dict[str, Rule] = {
    "elements": Rule(When.FORK, "the fingerprints of all cells are of these elements"),
    "global_fingerprint": Rule(When.FORK, "the gains of all cells are by this fingerprint"),
    "regularization": Rule(When.FORK, "the gains of all cells are by this λ"),
    "seed": Rule(When.FORK, "what was drawn at random was drawn by it"),
    "base_model": Rule(When.BEGINNING, "iteration 1 explored with it"),
    "student": Rule(When.BEGINNING, "iteration 1 trained it"),
    "phases": Rule(When.NEXT, "new phases may be added; those that were explored stay"),
    "label": Rule(When.BEGINNING, "labels of two engines do not mix"),
    "label.batch_size": Rule(When.NEXT, "the size of a job decides no number"),
    "label.approve": Rule(When.NEXT, "cells that wait stay so until they are decided"),
    "label.top_up": Rule(When.NEXT, "later iterations replace their failed labels"),
    "label.outliers": Rule(When.NEXT, "labels that are flagged stay flagged"),
    "label.scf_retries": Rule(When.NEXT, "retries lead to the same numbers"),
    "label.keep_documents": Rule(When.NEXT, "documents decide no number"),
    "label.min_distance_fraction": Rule(When.NEXT, "it decides what is calculated, not how"),
    "explore": Rule(When.NEXT, "what was explored stays"),
    "anchors": Rule(When.NEXT, "anchors that were drawn stay"),
    "select": Rule(When.NEXT, "what was accepted stays"),
    "refine": Rule(When.NEXT, "what was refined stays"),
    "train": Rule(When.NEXT, "trained models and assigned splits stay"),
    "local_fingerprint": Rule(When.NEXT, "it biases the dynamics to come"),
    "iterations": Rule(When.NEXT, "entries of iterations that have begun stay"),
    "stop": Rule(When.NEXT, "it is asked after each iteration"),
    "categories": Rule(When.NEXT, "jobs that are there keep their workers"),
    "queue": Rule(When.NEXT, "jobs that are there keep their queue settings"),
    "independent": Rule(When.AT_ONCE, "a changed test is another test"),
    "curve": Rule(When.AT_ONCE, "a changed curve is another curve"),
    "physics": Rule(When.AT_ONCE, "it checks models that are there"),
}
"""Key, with dots where a section is divided → when it may change."""
DRAWN_IN_ITERATIONS = ("base_model", "student", "seed", "phases")
"""Sections that imported cells do not depend on: they may change until iteration 1 begins."""
STAGE_SECTIONS = tuple(IterationSettings.model_fields)
"""Sections of which each iteration has its own."""


@dataclass(frozen=True)
class Difference:
    """A key that two campaign files have different values for.

    Attributes
    ----------
    key
        Path of the key, with dots.
    old, new
        Its values, as JSON has them; None where there is no such key.
    """

    key: str
    old: Any
    new: Any

    @property
    def section(self) -> str:
        """Section of the file that the key is in."""
        return self.key.partition(".")[0]

    @property
    def rule(self) -> Rule:
        """The rule of the key, or of what it is in."""
        return rule_of(self.key)

    @property
    def sections(self) -> set[str]:
        """Sections whose settings change; `iterations` names them in its entries."""
        if self.section != "iterations":
            return {self.section}
        entries = [*(self.old or ()), *(self.new or ())]
        return {"iterations", *(name for entry in entries for name in entry)}

    def text(self) -> str:
        """Write the key with its values, short ones in full."""
        return f"{self.key}: {_shown(self.old)} → {_shown(self.new)}"


def rule_of(key: str) -> Rule:
    """Return the rule of a key, or of the section that it is in."""
    while key not in RULES:
        key = key.rpartition(".")[0]
    return RULES[key]


def differences(old: Campaign, new: Campaign) -> list[Difference]:
    """Compare two campaigns key by key.

    A new file that leaves the training's device open trains where the campaign was told to.
    """
    before = old.model_dump(mode="json", exclude={"name"})
    after = new.model_dump(mode="json", exclude={"name"})
    if new.train.device is None:
        after["train"]["device"] = before["train"].get("device")
    return list(_differences(before, after))


def refusals(
    changes: Sequence[Difference], begun: int, explored: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the keys that may not change, each with the reason.

    Parameters
    ----------
    changes
        What differs.
    begun
        Number of iterations that have begun.
    explored
        Names of the phases that these have explored.
    """
    refused = []
    for change in changes:
        if begun == 0 and change.section in DRAWN_IN_ITERATIONS:
            continue
        if change.rule.when in (When.FORK, When.BEGINNING):
            refused.append((change.key, change.rule.why))
        elif change.key == "phases":
            refused += _refused_phases(change, explored)
        elif change.key == "iterations":
            refused += _refused_entries(change, begun)
    return refused


def _refused_phases(change: Difference, explored: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the phases that were explored and are another cell, or none, by the new file."""
    before = {phase["name"]: phase for phase in change.old}
    after = {phase["name"]: phase for phase in change.new}
    for name in explored:
        if name in before and before[name] != after.get(name):
            verb = "changed" if name in after else "left out"
            hint = "" if name in after else "; leave it out of explore.phases instead"
            yield f"phases ({name})", f"a phase that was explored cannot be {verb}{hint}"


def _refused_entries(change: Difference, begun: int) -> Iterator[tuple[str, str]]:
    """Yield the changed entries of `iterations` that are of no iteration to come."""
    before = list(change.old)
    after = list(change.new)
    for index in range(min(begun, len(before))):
        # the last entry is also of the iterations that follow
        serves_later = index == len(after) - 1
        if index >= len(after) or (before[index] != after[index] and not serves_later):
            yield f"iterations[{index}]", f"iteration {index + 1} has begun"


def _differences(old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """Yield the paths at which two plain documents differ; lists are compared as a whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield Difference(path, old, new)


def _shown(value: Any) -> str:
    """Write a value as JSON, cut off where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"
