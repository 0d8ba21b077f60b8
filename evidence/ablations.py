"""Try on NaCl what Wang 2026 leaves open: scales, refinement, the mix of modes, anchors.

Each variant is a campaign of 120 labels with a seed of its own, in the database of the system's
evidence. All are tested on the same cells: those held out of the evidence's pool ("common"), and
its independent test. Run `make evidence` first.

Example: python evidence/ablations.py --folder runs/evidence
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from shared import SYSTEMS, add_workers, campaign_file, command_line

from entropy_flows.cli.run import run_workers
from entropy_flows.evaluate.curve import ERROR_COLUMNS, summarise
from entropy_flows.fingerprints.gom import GOMParams
from entropy_flows.fingerprints.scale import block_scale, standard_scale
from entropy_flows.flows import (
    ActiveLearningMaker,
    CurveCampaigns,
    LearningCurveMaker,
    curve_of,
)
from entropy_flows.launch.session import Session, open_session
from entropy_flows.report.text import MISSING, markdown_table
from entropy_flows.schemas import Campaign

LABELS = 120
TRAINING_CELLS = 60
SEED = 7
TESTS = ("common", "independent")
HIGH_THRESHOLD = {"select": {"theta_min": 0.03}}
"""A threshold at which the filter ends before the labels are spent. With less, nothing is left for
refinement.
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "as in the paper": {},
    "standardised": {"global_fingerprint": {"scale": "standard"}},
    "scaled per matrix": {"global_fingerprint": {"scale": "per matrix"}},
    "theta 0.03": HIGH_THRESHOLD,
    "theta 0.03, no refinement": {**HIGH_THRESHOLD, "refine": {"enabled": False}},
    "all per config": {"explore": {"per_atom_fraction": 0.0}},
    "all per atom": {"explore": {"per_atom_fraction": 1.0}},
    "anchors 10 %": {"anchors": {"fraction": 0.1}},
    "anchors 20 %": {"anchors": {"fraction": 0.2}},
    "anchors 40 %": {"anchors": {"fraction": 0.4}},
}


def main() -> None:
    """Run the variants and print their table."""
    parser = command_line(__doc__)
    add_workers(parser)
    parser.add_argument("--system", choices=SYSTEMS, default="nacl", help="default: %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=VARIANTS, help="default: all"
    )
    options = parser.parse_args()
    console = Console()
    file = campaign_file(options.system)
    rows = [header()]
    with open_session(file, options.folder / options.system) as system:
        for name in options.only:
            campaign = variant(system, file, name, VARIANTS[name])
            rows.append([name, *run_variant(system, campaign, options.workers, console)])
    print(markdown_table(rows))


def run_variant(system: Session, campaign: Campaign, workers: int, console: Console) -> list[str]:
    """Run a variant and its training, and write its row."""
    variant_session = system.of(campaign)
    run(variant_session, ActiveLearningMaker.from_campaign(campaign), workers, console)
    pools = {
        "entropy": campaign.name,
        "independent": CurveCampaigns.of(system.store, system.campaign).independent.name,
        "common": system.campaign.name,
    }
    curve_session = system.of(curve_of(campaign, pools))
    run(curve_session, LearningCurveMaker.from_campaign(campaign, pools), workers, console)
    return variant_row(variant_session, curve_session)


def variant(system: Session, file: Path, name: str, changes: Mapping[str, Any]) -> Campaign:
    """Return the evidence's campaign with a change, fewer labels and another seed."""
    config = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        scale = {"scale": scale_of(system, values["scale"])} if "scale" in values else {}
        config[section] = {**config.get(section, {}), **values, **scale}
    config["select"] |= {"max_labels": LABELS}
    config["name"] = f"ablation-{''.join(c if c.isalnum() else '-' for c in name)}"
    config["seed"] = SEED
    config["stop"] = {"max_iterations": 1, "label_budget": LABELS}
    config["curve"] = {**config["curve"], "methods": ["campaign"], "sizes": [TRAINING_CELLS]}
    return Campaign.model_validate(config)


def scale_of(system: Session, kind: str) -> tuple[float, ...]:
    """Return the scale that the evidence's own pool has."""
    dataset = system.campaign.dataset
    ledger = system.store.ledger(dataset)
    prints = list(ledger.fingerprints_between(0, len(list(ledger.entries()))))
    if kind == "standard":
        return standard_scale(prints)
    params = dataset.fingerprint
    assert isinstance(params, GOMParams), "only GOM's fingerprints are matrices' eigenvalues"
    return block_scale(prints, params.natx)


def run(campaign_session: Session, maker: Any, workers: int, console: Console) -> None:
    """Run one campaign to its end."""
    name = campaign_session.campaign.name
    console.rule(name, align="left")
    state, message = run_workers(campaign_session, console, workers, maker=maker)
    if state == "failed":
        raise RuntimeError(f"{name} failed: {message}")


def header() -> list[str]:
    """Return the header of the table."""
    errors = [f"{title}, {test}" for test in TESTS for title, _ in ERROR_COLUMNS.values()]
    work = ["labels", "refined in", "labels per CPU hour, explored", "refined"]
    return ["variant", *work, "log det Σ, per atom / config", *errors]


def variant_row(campaign_session: Session, curve_session: Session) -> list[str]:
    """Write a variant's labels, information and errors."""
    store = campaign_session.store
    document = store.iterations()[0]
    labels = len(list(store.labels(converged=True)))
    select = document["select"]
    refine = document.get("refine", {})
    entropy = refine.get("entropy_after") or select["entropy_after"]
    explored_seconds = sum(run["wall_seconds"] for run in document["runs"])
    return [
        str(labels),
        f"{refine.get('accepted', 0)} of {refine.get('tried', 0)}",
        per_hour(select["accepted"], explored_seconds),
        per_hour(refine.get("accepted"), refine.get("wall_seconds")),
        f"{entropy['atom']:.1f} / {entropy['config']:.1f}",
        *error_columns(curve_session.store.points()),
    ]


def error_columns(points: list[dict[str, Any]]) -> list[str]:
    """Write each error on each test."""
    columns = []
    for test in TESTS:
        for quantity, (_, scale) in ERROR_COLUMNS.items():
            mean = summarise(points, test, quantity).get(("campaign", TRAINING_CELLS))
            columns.append(MISSING if mean is None else str(mean.scaled(scale)))
    return columns


def per_hour(count: int | None, seconds: float | None) -> str:
    """Write a rate, if there is something to divide."""
    return f"{3600 * count / seconds:.0f}" if count and seconds else MISSING


if __name__ == "__main__":
    main()
