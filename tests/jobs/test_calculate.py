"""Labels that are calculated where there is no database, and written where there is one."""

import numpy as np
import pytest
from ase.build import bulk
from jobflow import JobStore
from maggma.stores import MemoryStore
from remote.emt_maker import EmtMaker
from stage_jobs import DATASET

from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext
from entropy_flows.jobs.calculate import CalculateMaker, document_of, document_text
from entropy_flows.jobs.label import LabelMaker
from entropy_flows.label import engine_of
from entropy_flows.label.reasons import EngineError
from entropy_flows.schemas import CalculatedLabels, Campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, job_store

CONFIG = {
    "name": "one",
    "elements": ["Cu"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "fcc", "file": "fcc.cif"}],
    "label": {"engine": "custom", "maker": "remote.emt_maker:static"},
}
CONTEXT = IterationContext("one", 1, engine_hash=engine_of(EmtMaker()).hash)


def copper(seed):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    return to_structure(atoms)


def calculated(cells, context=CONTEXT):
    made = CalculateMaker(static_maker=EmtMaker()).make(context, batch=0, cells=cells)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return made, made.run(store=store).output


@pytest.fixture
def nowhere(monkeypatch):
    """No database can be reached, and none is configured."""
    monkeypatch.setenv("ENTROPY_FLOWS_URI", "mongodb://127.0.0.1:9/")
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_label_is_calculated_without_a_database(nowhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = copper(1)
    made, output = calculated({"a": cell})
    assert made.metadata["store_free"]
    assert made.name == "label"
    label = output.labels["a"]
    assert label["converged"]
    assert len(label["forces"]) == len(cell)
    assert document_of(output.documents["a"])["output"]["energy"] == label["energy"]


def test_a_worker_with_other_settings_calculates_nothing(nowhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = IterationContext("one", 1, engine_hash="another")
    with pytest.raises(EngineError, match="has other settings on this worker"):
        calculated({"a": copper(1)}, other)


def test_what_was_calculated_elsewhere_is_recorded_once(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = CampaignStore(database, "one")
    store.create(Campaign.model_validate(CONFIG))
    maker = LabelMaker(static_maker=EmtMaker())
    ledger = store.ledger(DATASET)
    cells = [copper(seed) for seed in range(2)]
    entries = [
        Entry(f"001/explore/{n:05d}/00010", cell, np.ones((4, 4)), 0.5, {})
        for n, cell in enumerate(cells)
    ]
    ledger.append_accepted(1, "select", entries)
    rows = list(ledger.entries())
    jobs = maker.jobs_of(CONTEXT, 0, rows)
    assert [job.name for job in jobs] == ["label", "record"]
    _, output = calculated(dict(zip([row["_id"] for row in rows], cells, strict=True)))
    for _ in range(2):
        record = jobs[-1]
        record.function_kwargs["calculated"] = CalculatedLabels(**output.model_dump())
        with job_store() as outputs:
            result = record.run(store=outputs).output
        assert result.labelled == 2
    assert database["labels"].count_documents({}) == 2
    assert store.iterations()[0]["seconds"]["label/0"] >= 0
    # nothing is left to calculate
    assert [job.name for job in maker.jobs_of(CONTEXT, 0, rows)] == ["record"]


def test_a_task_document_keeps_its_times():
    from datetime import datetime

    document = {"completed": datetime(2026, 1, 2), "energy": -1.5}
    assert document_of(document_text(document)) == document
