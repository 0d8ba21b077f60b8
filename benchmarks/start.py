"""What a job costs before it works: two iterations with next to nothing to do, by one worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.report import Section, Table
from benchmarks.timing import Options
from entropy_flows.launch.submit import submit
from entropy_flows.potentials import locate_model
from entropy_flows.schemas import load_settings
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, connect
from entropy_flows.store.embedded import embedded_server

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "entropy_flows" / "cli" / "templates" / "demo.yaml"
LITTLE: dict[str, dict[str, Any]] = {
    "explore": {
        "temperatures": [300],
        "entropy_weights": [5],
        "pressures": [0, 10],
        "steps": 4,
        "warm_up": 1,
        "ramp": 1,
        "snapshot_every": 1,
        "batch_size": 2,
    },
    "select": {"max_labels": 4},
    "anchors": {"fraction": 0.25},
    "label": {"batch_size": 3},
    "train": {"max_epochs": 2},
}
"""Changes of the demo that leave each of its jobs little to do."""
TEXT = """\
CPU seconds of the jobs of two iterations, taken one after the other by one worker process. It is
the demo with 6 steps a run, 4 labels and 2 epochs: a small Allegro model, labels of SevenNet-0. The
first row is what a local worker imports and loads while it waits; the kernels were compiled before.
"Programs" are the processes of trainings. Page faults and peak memory are the worker's own."""


def run(options: Options) -> Section:
    """Run the campaign and tell what each of its jobs cost."""
    with TemporaryDirectory(prefix="entropy-flows-start-") as name:
        rows = measure(options, Path(name))
    columns = ["job", "iteration", "CPU, s", "programs, s", "page faults", "peak memory, MiB"]
    table = Table("Jobs with next to nothing to do", columns)
    iteration = 1
    for row in rows:
        numbers = [row["cpu"], row["programs"], int(row["faults"]), int(row["memory"])]
        table.rows.append([row["job"], iteration, *numbers])
        iteration += row["job"] == "advance"
    return Section("What a job costs before it works", TEXT.replace("\n", " "), [table])


def measure(options: Options, folder: Path) -> list[dict[str, Any]]:
    """Run the campaign in a folder; return what each job cost, in their order."""
    content = yaml.safe_load(DEMO.read_text().replace("CAMPAIGN", "start"))
    for section, changes in LITTLE.items():
        content[section] |= changes
    file = folder / "campaign.yaml"
    file.write_text(yaml.safe_dump(content))
    notes = folder / "jobs.json"
    with embedded_server(folder / "database") as uri:
        os.environ |= {"ENTROPY_FLOWS_URI": uri, "ENTROPY_FLOWS_CACHE": str(folder / "cache")}
        settings.cache_clear()
        campaign = load_settings(file)
        store = CampaignStore(connect(), campaign.name)
        submit(store, campaign, folder, None)
        options.say("start: two iterations")
        command = [sys.executable, "-m", "benchmarks.start_worker", str(notes)]
        command += [campaign.name, locate_model(campaign.base_model, folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        document = store.document()
    if document["state"] != "done":
        raise RuntimeError(f"the campaign is {document['state']}: {document['message']}")
    return [json.loads(line) for line in notes.read_text().splitlines()]
