"""The jobs of a data set without physics: checkpoints, and one ledger in order."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from entropy_flows.entropy import MODES, DatasetParams, SufficientStatistics
from entropy_flows.explore import RevEM, RevEMParams, windows
from entropy_flows.faults import Terminated, handle_sigterm
from entropy_flows.fingerprints import GOM, GOMParams
from entropy_flows.jobs import (
    AdmitMaker,
    AscendMaker,
    FinishDatasetMaker,
    IterationContext,
)
from entropy_flows.jobs.agnostic_checkpoint import SearchCheckpoint, packed, unpacked
from entropy_flows.schemas import AgnosticParams, AscendDoc
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, StoreError

DATASET = DatasetParams(
    fingerprint=GOMParams(cutoff=4.0, natx=16, elements=("W",)), regularization=1e-6
)
SEARCH = RevEMParams(
    iterations=16, lockstep=4, bootstrap=3, shape={"atoms": (2, 5)}, ascent={"max_steps": 8}
)
WINDOWS = windows(15.8)
CONTEXT = IterationContext("w", 1, seed=7, dataset=DATASET)


@pytest.fixture
def store(database):
    opened = CampaignStore(database, "w")
    opened.create(AgnosticParams(name="w", element="W", **SEARCH.model_dump()))
    return opened


def ascend(batch, window=1, mode="atom", part=0):
    return AscendMaker.make.original(
        AscendMaker(params=SEARCH),
        replace(CONTEXT, iteration=batch + 1),
        batch=batch,
        element="W",
        window=asdict(WINDOWS[window]),
        mode=mode,
        repeat=part,
    )


def admit(docs):
    return AdmitMaker.make.original(AdmitMaker(), CONTEXT, element="W", searches=docs)


def a_search():
    gom = GOM(**dict(DATASET.fingerprint))
    return RevEM(
        "W", WINDOWS[1], SufficientStatistics(gom.dim, 1e-6), gom, SEARCH, np.random.default_rng(3)
    )


def test_a_packed_search_goes_on_with_the_same_bits(tmp_path):
    run, other = a_search(), a_search()
    run.advance()
    file = SearchCheckpoint(tmp_path / "search.checkpoint", ["W", 1])
    file.write(packed(run, 12.5))
    run.run()
    again = SearchCheckpoint(tmp_path / "search.checkpoint", ["W", 1])
    again.resume(other, "W")
    assert again.seconds >= 12.5
    assert other.done == 4
    other.run()
    assert packed(other, 0.0) == packed(run, 0.0)
    state, _ = unpacked(packed(run, 0.0), "W")
    assert [one.gain for one in state["accepted"]] == [one.gain for one in run.accepted]


def test_a_checkpoint_of_other_inputs_is_ignored(tmp_path):
    run, other = a_search(), a_search()
    run.advance()
    SearchCheckpoint(tmp_path / "search.checkpoint", ["W", 1]).write(packed(run, 1.0))
    SearchCheckpoint(tmp_path / "search.checkpoint", ["W", 2]).resume(other, "W")
    assert other.done == 0


def test_a_search_that_is_asked_to_end_saves_and_is_finished_by_the_next(store, monkeypatch):
    whole = ascend(0)
    asked = iter([False, True])
    monkeypatch.setattr(
        "entropy_flows.jobs.checkpoint.termination_asked", lambda: next(asked, False)
    )
    with handle_sigterm(), pytest.raises(Terminated, match="saved at candidate 8"):
        ascend(1)
    tried = []
    monkeypatch.setattr(RevEM, "advance", noting(RevEM.advance, tried))
    resumed = ascend(1)
    assert tried == [8, 12]
    differ = {"iteration", "batch", "cpu_seconds"}
    assert resumed.model_dump(exclude=differ) == whole.model_dump(exclude=differ)


def noting(method, tried):
    def advance(search):
        tried.append(search.done)
        method(search)

    return advance


def test_progress_is_told_while_it_runs(store, monkeypatch):
    monkeypatch.setenv("ENTROPY_FLOWS_CHECKPOINT", "0")
    settings.cache_clear()
    seen = []
    record = CampaignStore.record

    def spying(self, iteration, **fields):
        record(self, iteration, **fields)
        seen.append(self.iterations()[0]["ascend"]["tried"])

    monkeypatch.setattr(CampaignStore, "record", spying)
    ascend(0)
    assert seen[:6] == [0, 4, 8, 12, 16, 16]


def test_gathering_writes_one_ledger_in_the_order_of_the_runs(store):
    docs = [ascend(0), ascend(1, mode="config"), ascend(2, window=9)]
    found = admit([docs[0], None, *docs[1:]])
    entries = list(store.ledger(DATASET).entries())
    assert [entry["position"] for entry in entries] == list(range(found.cells))
    assert [entry["iteration"] for entry in entries] == sorted(
        entry["iteration"] for entry in entries
    )
    assert found.cells == sum(len(doc.trajectories) for doc in docs)
    assert found.batches == 3
    first = entries[0]
    assert first["key"] == "001/revem/00000"
    assert first["origin"]["candidate"] == 0
    assert (first["origin"]["window"], first["origin"]["mode"], first["origin"]["phase"]) == (
        1, "atom", "window 1, per atom")  # fmt: skip
    for mode in MODES:  # both modes see every cell
        whole = store.ledger(DATASET).statistics(4, "select")[mode]
        assert whole.n == (found.atoms if mode == "atom" else found.cells)
        assert whole.entropy() == pytest.approx(found.entropy[mode])
    counts = [doc["select"]["accepted"] for doc in store.iterations() if "select" in doc]
    assert counts == [len(doc.trajectories) for doc in docs]


def test_gathering_twice_changes_nothing(store):
    docs = [ascend(0), ascend(1, mode="config")]
    once = admit(docs)
    before = list(store.ledger(DATASET).entries())
    assert admit([AscendDoc.model_validate(doc.model_dump()) for doc in docs]) == once
    assert list(store.ledger(DATASET).entries()) == before


def test_random_cells_are_as_many_and_tell_less(store):
    docs = [ascend(0), ascend(1, mode="config")]
    for doc in docs:
        assert len(doc.random) == len(doc.entropies) == len(doc.trajectories)
        assert doc.entropies[-1] > doc.random[-1]
        assert doc.cpu_seconds > 0
    found = admit(docs)
    assert all(found.entropy[mode] > found.random[mode] for mode in MODES)


def test_changed_settings_are_another_data_set(store):
    same = AgnosticParams(name="w", element="W", **SEARCH.model_dump())
    assert store.compare(same)["state"] == "new"
    assert store.create(same) is False
    with pytest.raises(StoreError, match=r"other settings \(iterations\)"):
        store.create(same.model_copy(update={"iterations": 17}))


def test_without_any_run_the_data_set_has_failed(store):
    store.add_failure(1, "ascend", "ascend/0", "u", "ValueError: no cell")
    assert admit([None, None]) is None
    FinishDatasetMaker.make.original(FinishDatasetMaker(), CONTEXT, admission=None)
    document = store.document()
    assert (document["state"], document["message"]) == ("failed", "ascend/0: ValueError: no cell")
