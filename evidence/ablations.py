"""What the paper leaves open, on NaCl: scaled fingerprints, refinement, the mix of modes, the share of anchors.

Each variant is a campaign of 120 labels of its own seed, in the database of the system's evidence,
tested on the same cells: those held out of the evidence's pool ("common"), and its independent
test. Run `make evidence` first.

Example: python evidence/ablations.py --folder runs/evidence
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import yaml
from make import HERE, SYSTEMS, markdown
from rich.console import Console

from entropy_flows.cli.curve import CurveCampaigns
from entropy_flows.cli.run import run_workers
from entropy_flows.evaluate.curve import QUANTITIES, summarise
from entropy_flows.fingerprints.gom import GOMParams
from entropy_flows.fingerprints.scale import block_scale, standard_scale
from entropy_flows.flows import ActiveLearningMaker, LearningCurveMaker, curve_of
from entropy_flows.launch.session import Session, session
from entropy_flows.schemas import Campaign

LABELS, SIZE, SEED = 120, 60, 7
MANY_NEAR = {"select": {"theta_min": 0.03}}
"""A threshold that the filter ends at before the labels are spent: with less, nothing is left
for refinement.
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "as in the paper": {},
    "standardised": {"global_fingerprint": {"scale": "standard"}},
    "scaled per matrix": {"global_fingerprint": {"scale": "per matrix"}},
    "theta 0.03": MANY_NEAR,
    "theta 0.03, no refinement": {**MANY_NEAR, "refine": {"enabled": False}},
    "all per config": {"explore": {"per_atom_fraction": 0.0}},
    "all per atom": {"explore": {"per_atom_fraction": 1.0}},
    "anchors 10 %": {"anchors": {"fraction": 0.1}},
    "anchors 20 %": {"anchors": {"fraction": 0.2}},
    "anchors 40 %": {"anchors": {"fraction": 0.4}},
}


def main() -> None:
    """Run the variants and print their table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/evidence"), help="default: %(default)s"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core"
    )
    parser.add_argument("--system", choices=SYSTEMS, default="nacl", help="default: %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=VARIANTS, help="default: all"
    )
    args = parser.parse_args()
    console, rows, file = Console(), [], HERE / f"{args.system}.yaml"
    with session(file, args.folder / args.system) as opened:
        parts = CurveCampaigns.of(opened)
        for name in args.only:
            campaign = variant(opened, file, name, VARIANTS[name])
            part = opened.of(campaign)
            run(part, ActiveLearningMaker.from_campaign(campaign), args.workers, console)
            pools = {
                "entropy": campaign.name,
                "independent": parts.independent.name,
                "common": opened.campaign.name,
            }
            curve = curve_of(campaign, pools)
            other = opened.of(curve)
            run(other, LearningCurveMaker.from_campaign(campaign, pools), args.workers, console)
            rows.append(row(name, part, other))
    print(markdown([header(), *rows]))


def variant(opened: Session, file: Path, name: str, changes: dict[str, Any]) -> Campaign:
    """The evidence's campaign with a change, fewer labels and another seed."""
    config = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        scale = {"scale": scale_of(opened, values["scale"])} if "scale" in values else {}
        config[section] = {**config.get(section, {}), **values, **scale}
    config["select"] |= {"max_labels": LABELS}
    return Campaign.model_validate(
        {
            **config,
            "name": f"ablation-{''.join(letter if letter.isalnum() else '-' for letter in name)}",
            "seed": SEED,
            "stop": {"max_iterations": 1, "label_budget": LABELS},
            "curve": {**config["curve"], "methods": ["campaign"], "sizes": [SIZE]},
        }
    )


def scale_of(opened: Session, kind: str) -> tuple[float, ...]:
    """The scale that the evidence's own pool has."""
    ledger = opened.store.ledger(opened.campaign.dataset)
    prints = list(ledger.fingerprints_between(0, len(list(ledger.entries()))))
    if kind == "standard":
        return standard_scale(prints)
    params = opened.campaign.dataset.fingerprint
    assert isinstance(params, GOMParams), (
        "the evidence's fingerprint is GOM: others have no matrices"
    )
    return block_scale(prints, params.natx)


def run(part: Session, maker: Any, workers: int, console: Console) -> None:
    """Run one campaign to its end."""
    console.rule(part.campaign.name, align="left")
    state, message = run_workers(part, console, workers, maker=maker)
    if state == "failed":
        raise RuntimeError(f"{part.campaign.name} failed: {message}")


def header() -> list[str]:
    """Of the table."""
    errors = [
        f"{name}, {test}" for test in ("common", "independent") for name, _ in QUANTITIES.values()
    ]
    work = ["labels", "refined in", "labels per CPU hour, explored", "refined"]
    return ["variant", *work, "log det Σ, per atom / config", *errors]


def row(name: str, part: Session, curve: Session) -> list[str]:
    """A variant's labels, information and errors."""
    points, (document, *_) = curve.store.points(), part.store.iterations()
    labels = len(list(part.store.labels(converged=True)))
    refined = document.get("refine", {})
    after = refined.get("entropy_after") or document["select"]["entropy_after"]
    cells = []
    for test in ("common", "independent"):
        for quantity, (_, scale) in QUANTITIES.items():
            found = summarise(points, test, quantity).get(("campaign", SIZE))
            cells.append("–" if found is None else str(found.scaled(scale)))
    told = f"{refined.get('accepted', 0)} of {refined.get('tried', 0)}"
    explored = sum(run["wall_seconds"] for run in document["runs"])
    paid = (
        (document["select"]["accepted"], explored),
        (refined.get("accepted"), refined.get("wall_seconds")),
    )
    rates = [
        f"{3600 * gained / seconds:.0f}" if gained and seconds else "–" for gained, seconds in paid
    ]
    return [
        name,
        str(labels),
        told,
        *rates,
        " / ".join(f"{after[mode]:.1f}" for mode in ("atom", "config")),
        *cells,
    ]


if __name__ == "__main__":
    main()
