"""The loop of a campaign as a picture: what each stage of an iteration did, and what runs now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from entropy_flows.report.text import MISSING, change
from entropy_flows.schemas.status import RunningJob

StageState = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class LoopStage:
    """One stage of an iteration."""

    name: str
    """Name of the stage."""
    count: str
    """What it has made so far, as a number."""
    unit: str
    """Word for what is counted."""
    detail: str
    """What else there is to say."""
    state: StageState
    """How it stands."""
    share: float | None
    """Share of its running jobs that is done, 0 to 1; None if nothing tells."""


@dataclass(frozen=True)
class _Stage:
    """A stage of the loop: how it is recognised and written."""

    name: str
    jobs: tuple[str, ...]
    """Stages of the jobs that belong to it."""
    unit: str
    is_done: Callable[[Mapping[str, Any]], bool]
    count: Callable[[Mapping[str, Any]], str]
    detail: Callable[[Mapping[str, Any]], str]


def loop_stages(
    iteration: Mapping[str, Any], running: Sequence[RunningJob], failed: Sequence[str] = ()
) -> list[LoopStage]:
    """Describe the stages of an iteration in their order.

    Parameters
    ----------
    iteration
        The iteration's document; an empty one before anything of it has ended.
    running
        The jobs that somebody has taken.
    failed
        Stages that have a job that failed.
    """
    return [_described(stage, iteration, running, failed) for stage in STAGES]


def _described(
    stage: _Stage,
    iteration: Mapping[str, Any],
    running: Sequence[RunningJob],
    failed: Sequence[str],
) -> LoopStage:
    jobs = [job for job in running if job.stage in stage.jobs and job.lost is None]
    state: StageState = "waiting"
    if jobs:
        state = "running"
    elif stage.is_done(iteration):
        state = "done"
    elif any(name in failed for name in stage.jobs):
        state = "failed"
    count = stage.count(iteration)
    return LoopStage(
        name=stage.name,
        count=count,
        unit=stage.unit if count != MISSING else "",
        detail=stage.detail(iteration),
        state=state,
        share=_share(jobs),
    )


def _share(jobs: Sequence[RunningJob]) -> float | None:
    """Return how much of the running jobs is done."""
    counted = [(job.done, job.total) for job in jobs if job.done is not None and job.total]
    if not counted:
        return None
    return sum(done for done, _ in counted) / sum(total for _, total in counted)


def _number(stage: str, name: str) -> Callable[[Mapping[str, Any]], str]:
    def written(doc: Mapping[str, Any]) -> str:
        count = (doc.get(stage) or {}).get(name)
        return MISSING if count is None else str(count)

    return written


def _has(stage: str, *names: str) -> Callable[[Mapping[str, Any]], bool]:
    def done(doc: Mapping[str, Any]) -> bool:
        fields = doc.get(stage) or {}
        return bool(fields) and all(name in fields for name in names)

    return done


def _snapshots(doc: Mapping[str, Any]) -> str:
    runs = doc.get("runs") or []
    return str(sum(run["snapshots"] for run in runs)) if runs else MISSING


def _trajectories(doc: Mapping[str, Any]) -> str:
    runs = doc.get("runs") or []
    if not runs:
        return ""
    stopped = sum(bool(run["reason"]) for run in runs)
    return f"{len(runs)} trajectories" + (f", {stopped} stopped early" if stopped else "")


def _of(stage: str, name: str, words: str) -> Callable[[Mapping[str, Any]], str]:
    def written(doc: Mapping[str, Any]) -> str:
        count = (doc.get(stage) or {}).get(name)
        return "" if count is None else f"of {count}{words}"

    return written


def _labels(doc: Mapping[str, Any]) -> str:
    label = doc.get("label") or {}
    parts = [f"of {label['requested']}"] if "requested" in label else []
    parts += [
        f"{label[name]} {name}" for name in ("failed", "flagged", "anchors") if label.get(name)
    ]
    return ", ".join(parts)


def _energy(doc: Mapping[str, Any]) -> str:
    after = (doc.get("evaluate") or {}).get("after", {}).get("energy_mae")
    return MISSING if after is None else f"{1e3 * after:.1f}"


def _errors(doc: Mapping[str, Any]) -> str:
    evaluate = doc.get("evaluate") or {}
    if not evaluate.get("after", {}).get("n"):
        return ""
    before = evaluate.get("before", {})
    after = evaluate["after"]
    energy = change(before.get("energy_mae"), after.get("energy_mae"), 1, 1e3)
    forces = change(before.get("forces_mae"), after.get("forces_mae"), 0, 1e3)
    return f"energy {energy}; forces {forces} meV/Å"


def _all_labelled(doc: Mapping[str, Any]) -> bool:
    label = doc.get("label") or {}
    ended = label.get("labelled", 0) + label.get("failed", 0)
    return "requested" in label and ended >= label["requested"]


STAGES = [
    _Stage(
        "explore", ("explore", "anchor"), "snapshots", _has("select"), _snapshots, _trajectories
    ),
    _Stage(
        "select",
        ("select",),
        "accepted",
        _has("select"),
        _number("select", "accepted"),
        _of("select", "candidates", " candidates"),
    ),
    _Stage(
        "refine",
        ("refine",),
        "refined in",
        _has("refine"),
        _number("refine", "accepted"),
        _of("refine", "tried", " near misses"),
    ),
    _Stage(
        "label",
        ("plan", "label", "top_up", "gather"),
        "labels",
        _all_labelled,
        _number("label", "labelled"),
        _labels,
    ),
    _Stage(
        "train",
        ("train", "member"),
        "epochs",
        _has("evaluate"),
        _number("train", "epoch"),
        _of("train", "max_epochs", " epochs"),
    ),
    _Stage("evaluate", ("evaluate",), "meV/atom", _has("evaluate", "after"), _energy, _errors),
]
"""Stages of an iteration in their order."""
