"""The baseline: as many as the budget has, whatever they gain, and the statistics of what was
taken.
"""

import numpy as np
import pytest
from pools import empty, pool

from entropy_flows.select import RandomSelector, Verdict, make_selector


@pytest.mark.parametrize("budget", [None, 0, 7, 60, 100])
def test_takes_what_the_budget_has(budget):
    candidates, statistics = pool(), empty()
    decisions = list(RandomSelector()(iter(candidates), statistics, budget))
    assert [d.index for d in decisions] == list(range(60 if budget is None else min(budget, 60)))
    assert all(d.verdict is Verdict.ACCEPTED for d in decisions)
    replayed = empty()
    for decision in decisions:
        candidate = candidates[decision.index]
        assert decision.candidate is candidate
        assert decision.gain == pytest.approx(replayed[candidate.mode].gain(candidate.q))
        for stats in replayed.values():
            stats.add(candidate.q)
    for mode, stats in statistics.items():
        assert stats.checksum() == replayed[mode].checksum()


def test_the_choice_is_the_generators():
    def chosen(seed):
        return make_selector("random").judging_order(30, np.random.default_rng(seed))[:7]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert np.mean([np.mean(chosen(seed)) for seed in range(200)]) == pytest.approx(
        14.5, abs=1
    )  # none is favoured
