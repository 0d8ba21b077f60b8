"""The baseline: as many as the budget has, any of them, and the statistics of what was taken."""

import numpy as np
import pytest

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.select import Candidate, RandomSelector, Verdict

DIM = 4


def pool(n=30):
    rng = np.random.default_rng(0)
    return [Candidate(str(i), rng.normal(size=(3, DIM)), str(rng.choice(["atom", "config"]))) for i in range(n)]


def empty():
    return {mode: SufficientStatistics(DIM, 1e-3, mode) for mode in ("atom", "config")}


@pytest.mark.parametrize("budget", [0, 7, 30, 100])
def test_takes_what_the_budget_has(budget):
    candidates, statistics, seen = pool(), empty(), []
    decisions = RandomSelector()(candidates, statistics, budget, np.random.default_rng(1), seen.append)
    assert seen == decisions
    accepted = [d for d in decisions if d.verdict is Verdict.ACCEPTED]
    assert len(accepted) == min(budget, 30)
    assert sorted(d.index for d in decisions) == list(range(30))
    assert {d.verdict for d in decisions} <= {Verdict.ACCEPTED, Verdict.SPENT}
    assert all(np.isnan(d.gain) for d in decisions if d.verdict is Verdict.SPENT)
    replayed = empty()
    for decision in accepted:
        candidate = candidates[decision.index]
        assert decision.gain == pytest.approx(replayed[candidate.mode].gain(candidate.q))
        for stats in replayed.values():
            stats.add(candidate.q)
    for mode, stats in statistics.items():
        assert stats.checksum() == replayed[mode].checksum()


def test_the_choice_is_the_generators():
    def chosen(seed):
        decisions = RandomSelector()(pool(), empty(), 7, np.random.default_rng(seed))
        return [d.index for d in decisions if d.verdict is Verdict.ACCEPTED]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert np.mean([np.mean(chosen(seed)) for seed in range(200)]) == pytest.approx(14.5, abs=1)  # none is favoured
