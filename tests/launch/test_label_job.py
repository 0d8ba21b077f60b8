"""What a label job asks of the database, and what of its work a fault leaves."""

import numpy as np
import pytest
from cells import rattled
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire
from jobflow import Flow
from listening import commands_of
from stage_jobs import DATASET

from entropy_flows import Campaign
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext
from entropy_flows.jobs import label as label_stage
from entropy_flows.jobs.label import LabelMaker
from entropy_flows.label import LabelParams, engine_of, make_static_maker
from entropy_flows.launch import indexes
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.indexes import USED
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.task import add_once, to_workflow
from entropy_flows.launch.worker_launchpad import worker_launchpad
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry

CELLS = 12
LENNARD_JONES = LabelParams(engine="forcefield", model="ase.calculators.lj.LennardJones")
CONFIG = {
    "name": "ours",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}


@pytest.fixture
def commands(server, database, monkeypatch):
    """Commands of connections that are opened from now on."""
    counted = commands_of(monkeypatch)
    monkeypatch.setenv("ENTROPY_FLOWS_URI", f"{server}?appname={database.name}")
    settings.cache_clear()
    return counted


@pytest.fixture
def store(database, tmp_path, monkeypatch):
    """A campaign with cells to label."""
    monkeypatch.chdir(tmp_path)
    store = CampaignStore(database, "ours")
    store.create(Campaign.model_validate(CONFIG))
    cells = [to_structure(rattled("Si", 1, seed=seed)) for seed in range(2 * CELLS)]
    entries = [
        Entry(f"001/explore/{n:05d}/00010", cell, np.ones((2, 4)), 0.5, {"phase": "diamond"})
        for n, cell in enumerate(cells)
    ]
    store.ledger(DATASET).append_accepted(1, "select", entries)
    return store


def label_job(store, batch, cells, maker=None):
    maker = maker or make_static_maker(LENNARD_JONES)
    context = IterationContext("ours", 1, engine_hash=engine_of(maker).hash)
    names = [entry["_id"] for entry in store.ledger(DATASET).entries()][cells]
    return LabelMaker(static_maker=maker).make(context, batch=batch, structures=names)


def run_all(pad):
    rapidfire(pad, FWorker("here"), nlaunches=0, strm_lvl="CRITICAL")


def add(pad, job):
    flow = Flow([job])
    flow.update_metadata({"campaign": "ours"}, dynamic=True)
    assert add_once(pad, to_workflow(flow))


def test_a_job_of_many_labels_asks_the_database_no_more_than_a_job_of_one(store, commands):
    pad = worker_launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    counts = []
    # the first job opens the connections
    for batch, cells in enumerate([slice(0, 1), slice(1, 2), slice(2, 2 + CELLS)]):
        add(pad, label_job(store, batch, cells))
        commands.names.clear()
        run_all(pad)
        counts.append(len(commands.names))
    assert counts[1] == counts[2] <= 52
    rows = list(store.labels())
    assert len(rows) == 2 + CELLS
    assert all(row["converged"] for row in rows)
    assert pad.fireworks.count_documents({"state": "COMPLETED"}) == 3
    assert store.iterations()[0]["label"]["labelled"] == 2 + CELLS


def test_a_new_launchpad_of_the_embedded_server_has_the_indexes_that_are_used(store, database):
    FireWorksManager(launchpad()).prepare()
    for name, used in USED.items():
        present = database[name].index_information().values()
        keys = [tuple(key for key, _ in index["key"]) for index in present]
        assert sorted(keys) == sorted([("_id",), *used])
    assert database["fireworks"].index_information()["fw_id_1"]["unique"]
    assert database["launches"].index_information()["launch_id_1"]["unique"]


def test_another_server_keeps_all_that_fireworks_makes(store, database, monkeypatch):
    monkeypatch.setattr(indexes, "is_embedded_kind", lambda _: False)
    FireWorksManager(launchpad()).prepare()
    assert "updated_on_1" in database["fireworks"].index_information()


def test_a_fault_of_the_machine_leaves_the_labels_before_it(store, database, monkeypatch):
    monkeypatch.setattr(label_stage, "WRITE_SECONDS", 0.0)
    maker = make_static_maker(LENNARD_JONES)
    calculate = type(maker.calculator).calculate
    calls = []

    def fails_at_the_fourth(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return calculate(self, *args, **kwargs)

    monkeypatch.setattr(type(maker.calculator), "calculate", fails_at_the_fourth)
    job = label_job(store, 0, slice(0, 6), maker)
    pad = worker_launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    add(pad, job)
    run_all(pad)
    assert pad.fireworks.find_one({})["state"] == "FIZZLED"
    assert database["labels"].count_documents({}) == 3
    pad.rerun_fw(pad.fireworks.find_one({})["fw_id"])
    run_all(pad)
    assert pad.fireworks.find_one({})["state"] == "COMPLETED"
    assert database["labels"].count_documents({"converged": True}) == 6
    assert len(calls) == 7  # those before the fault were not calculated again
