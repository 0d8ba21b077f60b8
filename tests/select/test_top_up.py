"""Failed labels are replaced by the best of what was left over, once, whoever asks again."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from jobflow import Maker, job
from test_stage import CONTEXT, DATASET, RUNS, STEPS, cell, explored, store  # noqa: F401
from test_stage import run as choose

from entropy_flows.entropy import SufficientStatistics
from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import LabelMaker, PlanMaker, TopUpMaker
from entropy_flows.schemas import LabelDoc
from entropy_flows.select import (
    Candidate,
    HerdingSelector,
    LogDetSelector,
    VarianceSelector,
    make_selector,
)
from entropy_flows.store import Entry, job_store

TAKEN, FAILED, THETA = 12, 4, 0.01


@dataclass
class Static(Maker):
    """Any static Maker."""

    name: str = "static"

    @job
    def make(self, structure, prev_dir=None):
        return {
            "output": {
                "energy": -3.0,
                "forces": np.zeros((len(structure), 3)).tolist(),
                "structure": structure,
            }
        }


@pytest.fixture
def labelled(store):  # noqa: F811
    """A dozen entries with labels, a third of which failed."""
    gom, keys = GOM(**dict(DATASET.fingerprint)), []
    for n in range(TAKEN):
        run, step = divmod(5 * n, STEPS)
        keys.append((run, step, f"001/{'refine' if n == 3 else 'explore'}/{run:05d}/{step:05d}"))
    entries = [
        Entry(key, to_structure(cell(run, step)), gom(cell(run, step)), 0.1)
        for run, step, key in keys
    ]
    ledger = store.ledger(DATASET)
    ledger.append_accepted(1, "select", [entry for entry in entries if "explore" in entry.key])
    ledger.append_accepted(1, "refine", [entry for entry in entries if "refine" in entry.key])
    fail_first(store)
    return store


def fail_first(store):  # noqa: F811
    """Label the entries; the first of them fail."""
    ids = [entry["_id"] for entry in store.ledger(DATASET).entries()]
    for number, entry in enumerate(store.ledger_entries(ids)):
        label = {
            "converged": number >= FAILED,
            "reason": None if number >= FAILED else "crash",
            "energy": 0.0,
        }
        store.add_label(entry, "hash", label)


def run(name="top_up_1", selector=None):
    selector = selector or LogDetSelector(theta_min=THETA)
    plan = PlanMaker(label=LabelMaker(static_maker=Static()), batch_size=3)
    context = replace(CONTEXT, engine_hash="hash")
    batches = [*explored(), None]
    made = TopUpMaker(name, selector, plan).make(context, labels=None, explored=batches)
    with job_store() as outputs:
        return made.run(store=outputs)


def by_hand(store):  # noqa: F811
    gom = GOM(**dict(DATASET.fingerprint))
    statistics = {mode: SufficientStatistics(gom.dim, mode=mode) for mode in ("atom", "config")}
    for q in store.ledger(DATASET).fingerprints_between(0, TAKEN):
        for stats in statistics.values():
            stats.add(q)
    there = {
        tuple(map(int, entry["key"].split("/")[2:])) for entry in store.ledger(DATASET).entries()
    }
    left = {
        (run, step): gom(cell(run, step))
        for run in range(RUNS)
        for step in range(STEPS)
        if (run, step) not in there
    }
    chosen = []
    for _ in range(FAILED):
        gains = {
            place: statistics["atom" if place[0] % 3 else "config"].gain(q)
            for place, q in left.items()
        }
        best = max(gains, key=lambda place: gains[place])
        q = left.pop(best)
        chosen.append(f"001/top_up_1/{best[0]:05d}/{best[1]:05d}")
        for stats in statistics.values():
            stats.add(q)
    return chosen


@pytest.mark.parametrize("selector", ["logdet", "hybrid"])
def test_as_many_as_failed_the_best_first(labelled, selector):
    """A rule by committee falls back on log det where there is none."""
    expected = by_hand(labelled)
    response = run(selector=make_selector(selector, theta_min=THETA))
    entries = list(labelled.ledger(DATASET).entries())
    assert [entry["key"] for entry in entries[TAKEN:]] == expected
    assert {entry["stage"] for entry in entries[TAKEN:]} == {"top_up_1"}
    jobs = [made for made, _ in response.detour.iterflow()]
    names = [made.name.split()[0] for made in jobs]
    assert sorted(names) == ["gather", "label", "label", "record", "record"]
    records = [made for made, name in zip(jobs, names, strict=True) if name == "record"]
    assert [len(made.function_kwargs["structures"]) for made in records] == [3, 1]
    assert jobs[-1].function_kwargs["requested"] == TAKEN + FAILED
    assert response.output.failed == FAILED
    (iteration,) = labelled.iterations()
    assert iteration["label"]["requested"] == TAKEN + FAILED
    assert iteration["top_up"] == {"top_up_1": {"missing": FAILED, "replaced": FAILED}}


def test_run_again_it_adds_the_same_jobs_and_entries(labelled):
    first, second = run(), run()
    assert [made.uuid for made, _ in first.detour.iterflow()] == [
        made.uuid for made, _ in second.detour.iterflow()
    ]
    assert len(list(labelled.ledger(DATASET).entries())) == TAKEN + FAILED


def test_a_second_round_replaces_what_failed_in_the_first(labelled):
    first = run()
    new = [entry for entry in labelled.ledger(DATASET).entries() if entry["stage"] == "top_up_1"]
    for number, entry in enumerate(new):
        labelled.add_label(
            entry, "hash", {"converged": number > 0, "reason": "walltime" if number == 0 else None}
        )
    second = run("top_up_2")
    entries = [
        entry for entry in labelled.ledger(DATASET).entries() if entry["stage"] == "top_up_2"
    ]
    assert len(entries) == 1
    uuids = [{made.uuid for made, _ in response.detour.iterflow()} for response in (first, second)]
    assert not uuids[0] & uuids[1]


def test_nothing_failed_or_nothing_is_worth_it(labelled, store):  # noqa: F811
    assert run(selector=LogDetSelector(theta_min=1e9)).detour is None
    labelled.database["labels"].update_many({}, {"$set": {"converged": True}})
    done = run("top_up_2")
    assert done.detour is None
    assert LabelDoc.model_validate(done.output.model_dump()).failed == 0
    assert len(list(store.ledger(DATASET).entries())) == TAKEN


@pytest.mark.parametrize("kind", [HerdingSelector, VarianceSelector])
def test_a_rule_with_a_target_goes_on_where_it_ended(store, kind):  # noqa: F811
    selector = kind(target="pool", landmarks=30)
    choose(selector, TAKEN)
    fail_first(store)
    run(selector=selector)
    ledger, gom = store.ledger(DATASET), GOM(**dict(DATASET.fingerprint))
    places = [(run, step) for run in range(RUNS) for step in range(STEPS)]
    pool = [
        Candidate(f"{run:05d}/{step:05d}", gom(cell(run, step)), "config") for run, step in places
    ]
    statistics, target = ledger.statistics(1, "select"), ledger.variance(1, "select")
    at_once = selector(pool, statistics, TAKEN + FAILED, None, target)
    entries = list(ledger.entries())
    keys = [entry["key"].split("/", 2)[2] for entry in entries]
    assert keys == [decision.candidate.key for decision in at_once]
    assert {entry["stage"] for entry in entries[TAKEN:]} == {"top_up_1"}
    assert all(entry["variance_gain"] > 0 for entry in entries)
