"""The flow of a campaign: which jobs, in which order, with which names and arguments."""

import json
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cells import rattled
from jobflow import OnMissing

import entropy_flows.cli
from entropy_flows.explore import seed_cell
from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.flows.sizes import item_of
from entropy_flows.geometry import to_structure
from entropy_flows.launch.task import to_workflow
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, job_store

TEMPLATE = Path(entropy_flows.cli.__file__).parent / "templates" / "silicon.yaml"
MODEL = "sha256:" + 64 * "a"
BASE = "sha256:" + 64 * "b"
CATEGORY = {
    "explore": "gpu",
    "anchor": "gpu",
    "refine": "gpu",
    "train": "gpu",
    "compile": "gpu",
    "plan": "cpu",
    "label": "dft",
    "record": "cpu",
    "select": "cpu",
    "gather": "cpu",
    "evaluate": "cpu",
    "advance": "cpu",
}


ANCHORS = 3
JOBS = 9 + ANCHORS + 7


def template():
    """The silicon template with the paper's filter: a grid without k = 0, and anchors."""
    config = load_campaign(TEMPLATE).model_dump(mode="json", exclude_unset=True)
    config["explore"]["entropy_weights"] = [2, 5, 10]
    config["select"] = {"theta_min": 1.0e-3, "max_labels": 200}
    config["anchors"] = {"fraction": 0.2, "max_force": 2.0}
    return Campaign.model_validate(config)


def build(name="silicon", **changes):
    campaign = template().model_copy(update={"name": name, **changes})
    seeds = {phase.name: seed_cell(phase) for phase in campaign.phases}
    flow = ActiveLearningMaker.from_campaign(campaign).make(seeds, name, MODEL)
    flow.update_metadata({"campaign": name}, dynamic=True)
    return flow


def stage(job):
    """A job's stage; that of a label has a structure behind it in its name."""
    return job.name.split()[0]


def jobs(flow):
    return [job for job, _ in flow.iterflow()]


@pytest.fixture(scope="module")
def flow():
    return build()


def test_stages(flow):
    names = Counter(job.name for job in jobs(flow))
    once = ("select", "refine", "plan", "train", "compile", "evaluate", "advance")
    assert names == {
        "explore": 9,
        "anchor": ANCHORS,
        **dict.fromkeys(once, 1),
    }  # 90 runs, 10 a job; anchors have no k


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
        "compile": {"train"},
        "evaluate": {"train"},
        "advance": {"train", "evaluate"},
    }


def test_a_committees_members_are_jobs_beside_the_training(flow):
    train = template().train.model_copy(update={"committee": 3})
    made = build(train=train)
    job_of = {job.uuid: job for job in jobs(made)}
    assert Counter(job.name for job in job_of.values())["member"] == 2
    assert {job.uuid for job in jobs(flow)} < set(job_of)  # the others are the same jobs
    assert {
        job.config.manager_config["category"] for job in job_of.values() if job.name == "member"
    } == {"gpu"}
    for job, above in made.iterflow():
        parents = sorted(job_of[parent].name for parent in above)
        if job.name == "member":
            assert parents == ["plan"]
            assert job.function_kwargs["batch"] in (2, 3)
        if job.name == "evaluate":
            assert parents == ["member", "member", "train"]


def test_a_selector_that_needs_a_committee_is_refused_without_one():
    config = template().model_dump(mode="json")
    config["select"] = {"selector": "committee", "max_labels": 200}
    with pytest.raises(
        ValueError,
        match=r"'committee' needs the committee of the iteration before; set train\.comm",
    ):
        Campaign.model_validate(config)
    config["train"]["committee"] = 2
    Campaign.model_validate(config)


def test_uuids_follow_from_the_place(flow):
    first = [job.uuid for job in jobs(flow)]
    assert len(set(first)) == len(first)
    assert all(uuid.UUID(each).version == 5 for each in first)
    assert sorted(job.uuid for job in jobs(build())) == sorted(first)
    assert not set(first) & {job.uuid for job in jobs(build("another"))}
    maker = ActiveLearningMaker.from_campaign(template())
    context = maker.context("silicon", MODEL, 2)
    second = maker.iteration(context, {"diamond": None, "beta-tin": None}, parent=MODEL)
    assert not set(first) & {job.uuid for job in jobs(second)}


def assert_configured(made):
    for job in made:
        assert job.config.on_missing_references == OnMissing.ERROR, job.name
        assert job.config.manager_config == {"category": CATEGORY[stage(job)]}, job.name
        assert not job.config.pass_manager_config, job.name


def test_every_job_has_its_category_and_waits_for_what_its_machine_failed(flow):
    assert_configured(jobs(flow))


def test_categories_and_queue_can_be_changed_by_stage():
    categories, queue = {"train": "big_gpu", "refine": "cpu"}, {"train": {"walltime": "48:00:00"}}
    found = {
        job.name: job.config.manager_config
        for job in jobs(build(categories=categories, queue=queue))
    }
    assert found["train"] == {"category": "big_gpu", "queue": {"walltime": "48:00:00"}}
    assert found["refine"] == {"category": "cpu"}
    assert found["explore"] == found["compile"] == {"category": "gpu"}


def test_a_model_is_compiled_by_the_workers_that_explore():
    found = {
        job.name: job.config.manager_config for job in jobs(build(categories={"explore": "x"}))
    }
    assert found["explore"] == found["compile"] == {"category": "x"}
    assert found["train"] == {"category": "gpu"}


def test_only_what_can_be_compiled_and_is_explored_with_is_compiled():
    def compilers(**changes):
        return [job for job in jobs(build(**changes)) if job.name == "compile"]

    explore = template().explore
    (job,) = compilers()
    # of two iterations: 90 runs in batches of ten, and anchors, which have no ramp
    anchors = ANCHORS * (explore.all_steps - explore.ramp)
    assert job.maker.calls == [(10, 2 * (9 * explore.all_steps + anchors))]
    assert not job.maker.always
    assert compilers(explore=explore.model_copy(update={"compile": "never"})) == []
    assert compilers(base_model="SevenNet-0", student=None) == []
    assert compilers(stop=template().stop.model_copy(update={"max_iterations": 1})) == []
    (always,) = compilers(explore=explore.model_copy(update={"compile": "always"}))
    assert always.maker.always


def test_a_stage_that_there_is_not_is_refused():
    config = template().model_dump(mode="json") | {"categories": {"tarin": "gpu"}}
    with pytest.raises(ValueError, match=r"categories\.tarin"):
        Campaign.model_validate(config)


def test_the_launchpad_sees_the_same(flow):
    workflow = to_workflow(flow)
    assert len(workflow.fws) == JOBS
    for fw in workflow.fws:
        spec = fw.to_dict()["spec"]
        assert spec["_category"] == CATEGORY[fw.name], fw.name
        assert "_allow_fizzled_parents" not in spec, fw.name
        assert spec["campaign"] == "silicon"


def test_no_credential_travels(monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_URI", "mongodb://somebody:hunter2@db.example.org/")
    settings.cache_clear()
    try:
        text = json.dumps(to_workflow(build()).to_dict(), default=str)
    finally:
        settings.cache_clear()
    for part in ("hunter2", "somebody", "db.example.org", "mongodb"):
        assert part not in text


def test_settings_reach_the_jobs():
    """What the file says is what the Makers hold."""
    campaign = template()
    maker = ActiveLearningMaker.from_campaign(campaign)
    (iteration,) = maker.iterations
    assert iteration.explore.params == campaign.explore
    assert iteration.anchor.params == campaign.anchors
    assert iteration.explore.fingerprint.elements == ("Si",)
    assert iteration.explore.fingerprint.cutoff == 3.0
    assert iteration.select.params == campaign.select
    assert iteration.refine.params == campaign.refine
    assert iteration.train.params == campaign.train
    assert (maker.dataset, maker.outliers) == (campaign.dataset, campaign.label.outliers)
    assert maker.plan.label.min_distance_fraction == campaign.label.min_distance_fraction
    assert maker.plan.batch_size == 1
    assert (maker.budget(1, 0), maker.last, maker.stop, maker.seed) == (200, 3, campaign.stop, 42)


def test_each_iteration_has_its_maker():
    maker = ActiveLearningMaker.from_campaign(load_campaign(TEMPLATE.with_name("carbon.yaml")))
    assert [each.explore.params.surface for each in maker.iterations] == [
        "local",
        "global",
        "local",
    ]
    assert [
        item_of(maker.iterations, n) is maker.iterations[min(n, 3) - 1] for n in (1, 2, 3, 4)
    ] == [True] * 4
    assert [maker.budget(number, 0) for number in (1, 2, 3)] == [238, 734, 1934]


# -- what jobs add while they run
# --------------------------------------------------------------------------------------


@pytest.fixture
def store(database):
    store = CampaignStore(database, "silicon")
    campaign = template().model_copy(update={"name": "silicon"})
    store.create(campaign)
    ledger = store.ledger(campaign.dataset)
    q = np.random.default_rng(0).normal(size=(5, 2, ledger.fingerprint.dim))
    cells = [
        Entry(f"001/explore/{i}", to_structure(rattled("Si", 1, seed=i)), q[i], 0.1)
        for i in range(5)
    ]
    ledger.append_accepted(1, "select", cells)
    return store


def run(job, store):
    with job_store() as outputs:
        return job.run(store=outputs)


def planning(flow):
    """The job that plans the labels, with nothing from refinement and anchors."""
    (plan,) = (job for job in jobs(flow) if job.name == "plan")
    plan.function_kwargs["accepted"] = None
    plan.function_kwargs["anchors"] = [None] * len(plan.function_kwargs["anchors"])
    return plan


def test_labels_are_added_as_a_detour(store, flow):
    """Two jobs a label, one of them without a database, and one that gathers."""
    response = run(planning(flow), store)
    added = jobs(response.detour)
    assert Counter(stage(job) for job in added) == {"label": 5, "record": 5, "gather": 1}
    assert_configured(added)
    for job in added:
        free = {"store_free": True} if stage(job) == "label" else {}
        assert job.metadata == {"campaign": "silicon", **free}
    ids = [entry["_id"] for entry in store.ledger(template().dataset).entries()]
    records = [job for job in added if stage(job) == "record"]
    assert [job.function_kwargs["structures"] for job in records] == [[name] for name in ids]
    calculations = [job for job in added if stage(job) == "label"]
    assert [list(job.function_args[2]) for job in calculations] == [[name] for name in ids]
    for calculation, record in zip(calculations, records, strict=True):
        assert calculation.uuid in record.input_uuids
    uuids = [job.uuid for job in added]
    assert len({*uuids, *(job.uuid for job in jobs(flow))}) == 11 + JOBS
    assert [job.uuid for job in jobs(run(planning(build()), store).detour)] == uuids
    for fw in to_workflow(response.detour).fws:
        assert (fw.spec["_category"], fw.spec["campaign"]) == (CATEGORY[stage(fw)], "silicon")


def evaluation(validation, before=None):
    """The evaluation's document; with `before` the campaign goes on from the model before."""
    model, number = (MODEL, 1) if before is None else (BASE, 0)
    decision = {
        "model": model,
        "iteration": number,
        "is_new": before is None,
        "worse": before is not None,
    }
    errors = {
        "before": {"n": 0},
        "after": {"n": 0},
        "validation": validation,
        "validation_before": before or {"n": 0},
    }
    return {
        "iteration": 1,
        **errors,
        "continues": {**decision, "reason": "as the validation cells say"},
    }


def advanced(store, evaluate=None, failure=None, before=None, **changes):
    (advance,) = (job for job in jobs(build(**changes)) if job.name == "advance")
    store.record(
        1,
        runs=[{"wall_seconds": 12.0, "reason": None}, {"wall_seconds": 1.0, "reason": "exploded"}],
    )
    results = {"training": None, "evaluation": None}
    if evaluate is not None:
        training = {"iteration": 1, "model": MODEL, "parent": MODEL, "trained_on": 1, "left_out": 0}
        results["training"] = training | {"epochs": 1, "wall_seconds": 1.0}
        results["evaluation"] = evaluation(evaluate, before)
    advance.function_kwargs.update(results)
    if failure is not None:
        store.add_failure(1, failure["stage"], failure["stage"], "uuid", failure["message"])
    return run(advance, store)


def test_the_next_iteration_is_added(store):
    response = advanced(store, {"energy_mae": 0.5, "forces_mae": 0.5})
    assert store.document()["state"] == "running"
    added = jobs(response.addition)
    assert Counter(job.name for job in added)["explore"] == 9
    assert len(added) == JOBS
    assert_configured(added)
    assert all(job.metadata == {"campaign": "silicon"} for job in added)
    assert not {job.uuid for job in added} & {job.uuid for job in jobs(build())}
    (explore, *_) = (job for job in added if job.name == "explore")
    (context,) = explore.function_args
    assert (context.campaign, context.iteration) == ("silicon", 2)


def test_batches_follow_from_the_walltime_and_the_last_iterations_speed(store):
    explore = template().explore.model_copy(update={"walltime": 800.0, "batch_size": 45})
    assert (
        sum(job.name == "explore" for job in jobs(build(explore=explore))) == 2
    )  # no speed is known yet
    response = advanced(store, {"energy_mae": 0.5, "forces_mae": 0.5}, explore=explore)
    # 12 s a run, four fifths of 800 s: 53 runs a job, of 90 and of 30
    assert Counter(job.name for job in jobs(response.addition))["explore"] == 2
    assert Counter(job.name for job in jobs(response.addition))["anchor"] == 1
    assert store.iterations()[-1]["plan"]["batch_size"] == 53
    store.record(1, runs=[{"wall_seconds": 99.0, "reason": None}])  # run again, it adds the same
    again = advanced(store, {"energy_mae": 0.5, "forces_mae": 0.5}, explore=explore)
    assert {job.uuid for job in jobs(again.addition)} == {
        job.uuid for job in jobs(response.addition)
    }


def test_a_worse_model_is_left_and_the_next_iteration_goes_on_from_the_one_before(store):
    worse, before = (
        {"energy_mae": 0.0448, "forces_mae": 0.3},
        {"energy_mae": 0.0095, "forces_mae": 0.1},
    )
    response = advanced(store, worse, before=before)
    added = {job.name: job for job in jobs(response.addition)}
    (context,) = added["explore"].function_args
    parents = {added[name].function_kwargs["parent"] for name in ("train", "evaluate")}
    assert {context.model, *parents} == {BASE}
    better = advanced(store, worse)
    assert {
        job.function_args[0].model for job in jobs(better.addition) if job.name == "explore"
    } == {MODEL}


def test_the_thresholds_are_for_the_model_that_the_campaign_goes_on_from(store):
    response = advanced(
        store,
        {"energy_mae": 0.01, "forces_mae": 0.5},
        before={"energy_mae": 1e-4, "forces_mae": 0.01},
    )
    assert response.addition is None
    assert "0.10 meV/atom" in store.document()["message"]


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
