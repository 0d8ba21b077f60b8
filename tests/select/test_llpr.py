"""The selector by last-layer uncertainty, against its definition."""

import numpy as np
import pytest
from pools import empty

from entropy_flows.entropy.basis import standardisation
from entropy_flows.select import (
    Candidate,
    DataSet,
    DecisionStream,
    LastLayerSelector,
    make_selector,
)
from entropy_flows.select.llpr import LastLayerRanking

DIM = 5


def cells_of(n=60, seed=0):
    """Cells of one to six atoms, of which a component is the same in all."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, n)
    rows = [rng.normal(size=(size, DIM)) * [3, 1, 1, 0.2, 0] + 1 for size in sizes]
    return [Candidate(str(number), q, "atom") for number, q in enumerate(rows)]


def chosen(selector, cells, budget, known=()):
    centres = np.array([q.mean(axis=0) for q in known]) if len(known) else None
    stream = DecisionStream(selector(cells, empty(DIM), budget, centres))
    return [each.index for each in stream], stream.reason


def by_definition(cells, budget, noise, known=()):
    """The largest variance of each step, from the inverse of everything that is known."""
    means = np.array([each.q.mean(axis=0) for each in cells])
    centre, scale = standardisation(means)
    points = np.column_stack([np.ones(len(cells)), (means - centre) / scale])
    size = np.sqrt((points**2).sum(axis=1).mean())
    points /= size
    taken = [np.array([1, *(q.mean(axis=0) - centre) / scale]) / size for q in known]
    picks = []
    for _ in range(budget):
        A = noise * np.eye(DIM + 1) + sum(np.outer(x, x) for x in taken)
        variances = np.einsum("nd,de,ne->n", points, np.linalg.inv(A), points)
        variances[picks] = -np.inf
        picks.append(int(np.argmax(variances)))
        taken.append(points[picks[-1]])
    return picks


@pytest.mark.parametrize("noise", [0.3, 1e-3])
@pytest.mark.parametrize("n_known", [0, 4])
def test_choice_is_that_of_the_definition(noise, n_known):
    cells = cells_of()
    known = [each.q + 0.5 for each in cells_of(n_known, seed=1)]
    picks, reason = chosen(LastLayerSelector(noise=noise), cells, 30, known)
    assert picks == by_definition(cells, 30, noise, known)
    assert reason == ""


def test_a_cell_like_the_last_pick_is_not_next():
    """The two that are least known are nearly the same; without updates both would come first."""
    cells = cells_of()
    far = cells[0].q + 6
    cells += [Candidate("far", far, "atom"), Candidate("its twin", far + 1e-3, "atom")]
    selector = LastLayerSelector()
    variances = LastLayerRanking(selector, cells, DataSet(empty(DIM))).variances
    assert set(np.argsort(variances)[-2:]) == {60, 61}
    picks, _ = chosen(selector, cells, 4)
    assert picks[0] in (60, 61)
    assert not {60, 61} <= set(picks)


def test_copies_are_not_taken():
    cells = cells_of(8)
    copies = [Candidate(f"copy {each.key}", each.q[::-1], "atom") for each in cells]
    picks, reason = chosen(LastLayerSelector(), cells + copies, 12)
    assert len(picks) == len({index % 8 for index in picks}) == 8
    assert "the other 8 candidates are copies" in reason


def test_empty_pool_and_its_name():
    assert chosen(make_selector("llpr"), [], 3) == (
        [],
        "all 0 candidates were taken, 3 were wanted",
    )
