"""Figures of `diversity`: bars of log det Σ, and what each set covers of the others' space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from entropy_flows.conventions import Array
from entropy_flows.entropy import MODES
from entropy_flows.entropy.support import populated
from entropy_flows.evaluate.diversity import Diversity, vectors_of

TITLES = {"atom": "per atom", "config": "per config"}
POINTS = 3000
"""Vectors shown of a set at most."""


def diversity_plot(found: Mapping[str, Diversity]) -> Figure:
    """log det Σ of each set: bars of the full sets, points of draws of equal size with their standard deviation.

    Bars begin at the value of vectors that are all the same, d log λ.
    """
    figure = Figure(figsize=(4.6 * len(MODES), 1.6 + 0.5 * len(found)), layout="constrained")
    for axis, mode in zip(figure.subplots(1, len(MODES)), MODES, strict=True):
        places, own = np.arange(len(found)), list(found.values())
        lengths = [one.full[mode] - one.nothing for one in own]
        axis.barh(places, lengths, left=own[0].nothing, color="#9aa0a6", label="all in the window")
        means = [one.equal[mode] for one in own]
        label = f"{own[0].drawn[mode]} {'atoms' if mode == 'atom' else 'cells'} of each"
        bars = [mean.std for mean in means]
        axis.errorbar(
            [mean.mean for mean in means],
            places,
            xerr=bars,
            fmt="o",
            color="#1a73e8",
            capsize=3,
            label=label,
        )
        axis.set(yticks=places, yticklabels=list(found), xlabel="log det Σ", title=TITLES[mode])
        axis.invert_yaxis()
        axis.legend(fontsize=8)
    return figure


def cover_plot(prints: Mapping[str, Sequence[Array]], seed: int = 0) -> Figure:
    """First two principal components of all sets together: a row for each set, over the others in grey."""
    figure = Figure(figsize=(4.4 * len(MODES), 3.6 * len(prints)), layout="constrained")
    grid = figure.subplots(len(prints), len(MODES), squeeze=False)
    vectors = {name: vectors_of(own) for name, own in prints.items()}
    for column, mode in enumerate(MODES):
        places, share = _projected({name: own[mode] for name, own in vectors.items()}, seed)
        for row, name in enumerate(prints):
            axis = grid[row, column]
            others = np.concatenate(
                [np.zeros((0, 2)), *(own for other, own in places.items() if other != name)]
            )
            axis.plot(*others.T, ".", ms=2, color="#c8ccd0", label="the others")
            axis.plot(*places[name].T, ".", ms=3, color=f"C{row}", label=name)
            labels = [f"PC{n + 1} ({100 * part:.0f} % of variance)" for n, part in enumerate(share)]
            axis.set(xlabel=labels[0], ylabel=labels[1], title=f"{name}, {TITLES[mode]}")
            axis.legend(fontsize=7)
    return figure


def _projected(vectors: Mapping[str, Array], seed: int) -> tuple[dict[str, Array], Array]:
    """Places (n, 2) of each set's vectors, and the share of variance of either axis.

    Each set counts alike for the axes, whatever its size.
    """
    rng = np.random.default_rng(seed)
    draws = {name: own[rng.permutation(len(own))[:POINTS]] for name, own in vectors.items()}
    # no other component varies; two at least, for the two axes
    components = np.unique(np.concatenate([[0, 1], *(populated(own) for own in draws.values())]))
    shown = {name: own[:, components] for name, own in draws.items()}
    center = np.mean([own.mean(axis=0) for own in shown.values()], axis=0)
    covariance = np.mean(
        [(own - center).T @ (own - center) / len(own) for own in shown.values()], axis=0
    )
    values, axes = np.linalg.eigh(covariance)
    share = values[::-1][:2] / max(values.sum(), 1e-300)
    return {name: (own - center) @ axes[:, ::-1][:, :2] for name, own in shown.items()}, share
