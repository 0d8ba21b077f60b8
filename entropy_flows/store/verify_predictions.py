"""Verify what models predict for cells: of which cells, and that the errors are theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from entropy_flows.store.verify_context import Check, VerifyContext, VerifyResult

TOLERANCE = 1e-9
"""Relative difference of two sums of the same numbers."""


def predictions(context: VerifyContext) -> VerifyResult:
    """Check that predictions are of test cells and known models, and have the evaluation's errors.

    An evaluation without them contradicts nothing: its cells cannot be shown.
    """
    store = context.store
    campaign = {"campaign": store.name}
    evaluations = _evaluations(context)
    references = {
        row["reference"]
        for collection in ("models", "versions")
        for row in store.database[collection].find(campaign, {"reference": 1})
    }
    labelled: dict[str, tuple[int, str | None]] = {
        row["key"]: (row["position"], row.get("split"))
        for row in store.labels(split={"$in": ["train", "val", "test"]})
    }
    problems: list[str] = []
    rows = list(store.database["predictions"].find(campaign))
    for row in rows:
        name = (row["iteration"], row["version"])
        lines = _defects(row, evaluations.pop(name, None), references, labelled)
        problems += [f"{_title(*name)}: {line}" for line in lines]
    wasted = [
        f"{_title(*name)}: none are stored, so its cells cannot be shown"
        for name, evaluation in evaluations.items()
        if evaluation["after"].get("n")
    ]
    return VerifyResult("predictions", len(rows), problems, wasted)


def _title(iteration: int, version: int) -> str:
    return f"predictions of iteration {iteration}, version {version}"


def _evaluations(context: VerifyContext) -> dict[tuple[int, int], Mapping[str, Any]]:
    """Return (iteration, version) → the evaluation of its model."""
    evaluations = {
        (document["iteration"], 1): document["evaluate"]
        for document in context.iterations
        if document.get("evaluate")
    }
    for row in context.store.versions():
        evaluations[row["iteration"], row["version"]] = row["evaluate"]
    return {name: item for name, item in evaluations.items() if "after" in item}


def _defects(
    row: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    references: set[str],
    labelled: Mapping[str, tuple[int, str | None]],
) -> Iterator[str]:
    """Yield what is wrong with the predictions of one evaluation."""
    known_cells = row.get("known_cells", [])
    keys = [cell["key"] for cell in [*row["cells"], *known_cells]]
    if len(set(keys)) < len(keys):
        yield "a cell is there twice"
    for cell in row["cells"]:
        if labelled.get(cell["key"]) != (cell["position"], "test"):
            yield f"position {cell['position']} ({cell['key']}) is no test cell of the campaign"
    for cell in known_cells:
        position, split = labelled.get(cell["key"], (None, None))
        if position != cell["position"] or split == "test":
            yield f"position {cell['position']} ({cell['key']}) is no training or validation cell"
    if evaluation is None:
        # the evaluation is written after them, and so is a model that was trained again
        return
    for role, reference in row["models"].items():
        if reference not in references:
            yield f"its model {role!r} {reference[:20]}… is no model of this campaign"
    for role in ("before", "after"):
        for name, value in _means(row["cells"], role).items():
            counted = evaluation[role].get(name)
            if counted is None or not math.isclose(counted, value, rel_tol=TOLERANCE):
                yield f"{name} {role} the training is {value:g}, the evaluation says {counted}"


def _means(cells: list[Mapping[str, Any]], role: str) -> dict[str, float]:
    """Return energy and force MAE (eV/atom, eV/Å) of the cells of one model."""
    if not cells:
        return {}
    energies = [abs(cell[role]["energy"] - cell["energy"]) for cell in cells]
    forces = [cell[role]["forces_mae"] * cell["n_atoms"] for cell in cells]
    return {
        "energy_mae": sum(energies) / len(cells),
        "forces_mae": sum(forces) / sum(cell["n_atoms"] for cell in cells),
    }


PREDICTION_CHECKS: tuple[Check, ...] = (predictions,)
