"""Whatever field is changed or deleted, `verify` names it, or there is a reason why it need not."""

import pytest
from mutations import mutations, outcome, reason
from small_campaign import furnish, small_campaign


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    with small_campaign(server, tmp_path_factory.mktemp("mutations"), "test_mutations") as opened:
        furnish(*opened)
        yield opened


def collections(store):
    return sorted(name for name in store.database.list_collection_names() if not name.startswith("system."))


def test_every_field_is_named_or_free(campaign):
    store, pad = campaign
    missed = [
        str(mutation)
        for mutation, spoiled in mutations(store.database, collections(store), depth=2)
        if reason(mutation) is None and outcome(store, pad, mutation, spoiled) is None
    ]
    assert missed == []
