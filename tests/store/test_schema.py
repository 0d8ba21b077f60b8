"""Documents of an older version are migrated by who submits, and refused by everybody else in one line."""

import itertools
from pathlib import Path

import pytest
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from entropy_flows.launch import submit
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore, StoreError, job_store, launchpad, schema
from entropy_flows.store.schema import LOOKUP, SCHEMA, UNIQUE, OldWorkerError, migrate, refuse_old_worker

EXAMPLES = Path(__file__).parents[2] / "examples"
FAILURE = {"stage": "train", "message": "TrainingError: the loss is not a number"}


@pytest.fixture(scope="module")
def campaign():
    return load_campaign(EXAMPLES / "silicon_demo.yaml")


@pytest.fixture
def store(database, campaign):
    return CampaignStore(database, campaign.name)


def downgrade(store, state):
    """What version 1 would have left of a submitted campaign."""
    database, where = store.database, {"name": store.name}
    database["failures"].drop()
    database["fireworks"].drop_indexes()
    database["fireworks"].update_many({}, {"$unset": {"spec.uuid": True}})
    new = {"schema": True, "config.categories": True, "config.queue": True, "config.explore.walltime": True}
    database["campaigns"].update_one(where, {"$unset": new, "$set": {"state": state, "submitted": True}})
    store.record(1, select={"accepted": 3}, failure=FAILURE)


def content(database):
    """All that is stored, but for what says when it was written."""
    times = {"created", "updated", "updated_on", "created_on", "submitted", "_id"}
    found = {}
    for name in sorted(database.list_collection_names()):
        rows = [{k: v for k, v in row.items() if k not in times} for row in database[name].find()]
        found[name] = sorted(map(repr, rows))
    return found


def keys(database, collection):
    return [tuple(key for key, _ in index["key"]) for index in database[collection].index_information().values()]


def test_a_new_campaign_is_of_this_version(store, campaign):
    assert store.create(campaign)
    assert store.document()["schema"] == SCHEMA == 2


def test_a_campaign_that_runs_is_migrated_and_put_on_the_launchpad_anew(store, campaign, database):
    submit(store, campaign, EXAMPLES)
    jobs = database["fireworks"].count_documents({})
    downgrade(store, "running")
    with pytest.raises(StoreError) as caught:
        store.document()
    assert str(caught.value) == (
        f"campaign '{campaign.name}' was written by an older entropy_flows (schema 1, this one needs 2); run "
        f"`entropy-flows submit` with its campaign file once to migrate it (`run` does so too)"
    )
    assert submit(store, campaign, EXAMPLES)
    assert store.document()["schema"] == 2
    assert store.document()["state"] == "running"
    (iteration,) = store.iterations()
    assert "failure" not in iteration
    assert iteration["select"] == {"accepted": 3}
    assert store.failures() == []  # the job that failed is done again
    assert database["fireworks"].count_documents({"spec.uuid": {"$exists": True}}) == jobs
    assert database["fireworks"].count_documents({}) == jobs
    assert database["workflows"].count_documents({}) == 1
    assert not submit(store, campaign, EXAMPLES)
    for table in (UNIQUE, LOOKUP):
        for collection, indexes in table.items():
            assert set(indexes) <= set(keys(database, collection)), collection


def test_a_campaign_that_is_done_stays_done(store, campaign, database):
    submit(store, campaign, EXAMPLES)
    uuids = {fw["spec"]["uuid"] for fw in database["fireworks"].find()}
    downgrade(store, "done")
    assert not submit(store, campaign, EXAMPLES)
    assert store.document()["state"] == "done"
    assert {fw["spec"]["uuid"] for fw in database["fireworks"].find()} == uuids
    (row,) = store.failures()
    assert {name: row[name] for name in ("uuid", "iteration", "stage", "place", "message")} == {
        "uuid": "schema-1/1/train", "iteration": 1, "place": "train", **FAILURE,
    }  # fmt: skip


class Killed(BaseException):
    pass


def killed_before_write(number, patched):
    """Raise `Killed` instead of the write with this number (from 0) to any collection."""
    done = itertools.count()

    def counting(original):
        def write(*args, **kwargs):
            if next(done) == number:
                raise Killed
            return original(*args, **kwargs)

        return write

    for name in ("replace_one", "update_one", "update_many", "delete_many", "bulk_write"):
        patched.setattr(Collection, name, counting(getattr(Collection, name)))


@pytest.mark.parametrize("state", ["running", "done"])
def test_a_migration_that_was_interrupted_is_done_again(store, campaign, database, monkeypatch, state):
    submit(store, campaign, EXAMPLES)
    downgrade(store, state)
    document = database["campaigns"].find_one()
    for number in itertools.count():
        with monkeypatch.context() as patched:
            killed_before_write(number, patched)
            try:
                migrate(database, document)
                break
            except Killed:
                assert "schema" not in database["campaigns"].find_one()
    assert number >= 4
    once = content(database)
    migrate(database, document)
    assert content(database) == once
    assert store.document()["schema"] == SCHEMA
    assert len(store.failures()) == (state == "done")
    assert (database["fireworks"].count_documents({}) > 0) == (state == "done")


def test_other_campaigns_are_left_alone(store, campaign, database):
    submit(store, campaign, EXAMPLES)
    other = campaign.model_copy(update={"name": "other"})
    submit(CampaignStore(database, "other"), other, EXAMPLES)
    downgrade(store, "running")
    before = database["fireworks"].count_documents({"spec.campaign": "other"})
    submit(store, campaign, EXAMPLES)
    assert database["fireworks"].count_documents({"spec.campaign": "other"}) == before > 0
    assert launchpad().get_fw_ids({"spec.campaign": "other"})


def test_a_newer_version_is_refused(store, campaign, database):
    store.create(campaign)
    database["campaigns"].update_one({}, {"$set": {"schema": 3}})
    expected = "was written by a newer entropy_flows (schema 3, this one knows 2); upgrade this one"
    for refusing in (store.document, lambda: store.create(campaign)):
        with pytest.raises(OldWorkerError, match="upgrade this one") as caught:
            refusing()
        assert str(caught.value) == f"campaign '{campaign.name}' {expected}"
    assert database["campaigns"].find_one()["schema"] == 3


def test_a_migrated_campaign_still_needs_the_same_settings(store, campaign, database):
    store.create(campaign)
    downgrade(store, "running")
    with pytest.raises(StoreError, match="exists with other settings \\(seed\\)"):
        store.create(campaign.model_copy(update={"seed": 7}))
    assert "schema" not in database["campaigns"].find_one()


def test_settings_that_are_refused_now(store, campaign, database):
    store.create(campaign)
    database["campaigns"].update_one({}, {"$set": {"config.seed": -1}})
    with pytest.raises(StoreError) as caught:
        store.create(campaign)
    assert "exists with settings that are refused now: seed: Input should be greater" in str(caught.value)


@pytest.mark.parametrize(("here", "there"), [("0.9.0", "0.10.0"), ("1.0.0rc1", "1.0.0"), ("0.1.0", "0.1.0.post1")])
def test_an_old_worker_is_refused(store, campaign, monkeypatch, here, there):
    monkeypatch.setattr(schema, "version", lambda package: there)
    monkeypatch.setattr("entropy_flows.store.campaign.version", lambda package: there)
    store.create(campaign)
    refuse_old_worker(store.document())
    monkeypatch.setattr(schema, "version", lambda package: here)
    with pytest.raises(OldWorkerError) as caught:
        refuse_old_worker(store.document())
    message = f"campaign '{campaign.name}' was last submitted with entropy_flows {there} and this is {here}"
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
    "options", [{"unique": True}, {"name": "mine"}, {"background": True}, {"expireAfterSeconds": 10**9}]
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
    database["labels"].create_index([("structure", 1), ("settings", 1)], **options)
    assert store.create(campaign)
    made = database["labels"].index_information().values()
    assert sum(schema.serves(index, ("structure", "settings"), unique=True) for index in made) == 1


def test_jobflows_own_stores_may_come_first(store, campaign, database):
    with job_store() as jobs:
        jobs.ensure_index("uuid")
        jobs.additional_stores["data"].ensure_index("blob_uuid", unique=True)
        jobs.additional_stores["data"].ensure_index("job_uuid")
    assert store.create(campaign)


def test_what_keeps_an_index_from_being_made_is_named(store, campaign, database):
    database["labels"].insert_many([{"structure": "a", "settings": "b"} for _ in range(2)])
    with pytest.raises(StoreError, match="'labels' has several documents of the same structure, settings"):
        store.create(campaign)


def test_an_index_that_is_in_the_way_is_named(store, campaign, monkeypatch):
    def refuses(self, columns, **options):
        raise OperationFailure("Index already exists with a different name", 85)

    monkeypatch.setattr(Collection, "create_index", refuses)
    monkeypatch.setattr(Collection, "index_information", lambda _: {"theirs": {"key": [("name", 1)]}})
    with pytest.raises(StoreError, match=r"has an index 'theirs'.*getCollection\('campaigns'\)\.dropIndex\('theirs'\)"):
        store.create(campaign)
