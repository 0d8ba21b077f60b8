"""Why a ratio is what it is: the same pools, trained otherwise.

The trainings are those of the largest N of the evidence with one thing changed. Run `make evidence`
first.

Example: python evidence/variations.py --system silicon --folder runs/evidence --student
si-medium.nequip.zip
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ablations import run
from make import HERE, SYSTEMS, markdown
from rich.console import Console

from entropy_flows.cli.curve import CurveCampaigns
from entropy_flows.evaluate.curve import QUANTITIES, Ratio, summarise
from entropy_flows.flows import LearningCurveMaker, curve_of
from entropy_flows.launch.session import Session, session
from entropy_flows.schemas import Campaign
from entropy_flows.train import TrainParams

LOSS = ("huber_delta", "energy_coefficient", "stress_coefficient")
SQUARED = {name: getattr(TrainParams(preset="small"), name) for name in LOSS}
"""The preset's own loss, in which the largest errors have most of the gradient."""
METHODS = ("entropy", "random", "mixed")
TESTS = ("in-distribution", "independent")
RATIOS = {"MAE": "energy_mae", "RMSE": "energy_rmse", "forces": "forces_mae"}


def variations(campaign: Campaign, student: Path | None) -> dict[str, Campaign]:
    """The campaign with something changed of the training."""
    found = {
        "squared errors": changed(campaign, **SQUARED),
        "no weights": changed(campaign, weight_bins=()),
        "squared errors, no weights": changed(campaign, weight_bins=(), **SQUARED),
        "three times the epochs": changed(campaign, max_epochs=120),
        "mixed with any cells of the baseline": changed(campaign, of={"max_force": 1.0e3}),
    }
    if student is not None:
        found["a larger student"] = changed(campaign).model_copy(
            update={"student": str(student.resolve())}
        )
    return found


def main() -> None:
    """Run the variations and print their table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/evidence"), help="default: %(default)s"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core"
    )
    parser.add_argument("--system", choices=SYSTEMS, default="silicon", help="default: %(default)s")
    parser.add_argument(
        "--student", type=Path, help="a larger model (examples/base_model/make_base.py)"
    )
    parser.add_argument("--only", nargs="+", help="names of variations; default: all")
    args = parser.parse_args()
    console = Console()
    with session(HERE / f"{args.system}.yaml", args.folder / args.system) as opened:
        parts = CurveCampaigns.of(opened)
        rows = [row("as in the evidence", opened, parts.curve)]
        for name, campaign in variations(opened.campaign, args.student).items():
            if args.only and name not in args.only:
                continue
            curve = curve_of(campaign, parts.pools)
            run(
                opened.of(curve),
                LearningCurveMaker.from_campaign(campaign, parts.pools),
                args.workers,
                console,
            )
            rows.append(row(name, opened, curve))
    print(markdown([header(), *rows]))


def changed(campaign: Campaign, of: dict[str, Any] | None = None, **changes: Any) -> Campaign:
    """The campaign with another recipe, or other fields of the curve, for the points of its largest N alone."""
    recipe = TrainParams.model_validate(
        (campaign.curve.train or campaign.train).model_dump() | changes
    )
    points = {
        "sizes": (max(campaign.curve.sizes),),
        "methods": METHODS,
        "train": recipe,
        **(of or {}),
    }
    return campaign.model_copy(update={"curve": campaign.curve.model_copy(update=points)})


def header() -> list[str]:
    """Of the table."""
    return [
        "variation",
        *(f"{name}, {test}" for test in TESTS for name in METHODS),
        *(f"ratio {kind}, {test}" for test in TESTS for kind in RATIOS),
    ]


def row(name: str, opened: Session, curve: Campaign) -> list[str]:
    """Energy MAE (meV/atom) at the largest N, and the ratios random / entropy."""
    points, size = opened.store.of(curve.name).points(), max(opened.campaign.curve.sizes)
    scale = QUANTITIES["energy_mae"][1]
    errors, ratios = [], []
    for test in TESTS:
        found = {
            key: mean.scaled(scale) for key, mean in summarise(points, test, "energy_mae").items()
        }
        errors += [str(found.get((method, size), "–")) for method in METHODS]
        for quantity in RATIOS.values():
            means = summarise(points, test, quantity)
            plain, ours = means.get(("random", size)), means.get(("entropy", size))
            ratios.append(str(Ratio.of(plain, ours)) if plain and ours else "–")
    return [name, *errors, *ratios]


if __name__ == "__main__":
    main()
