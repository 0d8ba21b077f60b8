"""What a campaign has cost so far by stage, and what each iteration's labels bought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from entropy_flows.report.text import MISSING, change

STAGE_WORDS = {
    "explore": "exploration",
    "anchor": "anchors",
    "select": "selection",
    "refine": "refinement",
    "label": "labels",
    "train": "training",
    "member": "committee",
    "compile": "compiling",
    "evaluate": "evaluation",
    "replay": "replay cells",
}
"""Stage of a job → how a table names it; the rest is bookkeeping."""
BOOKKEEPING = "bookkeeping"
COST_NOTE = (
    "Hours are wall time of jobs, not core hours: a job that has 32 cores counts as one that has "
    "one. Jobs that were killed and done again count once."
)
BOUGHT_HEADER = [
    "iteration",
    "labels",
    "hours of jobs",
    "hours a label",
    "ΔH a label",
    "energy MAE, meV/atom",
    "force MAE, meV/Å",
]


def hours_by_stage(iterations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return stage → hours of its jobs, of all iterations, in the order of the loop."""
    totals: dict[str, float] = defaultdict(float)
    for doc in iterations:
        for job, seconds in (doc.get("seconds") or {}).items():
            stage = STAGE_WORDS.get(job.partition("/")[0], BOOKKEEPING)
            totals[stage] += seconds / 3600.0
    order = [*STAGE_WORDS.values(), BOOKKEEPING]
    return {name: totals[name] for name in order if name in totals}


def cost_rows(iterations: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Write hours of jobs by stage and their share, below a header; none before a job has ended."""
    hours = hours_by_stage(iterations)
    total = sum(hours.values())
    if not total:
        return []
    rows = [[name, f"{value:.2f}", f"{100 * value / total:.0f}"] for name, value in hours.items()]
    return [["stage", "hours of jobs", "%"], *rows, ["all", f"{total:.2f}", "100"]]


def bought_rows(iterations: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Write what each iteration's labels cost and bought, below a header."""
    rows = [_bought(doc) for doc in iterations if (doc.get("label") or {}).get("labelled")]
    return [BOUGHT_HEADER, *rows] if rows else []


def _bought(doc: Mapping[str, Any]) -> list[str]:
    labelled = doc["label"]["labelled"]
    hours = sum((doc.get("seconds") or {}).values()) / 3600.0
    gains = (doc.get("select") or {}).get("gains") or []
    evaluate = doc.get("evaluate") or {}
    before = evaluate.get("before", {})
    after = evaluate.get("after", {})
    return [
        str(doc["iteration"]),
        str(labelled),
        f"{hours:.2f}",
        f"{hours / labelled:.3f}",
        f"{sum(gains) / len(gains):.3g}" if gains else MISSING,
        change(before.get("energy_mae"), after.get("energy_mae"), 1, 1e3),
        change(before.get("forces_mae"), after.get("forces_mae"), 0, 1e3),
    ]
