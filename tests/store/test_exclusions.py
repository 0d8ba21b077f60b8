"""What is excluded is out of statistics, frames and draws from then on; the past stays."""

from __future__ import annotations

import numpy as np
import pytest
from small_campaign import append, label, small_campaign

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.jobs.train import split_cells
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.verify import verify
from entropy_flows.store import StoreError
from entropy_flows.train import TrainParams

FIRST = "001/select/00001"
SECOND = "001/select/00003"


@pytest.fixture
def campaign(server, tmp_path, request):
    name = f"test_exclusions_{abs(hash(request.node.name)) % 10**8}"
    with small_campaign(server, tmp_path, name) as opened:
        yield opened
        store, _ = opened
        store.database.client.drop_database(name)


def problems(store, pad):
    checks = verify(store, FireWorksManager(pad), deep=True)
    return {check.name: check.problems for check in checks if check.problems}


def ledger(store):
    return store.ledger(store.campaign().dataset)


def fold(store, excluded, end):
    book = ledger(store)
    statistics = SufficientStatistics(book.fingerprint.dim, book.regularization, "atom")
    for entry, q in zip(book.entries(), book.fingerprints_between(0, end), strict=False):
        if entry["key"] not in excluded:
            statistics.add(q)
    return statistics


def entropy(store, iteration):
    return ledger(store).statistics(iteration, "select")["atom"].entropy()


def test_it_counts_from_the_next_iteration_and_the_past_stays(campaign):
    store, pad = campaign
    before = entropy(store, 2)
    assert store.exclude([FIRST], "two phases") == [FIRST]
    assert entropy(store, 2) == before, "iteration 2 has begun without it"
    assert store.first_iteration_without("exclusions") == 3
    append(store, 2, "refine", 2)
    append(store, 3, "select", 3)
    end = ledger(store).position(3, "select")
    expected = fold(store, {FIRST}, end).entropy()
    assert entropy(store, 3) == pytest.approx(expected, rel=1e-12)
    assert entropy(store, 3) != fold(store, set(), end).entropy()
    assert store.include([FIRST], "it was one") == [FIRST]
    append(store, 4, "select", 2)
    end = ledger(store).position(4, "select")
    assert entropy(store, 4) == pytest.approx(fold(store, set(), end).entropy(), rel=1e-12)
    store.record(2, refine={"accepted": 2})
    for iteration, count in ((3, 3), (4, 2)):
        store.record(iteration, select={"accepted": count})
    assert problems(store, pad) == {}


def test_a_covariance_of_other_exclusions_is_not_started_from(campaign):
    """The same bits as from the beginning, whichever covariances are stored."""
    store, _ = campaign
    store.exclude([SECOND], "bad")
    append(store, 3, "select", 3)
    book = ledger(store)
    stored = book.statistics(3, "refine")["atom"].checksum()
    assert [row["exclusions"] for row in book.covariances.find({"position": 12})] == [1, 1]
    store.database["covariances"].delete_many({})
    assert book.statistics(3, "refine")["atom"].checksum() == stored
    assert len(book.means(3, "select")) == 8


def test_frames_and_draws_are_without_it_and_a_cell_that_comes_back_is_trained_on(campaign):
    store, pad = campaign
    entries = list(ledger(store).entries(iteration=2))
    for seed, entry in enumerate(entries, 20):
        store.add_label(entry, "engine", label(seed))
    excluded = entries[0]["key"]
    store.exclude([FIRST, excluded], "two phases")
    assert not {FIRST, excluded} & {atoms.info["key"] for atoms in store.frames()}

    def trained(iteration):
        count = store.training_exclusions(iteration)
        frames = store.frames(exclusions=count, iteration={"$lte": iteration})
        return split_cells(store, frames, iteration, TrainParams())

    def keys(cells):
        return {atoms.info["key"]: split for split in cells for atoms in cells[split]}

    first = keys(trained(2))
    assert not {FIRST, excluded} & first.keys()
    assert len(first) == 6
    store.include([excluded], "")
    assert keys(trained(2)) == first, "a training that runs again has the same cells"
    append(store, 3, "select", 1)
    (last,) = ledger(store).entries(iteration=3)
    store.add_label(last, "engine", label(50))
    second = keys(trained(3))
    assert second[excluded] == "train"
    assert FIRST not in second
    assert first.items() <= second.items()
    assert store.splits()[FIRST] == "val", "its split is for good"
    store.record(3, select={"accepted": 1})
    assert problems(store, pad) == {}


def test_an_entry_that_there_is_not_is_refused_with_those_that_are_near(campaign):
    store, _ = campaign
    with pytest.raises(StoreError, match=r"no entry '001/select/0001' \(near: 001/select/0000"):
        store.exclude([FIRST, "001/select/0001"], "bad")
    assert store.exclusions() == []


def test_again_it_is_nothing_new(campaign):
    store, _ = campaign
    assert store.exclude([FIRST, SECOND, FIRST], "bad") == [FIRST, SECOND]
    assert store.exclude([FIRST], "for another reason") == []
    assert store.include([SECOND, "002/select/00000"], "") == [SECOND]
    assert [row["number"] for row in store.exclusions()] == [0, 1, 2]
    assert {key: row["why"] for key, row in store.excluded().items()} == {FIRST: "bad"}


def test_verify_tells_a_row_that_is_gone_or_of_another_entry(campaign):
    store, pad = campaign
    store.exclude([FIRST, SECOND], "bad")
    store.training_exclusions(2)
    rows = store.database["exclusions"]
    last = rows.find_one({"number": 1})
    rows.delete_one({"number": 1})
    assert problems(store, pad)["exclusions"] == ["iteration 2: went by 2 exclusions, 1 are there"]
    rows.insert_one(last | {"position": 0, "number": 5})
    found = " ".join(problems(store, pad)["exclusions"])
    assert "exclusion 5 (001/select/00003): number 1 was expected" in found
    assert "its entry is position 3 (001/select/00003)" in found


def test_coverage_means_have_no_gaps(campaign):
    store, _ = campaign
    book = ledger(store)
    store.exclude([FIRST], "bad")
    means = book.means(3, "select")
    prints = list(book.fingerprints_between(0, 9))
    np.testing.assert_allclose(means[1], prints[2].mean(axis=0))
