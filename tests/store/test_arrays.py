"""Fingerprints and covariances of any size are stored whole or not at all; nothing is left."""

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymongo.errors import DocumentTooLarge, OperationFailure

from entropy_flows.entropy import DatasetParams
from entropy_flows.faults import is_machine_fault
from entropy_flows.fingerprints import GOMParams
from entropy_flows.label import Label
from entropy_flows.store import CampaignStore, Entry, StoreError, arrays
from entropy_flows.store.arrays import INLINE_BYTES, Arrays, pack, unpack
from entropy_flows.store.ledger import Ledger
from entropy_flows.store.schema import make_indexes

SIX = ("Li", "O", "Mg", "Mn", "Co", "Ni")
DATASET = DatasetParams(fingerprint=GOMParams(cutoff=4.5, natx=200, elements=SIX))
DIM = 21 * 200
LARGEST_DOCUMENT = 4 * 2**20


class Stub:
    """A collection with a few methods."""

    def __init__(self, **methods):
        self.__dict__ |= methods


@pytest.fixture
def ledger(database):
    make_indexes(database)
    return Ledger(database, "test", DATASET)


def populated(n_atoms, components, seed=0):
    """Fingerprints with so many populated components at random places."""
    rng = np.random.default_rng(seed)
    q = np.zeros((n_atoms, DIM))
    chosen = rng.choice(DIM, components, replace=False)
    q[:, chosen] = rng.normal(size=(n_atoms, components))
    return q


def oxide(n_atoms):
    rng = np.random.default_rng(1)
    edge = (10.0 * n_atoms) ** (1 / 3)
    species = [SIX[number] for number in rng.integers(6, size=n_atoms)]
    moments = {"magmom": rng.normal(size=n_atoms).tolist()}
    return Structure(
        Lattice.cubic(edge), species, rng.random((n_atoms, 3)), site_properties=moments
    )


def entry(key, n_atoms=2, components=9, seed=0):
    return Entry(key, oxide(n_atoms), populated(n_atoms, components, seed), 0.1, {"phase": "oxide"})


def files(database):
    return list(database["arrays.files"].find())


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_packing_is_lossless_over_any_support(data):
    n_atoms, dim = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    support = data.draw(st.sets(st.integers(0, dim - 1)))
    q = np.zeros((n_atoms, dim))
    for component in support:
        q[:, component] = np.random.default_rng(component).normal(size=n_atoms)
    packed = pack(q)
    assert len(packed) == len(support) * (4 + 8 * n_atoms)
    np.testing.assert_array_equal(unpack(packed, q.shape), q)
    if support:
        with pytest.raises(ValueError, match="are no fingerprints of shape"):
            unpack(packed[:-1], q.shape)
        with pytest.raises(ValueError, match="are no fingerprints of shape"):
            unpack(packed, (n_atoms, max(support)))


def test_no_document_beyond_four_mebibytes_at_six_elements_and_ten_thousand_atoms(ledger, database):
    store = CampaignStore(database, "test")
    made = [entry("001/select/0", 10_000, 408)]
    ledger.append_accepted(1, "select", made)
    rng = np.random.default_rng(0)
    for row in ledger.entries():
        numbers = {
            "energy": -1e4,
            "free_energy": -1e4,
            "forces": rng.normal(size=(10_000, 3)),
            "pressure": 0.1,
        }
        label = Label(n_atoms=10_000, converged=True, stress=np.eye(3), **numbers)
        store.add_label(row, "settings", label.as_dict())
    largest = {
        name: max((len(bson.encode(row)) for row in database[name].find()), default=0)
        for name in database.list_collection_names()
    }
    assert largest["structures"] > 2**20
    assert {name for name, size in largest.items() if size > LARGEST_DOCUMENT} == set()
    for stored, one in zip(ledger.fingerprints_between(0, 1), made, strict=True):
        np.testing.assert_array_equal(stored, one.q)
    statistics = ledger.statistics(2, "select")
    assert (statistics["atom"].n, statistics["config"].n) == (10_000, 1)


def test_a_covariance_of_many_populated_components(ledger, database):
    """1500 of them: 9 MB, which no document could hold twice."""
    ledger.append_accepted(1, "select", [entry("a", 3, 1500)])
    rows = list(database["covariances"].find())
    assert all("file" in row and "data" not in row for row in rows)
    again = ledger.statistics(2, "select")
    assert {mode: stats.checksum() for mode, stats in again.items()} == {
        row["mode"]: row["checksum"] for row in rows
    }


def test_what_an_interrupted_write_leaves_is_deleted_by_the_next_append(
    ledger, database, monkeypatch
):
    monkeypatch.setattr(arrays, "INLINE_BYTES", 100)
    monkeypatch.setattr(arrays, "CHUNKS_PER_WRITE", 1)
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 64)
    ledger.append_accepted(1, "select", [entry("a")])
    assert len(files(database)) == 3  # a fingerprint, two covariances

    def dies(*_, **__):
        raise KeyboardInterrupt

    within_a_file, before_its_document = (
        Ledger(database, "test", DATASET),
        Ledger(database, "test", DATASET),
    )
    insert = within_a_file.arrays.chunks.insert_many
    within_a_file.arrays.chunks = Stub(
        insert_many=lambda chunks: insert(chunks) if chunks[0]["n"] < 1 else dies()
    )
    before_its_document._write_fingerprints = lambda *_: (
        before_its_document.arrays.put(bytes(200)),
        dies(),
    )
    for book in (within_a_file, before_its_document):
        with pytest.raises(KeyboardInterrupt):
            book.append_accepted(2, "select", [entry("b")])
        assert len(ledger.arrays.unused()) >= 1
    other = Arrays(database, "other")
    theirs = other.put(bytes(200))
    ledger.append_accepted(2, "select", [entry("c")])
    assert ledger.arrays.unused() == []
    assert other.unused() == [theirs["file"]]
    assert len(files(database)) == 3 + 3 + 1
    assert set(database["arrays.chunks"].distinct("files_id")) == {
        file["_id"] for file in files(database)
    }
    ledger.append_accepted(2, "select", [entry("c")])  # writes both covariances again
    ledger.append_accepted(2, "refine", [entry("d")])
    assert ledger.arrays.unused() == []


def test_a_file_that_is_not_whole_is_told(ledger, database, monkeypatch):
    monkeypatch.setattr(arrays, "INLINE_BYTES", 100)
    ledger.append_accepted(1, "select", [entry("a")])
    name = database["fingerprints"].find_one()["file"]
    database["arrays.chunks"].delete_many({"files_id": name})
    with pytest.raises(
        StoreError, match=rf"array {name} is not whole in the database \(CorruptGridFile\)"
    ):
        list(ledger.fingerprints_between(0, 1))
    ledger.arrays.delete([name])
    with pytest.raises(StoreError, match=rf"array {name} is not whole in the database \(NoFile\)"):
        list(ledger.fingerprints_between(0, 1))


def test_an_entry_too_large_for_a_document_is_told_before_anything_is_written(ledger, database):
    large = Entry("b", oxide(2), populated(2, 9), None, {"notes": "x" * 17 * 2**20})
    for write in (
        lambda: ledger.append_accepted(1, "select", [entry("a"), large]),
        lambda: ledger.import_entries(0, [large]),
    ):
        with pytest.raises(
            ValueError, match=r"b \(2 atoms\) has 17\.0 MiB as a document"
        ) as caught:
            write()
        assert not is_machine_fault(caught.value)
    assert all(
        database[name].count_documents({}) == 0 for name in ("structures", "fingerprints", "leases")
    )


def test_a_document_too_large_is_not_the_machines_fault():
    assert not is_machine_fault(DocumentTooLarge("17 MiB"))
    assert not is_machine_fault(OperationFailure("object to insert too large", 10334))
    assert is_machine_fault(OperationFailure("not authorized", 13))


def test_short_arrays_stay_in_their_documents(database):
    ours = Arrays(database, "test")
    assert set(ours.put(bytes(INLINE_BYTES))) == {"data"}
    stored = ours.put(bytes(INLINE_BYTES + 1))
    assert set(stored) == {"file"}
    assert ours.get(stored) == bytes(INLINE_BYTES + 1)
