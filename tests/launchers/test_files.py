"""The launcher files are what FireWorks and jobflow read."""

from pathlib import Path

import pytest
import yaml

from entropy_flows.flows.active_learning import CATEGORIES

FOLDER = Path(__file__).parents[2] / "launchers"


def test_job_store_of_jobflow_yaml_works_on_a_server(server, tmp_path):
    from jobflow import JobStore

    spec = yaml.safe_load((FOLDER / "jobflow.yaml").read_text())["JOB_STORE"]
    for part in (spec["docs_store"], spec["additional_stores"]["data"]):
        assert part["uri"].endswith("w=1&journal=true")
        part |= {"uri": server, "database": "launchers"}
    store = JobStore.from_dict_spec(spec)
    store.connect()
    store.update({"uuid": "a", "index": 1, "output": {"trajectories": [1.0, 2.0]}}, save={"data": ["trajectories"]})
    assert store.get_output("a", load=True) == {"trajectories": [1.0, 2.0]}


def test_launchpad_file_is_journaled_and_has_no_password():
    from fireworks import LaunchPad

    spec = yaml.safe_load((FOLDER / "my_launchpad.yaml").read_text())
    assert "journal=true" in spec["host"]
    assert "@" not in spec["host"]
    pad = LaunchPad.from_dict(spec)
    assert pad.name == "entropy_flows"


@pytest.mark.parametrize("category", sorted({*CATEGORIES.values(), "cpu"}))
def test_every_category_has_a_worker_and_a_queue(category):
    from fireworks import FWorker
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    worker = FWorker.from_file(str(FOLDER / f"my_fworker_{category}.yaml"))
    assert worker.category == category
    adapter = CommonAdapter.from_dict(yaml.safe_load((FOLDER / f"my_qadapter_{category}.yaml").read_text()))
    script = adapter.get_script_str("launch")
    assert f"#SBATCH --partition={category}" in script
    assert f"my_fworker_{category}.yaml" in script
    assert "OMP_NUM_THREADS=1" in script
