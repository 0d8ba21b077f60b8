"""The embedded server replaces documents as MongoDB does: at once."""

import threading

import pytest
from pymongo.errors import OperationFailure

from entropy_flows.store.seals import set_fields

WRITERS = 3
WRITES = 40


@pytest.fixture
def campaigns(database):
    database["campaigns"].create_index([("name", 1)], unique=True)
    database["campaigns"].insert_one({"name": "a"})
    return database["campaigns"]


def test_no_change_is_lost_and_no_reader_misses_a_document(campaigns):
    def write(writer):
        for number in range(WRITES):
            set_fields(campaigns, {"name": "a"}, {f"w{writer}.n{number}": number})

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    found = []
    while any(writer.is_alive() for writer in writers):
        found.append(campaigns.find_one({"name": "a"}, {"_id": 1}) is not None)
    for writer in writers:
        writer.join()
    document = campaigns.find_one({"name": "a"})
    assert found
    assert all(found)
    for writer in range(WRITERS):
        assert document[f"w{writer}"] == {f"n{number}": number for number in range(WRITES)}


def test_a_merge_that_fails_in_the_middle_writes_nothing(campaigns):
    new = [{"name": "b", "n": 1}, {"name": "a", "n": 1}]
    into = {"into": "campaigns", "on": ["name"], "whenMatched": "fail", "whenNotMatched": "insert"}
    with pytest.raises(OperationFailure):
        campaigns.database.aggregate([{"$documents": new}, {"$merge": into}])
    assert campaigns.find_one({"name": "b"}) is None
