"""A campaign in sentences: what was done, what it bought, and what to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entropy_flows.evaluate import Parity
from entropy_flows.evaluate.succession import decision_lines
from entropy_flows.report.iterations import selection_ends
from entropy_flows.report.text import sentence
from entropy_flows.schemas.status import CampaignStatus


@dataclass(frozen=True)
class Story:
    """Sentences, in the order in which they are read."""

    done: Sequence[str]
    """What was done."""
    bought: Sequence[str]
    """What it bought."""
    attention: Sequence[str]
    """What somebody should look at."""


def story_of(
    status: CampaignStatus,
    iterations: Sequence[Mapping[str, Any]],
    parities: tuple[Parity, Parity] | None,
) -> Story:
    """Tell the story of a campaign.

    Parameters
    ----------
    status
        The campaign as it is now.
    iterations
        Documents of its iterations.
    parities
        Its first model and the one in use on the same held-out cells; None before an evaluation.
    """
    return Story(
        done=[*_exploration(iterations), *_labels(iterations)],
        bought=[*_errors(parities), *_information(iterations)],
        attention=_attention(status, iterations),
    )


def _exploration(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    runs = [run for doc in iterations for run in doc.get("runs") or []]
    if not runs:
        return []
    snapshots = sum(run["snapshots"] for run in runs)
    accepted = sum(
        (doc.get(stage) or {}).get("accepted", 0)
        for doc in iterations
        for stage in ("select", "refine")
    )
    begun = len({doc["iteration"] for doc in iterations if doc["iteration"]})
    word = "iteration" if begun == 1 else "iterations"
    return [
        f"{begun} {word} explored {snapshots} snapshots in {len(runs)} trajectories, and "
        f"{accepted} of them were chosen."
    ]


def _labels(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = [doc["label"] for doc in iterations if doc.get("label")]
    if not labels:
        return []
    counts = {
        name: sum(label.get(name) or 0 for label in labels)
        for name in ("labelled", "failed", "flagged", "anchors")
    }
    sentence = f"{counts['labelled']} cells were labelled"
    if counts["anchors"]:
        sentence += f", {counts['anchors']} of those asked for near equilibrium"
    return [f"{sentence}; {counts['failed']} labels failed, {counts['flagged']} look odd."]


def _errors(parities: tuple[Parity, Parity] | None) -> list[str]:
    if parities is None:
        return []
    first, last = (parity.errors.as_dict() for parity in parities)
    sentences = []
    for name, words, unit, digits in (
        ("energy_mae", "energy", "meV/atom", 1),
        ("forces_mae", "force", "meV/Å", 0),
    ):
        before = 1e3 * (first[name] or 0.0)
        after = 1e3 * (last[name] or 0.0)
        change = f", {before / after:.1f} times smaller" if after and before > after else ""
        sentences.append(
            f"The {words} error went from {before:.{digits}f} to {after:.{digits}f} {unit}{change}."
        )
    cells = f"Both are mean absolute errors on the same {last['n']} held-out cells."
    return [*sentences, cells]


def _information(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = [
        (doc.get("refine") or {}).get("variance_after") or doc["select"].get("variance_after")
        for doc in iterations
        if doc.get("select")
    ]
    unknown = [share for share in shares if share is not None]
    return [f"Of the target {100 * unknown[-1]:.1f} % is still unknown."] if unknown else []


def _attention(status: CampaignStatus, iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write what is wrong or waits for somebody, the most urgent first."""
    lines = [status.nobody] if status.nobody else []
    lines += [f"{job.title} has no sign of life: {job.lost}" for job in status.running if job.lost]
    lines += [
        f"iteration {row.iteration}, {row.title} failed: {row.message}" for row in status.failures
    ]
    if status.approvals.waiting:
        lines.append(f"{status.approvals.waiting} cells wait for an approval")
    lines += decision_lines(iterations)
    if status.advice:
        lines.append("advice ({verdict}): {text}".format(**status.advice))
    lines += selection_ends(iterations)
    lines += _counts(iterations)
    return [sentence(line) for line in lines]


def _counts(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write how many runs stopped early and labels failed, where some did."""
    stopped = sum(bool(run["reason"]) for doc in iterations for run in doc.get("runs") or [])
    lines = [f"{stopped} runs stopped early"] if stopped else []
    reasons: dict[str, int] = {}
    for doc in iterations:
        for reason, count in ((doc.get("label") or {}).get("reasons") or {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
    lines += [f"{count} labels failed: {reason}" for reason, count in reasons.items()]
    return lines
