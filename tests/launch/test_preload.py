"""A worker that waits imports and loads what its jobs will need, and takes no job before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobflow import Flow
from stage_jobs import CountMaker

import entropy_flows
from entropy_flows.label.engines.forcefield import ForceFieldEngine
from entropy_flows.launch import preload as preload_module
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.local import LocalWorkers
from entropy_flows.launch.preload import Preload
from entropy_flows.launch.task import add_once, to_workflow
from entropy_flows.potentials import load_batch_model, load_calculator
from entropy_flows.potentials.loaded_models import forget_models, keep_models
from entropy_flows.potentials.nequip import NequIPFamily
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore

SI = str(Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip")
CONFIG = {
    "name": "ours",
    "elements": ["Si"],
    "base_model": SI,
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
}


@pytest.fixture
def nothing_kept():
    forget_models()
    yield
    forget_models()


def test_the_first_job_finds_the_model(nothing_kept, monkeypatch):
    loads = []
    for method in ("load_batch_model", "load_calculator"):
        load = getattr(NequIPFamily, method)

        def counted(*arguments, load=load):
            loads.append(load.__name__)
            return load(*arguments)

        monkeypatch.setattr(NequIPFamily, method, counted)
    preload = Preload("ours", SI)
    while preload.next():
        pass
    assert sorted(loads) == ["load_batch_model", "load_calculator"]
    with keep_models():
        model = load_batch_model(SI)
        load_calculator(SI)
    assert len(loads) == 2
    forget_models()
    assert load_batch_model(SI) is not model
    assert len(loads) == 4


def test_a_piece_that_fails_says_so_and_the_others_are_done(capsys, monkeypatch):
    done = []
    monkeypatch.setattr(preload_module, "_import_what_all_need", lambda: done.append("imports"))
    monkeypatch.setattr(preload_module, "_import_stages", lambda: done.append("stages"))
    preload = Preload("ours", "/nowhere/model.nequip.zip")
    monkeypatch.setenv("ENTROPY_FLOWS_URI", "no uri")
    preload.add_what_is_stored()
    assert [preload.next() for _ in range(5)] == [True, True, True, True, False]
    assert done == ["imports", "stages"]
    err = capsys.readouterr().err
    assert "not loaded ahead: FileNotFoundError: model file /nowhere/model.nequip.zip" in err


def test_the_engine_of_the_campaign_is_loaded(database, monkeypatch):
    CampaignStore(database, "ours").create(Campaign.model_validate(CONFIG))
    asked = []
    monkeypatch.setattr(ForceFieldEngine, "calculator", lambda engine: asked.append(engine.name))
    preload_module._load_engine("ours")
    assert asked == ["EMT (teacher, not DFT)"]


def test_workers_take_no_job_before_they_may(database, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    pad = launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    CampaignStore(database, "ours").create(Campaign.model_validate(CONFIG))
    marks = tmp_path / "marks"
    with LocalWorkers("ours", tmp_path, count=1) as crew:
        assert crew.is_started
        job = CountMaker().make("ours", 1, str(marks))
        job.update_metadata({"campaign": "ours"}, dynamic=True)
        add_once(pad, to_workflow(Flow([job])))
        time.sleep(3)
        (process,) = crew.processes.values()
        assert process.poll() is None
        assert not marks.exists()
        crew.begin()
        deadline = time.monotonic() + 120
        while not marks.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_worker_ends_with_whoever_would_tell_it_to_begin(tmp_path):
    command = [sys.executable, "-m", "entropy_flows.launch.worker", "w", "ours", str(tmp_path)]
    process = subprocess.Popen([*command, "--wait"], stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(120) == 0
