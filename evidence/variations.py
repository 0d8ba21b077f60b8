"""Show why a ratio is what it is: the same pools, trained otherwise.

The trainings are those of the largest N of the evidence with one thing changed. Run `make evidence`
first.

Example: python evidence/variations.py --system silicon --folder runs/evidence --student
si-medium.nequip.zip
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablations import run
from rich.console import Console
from shared import SYSTEMS, add_workers, campaign_file, command_line

from entropy_flows.evaluate.curve import ERROR_COLUMNS, summarise
from entropy_flows.flows import CurveCampaigns, LearningCurveMaker, curve_of
from entropy_flows.launch.session import Session, open_session
from entropy_flows.report.curve import ratio_text
from entropy_flows.report.text import MISSING, markdown_table
from entropy_flows.schemas import Campaign
from entropy_flows.train import TrainParams

LOSS_FIELDS = ("huber_delta", "energy_coefficient", "stress_coefficient")
SMALL = TrainParams(preset="small")
SQUARED_LOSS = {name: getattr(SMALL, name) for name in LOSS_FIELDS}
"""The preset's own loss, in which the largest errors have most of the gradient."""
METHODS = ("entropy", "random", "mixed")
TESTS = ("in-distribution", "independent")
RATIOS = {"MAE": "energy_mae", "RMSE": "energy_rmse", "forces": "forces_mae"}


def variations(campaign: Campaign, student: Path | None) -> dict[str, Campaign]:
    """Return the campaign with something changed of the training, by name of the change."""
    campaigns = {
        "as in the evidence": changed(campaign),
        "squared errors": changed(campaign, **SQUARED_LOSS),
        "no weights": changed(campaign, weight_bins=()),
        "squared errors, no weights": changed(campaign, weight_bins=(), **SQUARED_LOSS),
        "three times the epochs": changed(campaign, max_epochs=120),
        "mixed with any cells of the baseline": changed(campaign, curve={"max_force": 1.0e3}),
    }
    if student is not None:
        update = {"student": str(student.resolve())}
        campaigns["a larger student"] = changed(campaign).model_copy(update=update)
    return campaigns


def main() -> None:
    """Run the variations and print their table."""
    parser = command_line(__doc__)
    add_workers(parser)
    parser.add_argument("--system", choices=SYSTEMS, default="silicon", help="default: %(default)s")
    parser.add_argument(
        "--student", type=Path, help="a larger model (entropy-flows student --size medium)"
    )
    parser.add_argument("--only", nargs="+", help="names of variations; default: all")
    options = parser.parse_args()
    console = Console()
    file = campaign_file(options.system)
    with open_session(file, options.folder / options.system) as system:
        pools = CurveCampaigns.of(system.store, system.campaign).pools
        rows = [header()]
        for name, campaign in variations(system.campaign, options.student).items():
            if options.only and name not in options.only:
                continue
            curve = curve_of(campaign, pools)
            maker = LearningCurveMaker.from_campaign(campaign, pools)
            run(system.of(curve), maker, options.workers, console)
            rows.append(row(name, system, curve))
    print(markdown_table(rows))


def changed(campaign: Campaign, curve: dict[str, Any] | None = None, **changes: Any) -> Campaign:
    """Return the campaign with the points of its largest N alone, and something changed.

    Parameters
    ----------
    campaign
        The evidence's.
    curve
        Fields of the curve with their new values.
    changes
        Fields of the training's recipe with their new values.
    """
    recipe = (campaign.curve.train or campaign.train).model_dump() | changes
    fields = {
        "sizes": (max(campaign.curve.sizes),),
        "methods": METHODS,
        "train": TrainParams.model_validate(recipe),
        **(curve or {}),
    }
    return campaign.model_copy(update={"curve": campaign.curve.model_copy(update=fields)})


def header() -> list[str]:
    """Return the header of the table."""
    return [
        "variation",
        *(f"{name}, {test}" for test in TESTS for name in METHODS),
        *(f"ratio {kind}, {test}" for test in TESTS for kind in RATIOS),
    ]


def row(name: str, system: Session, curve: Campaign) -> list[str]:
    """Write the energy MAE (meV/atom) at the largest N, and the ratios random / entropy."""
    points = system.store.of(curve.name).points()
    size = max(system.campaign.curve.sizes)
    scale = ERROR_COLUMNS["energy_mae"][1]
    errors = []
    ratios = []
    for test in TESTS:
        means = summarise(points, test, "energy_mae")
        for method in METHODS:
            mean = means.get((method, size))
            errors.append(MISSING if mean is None else str(mean.scaled(scale)))
        for quantity in RATIOS.values():
            means = summarise(points, test, quantity)
            ratios.append(ratio_text(means.get(("random", size)), means.get(("entropy", size))))
    return [name, *errors, *ratios]


if __name__ == "__main__":
    main()
