"""The flow of a campaign: which jobs, in which order, under which names, and what they carry with them."""

import json
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cells import rattled
from jobflow import OnMissing
from jobflow.managers.fireworks import flow_to_workflow

import entropy_flows.cli
from entropy_flows.explore import seed_cell
from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.geometry import to_structure
from entropy_flows.schemas import load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, job_store

TEMPLATE = Path(entropy_flows.cli.__file__).parent / "templates" / "silicon.yaml"
MODEL = "sha256:" + 64 * "a"
CATEGORY = {
    "explore": "gpu",
    "anchor": "gpu",
    "refine": "gpu",
    "train": "gpu",
    "plan": "cpu",
    "label": "dft",
    "select": "cpu",
    "gather": "cpu",
    "evaluate": "cpu",
    "advance": "cpu",
}


def build(name="silicon", **changes):
    campaign = load_campaign(TEMPLATE).model_copy(update={"name": name, **changes})
    seeds = {phase.name: seed_cell(phase) for phase in campaign.phases}
    flow = ActiveLearningMaker.from_campaign(campaign).make(name, seeds, MODEL)
    flow.update_metadata({"campaign": name}, dynamic=True)
    return flow


def jobs(flow):
    return [job for job, _ in flow.iterflow()]


@pytest.fixture(scope="module")
def flow():
    return build()


def test_stages(flow):
    names = Counter(job.name for job in jobs(flow))
    once = ("anchor", "select", "refine", "plan", "train", "evaluate", "advance")
    assert names == {"explore": 9, **dict.fromkeys(once, 1)}  # 90 runs, 10 a job


def test_order(flow):
    job_of = {job.uuid: job for job, _ in flow.iterflow()}
    parents = {}
    for job, above in flow.iterflow():
        parents.setdefault(job.name, set()).update(job_of[parent].name for parent in above)
    assert parents == {
        "explore": set(),
        "anchor": set(),
        "select": {"explore"},
        "refine": {"select"},
        "plan": {"refine", "anchor"},
        "train": {"plan"},
        "evaluate": {"train"},
        "advance": {"train", "evaluate"},
    }


def test_uuids_follow_from_the_place(flow):
    first = [job.uuid for job in jobs(flow)]
    assert len(set(first)) == len(first)
    assert all(uuid.UUID(each).version == 5 for each in first)
    assert sorted(job.uuid for job in jobs(build())) == sorted(first)
    assert not set(first) & {job.uuid for job in jobs(build("another"))}
    maker = ActiveLearningMaker.from_campaign(load_campaign(TEMPLATE))
    second = maker._iteration("silicon", {"diamond": None, "beta-tin": None}, MODEL, None, 2, 0)
    assert not set(first) & {job.uuid for job in jobs(second)}


def assert_configured(made):
    for job in made:
        assert job.config.on_missing_references == OnMissing.NONE, job.name
        assert job.config.manager_config == {"_category": CATEGORY[job.name]}, job.name
        assert not job.config.pass_manager_config, job.name


def test_every_job_has_its_category_and_takes_lost_inputs(flow):
    assert_configured(jobs(flow))


def test_the_launchpad_sees_the_same(flow):
    workflow = flow_to_workflow(flow)
    assert len(workflow.fws) == 16
    for fw in workflow.fws:
        spec = fw.to_dict()["spec"]
        assert spec["_category"] == CATEGORY[fw.name], fw.name
        assert spec["_allow_fizzled_parents"], fw.name
        assert spec["campaign"] == "silicon"


def test_no_credential_travels(monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_URI", "mongodb://somebody:hunter2@db.example.org/")
    settings.cache_clear()
    try:
        text = json.dumps(flow_to_workflow(build()).to_dict(), default=str)
    finally:
        settings.cache_clear()
    for part in ("hunter2", "somebody", "db.example.org", "mongodb"):
        assert part not in text


def test_settings_reach_the_jobs():
    """What the file says is what the Makers hold."""
    campaign = load_campaign(TEMPLATE)
    maker = ActiveLearningMaker.from_campaign(campaign)
    (iteration,) = maker.iterations
    assert iteration.explore.params == iteration.anchor.explore == campaign.explore
    assert iteration.explore.fingerprint.elements == ("Si",)
    assert iteration.explore.fingerprint.cutoff == 3.0
    assert iteration.refine.theta_min == campaign.select.theta_min
    assert iteration.select.dataset == iteration.refine.dataset == iteration.label.dataset == campaign.dataset
    assert iteration.label.batch.min_distance == campaign.label.min_distance
    assert iteration.label.batch_size == 1
    assert (maker.budgets, maker.last, maker.stop, maker.seed) == ([200], 3, campaign.stop, 42)


def test_each_iteration_has_its_maker():
    maker = ActiveLearningMaker.from_campaign(load_campaign(TEMPLATE.with_name("carbon.yaml")))
    assert [each.explore.params.surface for each in maker.iterations] == ["local", "global", "local"]
    assert [maker._of(maker.iterations, n) is maker.iterations[min(n, 3) - 1] for n in (1, 2, 3, 4)] == [True] * 4
    assert maker.budgets == [238, 734, 1934]


# -- what jobs add while they run --------------------------------------------------------------------------------------


@pytest.fixture
def store(database):
    store = CampaignStore(database, "silicon")
    campaign = load_campaign(TEMPLATE).model_copy(update={"name": "silicon"})
    store.create(campaign)
    ledger = store.ledger(campaign.dataset)
    q = np.random.default_rng(0).normal(size=(5, 2, ledger.fingerprint.dim))
    cells = [Entry(f"001/explore/{i}", to_structure(rattled("Si", 1, seed=i)), q[i], 0.1) for i in range(5)]
    ledger.append(1, "select", cells)
    return store


def run(job, store):
    with job_store() as outputs:
        return job.run(store=outputs)


def test_labels_are_added_as_a_detour(store, flow):
    """One job a label, one that gathers; they inherit category, campaign and a place."""
    (plan,) = (job for job in jobs(flow) if job.name == "plan")
    response = run(plan, store)
    added = jobs(response.detour)
    assert [job.name for job in added] == ["label"] * 5 + ["gather"]
    assert_configured(added)
    assert all(job.metadata == {"campaign": "silicon"} for job in added)
    asked = [job.function_args[3] for job in added[:5]]
    assert asked == [[entry["_id"]] for entry in store.ledger(load_campaign(TEMPLATE).dataset).entries()]
    uuids = [job.uuid for job in added]
    assert len({*uuids, *(job.uuid for job in jobs(flow))}) == 6 + 16
    (plan,) = (job for job in jobs(build()) if job.name == "plan")
    assert [job.uuid for job in jobs(run(plan, store).detour)] == uuids
    for fw in flow_to_workflow(response.detour).fws:
        assert (fw.spec["_category"], fw.spec["campaign"]) == (CATEGORY[fw.name], "silicon")


def advanced(store, evaluate=None, failure=None):
    (advance,) = (job for job in jobs(build()) if job.name == "advance")
    if evaluate is not None:
        store.record(1, evaluate={"validation": evaluate})
        advance.function_args = (*advance.function_args[:3], MODEL, {"iteration": 1})
        advance.function_kwargs = {}
    if failure is not None:
        store.record(1, failure=failure)
    return run(advance, store)


def test_the_next_iteration_is_added(store):
    response = advanced(store, {"energy_mae": 0.5, "forces_mae": 0.5})
    assert store.document()["state"] == "running"
    added = jobs(response.addition)
    assert Counter(job.name for job in added)["explore"] == 9
    assert len(added) == 16
    assert_configured(added)
    assert all(job.metadata == {"campaign": "silicon"} for job in added)
    assert not {job.uuid for job in added} & {job.uuid for job in jobs(build())}
    (explore, *_) = (job for job in added if job.name == "explore")
    assert explore.function_args[:2] == ("silicon", 2)


def test_a_good_model_ends_the_campaign(store):
    response = advanced(store, {"energy_mae": 0.0011, "forces_mae": 0.5})
    assert response.addition is None
    assert store.document()["state"] == "done"
    assert "1.10 meV/atom" in store.document()["message"]


def test_a_lost_stage_ends_the_campaign_with_its_reason(store):
    response = advanced(store, failure={"stage": "train", "message": "CUDA out of memory"})
    assert response.addition is None
    assert (store.document()["state"], store.document()["message"]) == (
        "failed",
        "iteration 1, train: CUDA out of memory",
    )
