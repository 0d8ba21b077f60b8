"""The tables and the page of a learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_flows.evaluate import coverage
from entropy_flows.evaluate.curve import QUANTITIES, Mean, Ratio, summarise
from entropy_flows.launch.session import Session
from entropy_flows.report.page import Table

if TYPE_CHECKING:
    from ase import Atoms

    from entropy_flows.cli.curve import CurveCampaigns
    from entropy_flows.evaluate import Errors
    from entropy_flows.store import CampaignStore

POOL_DRAWS = 5
"""Draws that the information of equal-sized pools is averaged over."""


def curve_tables(points: Sequence[dict[str, Any]]) -> list[Table]:
    """A table for each test and error: N down, methods across, mean ± standard deviation over the seeds."""
    tests = list(dict.fromkeys(test for point in points for test in point["errors"]))
    tables: list[Table] = []
    for test in tests:
        for quantity, (name, scale) in QUANTITIES.items():
            found = {
                key: mean.scaled(scale) for key, mean in summarise(points, test, quantity).items()
            }
            methods = list(dict.fromkeys(method for method, _ in found))
            if not methods:
                continue
            compared = {"random", "entropy"} <= set(methods)
            rows = [["N", *methods, *(["random / entropy"] if compared else [])]]
            for size in sorted({size for _, size in found}):
                row = [
                    str(found[method, size]) if (method, size) in found else "–"
                    for method in methods
                ]
                if compared:
                    plain, ours = found.get(("random", size)), found.get(("entropy", size))
                    row.append(str(Ratio.of(plain, ours)) if plain and ours else "–")
                rows.append([str(size), *row])
            note = "Mean ± standard deviation over the seeds; of the ratio, its standard error."
            tables.append((f"{name}, {test} test", rows, note))
    return tables


def write_page(opened: Session, parts: CurveCampaigns, points: Sequence[dict[str, Any]]) -> Path:
    """Write tables and figures; returns the page."""
    from entropy_flows.report import plots
    from entropy_flows.report.page import write_report

    store = opened.store.of(parts.curve.name)
    pools = pools_of(opened, parts)
    tables = [*curve_tables(points), *condition_tables(opened, parts, points)]
    figures: dict[str, Any] = {
        "curves": (plots.curve_plot(points), "Errors against the number of training cells.")
    }
    if len(pools) > 1:
        tables.append(information_table(opened, parts, pools))
        groups = [name for name, prints in pools.items() for _ in prints]
        means = np.array([q.mean(axis=0) for prints in pools.values() for q in prints])
        figures["coverage"] = (
            plots.coverage_plot(means, groups),
            "What the pools cover: principal components.",
        )
        if (places := coverage.umap(means)) is not None:
            figures["umap"] = (
                plots.places_plot(places, groups, "UMAP"),
                "What the pools cover: UMAP.",
            )
    figures |= _model_figures(opened, parts, points)
    document = store.document()
    engine = document.get("engine", {}).get("name", "")
    folder = opened.folder / "curve"
    return write_report(
        folder, store.name, document["message"] or document["state"], [engine], tables, figures
    )


def pools_of(opened: Session, parts: CurveCampaigns) -> dict[str, list[np.ndarray]]:
    """Fingerprints of the cells of each pool whose labels count: those that converged and are not outliers."""
    from entropy_flows.jobs.curve import CHOSEN

    found = {}
    for name, campaign in parts.pools.items():
        part = opened.store.of(campaign)
        labelled = {
            label["position"]
            for label in part.labels(converged=True, flagged={"$ne": True}, **CHOSEN)
        }
        if labelled:
            prints = _prints(opened, campaign).values()
            found[name] = [q for position, q in enumerate(prints) if position in labelled]
    return found


def _prints(opened: Session, campaign: str) -> dict[str, np.ndarray]:
    """Key → fingerprints of all of a campaign's cells, in ledger order."""
    ledger = opened.store.of(campaign).ledger(opened.campaign.dataset)
    entries = list(ledger.entries())
    prints = ledger.fingerprints_between(0, len(entries))
    return {entry["key"]: q for entry, q in zip(entries, prints, strict=True)}


def information_table(
    opened: Session, parts: CurveCampaigns, pools: dict[str, list[np.ndarray]]
) -> Table:
    """log det Σ of equally many cells of each pool, and of the mixed one."""
    size, params = (
        min(len(pools[name]) for name in pools if name != "independent"),
        opened.campaign.curve,
    )
    rows = [["pool", "cells", "log det Σ, per atom", "log det Σ, per config"]]
    near = _near_prints(opened, parts) if "random" in pools else []
    draws, size = coverage.equal_draws(
        pools, near, size, params.near_share, max(params.sizes), range(POOL_DRAWS)
    )
    for name, sets in draws.items():
        values = coverage.information(sets, opened.campaign.regularization)
        rows.append([name, str(size), *(str(values[mode]) for mode in ("atom", "config"))])
    note = (
        f"Mean ± standard deviation over {POOL_DRAWS} draws; without ±, the pool has no more cells."
    )
    return ("Information of equal-sized pools", rows, note)


def _near_prints(opened: Session, parts: CurveCampaigns) -> list[np.ndarray]:
    """Fingerprints of the baseline's near-equilibrium cells."""
    from entropy_flows.jobs.curve import near_equilibrium

    baseline = parts.pools["random"]
    frames = near_equilibrium(opened.store.of(baseline).frames(), opened.campaign.curve.max_force)
    prints = _prints(opened, baseline)
    return [prints[atoms.info["key"]] for atoms in frames]


def condition_tables(
    opened: Session, parts: CurveCampaigns, points: Sequence[dict[str, Any]]
) -> list[Table]:
    """Errors before training and of the largest models, for each phase and temperature of the independent test."""
    from entropy_flows.evaluate import errors
    from entropy_flows.potentials import load_calculator

    store, independent = opened.store.of(parts.curve.name), opened.store.of(parts.independent.name)
    groups: dict[tuple[str, float], list[Atoms]] = {}
    for atoms in independent.frames() if independent.exists() else []:
        groups.setdefault((atoms.info["phase"], atoms.info["temperature"]), []).append(atoms)
    if not groups:
        return []
    size = max(point["size"] for point in points)
    models = [("before", start_of(store))]
    models += [(point["method"], point["model"]) for point in points if point["size"] == size]
    found: dict[tuple[str, tuple[str, float]], list[Errors]] = {}
    for method, model in models:
        calculator = load_calculator(store.fetch_model(model))
        for group, frames in groups.items():
            found.setdefault((method, group), []).append(errors(frames, calculator))
    methods = list(dict.fromkeys(method for method, _ in models))
    tables: list[Table] = []
    for quantity in ("energy_mae", "forces_mae"):
        title, scale = QUANTITIES[quantity]
        rows = [["phase", "T (K)", "cells", *methods]]
        for group, frames in sorted(groups.items()):
            means = [
                Mean.of([getattr(each, quantity) for each in found[method, group]])
                for method in methods
            ]
            rows.append(
                [
                    group[0],
                    f"{group[1]:g}",
                    str(len(frames)),
                    *(str(mean.scaled(scale)) for mean in means),
                ]
            )
        note = "0 K: the relaxed crystals, whose forces may vanish. Before: the model that the trainings start from."
        tables.append((f"{title}, independent test by condition, {size} cells", rows, note))
    return tables


def start_of(curve: CampaignStore) -> str:
    """Reference of the model that a curve's trainings start from: the campaign's student, or its base model."""
    found = curve.model(-1) or curve.model(0)
    assert found is not None, "a submitted curve has its base model"
    return str(found["reference"])


def _model_figures(
    opened: Session, parts: CurveCampaigns, points: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Parity of the largest models on the independent test, and error against distance from the training cells."""
    from entropy_flows.evaluate import parity
    from entropy_flows.potentials import load_calculator
    from entropy_flows.report import plots

    store, independent = opened.store.of(parts.curve.name), opened.store.of(parts.independent.name)
    test = independent.frames() if independent.exists() else []
    if not test:
        return {}
    size = max(point["size"] for point in points)
    chosen = {point["method"]: point for point in reversed(points) if point["size"] == size}
    own = _prints(opened, parts.independent.name)
    cells = [own[atoms.info["key"]] for atoms in test]
    found, distances = {}, {}
    for method, point in chosen.items():
        found[method] = parity(test, load_calculator(store.fetch_model(point["model"])))
        distances[method] = coverage.nearest(cells, _training_prints(opened, point["keys"]))
    where = f"Independent test, models of {size} cells, one seed."
    return {
        "parity": (plots.parities_plot(found), where),
        "distance": (
            plots.distance_plot(found, distances),
            f"{where} Error against distance from the training set.",
        ),
    }


def _training_prints(opened: Session, names: Sequence[str]) -> list[np.ndarray]:
    """Fingerprints of cells named "campaign/key"."""
    places = [name.split("/", 1) for name in names]
    prints = {
        campaign: _prints(opened, campaign) for campaign in {campaign for campaign, _ in places}
    }
    return [prints[campaign][key] for campaign, key in places]
