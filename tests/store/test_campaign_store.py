"""The campaign's collections, and the ways to the database, on a real server."""

import hashlib
import os

import numpy as np
import pytest
from cells import rattled
from pymongo.errors import DuplicateKeyError

from entropy_flows.conventions import GPA
from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.label.read import Label
from entropy_flows.label.reasons import Reason
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.schemas import Campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, StoreError, job_store
from entropy_flows.store.schema import UNIQUE

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))
CONFIG = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
    "iterations": [{"explore": {"temperatures": [300]}}],
}


def campaign(**changes):
    return Campaign.model_validate(CONFIG | changes)


@pytest.fixture
def store(database):
    store = CampaignStore(database, "test")
    assert store.create(campaign())
    return store


@pytest.fixture
def cells(store):
    """Six cells in the ledger."""
    atoms = [rattled("Si", repeat=1, seed=seed) for seed in range(6)]
    origin = {"phase": "diamond", "temperature": 300.0, "k": 2.0, "pressure": 5.0, "run": 3}
    made = [
        Entry(f"001/explore/{i:05d}/00010", to_structure(cell), np.ones((2, 4)), 0.5, origin)
        for i, cell in enumerate(atoms)
    ]
    ledger = store.ledger(DATASET)
    ledger.append_accepted(1, "select", made[:4])
    ledger.append_accepted(2, "select", made[4:])
    return list(ledger.entries())


def label(seed, **changes):
    rng = np.random.default_rng(seed)
    stress = rng.normal(size=(3, 3))
    values = {
        "energy": -10.0 - seed,
        "free_energy": -10.5 - seed,
        "forces": rng.normal(size=(2, 3)),
        "stress": stress + stress.T,
        "pressure": -np.trace(stress) * 2 / 3 * GPA,
    }
    return Label(n_atoms=2, converged=True, **(values | changes)).as_dict()


# -- campaign
# ----------------------------------------------------------------------


def test_create_once(store):
    document = store.document()
    assert document["state"] == "new"
    assert set(document["versions"]) == {"entropy_flows", "atomate2", "nequip", "torch"}
    assert not store.create(campaign())
    assert store.document() == document
    assert store.campaign() == campaign()
    store.set_state("failed", "iteration 1, train: no label")
    assert (store.document()["state"], store.document()["message"]) == (
        "failed",
        "iteration 1, train: no label",
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"explore": {"steps": 20}}, "explore.steps"),
        (
            {"global_fingerprint": {"cutoff": 5.0}, "regularization": 0.1},
            "global_fingerprint.cutoff, regularization",
        ),
        ({"iterations": []}, "iterations"),
    ],
)
def test_only_a_submission_changes_settings(store, change, named):
    before = store.document()
    with pytest.raises(StoreError) as caught:
        store.create(campaign(**change))
    assert str(caught.value) == (
        f"campaign 'test' exists with other settings ({named}); "
        "`entropy-flows run` or `submit` changes them, or says why it cannot"
    )
    assert store.document() == before


def test_a_file_that_leaves_the_device_open_goes_on_where_the_campaign_trains(database):
    store = CampaignStore(database, "test")
    assert store.create(campaign(train={"device": "cpu"}))
    assert not store.create(campaign())
    with pytest.raises(StoreError, match=r"other settings \(train\.device\)"):
        store.create(campaign(train={"device": "cuda"}))
    with pytest.raises(StoreError, match=r"other settings \(train\.max_epochs\)"):
        store.create(campaign(train={"max_epochs": 7}))


def test_an_unknown_campaign(database):
    with pytest.raises(
        StoreError, match="campaign 'nobody' is not in this database; submit it first"
    ):
        CampaignStore(database, "nobody").document()


def test_campaigns_do_not_see_each_other(store, cells, database):
    other = CampaignStore(database, "other")
    assert other.create(campaign(name="other"))
    store.record(1, explore={"runs": 3})
    store.add_label(cells[0], "hash", label(0))
    store.save_model(0, "SevenNet-0")
    other.set_splits({cells[0]["key"]: "test"})
    assert other.iterations() == []
    assert list(other.labels()) == []
    assert other.frames() == []
    assert other.model(0) is None
    assert "split" not in next(iter(store.labels()))


# -- indexes
# ----------------------------------------------------------------------


def test_unique_indexes(store, database):
    for collection, indexes in UNIQUE.items():
        found = [
            tuple(key for key, _ in index["key"])
            for index in database[collection].index_information().values()
            if index.get("unique")
        ]
        for keys in indexes:
            assert keys in found, (collection, keys)
            row = {
                key: f"{collection}-{key}"
                for key in ("name", "campaign", "key", "position", "structure", "uuid")
            }
            row |= dict.fromkeys(keys, f"{collection}-{keys}")
            others = {other for group in indexes for other in group} - set(keys)
            database[collection].insert_one(row | dict.fromkeys(others, f"first-{keys}"))
            with pytest.raises(DuplicateKeyError):
                database[collection].insert_one(row | dict.fromkeys(others, f"second-{keys}"))


def test_creating_again_is_allowed_with_data(store, cells):
    assert not store.create(campaign())
    assert len(list(store.ledger(DATASET).entries())) == 6


# -- iterations
# ----------------------------------------------------------------------


def test_iterations(store):
    store.record(2, explore={"runs": 1})
    store.record(1, explore={"runs": 5})
    store.record(1, select={"accepted": 3}, **{"seconds.explore/0": 1.5})
    first, second = store.iterations()
    assert (first["iteration"], first["explore"], first["select"]) == (
        1,
        {"runs": 5},
        {"accepted": 3},
    )
    assert first["seconds"] == {"explore/0": 1.5}
    assert second["explore"] == {"runs": 1}


# -- labels
# ----------------------------------------------------------------------


def test_the_first_label_stays(store, cells):
    entry = cells[0]
    assert store.outcomes([entry["_id"]], "hash") == {}
    store.add_label(entry, "hash", label(0))
    store.add_label(entry, "hash", label(1))
    assert store.outcomes([entry["_id"]], "hash")[entry["_id"]]["converged"]
    assert store.outcomes([entry["_id"]], "other") == {}
    (found,) = store.labels("hash")
    assert found["energy"] == -10.0
    assert (found["campaign"], found["key"], found["position"], found["stage"]) == (
        "test",
        entry["key"],
        0,
        "select",
    )
    store.add_label(entry, "other", label(2))
    assert [row["energy"] for row in store.labels("other")] == [-12.0]


def test_labels_in_ledger_order(store, cells):
    for place in (5, 2, 0, 4):
        store.add_label(cells[place], "hash", label(place))
    failed = Label.failed(2, next(iter(Reason)), "BRMIX", wall_seconds=3.0).as_dict()
    store.add_label(cells[1], "hash", failed)
    store.add_label(cells[3], "other", label(3))
    assert [row["position"] for row in store.labels("hash")] == [0, 1, 2, 4, 5]
    assert [row["position"] for row in store.labels("hash", iteration=2)] == [4, 5]
    (bad,) = store.labels("hash", converged=False)
    assert (bad["reason"], bad["evidence"]) == (str(next(iter(Reason))), "BRMIX")


def test_splits_stay(store, cells):
    for place in range(3):
        store.add_label(cells[place], "hash", label(place))
    keys = [cell["key"] for cell in cells]
    store.set_splits({keys[0]: "test", keys[1]: "train"})
    store.set_splits({keys[0]: "train", keys[1]: "val", keys[2]: "val"})
    assert [row["split"] for row in store.labels("hash")] == ["test", "train", "val"]


def test_frames(store, cells):
    for place in (3, 1):
        store.add_label(cells[place], "hash", label(place))
    store.add_label(cells[0], "hash", Label.failed(2, next(iter(Reason)), "BRMIX").as_dict())
    store.add_label(cells[2], "hash", label(2, stress=None))
    store.set_splits({cells[1]["key"]: "val"})
    frames = store.frames(engine_hash="hash")
    assert [atoms.info["position"] for atoms in frames] == [1, 2, 3]
    for atoms, seed in ((frames[0], 1), (frames[2], 3)):
        expected, source = label(seed), rattled("Si", repeat=1, seed=seed)
        np.testing.assert_allclose(atoms.positions, source.positions, atol=1e-12)
        np.testing.assert_allclose(atoms.cell[:], source.cell[:], atol=1e-12)
        assert atoms.pbc.all()
        assert (
            atoms.get_potential_energy() == expected["free_energy"]
        )  # the one forces are the derivative of
        np.testing.assert_array_equal(atoms.get_forces(), expected["forces"])
        s = np.array(expected["stress"])
        np.testing.assert_allclose(
            atoms.get_stress(), [s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]
        )
    assert "stress" not in frames[1].calc.results
    info = frames[0].info
    assert (info["key"], info["split"], info["iteration"], info["stage"]) == (
        cells[1]["key"],
        "val",
        1,
        "select",
    )
    assert (info["phase"], info["temperature"], info["k"], info["pressure"]) == (
        "diamond",
        300.0,
        2.0,
        5.0,
    )
    assert frames[1].info["split"] is None
    assert [atoms.info["position"] for atoms in store.frames(engine_hash="hash", split="val")] == [
        1
    ]
    assert store.frames(engine_hash="other") == []


# -- models
# ----------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "model.nequip.zip"
    path.write_bytes(os.urandom(700_000))  # several chunks
    return path


def test_model_file_round_trip(store, package, database):
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    reference = store.save_model(0, package, role="base")
    assert reference == f"sha256:{digest}"
    assert store.model(0)["role"] == "base"
    assert store.model(0)["name"] == package.name
    path = store.fetch_model(reference)
    assert path != str(package)
    assert path.endswith(".nequip.zip")
    with open(path, "rb") as file:
        assert file.read() == package.read_bytes()
    assert store.save_model(1, package) == reference
    assert database["models.files"].count_documents({}) == 1


def test_the_first_model_of_an_iteration_stays(store, package):
    assert store.save_model(1, "SevenNet-0") == "SevenNet-0"
    assert store.save_model(1, package) == "SevenNet-0"
    assert store.model(1)["sha256"] is None
    assert store.fetch_model("SevenNet-0") == "SevenNet-0"
    assert store.model(2) is None


def test_a_spoiled_copy_is_fetched_again(store, package):
    reference = store.save_model(0, package)
    path = store.fetch_model(reference)
    with open(path, "r+b") as file:
        file.write(b"spoiled")
    with open(store.fetch_model(reference), "rb") as file:
        assert file.read() == package.read_bytes()


def test_a_damaged_model_is_refused(store, package, database):
    reference = store.save_model(0, package)
    chunk = database["models.chunks"].find_one({"n": 1})
    data = b"x" + chunk["data"][1:] if chunk["data"][:1] != b"x" else b"y" + chunk["data"][1:]
    database["models.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": data}})
    with pytest.raises(StoreError, match="in the database does not match its checksum"):
        store.fetch_model(reference)
    assert not (settings().cache / "models").exists()


def test_a_missing_model(store):
    with pytest.raises(StoreError, match=r"model 000000000000… is not in the database"):
        store.fetch_model("sha256:" + 64 * "0")


# -- connections
# ----------------------------------------------------------------------


def test_job_store_and_launchpad_are_on_the_same_database(database):
    with job_store() as jobs:
        jobs.update(
            {"uuid": "1", "index": 1, "output": {"trajectories": [1, 2]}},
            save={"data": ["trajectories"]},
        )
        assert jobs.query_one({"uuid": "1"}, load=True)["output"]["trajectories"] == [1, 2]
    assert database["outputs"].count_documents({"uuid": "1"}) == 1
    assert database["blobs.files"].count_documents({}) == 1
    pad = launchpad()
    assert pad.fireworks.database.name == database.name
    assert pad.launches.write_concern.document == {"w": "majority", "j": True}
