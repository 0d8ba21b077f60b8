"""Documents of another version are refused; indexes are made, or those that serve are taken."""

from pathlib import Path

import pytest
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from entropy_flows.launch.submit import submit
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore, StoreError, job_store, schema
from entropy_flows.store.schema import LOOKUP, SCHEMA, UNIQUE, OldWorkerError, refuse_old_worker

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def campaign():
    return load_campaign(EXAMPLES / "silicon_demo.yaml")


@pytest.fixture
def store(database, campaign):
    return CampaignStore(database, campaign.name)


def keys(database, collection):
    return [
        tuple(key for key, _ in index["key"])
        for index in database[collection].index_information().values()
    ]


def test_a_new_campaign_is_of_this_version_and_has_its_indexes(store, campaign, database):
    assert store.create(campaign)
    assert store.document()["schema"] == SCHEMA
    for table in (UNIQUE, LOOKUP):
        for collection, indexes in table.items():
            assert set(indexes) <= set(keys(database, collection)), collection


@pytest.mark.parametrize("older", [{"$unset": {"schema": True}}, {"$set": {"schema": SCHEMA - 1}}])
def test_an_older_version_is_refused_and_left_as_it_is(store, campaign, database, older):
    submit(store, campaign, EXAMPLES)
    database["campaigns"].update_one({}, older)
    before = database["campaigns"].find_one()
    jobs = database["fireworks"].count_documents({})
    for refusing in (store.document, lambda: submit(store, campaign, EXAMPLES)):
        with pytest.raises(
            StoreError, match=f"by an older entropy_flows .*this one needs {SCHEMA}.*a new name"
        ):
            refusing()
    assert database["campaigns"].find_one() == before
    assert database["fireworks"].count_documents({}) == jobs


def test_a_newer_version_is_refused(store, campaign, database):
    store.create(campaign)
    newer = SCHEMA + 1
    database["campaigns"].update_one({}, {"$set": {"schema": newer}})
    expected = (
        f"was written by a newer entropy_flows (schema {newer}, this one knows {SCHEMA}); "
        f"upgrade this one"
    )
    for refusing in (store.document, lambda: store.create(campaign)):
        with pytest.raises(OldWorkerError, match="upgrade this one") as caught:
            refusing()
        assert str(caught.value) == f"campaign '{campaign.name}' {expected}"
    assert database["campaigns"].find_one()["schema"] == newer


def test_settings_that_are_refused_now(store, campaign, database):
    store.create(campaign)
    database["campaigns"].update_one({}, {"$set": {"config.seed": -1}})
    with pytest.raises(StoreError) as caught:
        store.create(campaign)
    assert "exists with settings that are refused now: seed: Input should be greater" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("here", "there"), [("0.9.0", "0.10.0"), ("1.0.0rc1", "1.0.0"), ("0.1.0", "0.1.0.post1")]
)
def test_an_old_worker_is_refused(store, campaign, monkeypatch, here, there):
    monkeypatch.setattr(schema, "version", lambda package: there)
    monkeypatch.setattr("entropy_flows.store.campaign.version", lambda package: there)
    store.create(campaign)
    refuse_old_worker(store.document())
    monkeypatch.setattr(schema, "version", lambda package: here)
    with pytest.raises(OldWorkerError) as caught:
        refuse_old_worker(store.document())
    message = (
        f"campaign '{campaign.name}' was last submitted with entropy_flows {there} "
        f"and this is {here}"
    )
    assert str(caught.value).startswith(message)
    with pytest.raises(OldWorkerError):
        store.create(campaign)


def test_who_continues_with_a_newer_version_raises_it(store, campaign, monkeypatch):
    store.create(campaign)
    monkeypatch.setattr(schema, "version", lambda package: "99.1")
    monkeypatch.setattr("entropy_flows.store.campaign.version", lambda package: "99.1")
    refuse_old_worker(store.document())
    assert not store.create(campaign)
    assert store.document()["versions"]["entropy_flows"] == "99.1"


JOBFLOW = {"blobs.files": [("metadata.blob_uuid",)], "labels": [("campaign", "converged")]}


@pytest.mark.parametrize(
    "options",
    [{"unique": True}, {"name": "mine"}, {"background": True}, {"expireAfterSeconds": 10**9}],
)
def test_an_index_that_serves_is_taken_as_it_is(store, campaign, database, options):
    for collection, indexes in JOBFLOW.items():
        for fields in indexes:
            database[collection].create_index([(field, 1) for field in fields], **options)
    before = {collection: database[collection].index_information() for collection in JOBFLOW}
    assert store.create(campaign)
    for collection in JOBFLOW:
        assert before[collection].items() <= database[collection].index_information().items()
        assert len(keys(database, collection)) == len(set(keys(database, collection)))


@pytest.mark.parametrize(
    "options", [{"sparse": True}, {"partialFilterExpression": {"split": "test"}}, {"unique": False}]
)
def test_an_index_that_does_not_serve_gets_another_beside_it(store, campaign, database, options):
    database["labels"].create_index([("structure_id", 1), ("engine_hash", 1)], **options)
    assert store.create(campaign)
    made = database["labels"].index_information().values()
    assert (
        sum(schema.serves(index, ("structure_id", "engine_hash"), unique=True) for index in made)
        == 1
    )


def test_jobflows_own_stores_may_come_first(store, campaign, database):
    with job_store() as jobs:
        jobs.ensure_index("uuid")
        jobs.additional_stores["data"].ensure_index("blob_uuid", unique=True)
        jobs.additional_stores["data"].ensure_index("job_uuid")
    assert store.create(campaign)


def test_what_keeps_an_index_from_being_made_is_named(store, campaign, database):
    database["labels"].insert_many([{"structure_id": "a", "engine_hash": "b"} for _ in range(2)])
    with pytest.raises(
        StoreError, match="'labels' has several documents of the same structure_id, engine_hash"
    ):
        store.create(campaign)


def test_an_index_that_is_in_the_way_is_named(store, campaign, database, monkeypatch):
    def refuses(self, columns, **options):
        raise OperationFailure("Index already exists with a different name", 85)

    database["campaigns"].insert_one({"name": "another"})
    monkeypatch.setattr(Collection, "create_index", refuses)
    monkeypatch.setattr(Collection, "create_indexes", refuses)
    monkeypatch.setattr(
        Collection, "index_information", lambda _: {"theirs": {"key": [("name", 1)]}}
    )
    with pytest.raises(
        StoreError,
        match=r"has an index 'theirs'.*getCollection\('campaigns'\)\.dropIndex\('theirs'\)",
    ):
        store.create(campaign)
