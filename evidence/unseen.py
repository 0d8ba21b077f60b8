"""A second in-distribution test: the cells of the entropy pool that no model of a seed has trained or validated with.

The test set proper is a tenth of the pool, and a ratio of errors on so few cells depends on which
they are. Of the largest models several times as many cells are left over, and the same ones for all
methods of a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from entropy_flows.cli.curve import CurveCampaigns
from entropy_flows.evaluate import Errors, errors
from entropy_flows.evaluate.curve import QUANTITIES, Mean, Ratio
from entropy_flows.jobs.curve import CHOSEN
from entropy_flows.launch.session import Session
from entropy_flows.potentials import load_calculator
from entropy_flows.report.page import Table


def unseen_table(opened: Session, parts: CurveCampaigns, points: Sequence[dict[str, Any]]) -> Table:
    """Errors of the largest models on the cells they have not seen."""
    size, pool = max(point["size"] for point in points), parts.pools["entropy"]
    largest = [point for point in points if point["size"] == size]
    store = opened.store.of(parts.curve.name)
    frames = [
        atoms for atoms in opened.store.of(pool).frames(**CHOSEN) if atoms.info["split"] != "val"
    ]
    found: dict[str, list[Errors]] = {}
    counts = []
    for seed in dict.fromkeys(point["seed"] for point in largest):
        own = [point for point in largest if point["seed"] == seed]
        seen = {key for point in own for key in point["keys"]}
        cells = [atoms for atoms in frames if f"{pool}/{atoms.info['key']}" not in seen]
        counts.append(len(cells))
        for point in own:
            calculator = load_calculator(store.fetch_model(point["model"]))
            found.setdefault(point["method"], []).append(errors(cells, calculator))
    methods = list(found)
    rows = [["error", *methods, "random / entropy"]]
    for quantity, (title, scale) in QUANTITIES.items():
        means = {
            name: Mean.of([getattr(each, quantity) for each in found[name]]).scaled(scale)
            for name in methods
        }
        compared = (
            str(Ratio.of(means["random"], means["entropy"]))
            if {"random", "entropy"} <= set(methods)
            else "–"
        )
        rows.append([title, *map(str, means.values()), compared])
    note = f"The entropy pool's cells that no model of the same seed was trained on or validated with: {counts}."
    return (f"All unseen cells, {size} cells trained on", rows, note)
