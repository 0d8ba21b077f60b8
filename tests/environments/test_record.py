"""What a job leaves of the environments that it has used, and what a stage does with them."""

import pytest

from entropy_flows.environments import processes_end_here
from entropy_flows.jobs import common
from entropy_flows.potentials import load_batch_model, with_arguments
from entropy_flows.store import CampaignStore
from entropy_flows.store.documents import validate_document

EMT = "ase.calculators.emt.EMT"


@pytest.fixture
def name(environment):
    return with_arguments(EMT, {"environment": str(environment)})


def test_an_iteration_has_the_packages_of_its_environments_once(database, name, environment):
    store = CampaignStore.open("test")
    for _ in range(2):
        with processes_end_here() as processes:
            load_batch_model(name)
        store.record_environments(1, processes)
    (document,) = store.iterations()
    validate_document("iterations", document)
    (facts,) = document["environments"].values()
    assert facts["name"] == str(environment)
    assert facts["python"].startswith("3.")
    assert any(line.startswith("ase==") for line in facts["packages"])


def test_a_stage_ends_its_processes_and_records_them(database, name):
    models = []

    def work():
        models.append(load_batch_model(name))
        return "done"

    assert common._run_stage("explore", common.JobKey("test", 1, 0), work) == "done"
    assert models[0].process.pid is None
    (document,) = CampaignStore.open("test").iterations()
    assert len(document["environments"]) == 1
