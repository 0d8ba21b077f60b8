"""The selection job against judging by hand; fingerprints only of what is judged."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cells import rattled

from entropy_flows.entropy import DatasetParams, SufficientStatistics
from entropy_flows.fingerprints import GOM, GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext, judging, select
from entropy_flows.report.iterations import selection_ends
from entropy_flows.schemas import Campaign, ExploreDoc, RunDoc
from entropy_flows.select import LogDetSelector, logdet, make_selector
from entropy_flows.store import CampaignStore, Entry, job_store

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=6, elements=("Si",)))
SEED, RUNS, STEPS = 7, 12, 5
CONTEXT = IterationContext("test", 1, model="sha256:a", seed=SEED, dataset=DATASET)
POOL = RUNS * STEPS


def cell(run, step):
    """A snapshot: the later, the more disordered."""
    return rattled("Si", 1, stdev=0.02 * (step + 1), seed=100 * run + step)


def explored():
    """Two batches of runs with made-up snapshots."""
    docs = []
    for batch in range(2):
        runs, packed = [], []
        for index in range(batch * RUNS // 2, (batch + 1) * RUNS // 2):
            facts = {
                "phase": "diamond",
                "temperature": 300.0,
                "k": 2.0,
                "pressure": 0.0,
                "seed": index,
            }
            facts |= {
                "mode": "atom" if index % 3 else "config",
                "snapshots": STEPS,
                "mean_temperature": 300.0,
            }
            runs.append(
                RunDoc(index=index, **facts, min_distance=2.0, reason=None, wall_seconds=0.0)
            )
            cells = [cell(index, step) for step in range(STEPS)]
            arrays = {
                "steps": [*range(STEPS)],
                "positions": [each.positions.tolist() for each in cells],
            }
            arrays |= {
                "energies": [0.0] * STEPS,
                "max_forces": [0.0] * STEPS,
                "cell": cells[0].cell.tolist(),
            }
            packed.append({"index": index, "numbers": cells[0].numbers.tolist(), **arrays})
        docs.append(
            ExploreDoc(
                iteration=1, batch=batch, runs=runs, equations_of_state={}, trajectories=packed
            )
        )
    return docs


@pytest.fixture
def store(database):
    store = CampaignStore(database, "test")
    campaign = {
        "name": "test",
        "elements": ["Si"],
        "base_model": "SevenNet-0",
        "label": {"engine": "forcefield"},
    }
    store.create(
        Campaign.model_validate(campaign | {"phases": [{"name": "diamond", "file": "diamond.cif"}]})
    )
    store.save_model(0, CONTEXT.model)
    return store


@pytest.fixture
def fingerprinted(monkeypatch):
    """Cells in each call for fingerprints."""
    calls, compute = [], GOM.__call__

    def counted(self, atoms):
        calls.append(len(atoms))
        return compute(self, atoms)

    monkeypatch.setattr(GOM, "__call__", counted)
    return calls


def run(params, budget):
    """The job's document."""
    job = select.SelectMaker(params=params).make(CONTEXT, explored=explored(), budget=budget)
    with job_store() as outputs:
        return job.run(store=outputs).output


def by_hand(params, budget):
    """Key, gain and q of the accepted, keys of the near, number of the judged."""
    gom = GOM(**dict(DATASET.fingerprint))
    pool = [(run, step) for run in range(RUNS) for step in range(STEPS)]
    statistics = {mode: SufficientStatistics(gom.dim, mode=mode) for mode in ("atom", "config")}
    accepted, near, judged = [], [], 0
    for place in np.random.default_rng([SEED, 1, POOL]).permutation(POOL):
        if len(accepted) == budget:
            break
        run, step = pool[place]
        q, mode, key = (
            gom(cell(run, step)),
            "atom" if run % 3 else "config",
            f"001/explore/{run:05d}/{step:05d}",
        )
        gain, judged = statistics[mode].gain(q), judged + 1
        if params.selector == "random" or gain > params.theta_min or not accepted:
            accepted.append((key, gain, q))
            for stats in statistics.values():
                stats.add(q)
        elif gain > params.near_factor * params.theta_min:
            near.append(key)
    return accepted, near, judged, statistics


@pytest.mark.parametrize("budget", [None, 5])
@pytest.mark.parametrize("selector", ["logdet", "random"])
def test_the_ledger_holds_what_judging_by_hand_accepts(store, selector, budget):
    params = make_selector(selector, theta_min=0.3)
    doc, (accepted, near, judged, statistics) = run(params, budget), by_hand(params, budget)
    counts = (doc.candidates, doc.accepted, doc.near_misses, doc.rejected, doc.spent)
    assert counts == (
        POOL,
        len(accepted),
        len(near),
        judged - len(accepted) - len(near),
        POOL - judged,
    )
    ledger = store.ledger(DATASET)
    entries = list(ledger.entries())
    assert [entry["key"] for entry in entries] == [key for key, *_ in accepted]
    np.testing.assert_allclose(
        [entry["gain"] for entry in entries], [gain for _, gain, _ in accepted], atol=1e-9
    )
    assert doc.gains == [entry["gain"] for entry in entries]
    for stored, (*_, q) in zip(ledger.fingerprints_between(0, len(entries)), accepted, strict=True):
        np.testing.assert_allclose(stored, q, atol=1e-10)
    assert [each["key"] for each in doc.trajectories] == near
    assert [each["origin"]["run"] for each in doc.trajectories] == [
        int(key.split("/")[2]) for key in near
    ]
    for mode, stats in statistics.items():
        assert doc.entropy_after[mode] == pytest.approx(stats.entropy(), abs=1e-8)
    if selector == "logdet" and budget is None:
        assert min(counts[1:4]) > 0


@pytest.mark.parametrize("selector", ["logdet", "random"])
def test_fingerprints_come_in_chunks_and_end_with_the_budget(
    store, fingerprinted, selector, monkeypatch
):
    monkeypatch.setattr(judging, "FINGERPRINT_BATCH", 8)
    monkeypatch.setattr(logdet, "LARGEST_BLOCK", 8)
    params = make_selector(selector, theta_min=1e-6)
    doc = run(params, 3)
    judged = POOL - doc.spent
    assert set(fingerprinted) == {8}
    assert judged <= sum(fingerprinted) <= judged + 16 < POOL
    assert doc.accepted == 3
    assert doc.spent > 0


def test_a_pool_that_is_no_multiple_of_the_chunk(store, fingerprinted, monkeypatch):
    monkeypatch.setattr(judging, "FINGERPRINT_BATCH", 16)
    run(LogDetSelector(theta_min=0.3), None)
    assert fingerprinted == [16, 16, 16, 12]


def test_a_model_that_was_not_trained_here_has_no_committee_and_its_pool_is_filtered(store):
    """Beside that, the job tells why it stopped before its budget was spent."""
    params = make_selector("hybrid", theta_min=0.3)
    doc, (accepted, *_) = run(params, 50), by_hand(LogDetSelector(theta_min=0.3), 50)
    assert [entry["key"] for entry in store.ledger(DATASET).entries()] == [
        key for key, *_ in accepted
    ]
    assert doc.reason == f"{len(accepted)} of 60 candidates gain more than θ = 0.3, 50 were wanted"
    assert selection_ends(store.iterations()) == [
        f"iteration 1, selection ended early: {doc.reason}"
    ]


def test_a_later_one_takes_what_the_committee_before_it_disagrees_about(
    store, tmp_path, monkeypatch
):
    first = store.ledger(DATASET)
    q = np.random.default_rng(0).normal(size=(3, 2, first.fingerprint.dim))
    first.append_accepted(
        1, "select", [Entry(f"old-{n}", to_structure(cell(n, 0)), q[n], 0.1) for n in range(3)]
    )
    np.testing.assert_allclose(first.means(2, "select"), q.mean(axis=1))
    assert first.means(1, "select") is None
    maker = select.SelectMaker(params=make_selector("committee"))
    batches = [doc.model_copy(update={"iteration": 2}) for doc in explored()]

    def second():
        with job_store() as outputs:
            return (
                maker.make(
                    replace(CONTEXT, iteration=2, model=reference), explored=batches, budget=6
                )
                .run(store=outputs)
                .output
            )

    (tmp_path / "1.nequip.zip").write_bytes(b"\1")
    reference = store.save_model(1, tmp_path / "1.nequip.zip")
    assert second() is None
    (failure,) = store.failures()
    assert (
        "selector 'committee' needs two models or more of iteration 1, there is 1"
        in failure["message"]
    )
    for member in (2, 3):
        file = tmp_path / f"{member}.nequip.zip"
        file.write_bytes(bytes([member]))
        assert Path(store.fetch_model(store.save_member(1, member, file))).read_bytes() == bytes(
            [member]
        )
    assert len(set(store.committee(1))) == 3
    asked = []

    class Disagreeing:
        def __init__(self, models, device):
            assert [Path(model).read_bytes() for model in models] == [b"\1", b"\2", b"\3"]

        def spread(self, cells, quantity):
            asked.append((len(cells), quantity))
            return np.array([atoms.positions[0, 0] for atoms in cells])

    monkeypatch.setattr(judging, "Committee", Disagreeing)
    doc = second()
    assert asked == [(POOL, "forces")]
    places = {
        (run, step): cell(run, step).positions[0, 0] for run in range(RUNS) for step in range(STEPS)
    }
    best = sorted(places, key=lambda place: -places[place])[:6]
    assert [entry["key"] for entry in store.ledger(DATASET).entries()][3:] == [
        f"002/explore/{run:05d}/{step:05d}" for run, step in best
    ]
    assert (doc.accepted, doc.spent, doc.reason) == (6, POOL - 6, "")


@pytest.mark.parametrize("selector", ["greedy", "farthest", "kcentres", "kmeans", "variance"])
def test_every_selector_fills_the_ledger(store, selector):
    settings = {"target": "pool"} if selector == "variance" else {}
    doc = run(make_selector(selector, **settings), 4)
    entries = list(store.ledger(DATASET).entries())
    assert (doc.accepted, len(entries), doc.spent, doc.reason) == (4, 4, POOL - 4, "")
    gom = GOM(**dict(DATASET.fingerprint))
    for entry, q in zip(entries, store.ledger(DATASET).fingerprints_between(0, 4), strict=True):
        place = map(int, entry["key"].split("/")[2:])
        np.testing.assert_allclose(q, gom(cell(*place)), atol=1e-10)


def test_nothing_was_found(store, fingerprinted):
    empty = [doc.model_copy(update={"trajectories": []}) for doc in explored()]
    job = select.SelectMaker().make(CONTEXT, explored=empty, budget=None)
    with job_store() as outputs:
        doc = job.run(store=outputs).output
    assert (doc.candidates, doc.accepted, doc.spent, doc.gains, fingerprinted) == (0, 0, 0, [], [])


def test_two_selections_at_once_leave_the_ledger_of_one(store, database):
    """As when a worker that was taken for dead goes on beside its replacement: each of the two
    does the whole job.
    """
    barrier = threading.Barrier(2)
    maker = select.SelectMaker(params=LogDetSelector(theta_min=0.05))

    def race(_):
        barrier.wait()
        return type(maker).make.original(maker, CONTEXT, explored=explored(), budget=20)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(race, range(2))
    assert first == second
    raced = [(e["position"], e["key"], e["gain"]) for e in store.ledger(DATASET).entries()]
    assert len(raced) == first.accepted > 0
    for name in ("structures", "fingerprints", "covariances", "iterations"):
        database[name].delete_many({})
    assert run(LogDetSelector(theta_min=0.05), 20).gains == first.gains
    assert [(e["position"], e["key"], e["gain"]) for e in store.ledger(DATASET).entries()] == raced
