"""The ledger: appending twice is appending once, and no crash between writes changes it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cells import rattled
from pymongo.errors import DuplicateKeyError

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.fingerprints import BispectrumParams, GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, Entry, StoreError, structure_id

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))
DIM = 4


def entries(iteration, stage, n, seed=0):
    """n entries; their fingerprints are made up, the ledger does not compute them."""
    rng = np.random.default_rng([seed, iteration, len(stage)])
    made = []
    for number in range(n):
        structure = to_structure(rattled("Si", repeat=1, seed=number))
        q = rng.normal(size=(len(structure), DIM))
        made.append(
            Entry(
                f"{iteration:03d}/{stage}/{number:05d}",
                structure,
                q,
                0.1 * number,
                {"phase": "diamond"},
            )
        )
    return made


def fold(parts):
    """Statistics of all these entries, from the definition."""
    rows = {
        "atom": np.vstack([entry.q for entry in parts]),
        "config": np.vstack([entry.q.mean(axis=0) for entry in parts]),
    }
    return {mode: (len(q), q.mean(axis=0), np.cov(q.T, bias=True)) for mode, q in rows.items()}


def content(database):
    """Everything in the campaign's collections but the time of writing."""
    names = ("structures", "fingerprints", "covariances")
    found = {
        name: list(database[name].find({}, {"created": 0, "seals.created": 0})) for name in names
    }
    for row in [*found["fingerprints"], *found["covariances"]]:
        row.pop("_id")
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def checksums(ledger, iteration, stage):
    return {mode: stats.checksum() for mode, stats in ledger.statistics(iteration, stage).items()}


@pytest.fixture
def store(database):
    store = CampaignStore(database, "test")
    store.create(
        Campaign.model_validate(
            {
                "name": "test",
                "elements": ["Si"],
                "base_model": "SevenNet-0",
                "phases": [{"name": "diamond", "file": "diamond.cif"}],
                "label": {"engine": "forcefield"},
            }
        )
    )
    return store


@pytest.fixture
def ledger(store):
    return store.ledger(DATASET)


FIRST, REFINED, ANCHORS, SECOND = (
    entries(1, "select", 5),
    entries(1, "refine", 2),
    entries(1, "anchor", 3),
    entries(2, "select", 4),
)
STAGES = (
    (1, "select", FIRST),
    (1, "refine", REFINED),
    (1, "anchor", ANCHORS),
    (2, "select", SECOND),
)


def fill(ledger, stages=STAGES):
    for iteration, stage, made in stages:
        ledger.append_accepted(iteration, stage, made)


def test_positions_and_entries(ledger):
    ends = [ledger.append_accepted(iteration, stage, made) for iteration, stage, made in STAGES]
    assert ends == [5, 7, 10, 14]
    assert ledger.append_accepted(2, "refine", []) == 14
    starts = [
        (1, "select", 0),
        (1, "refine", 5),
        (1, "anchor", 7),
        (2, "refine", 14),
    ]
    assert all(ledger.position(iteration, stage) == place for iteration, stage, place in starts)
    found = list(ledger.entries())
    assert [entry["position"] for entry in found] == list(range(14))
    assert [entry["key"] for entry in found] == [entry.key for *_, made in STAGES for entry in made]
    one = found[6]
    assert one["_id"] == structure_id("test", "001/refine/00001")
    assert (one["formula"], one["elements"], one["n_atoms"]) == ("Si", ["Si"], 2)
    assert one["volume_per_atom"] == pytest.approx(5.43**3 / 8)
    assert (one["gain"], one["origin"]) == (0.1, {"phase": "diamond"})
    assert [entry["key"] for entry in ledger.entries(iteration=1, stage="anchor")] == [
        entry.key for entry in ANCHORS
    ]
    for stored, entry in zip(ledger.fingerprints_between(5, 7), REFINED, strict=True):
        np.testing.assert_array_equal(stored, entry.q)


def test_statistics_are_the_fold_over_what_came_before(ledger):
    fill(ledger)
    before = {
        (1, "refine"): FIRST,
        (1, "anchor"): FIRST + REFINED,
        (2, "select"): FIRST + REFINED + ANCHORS,
    }
    before[(3, "select")] = FIRST + REFINED + ANCHORS + SECOND
    for place, parts in before.items():
        for mode, (n, mean, covariance) in fold(parts).items():
            stats = ledger.statistics(*place)[mode]
            assert (stats.n, stats.mode) == (n, mode)
            np.testing.assert_allclose(stats.mean, mean, atol=1e-9)
            np.testing.assert_allclose(
                stats.covariance(), covariance + 1e-3 * np.eye(DIM), atol=1e-9
            )
    empty = ledger.statistics(1, "select")
    assert [stats.n for stats in empty.values()] == [0, 0]


def test_appending_twice_is_appending_once(ledger, database):
    fill(ledger)
    before, statistics = content(database), checksums(ledger, 3, "select")
    fill(ledger)
    ledger.append_accepted(1, "refine", REFINED)
    assert content(database) == before
    assert checksums(ledger, 3, "select") == statistics
    assert [len(before[name]) for name in ("structures", "fingerprints", "covariances")] == [
        14,
        14,
        8,
    ]


def test_stored_covariances_are_what_the_ledger_says(ledger, database):
    fill(ledger)
    for row in database["covariances"].find():
        stats = SufficientStatistics.from_bytes(row["data"])
        assert stats.checksum() == row["checksum"]
        assert (stats.mode, stats.n, stats.entropy()) == (
            row["mode"],
            row["n"],
            pytest.approx(row["entropy"]),
        )
        n, mean, _ = fold((FIRST + REFINED + ANCHORS + SECOND)[: row["position"]])[row["mode"]]
        assert stats.n == n
        np.testing.assert_allclose(stats.mean, mean, atol=1e-9)


@pytest.mark.parametrize(
    "lost", [{}, {"position": 14}, {"position": {"$gt": 5}}, {"mode": "config", "position": 7}]
)
def test_crash_before_the_covariances(ledger, database, lost):
    fill(ledger)
    statistics = checksums(ledger, 3, "select")
    assert database["covariances"].delete_many(lost).deleted_count > 0
    assert checksums(ledger, 3, "select") == statistics
    ledger.append_accepted(2, "select", SECOND)
    assert checksums(ledger, 3, "select") == statistics


@pytest.mark.parametrize("lost", [14, 13, 12, 10])
def test_crash_between_fingerprints_and_structures(ledger, database, lost):
    """The second iteration's entries from `lost` on never came to the ledger."""
    fill(ledger)
    before, statistics = content(database), checksums(ledger, 3, "select")
    database["structures"].delete_many({"position": {"$gte": lost}})
    database["covariances"].delete_many({"position": 14})
    assert checksums(ledger, 2, "select") == {
        mode: s.checksum() for mode, s in ledger.statistics(2, "select").items()
    }
    assert ledger.append_accepted(2, "select", SECOND) == 14
    assert content(database) == before
    assert checksums(ledger, 3, "select") == statistics


def test_a_rerun_may_accept_other_entries_if_none_came_to_the_ledger(ledger, database):
    """Fingerprints of a crashed attempt do not stay in the way of those of the next."""
    fill(ledger, STAGES[:3])
    fill(ledger, STAGES[3:])
    database["structures"].delete_many({"iteration": 2})
    database["covariances"].delete_many({"position": 14})
    other = entries(2, "select", 9, seed=1)[5:7]
    ledger.append_accepted(2, "select", other)
    ledger.append_accepted(2, "anchor", anchors := entries(2, "anchor", 3))
    n, mean, _ = fold(FIRST + REFINED + ANCHORS + other + anchors)["atom"]
    stats = ledger.statistics(3, "select")["atom"]
    assert stats.n == n
    np.testing.assert_allclose(stats.mean, mean, atol=1e-9)


def test_what_an_interrupted_run_wrote_stays(ledger, database):
    """A rerun of other arithmetic in the last bit must not mix with what was written."""
    fill(ledger)
    database["structures"].delete_many({"position": {"$gte": 12}})
    database["covariances"].delete_many({"position": 14})
    again = entries(2, "select", 4, seed=9)  # same keys, other fingerprints
    ledger.append_accepted(2, "select", again)
    parts = [*SECOND[:2], *again[2:]]
    for stored, entry in zip(ledger.fingerprints_between(10, 14), parts, strict=True):
        np.testing.assert_array_equal(stored, entry.q)
    n, mean, _ = fold(FIRST + REFINED + ANCHORS + parts)["atom"]
    assert ledger.statistics(3, "select")["atom"].n == n
    np.testing.assert_allclose(ledger.statistics(3, "select")["atom"].mean, mean, atol=1e-9)


@pytest.mark.parametrize(
    "other",
    [
        entries(1, "select", 4),
        [],
        list(reversed(FIRST)),
        [*entries(1, "select", 7)[5:], *FIRST[2:]],
        entries(7, "select", 5),
    ],
)
def test_other_entries_for_a_stage(ledger, database, other):
    fill(ledger)
    before = content(database)
    with pytest.raises(
        StoreError, match="iteration 1, stage select: the ledger already holds other entries"
    ):
        ledger.append_accepted(1, "select", other)
    assert content(database) == before


def test_campaigns_do_not_see_each_other(ledger, database):
    fill(ledger)
    other = CampaignStore(database, "other").ledger(DATASET)
    assert list(other.entries()) == []
    assert other.position(9, "select") == 0
    assert other.statistics(9, "select")["atom"].n == 0
    before = checksums(ledger, 3, "select")
    other.append_accepted(1, "select", mine := entries(1, "select", 2, seed=5))
    assert other.statistics(2, "select")["atom"].n == sum(len(entry.q) for entry in mine)
    assert checksums(ledger, 3, "select") == before
    assert len(list(ledger.entries())) == 14


def test_other_fingerprint_settings_are_not_mixed(ledger, store):
    fill(ledger)
    finer = store.ledger(DatasetParams(fingerprint=GOMParams(cutoff=3.5, natx=4, elements=("Si",))))
    with pytest.raises(
        StoreError, match=r"no fingerprint with settings .* for ledger position 0; were"
    ):
        finer.statistics(2, "select")
    smoother = store.ledger(DATASET.model_copy(update={"regularization": 1e-2}))
    again = smoother.statistics(3, "select")["atom"]
    assert again.regularization == 1e-2
    np.testing.assert_array_equal(again.mean, ledger.statistics(3, "select")["atom"].mean)


def test_a_damaged_covariance_is_noticed(ledger, database):
    fill(ledger)
    row = database["covariances"].find_one({"mode": "atom", "position": 14})
    damaged = bytearray(row["data"])
    damaged[60] ^= 1
    database["covariances"].update_one({"_id": row["_id"]}, {"$set": {"data": bytes(damaged)}})
    with pytest.raises(ValueError, match="checksum does not match"):
        ledger.statistics(3, "select")


def test_a_second_writer_is_stopped_by_the_index(ledger, database):
    fill(ledger)
    row = database["structures"].find_one({"position": 3})
    with pytest.raises(DuplicateKeyError):
        database["structures"].insert_one({**row, "_id": "another", "key": "another"})
    with pytest.raises(DuplicateKeyError):
        database["structures"].insert_one({**row, "_id": "another", "position": 99})


def test_same_identifier_everywhere():
    assert structure_id("a", "1") == structure_id("a", "1")
    assert len({structure_id(campaign, key) for campaign in "ab" for key in "12"}) == 4


@pytest.mark.parametrize("stage", ["refine", "anchor"])
def test_racing_writers_of_one_stage_leave_the_ledger_of_one(store, database, stage):
    """Threads, each with connections of its own, append the same entries at once."""
    first, second = entries(1, "select", 3), entries(1, stage, 12)
    store.ledger(DATASET).append_accepted(1, "select", first)
    ledgers = [CampaignStore.open("test").ledger(DATASET) for _ in range(4)]
    barrier = threading.Barrier(len(ledgers))

    def write(ledger):
        barrier.wait()
        return ledger.append_accepted(1, stage, second)

    with ThreadPoolExecutor(len(ledgers)) as pool:
        assert list(pool.map(write, ledgers)) == [15] * 4
    raced = content(database)
    for name in ("structures", "fingerprints", "covariances"):
        database[name].delete_many({})
    store.ledger(DATASET).append_accepted(1, "select", first)
    store.ledger(DATASET).append_accepted(1, stage, second)
    assert content(database) == raced


def test_of_writers_with_different_entries_one_wins_and_the_other_is_told(store):
    """What cannot happen with one configuration: nothing is mixed even so."""
    ours, theirs = entries(1, "select", 6), entries(1, "select", 6)[::-1]
    ledgers = [CampaignStore.open("test").ledger(DATASET) for _ in range(2)]
    barrier = threading.Barrier(2)

    def write(which):
        barrier.wait()
        try:
            return ledgers[which].append_accepted(1, "select", (ours, theirs)[which])
        except StoreError as err:
            return str(err)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(write, range(2)))
    assert sum(isinstance(result, str) for result in results) >= 1
    if 6 in results:
        winner = (ours, theirs)[results.index(6)]
        assert [e["key"] for e in store.ledger(DATASET).entries()] == [
            entry.key for entry in winner
        ]


def test_statistics_of_another_fingerprint_are_others(store):
    """A ledger of bispectrum components, beside that of GOM spectra; none is computed here."""
    other = store.ledger(DatasetParams(fingerprint=BispectrumParams(elements=("Si",))))
    made = [Entry(one.key, one.structure, np.pad(one.q, ((0, 0), (0, 51))), one.gain, one.origin)
            for one in entries(1, "select", 3)]  # fmt: skip
    other.append_accepted(1, "select", made)
    assert {stats.dim for stats in other.statistics(2, "select").values()} == {55}
    with pytest.raises(StoreError, match="no fingerprint with settings"):
        store.ledger(DATASET).statistics(2, "select")
