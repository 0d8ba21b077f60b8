"""A campaign's documents are clean; whatever is spoiled, the check that it concerns says so."""

import hashlib
import sys

import numpy as np
import pytest
import yaml
from bson import Binary
from fireworks import Workflow
from pymongo.collection import Collection
from small_campaign import CONFIG, JOBS, job, small_campaign, store_output

from entropy_flows.cli import main
from entropy_flows.jobs.task_documents import LARGE_FIELDS
from entropy_flows.jobs.train import split_cells
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.verify import verify
from entropy_flows.settings import settings
from entropy_flows.store import StoreError, job_store, verify_context
from entropy_flows.store.arrays import pack, unpack
from entropy_flows.store.schema import make_indexes
from entropy_flows.store.seals import setting
from entropy_flows.train import TrainParams


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    """A whole iteration and the selection of the next; its store and its launchpad."""
    with small_campaign(server, tmp_path_factory.mktemp("verify"), "test_verify") as opened:
        yield opened


@pytest.fixture
def pad(campaign):
    return campaign[1]


@pytest.fixture
def store(campaign, monkeypatch):
    """The campaign, put back as it was after the test."""
    store, _ = campaign
    dropped = []
    drop_indexes = Collection.drop_indexes

    def noting(collection):
        dropped.append(collection.name)
        drop_indexes(collection)

    monkeypatch.setattr(Collection, "drop_indexes", noting)
    names = [
        name for name in store.database.list_collection_names() if not name.startswith("system.")
    ]
    before = {name: {row["_id"]: row for row in store.database[name].find()} for name in names}
    yield store
    for name, rows in before.items():
        now = {row["_id"]: row for row in store.database[name].find()}
        for key in now.keys() - rows.keys():
            store.database[name].delete_one({"_id": key})
        for key, row in rows.items():
            if repr(now.get(key)) != repr(row):
                store.database[name].replace_one({"_id": key}, row, upsert=True)
    if dropped:
        make_indexes(store.database)


def found(store, pad, **options):
    """Check → what is wrong, for those that found something."""
    checks = verify(store, FireWorksManager(pad), **options)
    return {check.name: check.problems for check in checks if check.problems}


def test_what_the_jobs_write_is_clean(store, pad):
    checks = verify(store, FireWorksManager(pad))
    assert {check.name: check.problems for check in checks if check.problems} == {}
    assert {check.name: check.wasted for check in checks if check.wasted} == {}
    checked = {check.name: check.checked for check in checks}
    assert checked == {
        "ledger": 9,
        "fingerprints": 9,
        "recomputed": 9,
        "covariances": 8,
        "targets": 0,
        "bases": 0,
        "precisions": 0,
        "seals": 39,
        "chain": 9,
        "exclusions": 0,
        "approvals": 0,
        "referred to": 2,
        "iterations": 2,
        "labels": 6,
        "splits": 5,
        "models": 2,
        "members": 0,
        "versions": 0,
        "predictions": 0,
        "outputs": 2,
        "arrays": 1,
        "jobs": 2,
        "leases": 0,
        "indexes": checked["indexes"],
        "checkpoints": 0,
    }


def set_in(collection, where, **values):
    return lambda store, pad: store.database[collection].update_one(where, {"$set": values})


def delete_from(collection, where):
    return lambda store, pad: store.database[collection].delete_one(where)


def without_indexes(collection, spoil):
    """Spoil what a unique index would not allow, and put the index back where it can be."""

    def spoiled(store, pad):
        store.database[collection].drop_indexes()
        spoil(store, pad)

    return spoiled


def twice(collection, where, **changes):
    def spoil(store, pad):
        row = store.database[collection].find_one(where)
        row.pop("_id")
        store.database[collection].insert_one(row | changes)

    return without_indexes(collection, spoil)


def spoil_fingerprint(change):
    def spoil(store, pad):
        row = store.database["fingerprints"].find_one({"position": 2})
        q = unpack(bytes(row["data"]), tuple(row["shape"])).copy()
        change(q)
        data = pack(q)
        body = {"data": Binary(data), "sha256": hashlib.sha256(data).hexdigest()}
        store.database["fingerprints"].update_one({"_id": row["_id"]}, {"$set": body})

    return spoil


def another_entropy(store, pad):
    store.database["covariances"].update_one(
        {"position": 4, "mode": "atom"}, {"$inc": {"entropy": 1e-6}}
    )


def another_covariance(store, pad):
    """Whole, with its own checksum, but not of these fingerprints."""
    at = {row["position"]: row for row in store.database["covariances"].find({"mode": "config"})}
    body = {name: at[5][name] for name in ("data", "checksum", "n", "entropy")}
    store.database["covariances"].update_one({"_id": at[6]["_id"]}, {"$set": body})


def damaged_covariance(store, pad):
    row = store.database["covariances"].find_one({"position": 5, "mode": "atom"})
    data = bytearray(row["data"])
    data[100] ^= 1
    store.database["covariances"].update_one(
        {"_id": row["_id"]}, {"$set": {"data": Binary(bytes(data))}}
    )


def covariance_beyond_the_end(store, pad):
    store.database["covariances"].update_one(
        {"position": 9, "mode": "atom"}, {"$set": {"position": 12}}
    )


def damaged_model(store, pad):
    chunk = store.database["models.chunks"].find_one({"n": 1})
    data = bytes([chunk["data"][0] ^ 1]) + chunk["data"][1:]
    store.database["models.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": data}})


def swapped_labels(store, pad):
    """The numbers of two labels, each in place of the other's; both are named."""
    first, second = (
        store.database["labels"].find_one({"position": position}) for position in (1, 2)
    )
    for label, other in ((first, second), (second, first)):
        numbers = {name: other[name] for name in ("energy", "free_energy", "forces", "stress")}
        store.database["labels"].update_one({"_id": label["_id"]}, {"$set": numbers})


def orphaned_job(store, pad):
    pad.fireworks.insert_one(
        {"fw_id": 99, "name": "c", "state": "READY", "spec": {"campaign": "test", "uuid": "c"}}
    )


def doubled_job(store, pad):
    pad.add_wf(Workflow([job(JOBS[0], "twin")]))


def finished_with_jobs_left(store, pad):
    pad.add_wf(Workflow([job("c", "c")]))
    store.set_state("done")


def two_states(store, pad):
    number = pad.fireworks.find_one({"name": "a"})["fw_id"]
    pad.workflows.update_one({}, {"$set": {f"fw_states.{number}": "READY"}})


def fizzled_job(store, pad):
    number = pad.fireworks.find_one_and_update({"name": "b"}, {"$set": {"state": "FIZZLED"}})[
        "fw_id"
    ]
    pad.workflows.update_one({}, {"$set": {f"fw_states.{number}": "FIZZLED"}})


FORCES = [[0.0, 0.0, float("nan")], [0.0, 0.0, 0.0]]
TEST = {"key": "001/select/00002"}
SPOILED = {
    "a gap": (
        set_in("structures", {"position": 8}, position=9),
        {
            "ledger": "position 9 (002/select/00002): 8 was expected",
            "fingerprints": "its fingerprint says position 8",
        },
    ),
    "a key twice": (
        without_indexes(
            "structures", set_in("structures", {"position": 8}, key="002/select/00001")
        ),
        {"ledger": "the key is there twice"},
    ),
    "an identifier of another campaign": (
        set_in("structures", {"position": 8}, key="002/select/00009"),
        {"ledger": "its identifier does not follow from its key"},
    ),
    "a stage out of order": (
        set_in("structures", {"position": 5}, stage="select", rank=0),
        {
            "ledger": "select after a later",
            "iterations": "select: 4 by its",
            "labels": "the ledger has another stage",
        },
    ),
    "a wrong rank": (
        set_in("structures", {"position": 5}, rank=1),
        {"ledger": "stage 'anchor' with rank 1"},
    ),
    "an iteration out of order": (
        set_in("structures", {"position": 8}, iteration=1, rank=2, stage="anchor"),
        {
            "ledger": "iteration 1, anchor after",
            "covariances": "position 8: 2 were stored there, 0 are left",
            "labels": "no label",
            "iterations": "requested: 6 by",
        },
    ),
    "a cut end": (
        lambda store, pad: store.database["covariances"].update_many({}, {"$set": {"ledger": "0"}}),
        {"chain": "covariance at position 4, atom: the ledger before it was another one"},
    ),
    "another digest": (
        set_in("structures", {"position": 5}, digest="0"),
        {"chain": "position 5 (001/anchor/00000)"},
    ),
    "a deleted covariance": (
        delete_from("covariances", {"position": 5, "mode": "atom"}),
        {"covariances": "position 5: 2 were stored there, 1 are left"},
    ),
    "a deleted job": (
        lambda store, pad: pad.fireworks.delete_one({"name": "b"}),
        {"jobs": "workflow 'jobs' has it, and it is gone"},
    ),
    "a deleted output": (
        delete_from("outputs", {"uuid": JOBS[1]}),
        {"jobs": "(b): COMPLETED, and its output is gone"},
    ),
    "a lease for ever": (
        lambda store, pad: store.database["leases"].insert_one(
            {"_id": "ledger/test", "holder": "x", "until": 2**60}
        ),
        {"leases": "nobody takes one for so long"},
    ),
    "a lease of the dead": (
        lambda store, pad: store.database["leases"].insert_one(
            {"_id": "ledger/test", "holder": "x", "until": 1}
        ),
        {"leases": "lease ledger/test: it ran out"},
    ),
    "two labels swapped": (
        swapped_labels,
        {"seals": "labels, position 1 (001/select/00001): energy is not what was written"},
    ),
    "no fingerprint": (
        delete_from("fingerprints", {"position": 8}),
        {"fingerprints": "(002/select/00002): no finger"},
    ),
    "a fingerprint twice": (
        twice("fingerprints", {"position": 8}),
        {"fingerprints": "(002/select/00002): 2 finger"},
    ),
    "a fingerprint elsewhere": (
        set_in("fingerprints", {"position": 8}, position=9),
        {"fingerprints": "says position 9"},
    ),
    "a fingerprint of another shape": (
        set_in("fingerprints", {"position": 8}, shape=[4, 2]),
        {"fingerprints": "shape [4, 2], expected [2, 4]"},
    ),
    "a fingerprint cut off": (
        set_in("fingerprints", {"position": 8}, data=Binary(bytes(56))),
        {"fingerprints": "56 bytes are no fingerprints of shape [2, 4]"},
    ),
    "an infinite fingerprint": (
        spoil_fingerprint(lambda q: q.put(3, np.inf)),
        {"fingerprints": "position 2 (001/select/00002): fingerprint is not finite"},
    ),
    "a changed fingerprint": (
        spoil_fingerprint(lambda q: q.put(3, q.flat[3] + 1e-6)),
        {
            "fingerprints": (
                "position 2 (001/select/00002): its fingerprint is not the one that it was "
                "written with"
            ),
            "recomputed": "position 2 (001/select/00002): fingerprint differs by",
            "covariances": "differs by",
        },
    ),
    "a changed structure": (
        set_in("structures", {"position": 2}, **{"structure.lattice.matrix.0.0": 3.0}),
        {"recomputed": "position 2 (001/select/00002): fingerprint differs by"},
    ),
    "a damaged covariance": (
        damaged_covariance,
        {"covariances": "position 5, atom: sufficient stat"},
    ),
    "a wrong checksum": (
        set_in("covariances", {"position": 4, "mode": "atom"}, checksum="0"),
        {"covariances": "position 4, atom: its checksum is not that of its data"},
    ),
    "another covariance": (another_covariance, {"covariances": "position 6, config: of 5 vectors"}),
    "another entropy": (
        another_entropy,
        {"covariances": "position 4, atom: entropy differs by 1.0e-06"},
    ),
    "a covariance beyond the end": (
        covariance_beyond_the_end,
        {"covariances": "position 12: beyond the ledger's end"},
    ),
    "no iteration document": (
        delete_from("iterations", {"iteration": 2}),
        {"iterations": "iteration 2: entries"},
    ),
    "another count": (
        set_in("iterations", {"iteration": 1}, **{"refine.accepted": 2}),
        {"iterations": "iteration 1, refine: 2 by its document, there are 1"},
    ),
    "labels not counted": (
        set_in("iterations", {"iteration": 1}, label={"requested": 6}),
        {"iterations": "iteration 1: a model was trained, but its labels were not counted"},
    ),
    "no label": (
        delete_from("labels", {"position": 3}),
        {
            "labels": "position 3 (001/select/00003): no label",
            "iterations": "labelled: 5 by its document, there are 4",
        },
    ),
    "a label twice": (
        twice("labels", TEST),
        {"labels": "2 labels with", "iterations": "there are 6"},
    ),
    "a label of no entry": (
        without_indexes("labels", twice("labels", {"converged": False}, structure_id="nobody")),
        {"labels": "its structure is not in the ledger"},
    ),
    "a label elsewhere": (
        set_in("labels", TEST, position=7, stage="x"),
        {"labels": "another position, stage"},
    ),
    "labels of two engines": (
        set_in("labels", TEST, engine_hash="other"),
        {"labels": "labels of 2 settings"},
    ),
    "a force that is no number": (
        set_in("labels", TEST, forces=FORCES),
        {"labels": "forces is not finite"},
    ),
    "a force too few": (
        set_in("labels", TEST, forces=FORCES[1:]),
        {"labels": "forces has shape (1, 3)"},
    ),
    "no energy": (
        set_in("labels", TEST, free_energy=None),
        {"labels": "free_energy is not finite"},
    ),
    "a wrong stress": (
        set_in("labels", TEST, stress=[1.0, 2.0]),
        {"labels": "stress has shape (2,)"},
    ),
    "no reason": (
        set_in("labels", {"converged": False}, reason=None),
        {"labels": "no reason is given"},
    ),
    "no part": (set_in("labels", TEST, split=None), {"splits": "it is in no part"}),
    "two parts": (
        twice("labels", TEST, engine_hash="other", split="train"),
        {"splits": "is in test, train", "labels": "mixed", "iterations": "there are 6"},
    ),
    "no model file": (
        delete_from("models.files", {}),
        {"models": "its file is not in the database"},
    ),
    "a damaged model": (damaged_model, {"models": "its file does not have its checksum"}),
    "a model cut off": (
        delete_from("models.chunks", {"n": 1}),
        {"models": "its file is not whole"},
    ),
    "a reference to another model": (
        set_in("models", {"iteration": 1}, reference="sha256:0"),
        {"models": "its reference is not its checksum"},
    ),
    "a member without its file": (
        lambda store, pad: store.database["members"].insert_one(
            {
                "campaign": store.name,
                "iteration": 1,
                "member": 2,
                "sha256": "0",
                "reference": "sha256:0",
                "file": "none",
            }
        ),
        {"members": "its file is not in the database"},
    ),
    "a foreign parent": (
        set_in("models", {"iteration": 1}, parent="sha256:0"),
        {"models": "is no model of"},
    ),
    "a model too late": (
        set_in("models", {"iteration": 1}, iteration=3),
        {"models": "models of iterations 0, 3: expected all from 0 on"},
    ),
    "arrays missing": (delete_from("blobs.files", {}), {"outputs": "its arrays are missing"}),
    "an output twice": (
        twice("outputs", {"uuid": JOBS[1]}),
        {"outputs": f"output of job {JOBS[1]}, index 1: 2 times"},
    ),
    "a job in no workflow": (orphaned_job, {"jobs": "job 99 (c): in no workflow"}),
    "a job twice": (doubled_job, {"jobs": "there 2 times"}),
    "jobs left": (
        finished_with_jobs_left,
        {"jobs": "(c): READY although the campaign is done"},
    ),
    "a failed job": (fizzled_job, {"jobs": "(b): FIZZLED"}),
    "a lock": (
        set_in("workflows", {}, locked=True),
        {"jobs": "workflow 'jobs': locked since"},
    ),
    "two states": (
        two_states,
        {"jobs": "(a): COMPLETED, its workflow says READY"},
    ),
    "no index": (
        lambda store, pad: store.database["models"].drop_indexes(),
        {"indexes": "models: no unique index on campaign, iteration"},
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_spoiled_is_named(case, store, pad):
    spoil, expected = SPOILED[case]
    spoil(store, pad)
    problems = found(store, pad)
    if (
        "seals" not in expected
    ):  # what else is wrong with the document; test_mutations.py has them all
        problems.pop("seals", None)
    dropped = problems.pop("indexes", []) if "indexes" not in expected else []
    assert all("no unique index on" in line or "no index on" in line for line in dropped)
    assert set(problems) == set(expected)
    for check, text in expected.items():
        assert any(text in line for line in problems[check]), problems[check]


WASTED = {
    "a fingerprint beyond the end": (
        delete_from("structures", {"position": 8}),
        {"fingerprints": "fingerprint at position 8 belongs to no entry"},
    ),
    "a fingerprint of other settings": (
        twice("fingerprints", {"position": 8}, fingerprint_hash="other"),
        {"fingerprints": "1 fingerprints of other settings"},
    ),
    "a blob that was replaced": (
        lambda store, pad: store_output(JOBS[0], {"trajectories": [{"positions": [3.0]}]}),
        {"outputs": f"blob of job {JOBS[0]}"},
    ),
}


@pytest.mark.parametrize("case", WASTED)
def test_what_is_wasted_is_told_apart(case, store, pad):
    spoil, expected = WASTED[case]
    spoil(store, pad)
    wasted = {
        check.name: check.wasted for check in verify(store, FireWorksManager(pad)) if check.wasted
    }
    assert set(wasted) == set(expected)
    for check, text in expected.items():
        assert text in wasted[check][0]


@pytest.mark.parametrize(
    "output",
    [
        {"labels": {}, "documents": {"entry": "text"}},
        {"calcs_reversed": [{"output": 1.0}], "vasp_objects": {"dos": [1.0]}},
        {"objects": {"trajectory": [1.0]}},
    ],
)
def test_documents_of_labels_are_no_waste_and_their_bytes_are_looked_at(output, store, pad):
    row = {"uuid": "task", "index": 1, "name": "task of a cell", "output": output}
    with job_store() as jobs:
        save = {"data": ["documents", *LARGE_FIELDS]}
        jobs.update({**row, "metadata": {"campaign": "test"}}, save=save)
    checks = {check.name: check for check in verify(store, FireWorksManager(pad))}
    assert [checks["outputs"].problems, checks["outputs"].wasted] == [[], []]
    assert checks["arrays"].problems == []
    files = store.database["blobs.files"].distinct("_id", {"metadata.job_uuid": "task"})
    assert files
    store.database["blobs.chunks"].update_one(
        {"files_id": files[0]}, {"$set": {"data": Binary(b"other")}}
    )
    assert "arrays of task of a cell" in found(store, pad)["arrays"][0]


def test_a_label_whose_job_failed_is_not_missed(store, pad):
    store.database["labels"].delete_one({"position": 3})
    store.record(1, label={"requested": 6, "labelled": 4, "failed": 2})
    assert found(store, pad) == {"labels": ["position 3 (001/select/00003): no label"]}
    store.add_failure(1, "label", "label/3", "a", "ValueError: why")
    (labels,) = (check for check in verify(store, FireWorksManager(pad)) if check.name == "labels")
    assert labels.problems == []
    assert labels.wasted == [
        "position 3 (001/select/00003): no label, label/3 failed: ValueError: why"
    ]


def test_checkpoints_of_a_campaign_that_has_ended(store, pad):
    file = settings().cache / "checkpoints" / "test" / "001" / JOBS[0] / "explore.checkpoint"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(100))
    checkpoints = verify(store, FireWorksManager(pad))[-1]
    assert (checkpoints.checked, checkpoints.wasted) == (1, [])
    store.set_state("done")
    assert (
        "1 files, 100 bytes, of a campaign that has ended"
        in verify(store, FireWorksManager(pad))[-1].wasted[0]
    )
    assert found(store, pad) == {}


def test_what_is_being_written_is_not_wrong(store, pad, monkeypatch):
    """A lock, a job and an output of that moment."""
    pad.workflows.update_one({}, {"$set": {"locked": True}})
    orphaned_job(store, pad)
    (blob,) = store.database["blobs.files"].find()
    store.database["blobs.files"].delete_one({})

    def a_moment_later(seconds):
        pad.workflows.update_one({}, {"$unset": {"locked": True}})
        pad.fireworks.delete_one({"fw_id": 99})
        store.database["blobs.files"].replace_one({"_id": blob["_id"]}, blob, upsert=True)

    monkeypatch.setattr(verify_context.time, "sleep", a_moment_later)
    assert found(store, pad) == {}


def test_states_are_compared_only_when_nothing_runs(store, pad):
    two_states(store, pad)
    pad.fireworks.update_one({"name": "b"}, {"$set": {"state": "RUNNING"}})
    assert found(store, pad) == {}


def test_other_campaigns_are_not_looked_at(store, pad):
    for name in ("structures", "fingerprints", "covariances", "labels", "models", "iterations"):
        row = store.database[name].find_one()
        store.database[name].insert_one(
            row | {"_id": f"other {name}", "campaign": "other", "structure_id": "other"}
        )
    pad.fireworks.insert_one(
        {"fw_id": 99, "name": "c", "state": "FIZZLED", "spec": {"campaign": "other"}}
    )
    assert found(store, pad) == {}


def test_a_sample_or_everything(store, pad, monkeypatch):
    monkeypatch.setattr("entropy_flows.store.verify.SAMPLE", 3)
    seen = []
    for deep, expected in ((False, 3), (False, 3), (True, 9)):
        checks = verify(
            store,
            FireWorksManager(pad),
            deep=deep,
            on_progress=lambda *progress: seen.append(progress),
        )
        assert {check.name: check.checked for check in checks}["recomputed"] == expected
    assert {name for name, _, _ in seen} >= {
        "fingerprints",
        "recomputed",
        "covariances",
        "labels",
        "models",
    }
    assert all(0 <= done <= total for _, done, total in seen)


def rewritten(store, collection, where, **fields):
    """Change fields together with their seals."""
    key = store.database[collection].find_one(where)
    store.database[collection].update_one(where, {"$set": setting(collection, key, fields)})


def test_deep_computes_gains_again(store, pad):
    assert found(store, pad, deep=True) == {}
    entry = store.database["structures"].find_one({"position": 4})
    rewritten(store, "structures", {"position": 4}, gain=entry["gain"] + 1e-6)
    problems = found(store, pad, deep=True)
    assert set(problems) == {"chain", "gains"}
    assert problems["gains"][0].startswith(f"position 4 ({entry['key']}): gain ")


def test_deep_draws_the_splits_again(store, pad):
    unset = {"$unset": {"split": True, "seals.split": True}}
    store.database["labels"].update_many({}, unset)
    split_cells(store, store.frames(), 1, TrainParams(fractions=(0.6, 0.2, 0.2)))
    assert found(store, pad, deep=True) == {}
    test = store.database["labels"].find_one({"split": "test"})
    rewritten(store, "labels", {"split": "test"}, split="train")
    assert found(store, pad) == {}
    (line,) = found(store, pad, deep=True)["drawn"]
    assert line == f"position {test['position']} ({test['key']}): is in train, was drawn for test"
    store.database["labels"].delete_one({"position": 0})
    (drawn,) = (
        check for check in verify(store, FireWorksManager(pad), deep=True) if check.name == "drawn"
    )
    assert drawn.wasted == ["iteration 1: its cells are others than when their parts were drawn"]


def test_nothing_is_changed(store, pad):
    def content():
        return {
            name: list(store.database[name].find())
            for name in sorted(store.database.list_collection_names())
        }

    before = content()
    verify(store, FireWorksManager(pad))
    assert content() == before


def test_an_older_version_is_refused(store, pad):
    store.database["campaigns"].update_one({}, {"$unset": {"schema": True}})
    with pytest.raises(StoreError, match="written by an older entropy_flows"):
        verify(store, FireWorksManager(pad))


# -- the command
# ----------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`entropy-flows verify` → exit code and output."""
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["entropy-flows", "verify", str(path), *options])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().out
        raise AssertionError("a command ends with an exit code")

    return run


def test_the_command(store, command):
    code, out = command("--help")
    assert (code, "Example:" in out) == (0, True)
    code, out = command()
    assert code == 0
    assert "test: all is well" in out
    store.database["labels"].update_many({}, {"$set": {"position": 70}})
    code, out = command("--deep")
    assert code == 1
    lines = [line for line in out.splitlines() if line.startswith("labels, wrong:")]
    assert len(lines) == 6
    assert all(line.endswith(": the ledger has another position") for line in lines[:5])
    assert lines[-1] == "labels, wrong: and 1 more"
    assert "test: 12 things are wrong" in out  # their seals are, too
    assert any(
        line.split()[1::2] == ["labels", "6", "6", "0"]
        for line in out.replace("│", " │ ").splitlines()
    )
