"""Tables, figures and page of data sets whose diversity is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES, Mode
from entropy_flows.entropy.support import populated
from entropy_flows.evaluate.diversity import CellSet, Diversity, DiversityParams, vectors_of
from entropy_flows.fingerprints import FingerprintBase
from entropy_flows.report.page import CaptionedFigure, Table, write_report
from entropy_flows.report.plots import component_labels

TITLES: dict[Mode, str] = {"atom": "per atom", "config": "per config"}
MAX_POINTS = 3000
"""Number of vectors that are drawn of a set at most."""
RESCALING_NOTES = {
    "set": "each set scaled to one V_eq",
    "cell": "each cell scaled to one volume",
    "none": "not scaled",
}


def diversity_tables(
    sets: Sequence[CellSet], diversities: Mapping[str, Diversity], params: DiversityParams
) -> list[Table]:
    """Build the tables of what was compared, and of how diverse it is."""
    drawn = next(iter(diversities.values())).drawn
    draws = [f"{drawn['atom']} atoms", f"{drawn['config']} cells"]
    sizes = [["set", "cells", "V_eq, Å³/atom", "that is", "cells kept", "atoms in them"]]
    entropies = [["set", "per atom", "per config", *draws]]
    for cells in sets:
        diversity = diversities[cells.name]
        count = diversity.count
        volume = f"{cells.equilibrium:.2f}"
        in_window = [str(count["config"]), str(count["atom"])]
        sizes.append([cells.name, str(cells.total), volume, cells.rule, *in_window])
        full = [f"{entropy:.1f}" for entropy in diversity.full.values()]
        equal = [f"{mean.mean:.1f} ± {mean.std:.1f}" for mean in diversity.equal.values()]
        entropies.append([cells.name, *full, *equal])
    window = "All densities"
    if params.window is not None:
        window = f"Volumes within {params.window:.0%} of V_eq"
    set_note = f"{window}; {RESCALING_NOTES[params.rescale]}."
    entropy_note = (
        "Last columns: equally many of each set, "
        f"mean ± standard deviation over {params.draws} draws."
    )
    return [Table("Sets", sizes, set_note), Table("log det Σ", entropies, entropy_note)]


def write_diversity_page(
    folder: Path,
    sets: Sequence[CellSet],
    fingerprints: Mapping[str, Sequence[Array]],
    diversities: Mapping[str, Diversity],
    fingerprint: FingerprintBase,
    params: DiversityParams,
) -> Path:
    """Write the page, and its numbers as `diversity.json`.

    Parameters
    ----------
    folder
        Created if it is missing.
    sets
        The sets as they were compared.
    fingerprints
        Set → fingerprints (n_atoms, d) of its cells.
    diversities
        Set → its log det Σ.
    fingerprint, params
        Settings of the comparison.

    Returns
    -------
    Path
        The HTML file.
    """
    bars = "log det Σ of each set; bars begin where all vectors are the same."
    map_caption = "What each set covers, over the others: principal components of all together."
    figures = {
        "diversity": CaptionedFigure(diversity_plot(diversities), bars),
        "cover": CaptionedFigure(cover_plot(fingerprints), map_caption),
    }
    tables = diversity_tables(sets, diversities, params)
    title = "Diversity of data sets"
    page = write_report(folder, title, repr(fingerprint), [], tables, figures)
    numbers = {
        "fingerprint": fingerprint.settings,
        "params": params.model_dump(mode="json"),
        "sets": {cells.name: _numbers(cells, diversities[cells.name]) for cells in sets},
    }
    (folder / "diversity.json").write_text(json.dumps(numbers, indent=1))
    return page


def _numbers(cells: CellSet, diversity: Diversity) -> dict[str, object]:
    """Return what `diversity.json` holds of a set."""
    source = {"cells": cells.total, "equilibrium": cells.equilibrium, "rule": cells.rule}
    return source | asdict(diversity)


def diversity_plot(diversities: Mapping[str, Diversity]) -> Figure:
    """Draw log det Σ of each set: bars of the full sets, points of draws of equal size.

    Bars begin at the value of vectors that are all the same, d log λ. The points have bars of one
    standard deviation over the draws.
    """
    height = 1.6 + 0.5 * len(diversities)
    figure = Figure(figsize=(4.6 * len(MODES), height), layout="constrained")
    rows = np.arange(len(diversities))
    values = list(diversities.values())
    for axis, mode in zip(figure.subplots(1, len(MODES)), MODES, strict=True):
        start = values[0].nothing
        lengths = [diversity.full[mode] - diversity.nothing for diversity in values]
        axis.barh(rows, lengths, left=start, color="#9aa0a6", label="all in the window")
        draws = [diversity.equal[mode] for diversity in values]
        items = "atoms" if mode == "atom" else "cells"
        axis.errorbar(
            [draw.mean for draw in draws],
            rows,
            xerr=[draw.std for draw in draws],
            fmt="o",
            color="#1a73e8",
            capsize=3,
            label=f"{values[0].drawn[mode]} {items} of each",
        )
        axis.set(yticks=rows, yticklabels=list(diversities))
        axis.set(xlabel="log det Σ", title=TITLES[mode])
        axis.invert_yaxis()
        axis.legend(fontsize=8)
    return figure


def cover_plot(fingerprints: Mapping[str, Sequence[Array]], seed: int = 0) -> Figure:
    """Draw each set over the others (grey) on two principal components of all sets together.

    Parameters
    ----------
    fingerprints
        Set → fingerprints (n_atoms, d) of its cells.
    seed
        Seed of the draw from sets with more than `MAX_POINTS` vectors.
    """
    size = (4.4 * len(MODES), 3.6 * len(fingerprints))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(fingerprints), len(MODES), squeeze=False)
    vectors = {name: vectors_of(prints) for name, prints in fingerprints.items()}
    for column, mode in enumerate(MODES):
        of_mode = {name: by_mode[mode] for name, by_mode in vectors.items()}
        points, shares = _projected(of_mode, seed)
        labels = component_labels(shares)
        for row, name in enumerate(fingerprints):
            axis = grid[row, column]
            rest = [other for key, other in points.items() if key != name]
            background = np.concatenate([np.zeros((0, 2)), *rest])
            axis.plot(*background.T, ".", ms=2, color="#c8ccd0", label="the others")
            axis.plot(*points[name].T, ".", ms=3, color=f"C{row}", label=name)
            axis.set(xlabel=labels[0], ylabel=labels[1], title=f"{name}, {TITLES[mode]}")
            axis.legend(fontsize=7)
    return figure


def _projected(vectors: Mapping[str, Array], seed: int) -> tuple[dict[str, Array], Array]:
    """Project each set's vectors (n, d) on the two principal components of all sets.

    Returns
    -------
    tuple
        Set → points (n, 2), and the share of variance of each axis. Each set counts alike for the
        axes, whatever its size.
    """
    rng = np.random.default_rng(seed)
    draws = {
        name: sample[rng.permutation(len(sample))[:MAX_POINTS]] for name, sample in vectors.items()
    }
    # Components that never vary add nothing but rounding. Two are kept at least, for two axes.
    components = np.unique(np.concatenate([[0, 1], *map(populated, draws.values())]))
    samples = {name: sample[:, components] for name, sample in draws.items()}
    centre = np.mean([sample.mean(axis=0) for sample in samples.values()], axis=0)
    covariances = [
        (sample - centre).T @ (sample - centre) / len(sample) for sample in samples.values()
    ]
    values, axes = np.linalg.eigh(np.mean(covariances, axis=0))
    # eigh sorts upwards: the last two are the principal ones
    shares = values[::-1][:2] / max(values.sum(), 1e-300)
    plane = axes[:, ::-1][:, :2]
    return {name: (sample - centre) @ plane for name, sample in samples.items()}, shares
