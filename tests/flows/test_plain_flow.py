"""A campaign runs as a plain flow under jobflow's local manager, with any JobStore."""

import uuid

import pytest
from ase.build import bulk
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore, MongoURIStore

from entropy_flows import ActiveLearningMaker, CampaignStore
from entropy_flows.entropy import DatasetParams
from entropy_flows.explore import AnchorParams, ExploreParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.flows import IterationMaker
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import AnchorMaker, ExploreMaker, LabelMaker, PlanMaker, SelectMaker
from entropy_flows.label import LabelParams, make_static_maker
from entropy_flows.select import LogDetSelector
from entropy_flows.settings import settings
from entropy_flows.store import embedded

ENGINE = LabelParams(engine="forcefield", model="ase.calculators.emt.EMT")
EXPLORE = ExploreParams(
    temperatures=(600,),
    entropy_weights=(3,),
    pressures=(0,),
    steps=6,
    warm_up=2,
    ramp=2,
    snapshot_every=2,
)


@pytest.fixture
def loop():
    stages = IterationMaker(
        explore=ExploreMaker(params=EXPLORE, fingerprint=GOMParams(cutoff=3.0, natx=6)),
        anchor=AnchorMaker(params=AnchorParams(fraction=0.25)),
        select=SelectMaker(params=LogDetSelector(theta_min=1e-4, max_labels=3)),
    )
    return ActiveLearningMaker(
        name="plain copper",
        base_model="ase.calculators.emt.EMT",
        iterations=[stages],
        dataset=DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=6)),
        plan=PlanMaker(label=LabelMaker(static_maker=make_static_maker(ENGINE))),
        last=1,
    )


@pytest.fixture
def unconfigured(monkeypatch, tmp_path):
    """No database is configured, and the cache is the test's own."""
    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def check(store, jobs):
    """EMT cannot be fine-tuned, so the campaign ends with that reason; all before it is there."""
    document = store.document()
    assert document["state"] == "failed"
    assert document["message"].startswith("iteration 1, train: ")
    assert document["config"]["elements"] == ["Cu"]
    assert store.campaign().phases[0].name == "Cu"
    labels = list(store.labels(converged=True))
    entries = list(store.ledger(store.campaign().dataset).entries())
    assert len(labels) == len(entries) > 1
    rows = list(jobs.query({"name": {"$regex": "^label Cu"}}))
    assert sorted(row["name"] for row in rows) == sorted(
        f"label Cu4 {entry['_id'][:6]}" for entry in entries
    )
    assert all(row["metadata"] == {"campaign": "plain-copper"} for row in rows)


def test_with_a_job_store_on_mongodb(loop, server, unconfigured):
    database = f"plain_{uuid.uuid4().hex[:12]}"
    outputs = MongoURIStore(server, "jobs", database=database)
    store = JobStore(outputs)
    run_locally(loop.make(to_structure(bulk("Cu", cubic=True))), store=store, log=False)
    campaign = CampaignStore.of_job_store(store, "plain-copper")
    assert campaign.database.name == database
    check(campaign, store)
    outputs._collection.database.client.drop_database(database)


def test_with_a_job_store_in_memory(loop, unconfigured):
    pytest.importorskip("secantus")
    embedded.own_database.cache_clear()
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(loop.make(to_structure(bulk("Cu", cubic=True))), store=store, log=False)
    check(CampaignStore.of_job_store(store, "plain-copper"), store)
    embedded.own_database.cache_clear()
