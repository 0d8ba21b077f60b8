"""A campaign with labels through VASP's files and custodian, of which a third fails."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import standin
import yaml
from cells import rattled

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext, LabelMaker
from entropy_flows.jobs.task_documents import task_uuid
from entropy_flows.report.labels import label_rows
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, Entry, job_store

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]
FAULTS = {
    "truncated_xml": "parse_error",
    "missing_oszicar": "crash",
    "unconverged": "scf_not_converged",
    "crash": "crash",
    "out_of_memory": "out_of_memory",
    "wrong_energy": "inconsistent_output",
    "metal": "inconsistent_output",
    "hang": "walltime",
}
STANDIN = f"{sys.executable} {Path(__file__).with_name('standin.py')}"
DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))
HANDLERS = ("VaspErrorHandler", "UnconvergedErrorHandler", "StdErrHandler", "LargeSigmaHandler")


def handler(name, **arguments):
    return {"@module": "custodian.vasp.handlers", "@class": name, **arguments}


@pytest.fixture
def campaign(tmp_path):
    """One iteration of seconds, on the preset that users run."""
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    explore = {"temperatures": [600], "entropy_weights": [3], "pressures": [0, 10]}
    explore |= {"steps": 40, "warm_up": 5, "ramp": 5, "batch_size": 4}
    run = {
        "vasp_cmd": STANDIN,
        "vasp_gamma_cmd": STANDIN,
        "handlers": [*map(handler, HANDLERS), handler("FrozenJobErrorHandler", timeout=3)],
        "custodian_kwargs": {"polling_time_step": 0.2, "monitor_freq": 10},
    }
    label = {
        "engine": "vasp-pbe",
        "kpoint_length": 10,
        "user_incar_settings": {"NELM": 12},
        "run_vasp_kwargs": run,
    }
    config |= {
        "name": "standin",
        "explore": explore,
        "select": {"theta_min": 0.01, "max_labels": 16},
        "refine": {"max_candidates": 1, "max_steps": 2},
        "anchors": {"fraction": 0.2, "pressures": [0]},
        "label": {**label, "batch_size": 3, "scf_retries": 1},
        "train": {"preset": "small", "max_epochs": 2},
        "stop": {"max_iterations": 1},
    }
    path = tmp_path / "standin.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def command(potcars, *arguments):
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    settings = {"ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent"}
    settings |= {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    faults = " ".join(f"{name}=0.04" for name in FAULTS)
    env = {**hidden, **settings, "PMG_VASP_PSP_DIR": str(potcars), "STANDIN_FAULTS": faults}
    program = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        program, env=env, capture_output=True, text=True, timeout=280, check=False
    )


def test_a_batch_with_failures_is_rows_and_no_error(vasp, database, monkeypatch):
    """Cells picked so that the first is calculated and each of the others fails in its own way."""
    faults = ["", "crash", "truncated_xml", "wrong_energy"]
    monkeypatch.setenv("STANDIN_FAULTS", " ".join(f"{name}=0.25" for name in faults[1:]))
    cells = {}
    for seed in range(200):
        atoms = rattled("Si", 1, seed=seed)
        cells.setdefault(standin.fault(atoms), atoms)
    store = CampaignStore(database, "standin")
    phases = [{"name": "diamond", "file": "diamond.cif"}]
    fields = {
        "name": "standin",
        "elements": ["Si"],
        "base_model": "SevenNet-0",
        "phases": phases,
        "label": {},
    }
    store.create(Campaign.model_validate(fields))
    origin = {"phase": "diamond", "temperature": 300.0, "k": 2.0, "pressure": 5.0, "run": 3}
    entries = [
        Entry(f"001/explore/{n:05d}/00010", to_structure(cells[name]), np.ones((2, 4)), 0.5, origin)
        for n, name in enumerate(faults)
    ]
    ledger = store.ledger(DATASET)
    ledger.append_accepted(1, "select", entries)
    store.record(1, **{"label.requested": len(entries)})
    ids = [entry["_id"] for entry in ledger.entries()]
    with job_store() as outputs:
        done = (
            LabelMaker(static_maker=vasp())
            .make(IterationContext("standin", 1, engine_hash="hash"), batch=0, structures=ids)
            .run(store=outputs)
            .output
        )
    assert (done.labelled, done.failed) == (1, 3)
    assert done.reasons == {"crash": 1, "parse_error": 1, "inconsistent_output": 1}
    rows = label_rows(store.labels())
    assert rows[-1][4:7] == ["4", "3", "75"]
    assert len(store.frames()) == 1
    (label,) = store.labels(converged=True)
    with job_store() as outputs:
        query = {"uuid": task_uuid(label["structure_id"], "hash")}
        task = outputs.query_one(query, load=True)
        documents = outputs.count({"metadata.structure_id": {"$exists": True}})
    assert task["metadata"]["structure_id"] == label["structure_id"]
    assert task["output"]["calcs_reversed"][0]["output"]["ionic_steps"]
    assert task["output"]["output"]["energy"] == pytest.approx(label["energy"])
    assert documents >= 1


@pytest.mark.slow
def test_a_campaign_with_a_third_of_failures_finishes_and_says_so(campaign, potcars):
    done = command(potcars, "run", campaign, "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    code = (
        "from entropy_flows.store import connect\n"
        "db = connect()\n"
        "rows = [(d['converged'], d['reason'], d['evidence'], d.get('split'))\n"
        "        for d in db.labels.find()]\n"
        "print([rows, db.structures.count_documents({}), db.fireworks.distinct('state')])\n"
    )
    shown = command(potcars, "database", campaign, "--", sys.executable, "-c", code)
    labels, cells, states = ast.literal_eval(shown.stdout.splitlines()[-1])
    failed = [label for label in labels if not label[0]]
    assert len(labels) == cells  # no cell without its row
    assert states == ["COMPLETED"]
    assert len({reason for _, reason, _, _ in failed}) >= 2
    assert {reason for _, reason, _, _ in failed} <= set(FAULTS.values())
    assert all(evidence for _, _, evidence, _ in failed)
    assert {split for good, _, _, split in labels if good} == {"train", "val", "test"}
    assert {split for good, _, _, split in labels if not good} == {None}
    status = command(potcars, "status", campaign).stdout
    assert "VASP PBE" in status
    assert re.search(rf"failed labels\W+{len(failed)}\b", status), status
    for _, reason, _, _ in failed:
        assert reason in status
