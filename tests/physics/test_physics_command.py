"""Checks kept as rows, made again by nobody, and shown by the commands."""

import pytest
import yaml
from ase.calculators.emt import EMT
from fireworks import FWorker
from fireworks.core.rocket_launcher import rapidfire

from entropy_flows.evaluate.physics import HarshestCondition, resolved
from entropy_flows.explore import seed_cell
from entropy_flows.jobs import PhysicsMaker
from entropy_flows.jobs.physics import check_model, checked_models, rows_of
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.repair import retry_stages
from entropy_flows.launch.verify import verify
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore, PhysicsChecks

EMT_NAME = "ase.calculators.emt.EMT"
CONFIG = {
    "name": "copper",
    "elements": ["Cu"],
    "base_model": EMT_NAME,
    "phases": [
        {"name": "fcc", "spacegroup": "Fm-3m", "lattice": {"a": 3.6}, "sites": {"Cu": [[0, 0, 0]]}},
        {
            "name": "bcc",
            "spacegroup": "Im-3m",
            "lattice": {"a": 2.87},
            "sites": {"Cu": [[0, 0, 0]]},
        },
    ],
    "explore": {"temperatures": [300, 500], "pressures": [0, 4]},
    "label": {"engine": "forcefield", "model": EMT_NAME},
    "physics": {
        "steps": 100,
        "fmax": 0.02,
        "volumes": 5,
        "pressures": [0, 2, 4],
        "checks": ["eos", "enthalpy"],
    },
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "copper.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture
def store(database, file):
    opened = CampaignStore(database, "copper")
    opened.create(load_campaign(file))
    opened.save_model(0, EMT_NAME, role="base")
    return opened


@pytest.fixture
def command(store, file, run_main):
    """Run a command; exit code and what it prints, in one line."""

    def run(name, *options):
        return run_main(name, file, *options)

    return run


def change(file, **physics):
    file.write_text(yaml.safe_dump({**CONFIG, "physics": {**CONFIG["physics"], **physics}}))


def plan(file):
    campaign = load_campaign(file)
    return resolved(campaign.physics, HarshestCondition(*campaign.hardest)), {
        p.name: seed_cell(p) for p in campaign.phases
    }


def test_the_corner_of_the_grid_is_where_dynamics_run(file):
    change(file, pressures=None)
    params, _ = plan(file)

    assert len(params.pressures) == 9
    assert (params.temperature, params.pressure, params.pressures[-1]) == (500, 4, 4)


def test_a_killed_run_goes_on_and_each_check_is_made_once(store, file):
    change(file, checks=["eos", "stability"])
    params, cells = plan(file)
    checks, before = (
        PhysicsChecks(store.database, "copper"),
        checked_models(store, load_campaign(file))[0],
    )
    seen = []

    def die(check, phase, _row):
        seen.append((check, phase))
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_model(checks, before, params, cells, die)
    assert len(rows_of(checks, before.reference, params, cells)) == 2
    assert check_model(checks, before, params, cells, lambda *place: seen.append(place[:2])) == 2
    assert len(seen) == len(set(seen)) == 4
    assert check_model(checks, before, params, cells) == 0
    assert (
        check_model(checks, before, params.model_copy(update={"steps": 110}), cells) == 2
    )  # the dynamics alone


def test_command_shows_before_and_engine_and_the_report_has_them(command, store, file):
    code, text = command("physics")

    assert code == 0
    assert "8 checks made now" in text
    assert "EMT (teacher, not DFT)" in text
    assert "fcc 0.0 < bcc" in text
    assert "none up to 4 GPa" in text
    assert "0 checks made now" in command("physics")[1]
    code, text = command("report")
    assert code == 0, text
    page = (file.parent / "copper" / "report" / "index.html").read_text()
    assert 'id="physics_eos"' in page
    assert 'id="physics_enthalpy"' in page
    assert "transitions" in page


def test_changed_checks_are_no_other_campaign_and_failures_are_retried(command, store, file):
    change(file, checks=["eos"], max_steps=1, phases=["fcc"])
    store.create(load_campaign(file))
    code, text = command("physics")
    assert code == 0
    assert "not relaxed at 0 GPa after 1 steps" in text
    assert "failed" in text
    assert "0 checks made now" in command("physics")[1]
    assert "2 failed checks will be made again" in command("physics", "--retry")[1]
    change(file, phases=["hcp"])
    assert (
        "physics.phases: 'hcp' is not a phase of this campaign (fcc, bcc)" in command("physics")[1]
    )
    change(file, pressures=[5, 5])
    assert "pressures 5, 5 must rise" in command("physics")[1]


def test_the_job_makes_what_is_missing(store, file):
    params, cells = plan(file)
    made = PhysicsMaker(params=params.model_copy(update={"checks": ("eos",)})).make(
        "copper", 1, "engine", cells
    )
    doc = _run(made)

    assert (doc["completed"], doc["reused"], doc["failed"]) == (2, 0, 0)
    row = PhysicsChecks(store.database, "copper").find(phase="fcc")[0]
    assert row["result"]["bulk_modulus"] == pytest.approx(_run_eos(cells), rel=1e-6)
    missing = _run(PhysicsMaker().make("copper", 1, "after", cells))
    assert missing is None
    assert "has no model 'after' yet" in store.failures()[0]["message"]


def test_on_a_cluster_it_is_a_job_for_each_model(command, store, file, tmp_path, monkeypatch):
    change(file, checks=["eos"], max_steps=1, phases=["fcc"])
    store.set_state("done")
    code, text = command("physics", "--queue")
    assert code == 0, text
    assert "before: 1 of 1 checks submitted" in text
    assert "EMT (teacher, not DFT): 1 of 1 checks submitted" in text
    pad = launchpad()
    jobs = list(
        pad.fireworks.find({}, {"name": 1, "spec._category": 1, "spec.campaign": 1, "_id": 0})
    )
    assert jobs == 2 * [{"name": "physics", "spec": {"_category": "gpu", "campaign": "copper"}}]
    assert (
        "before: 1 of 1 checks submitted before, and not done" in command("physics", "--queue")[1]
    )
    assert "jobs: 2 ready" in command("status")[1]
    (check,) = [check for check in verify(store, FireWorksManager(pad)) if check.name == "jobs"]
    assert check.problems == []  # that they wait is no fault of a campaign that is done

    def work():
        monkeypatch.chdir(tmp_path)
        rapidfire(pad, FWorker("here", category="gpu"), nlaunches=0, strm_lvl="CRITICAL")
        assert set(pad.fireworks.distinct("state")) == {"COMPLETED"}

    work()
    text = command("physics")[1]
    assert "0 checks made now" in text
    assert "not relaxed at 0 GPa after 1 steps" in text
    assert "checks submitted" not in command("physics", "--queue")[1]
    assert "1 of 1 checks submitted" in command("physics", "--queue", "--retry")[1]
    work()
    assert pad.fireworks.count_documents({}) == 4
    assert len(PhysicsChecks(store.database, "copper").find()) == 2


def test_a_physics_job_that_failed_is_no_part_of_the_loop(command, store, file):
    """`repair --retry` would have a campaign that is done run for ever."""
    assert command("physics", "--queue")[0] == 0
    pad = launchpad()
    uuid = pad.fireworks.find_one({}, sort=[("fw_id", 1)])["spec"]["uuid"]
    store.set_state("done")
    store.add_failure(1, "physics", "physics", uuid, "ValueError: no")
    pad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
    assert retry_stages(pad, store).findings == ()
    assert store.document()["state"] == "done"
    assert "checks submitted" in command("physics", "--queue")[1]
    assert store.failures() == []


def test_physics_is_sent_where_the_campaign_says(command, store, file):
    config = {**CONFIG, "categories": {"physics": "big"}, "queue": {"physics": {"mem": "64G"}}}
    file.write_text(yaml.safe_dump(config))
    assert command("physics", "--queue")[0] == 0
    spec = launchpad().fireworks.find_one({})["spec"]
    assert (spec["_category"], spec["_queueadapter"]) == ("big", {"mem": "64G"})


def _run(job):
    from jobflow import run_locally

    from entropy_flows.store import job_store

    found = run_locally(job, store=job_store(), log=False)
    output = found[job.uuid][1].output
    return output if output is None or isinstance(output, dict) else output.model_dump()


def _run_eos(cells):
    from entropy_flows.evaluate.physics import PhysicsParams
    from entropy_flows.evaluate.physics.eos import eos
    from entropy_flows.geometry import to_atoms

    return eos(to_atoms(cells["fcc"]), EMT(), PhysicsParams(fmax=0.02, volumes=5)).bulk_modulus


def test_an_engine_that_works_through_files_has_no_column(command, file, store):
    config = {
        **CONFIG,
        "label": {"engine": "vasp-pbe"},
        "physics": {**CONFIG["physics"], "checks": ["eos"]},
    }
    file.write_text(yaml.safe_dump(config))
    text = command("physics", "--queue")[1]
    assert "VASP PBE works through files" in text
    assert launchpad().fireworks.count_documents({}) == 1  # the model's
    text = command("physics")[1]
    assert "VASP PBE works through files" in text
    assert "2 checks made now" in text
