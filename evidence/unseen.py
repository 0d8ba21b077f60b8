"""A second in-distribution test: the entropy pool's cells that no model of a seed has seen.

The test set proper is a tenth of the pool, and a ratio of errors on so few cells depends on which
they are. The largest models leave several times as many cells over, and the same ones for all
methods of a seed.
"""

from __future__ import annotations

from ase import Atoms

from entropy_flows.evaluate.curve import ERROR_COLUMNS, Mean
from entropy_flows.evaluate.errors import Errors, errors
from entropy_flows.jobs.curve import SELECTED
from entropy_flows.potentials import load_calculator
from entropy_flows.report.curve import ratio_text
from entropy_flows.report.curve_results import CurveResults
from entropy_flows.report.page import Table


def unseen_table(results: CurveResults) -> Table:
    """Build the table of errors of the largest models on the cells they have not seen."""
    points = results.largest_points()
    errors_by_method: dict[str, list[Errors]] = {}
    counts = []
    for seed in dict.fromkeys(point["seed"] for point in points):
        of_seed = [point for point in points if point["seed"] == seed]
        cells = unseen_cells(results, {key for point in of_seed for key in point["keys"]})
        counts.append(len(cells))
        for point in of_seed:
            calculator = load_calculator(results.curve_store.fetch_model(point["model"]))
            errors_by_method.setdefault(point["method"], []).append(errors(cells, calculator))
    rows = [["error", *errors_by_method, "random / entropy"]]
    for quantity, (title, scale) in ERROR_COLUMNS.items():
        means = {
            method: Mean.of([getattr(one, quantity) for one in values]).scaled(scale)
            for method, values in errors_by_method.items()
        }
        ratio = ratio_text(means.get("random"), means.get("entropy"))
        rows.append([title, *map(str, means.values()), ratio])
    note = (
        "The entropy pool's cells that no model of the same seed was trained on or validated with: "
        f"{counts}."
    )
    return Table(f"All unseen cells, {results.largest_size} cells trained on", rows, note)


def unseen_cells(results: CurveResults, seen: set[str]) -> list[Atoms]:
    """Return the entropy pool's cells that are neither in `seen` nor for validation."""
    pool = results.campaigns.pools["entropy"]
    return [
        atoms
        for atoms in results.store.of(pool).frames(**SELECTED)
        if atoms.info["split"] != "val" and f"{pool}/{atoms.info['key']}" not in seen
    ]
