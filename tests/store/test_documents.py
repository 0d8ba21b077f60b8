"""The documents that a campaign writes are those of the classes, and the page on them is theirs."""

import runpy
from pathlib import Path

import pytest
from pydantic import ValidationError
from small_campaign import furnish, small_campaign

from entropy_flows.store.documents import DOCUMENTS, PYTHON_NAMES, validate_document
from entropy_flows.store.seals import KEYS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def store(server, tmp_path_factory):
    with small_campaign(server, tmp_path_factory.mktemp("campaign"), "test_documents") as built:
        furnish(*built)
        yield built[0]
        built[0].database.client.drop_database(built[0].database.name)


def rows(store, collection):
    field = "name" if collection == "campaigns" else "campaign"
    return list(store.database[collection].find({field: store.name}))


def test_the_page_is_up_to_date():
    made = runpy.run_path(str(DOCS / "data.py"))["text"]()
    assert (DOCS / "data.md").read_text() == made, "run `python docs/data.py`"


def test_every_sealed_collection_of_ours_has_a_class():
    assert set(DOCUMENTS) == set(KEYS) - {"outputs"}


@pytest.mark.parametrize("collection", DOCUMENTS)
def test_documents_have_the_fields_of_their_class(store, collection):
    documents = rows(store, collection)
    assert documents
    for document in documents:
        read = validate_document(collection, document)
        names = {PYTHON_NAMES.get(name, name) for name in document if name != "_id"}
        assert read.model_fields_set == names


def test_an_unknown_or_a_missing_field_is_refused(store):
    document = rows(store, "labels")[0]
    with pytest.raises(ValidationError, match="settings"):
        validate_document("labels", {**document, "settings": "hash"})
    del document["engine_hash"]
    with pytest.raises(ValidationError, match="engine_hash"):
        validate_document("labels", document)
