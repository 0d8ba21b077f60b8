"""The iterations of a campaign as rows of text: what each stage did, and how the errors changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from entropy_flows.conventions import GPA
from entropy_flows.evaluate.succession import model_words
from entropy_flows.report.forgetting import replay_words
from entropy_flows.report.text import MISSING, change, general, number

Iteration = Mapping[str, Any]
"""A document of the collection `iterations`: `iteration`, and a mapping for each stage that ran."""
Column = Callable[[Iteration], str]
"""Writes one quantity of an iteration."""

ENDED_RUN_HEADER = ["it", "phase", "T K", "k eV", "P GPa", "snapshots", "mean T K", "why"]
BATCH_STAGES = {
    "explore": "explored {} batches",
    "independent": "{} batches",
    "point": "{} points",
}
"""Stage of many jobs → words for how many of them are done."""


def iteration_rows(iterations: Sequence[Iteration]) -> list[list[str]]:
    """Write each quantity and its value in each iteration.

    Errors are before → after the iteration's fine-tuning, on the same held-out cells. No model was
    trained on those. A quantity that no iteration has is left out.
    """
    rows = [[name, *map(column, iterations)] for name, column in ITERATION_ROWS.items()]
    return [row for row in rows if any(value != MISSING for value in row[1:])]


def iteration_table_rows(iterations: Sequence[Iteration]) -> list[list[str]]:
    """Write `iteration_rows` below a header of the iterations' numbers."""
    header = ["iteration", *(str(doc["iteration"]) for doc in iterations)]
    return [header, *iteration_rows(iterations)]


def selection_ends(iterations: Sequence[Iteration]) -> list[str]:
    """Write why selection ended before an iteration's budget was spent, where it did."""
    reasons = {doc["iteration"]: doc.get("select", {}).get("reason") for doc in iterations}
    return [
        f"iteration {number}, selection ended early: {reason}"
        for number, reason in reasons.items()
        if reason
    ]


def compile_lines(iterations: Sequence[Iteration]) -> list[str]:
    """Write whether each iteration's model was compiled, and how many jobs used a compiled one."""
    lines = []
    for doc in iterations:
        title = f"iteration {doc['iteration']}"
        forms = [form for name, form in doc.get("plan", {}).items() if name.startswith("form_")]
        if "compiled" in forms:
            used = f"{forms.count('compiled')} of {len(forms)} jobs of dynamics"
            lines.append(f"{title}, {used} used a compiled model")
        if doc.get("compile", {}).get("machine"):
            lines.append(f"{title}, its model {_compile_words(doc['compile'])}")
    return lines


def _compile_words(compiled: Mapping[str, Any]) -> str:
    if not compiled["is_there"]:
        return f"is not compiled: {compiled['reason']}"
    words = f"is compiled: {compiled['reason']}"
    if compiled["eager"] is None:
        return words
    eager, fast = 1e3 * compiled["eager"], 1e3 * compiled["compiled"]
    return (
        f"{words}; a call with {compiled['size']} cells takes {fast:.3g} ms instead of "
        f"{eager:.3g} (compiling took {compiled['seconds']:.0f} s)"
    )


def ended_run_rows(iterations: Sequence[Iteration]) -> list[list[str]]:
    """Write a row for each MD run that stopped early, with the reason."""
    return [
        _ended_run_row(doc["iteration"], run)
        for doc in iterations
        for run in doc.get("runs", [])
        if run["reason"]
    ]


def stage_line(iterations: Sequence[Iteration]) -> str:
    """Write how far the current iteration is, in a few words."""
    if not iterations or iterations[-1]["iteration"] == 0:
        return "iteration 1, no job done yet"
    # A data set without physics has a document for each search, and no other stage.
    searches = [doc["ascend"] for doc in iterations if "ascend" in doc]
    if searches:
        return _search_line(searches)
    doc = iterations[-1]
    words = [*_batch_words(doc), *_stage_words(doc)] or ["no job done yet"]
    return ", ".join([f"iteration {doc['iteration']}", *words])


def _search_line(searches: Sequence[Mapping[str, Any]]) -> str:
    tried = sum(search["tried"] for search in searches)
    accepted = sum(search["accepted"] for search in searches)
    ended = sum("entropies" in search for search in searches)
    counts = f"{len(searches)} searches begun, {ended} ended"
    return f"{counts}: accepted {accepted} of {tried} candidates"


def _batch_words(doc: Iteration) -> list[str]:
    """Write how many batches are done of each stage that has many jobs."""
    done = {
        words: sum(job.startswith(stage) for job in doc.get("seconds", {}))
        for stage, words in BATCH_STAGES.items()
    }
    return [words.format(count) for words, count in done.items() if count]


def _stage_words(doc: Iteration) -> list[str]:
    """Write what the other stages did, in the order in which they run."""
    words = []
    if select := doc.get("select"):
        words.append(f"accepted {select['accepted']} of {select['candidates']}")
    if refine := doc.get("refine"):
        words.append(f"refined in {refine['accepted']} of {refine['tried']}")
    if label := doc.get("label"):
        labels = f"labels {label.get('labelled', 0)}/{label['requested']}"
        words.append(f"{labels}, failed {label.get('failed', 0)}")
    if train := doc.get("train"):
        words.append(f"training epoch {train['epoch']}/{train['max_epochs']}")
    if doc.get("evaluate"):
        words.append(f"E MAE {_energy_mae(doc)} meV/atom")
    return words


def _ended_run_row(iteration: int, run: Mapping[str, Any]) -> list[str]:
    return [
        str(iteration),
        run["phase"],
        general(run["temperature"]),
        general(run["k"]),
        general(run["pressure"]),
        str(run["snapshots"]),
        number(run["mean_temperature"], 0),
        run["reason"],
    ]


def _count(stage: str, name: str) -> Column:
    def column(doc: Iteration) -> str:
        count = doc.get(stage, {}).get(name)
        return MISSING if count is None else str(count)

    return column


def _rejected(doc: Iteration) -> str:
    select = doc.get("select")
    if not select:
        return MISSING
    # Near misses count as rejected unless refinement brought them in.
    refined = doc.get("refine", {}).get("accepted", 0)
    return str(select["rejected"] + select["near_misses"] - refined)


def _entropy(mode: str) -> Column:
    def column(doc: Iteration) -> str:
        # Iteration 0 selects nothing: its data set is what was imported.
        stage = doc.get("select") or doc.get("import", {})
        after = stage.get("entropy_after", {})
        if doc.get("select"):
            after = doc.get("refine", {}).get("entropy_after") or after
        return change(stage.get("entropy_before", {}).get(mode), after.get(mode), 1)

    return column


def _unknown(doc: Iteration) -> str:
    select = doc.get("select", {})
    after = doc.get("refine", {}).get("variance_after") or select.get("variance_after")
    return change(select.get("variance_before"), after, 2, 100.0)


def _error(name: str, digits: int, scale: float) -> Column:
    def column(doc: Iteration) -> str:
        evaluate = doc.get("evaluate", {})
        before = evaluate.get("before", {}).get(name)
        after = evaluate.get("after", {}).get(name)
        return change(before, after, digits, scale)

    return column


def _forgotten(name: str, digits: int, scale: float) -> Column:
    def column(doc: Iteration) -> str:
        forgotten = doc.get("evaluate", {}).get("forgotten", {})
        before = forgotten.get("before", {}).get(name)
        after = forgotten.get("after", {}).get(name)
        return change(before, after, digits, scale)

    return column


def _replayed(doc: Iteration) -> str:
    train = doc.get("train", {})
    return replay_words(train) if "replayed" in train else MISSING


def _held_out(doc: Iteration) -> str:
    return str(doc.get("evaluate", {}).get("after", {}).get("n", MISSING))


def _continues(doc: Iteration) -> str:
    decision = doc.get("evaluate", {}).get("continues")
    if decision is None:
        return MISSING
    words = model_words(decision["iteration"]).removeprefix("the ").removeprefix("model of ")
    return f"{words} (worse)" if decision["worse"] else words


_energy_mae = _error("energy_mae", 2, 1e3)

ITERATION_ROWS: dict[str, Column] = {
    "imported": _count("import", "entered"),
    "candidates": _count("select", "candidates"),
    "accepted": _count("select", "accepted"),
    "near threshold": _count("select", "near_misses"),
    "refined in": _count("refine", "accepted"),
    "rejected": _rejected,
    "not judged": _count("select", "spent"),
    "anchors": _count("label", "anchors"),
    "labelled": _count("label", "labelled"),
    "failed labels": _count("label", "failed"),
    "flagged labels": _count("label", "flagged"),
    "log det Σ, per atom": _entropy("atom"),
    "log det Σ, per config": _entropy("config"),
    "unknown of the target, %": _unknown,
    "held-out cells": _held_out,
    "energy MAE, meV/atom": _energy_mae,
    "force MAE, meV/Å": _error("forces_mae", 1, 1e3),
    "stress MAE, GPa": _error("stress_mae", 3, GPA),
    "replayed cells × weight": _replayed,
    "forgotten energy, meV/atom": _forgotten("energy_mae", 2, 1e3),
    "forgotten force, meV/Å": _forgotten("forces_mae", 1, 1e3),
    "goes on from": _continues,
}
"""Name of a quantity → how it is written."""
